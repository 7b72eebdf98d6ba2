# Builds the static binary and pushes models with it. `make help` lists the targets.

# The target whose standard library is linked into the binary: the musl one where it is installed, else the plain one
# with glibc's static libraries.
ARCH := $(shell uname -m)
MUSL := $(ARCH)-unknown-linux-musl
GNU := $(ARCH)-unknown-linux-gnu
TARGET ?= $(if $(wildcard $(shell rustc --print target-libdir --target $(MUSL))),$(MUSL),$(GNU))
PROFILE ?= release
# Without a loader a program can't look up `getrandom` by name; without /dev it can't read /dev/urandom either.
STATIC_FLAGS := -C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"
STATIC := target/static/modelcar
BUILT := target/$(TARGET)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/modelcar

# The commit that `modelcar --version` names; none outside a repository.
export MODELCAR_COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null)

# How long each target of `make fuzz` runs.
FUZZ_SECONDS ?= 5
comma := ,

# What pushes: `make modelcar-build MODELCAR=modelcar …` takes an installed one.
MODELCAR ?= $(STATIC)

# The release of KServe in the test cluster.
KSERVE ?= 0.20.0

.PHONY: help outside fuzz packages static static-env modelcar-build push-image cloud-build model-and-image builder registry-programs \
	cluster-programs cluster-test cluster-up cluster-apply cluster-exec cluster-down

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

static: ## Build one static file that runs in an empty container: target/static/modelcar
	RUSTFLAGS='$(STATIC_FLAGS)' cargo build --locked -p modelcar-cli --profile $(PROFILE) --target $(TARGET)
	install -D $(BUILT) $(STATIC)

static-env: ## Print, for a shell's eval, what makes other builds share their parts with the static one
	@: $(info export CARGO_BUILD_TARGET='$(TARGET)' RUSTFLAGS='$(STATIC_FLAGS)' MODELCAR_COMMIT='$(MODELCAR_COMMIT)')

outside: ## Check and test the programs beside the workspace, as somebody who uses the library has them
	cd tests/outside && CARGO_TARGET_DIR='$(CURDIR)/target' cargo clippy --locked --all-targets -- -D warnings
	cd tests/outside && CARGO_TARGET_DIR='$(CURDIR)/target' cargo test --locked

fuzz: ## Fuzz the parsers of bytes that others wrote, each for a few seconds: FUZZ_SECONDS=5
	cd tests/fuzz && cargo fmt --check
	tests/fuzz/run $(FUZZ_SECONDS)

# With the workspace's profile, so that what both depend on is compiled once.
packages: ## Pack the published crates, and test the core as it is published: without the test kit of this repository
	cargo package --quiet --locked --no-verify --allow-dirty -p twin-sha256 -p modelcar-core \
		-p modelcar-env -p modelcar-kserve -p modelcar-cli
	unpacked=$$(mktemp -d) && trap 'rm -rf "$$unpacked"' EXIT && \
	for crate in target/package/*.crate; do tar -xzf "$$crate" -C "$$unpacked"; done && cd "$$unpacked" && \
	ln -s twin-sha256-* twin-sha256 && cd modelcar-core-* && \
	CARGO_TARGET_DIR='$(CURDIR)/target' cargo test --config 'patch.crates-io.twin-sha256.path="../twin-sha256"' \
		--config 'profile.dev.opt-level=1' --config 'profile.dev.debug="line-tables-only"' \
		--config 'profile.dev.package."*".debug=false'

modelcar-build: model-and-image $(if $(filter $(STATIC),$(MODELCAR)),static) ## Push a model: MODEL=owner/name IMAGE=registry/repository:tag
	$(MODELCAR) push '$(MODEL)' '$(IMAGE)' $(ARGS)

push-image: builder image ## Push the image of modelcar with skopeo: BUILDER=registry/repository:tag
	skopeo copy --all 'oci-archive:$(IMAGE_ARCHIVE)' 'docker://$(BUILDER)'

cloud-build: model-and-image ## Push a model from Cloud Build: MODEL=… IMAGE=… [BUILDER=registry/repository:tag]
	gcloud builds submit --no-source --config=recipes/cloud-build.yaml \
		--substitutions='_MODEL=$(MODEL),_IMAGE=$(IMAGE)$(if $(BUILDER),$(comma)_BUILDER=$(BUILDER))'

model-and-image:
	@test -n '$(MODEL)' && test -n '$(IMAGE)' || { echo 'say MODEL=owner/name and IMAGE=registry/repository:tag' >&2; exit 2; }

builder:
	@test -n '$(BUILDER)' || { echo 'say BUILDER=registry/repository:tag, where the image of modelcar goes' >&2; exit 2; }

# The registries and readers of the interop tests, each from the module that pins it.
MODULES := tests/interop/modules
REGISTRY_PROGRAMS := target/registry-programs
go-program = cd $(MODULES)/$(1) && CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off \
	go build -p 2 -trimpath -ldflags '-s -w' -o '$(CURDIR)/$@' $(2)

registry-programs: $(addprefix $(REGISTRY_PROGRAMS)/,distribution go-containerregistry crane oras) ## Build the registries and readers of the interop tests (Go, once)

$(REGISTRY_PROGRAMS)/distribution: $(wildcard $(MODULES)/distribution/*)
	$(call go-program,distribution,.)

$(REGISTRY_PROGRAMS)/go-containerregistry: $(wildcard $(MODULES)/go-containerregistry/*)
	$(call go-program,go-containerregistry,.)

$(REGISTRY_PROGRAMS)/crane: $(wildcard $(MODULES)/go-containerregistry/go.*)
	$(call go-program,go-containerregistry,github.com/google/go-containerregistry/cmd/crane)

$(REGISTRY_PROGRAMS)/oras: $(wildcard $(MODULES)/oras/*)
	$(call go-program,oras,oras.land/oras/cmd/oras)

CLUSTER := cargo run --locked --quiet -p modelcar-cluster --

cluster-programs: ## Build the programs of the test cluster (Go, once)
	@$(CLUSTER) build

cluster-test: ## Run every manifest on a real Kubernetes with KServe: ARGS='--only NAME' KSERVE=0.19.0
	@$(CLUSTER) test --kserve $(KSERVE) $(ARGS)

cluster-up: ## Start the test cluster and leave it running
	@$(CLUSTER) up --kserve $(KSERVE)

cluster-apply: ## Apply manifests in the running cluster and wait until Ready: FILE=manifests.yaml
	@$(CLUSTER) apply --kserve $(KSERVE) '$(FILE)'

cluster-exec: ## Run a command in the running cluster: RUN='kubectl get pods'
	@$(CLUSTER) exec --kserve $(KSERVE) -- sh -c '$(RUN)'

cluster-down: ## End the running test cluster
	@$(CLUSTER) down

include packaging/packages.mk
