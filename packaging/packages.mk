# The packages of a release, in target/dist: each is made of the static binary, which no target compiles twice.
# `make dist` makes all of them. TARGET chooses the architecture, as for `make static`.

# What cargo-deb, nfpm or goreleaser would read from a file of their own is a few lines here.
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
REPOSITORY_URL := $(shell sed -n 's/^repository = "\(.*\)"/\1/p' Cargo.toml)
IMAGE_NAME ?= ghcr.io/modelcar/modelcar
DIST := target/dist
# A Python with the packages of packaging/requirements.txt.
PACKAGING_PYTHON ?= python3
# The time of the files in the packages: that of the commit, so that the same sources give the same packages.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)

# The names that Rust, Debian and OCI have for one architecture.
CPU := $(firstword $(subst -, ,$(TARGET)))
OCI_CPU = $(if $(filter x86_64,$(CPU)),amd64,$(if $(filter aarch64,$(CPU)),arm64,$(error no package is made for $(CPU))))
NAMED := modelcar-$(VERSION)-$(CPU)-linux

TARBALL := $(DIST)/$(NAMED).tar.gz
DEB = $(DIST)/modelcar_$(VERSION)_$(OCI_CPU).deb
SBOM := $(DIST)/$(NAMED).cdx.json
IMAGE_ARCHIVE := $(DIST)/modelcar-$(VERSION)-image.tar
FORMULA := $(DIST)/modelcar.rb
# pip knows a static binary by no tag of its own. It runs beside any libc, so that the wheel has the tags of both.
WHEEL_TAGS := manylinux_2_17_$(CPU).manylinux2014_$(CPU).musllinux_1_1_$(CPU)

# The man pages and completions. RUNS is a modelcar that this machine can run, where the packed one is for another.
SHARE := target/static/share
RUNS ?= $(STATIC)

.PHONY: dist share tarball deb sbom wheel image formula checksums dist-clean version check-recipes

dist: dist-clean tarball deb sbom wheel image formula checksums ## Make every package of a release, with checksums and SBOM: target/dist
	@ls -l $(DIST)

dist-clean:
	rm -rf $(DIST)

version:
	@echo '$(VERSION)'

share: static ## Write the man pages and the completions of bash, zsh and fish: target/static/share
	packaging/share.sh $(RUNS) $(SHARE)

tarball: share ## Pack the static binary with its licence, man pages and completions
	@mkdir -p $(DIST)
	tar -c --owner=0 --group=0 --numeric-owner --sort=name --mtime=@$(SOURCE_DATE_EPOCH) --format=ustar \
		--mode=u=rwX,go=rX -C $(CURDIR) LICENSE -C $(CURDIR)/target/static modelcar share | gzip -9n > $(TARBALL)

deb: share ## Make the Debian package
	@mkdir -p $(DIST)
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) packaging/deb.sh $(STATIC) $(SHARE) '$(VERSION)' $(OCI_CPU) $(DEB)

sbom: static ## List the crates in the binary, in CycloneDX's form
	@mkdir -p $(DIST)
	$(PACKAGING_PYTHON) packaging/sbom.py $(STATIC) $(TARGET) $(SBOM)

# maturin runs the same cargo command as `make static`, which finds everything built. The man pages and completions are
# added to the wheel that is there: maturin's own way would ask for them where only `pip install .` runs.
WHEEL_DATA := target/wheel/modelcar-$(VERSION)/modelcar-$(VERSION).data/data
wheel: share sbom ## Make the Python wheel that carries the binary, its man pages and completions
	rm -rf target/wheel && mkdir -p $(DIST)
	RUSTFLAGS='$(STATIC_FLAGS)' $(PACKAGING_PYTHON) -m maturin build --locked --profile $(PROFILE) --target $(TARGET) \
		--auditwheel check --sbom-include $(SBOM) --out target/wheel
	$(PACKAGING_PYTHON) -m wheel unpack --dest target/wheel target/wheel/*.whl
	rm target/wheel/*.whl
	mkdir -p $(WHEEL_DATA)
	cp -r $(SHARE) $(WHEEL_DATA)/share
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) $(PACKAGING_PYTHON) -m wheel pack --dest-dir target/wheel target/wheel/modelcar-$(VERSION)
	$(PACKAGING_PYTHON) -m wheel tags --remove --platform-tag $(WHEEL_TAGS) target/wheel/*.whl
	mv target/wheel/*.whl $(DIST)

# Several binaries make one image of several platforms: BINARIES='amd64=FILE arm64=FILE'.
BINARIES ?= $(OCI_CPU)=$(STATIC)
image: $(if $(filter file,$(origin BINARIES)),static) ## Write the image of modelcar with modelcar's own library, as an OCI archive
	@mkdir -p $(DIST)
	RUSTFLAGS='$(STATIC_FLAGS)' cargo build --locked $(if $(filter file,$(origin BINARIES)),-p modelcar-cli) -p modelcar-image --profile $(PROFILE) --target $(TARGET)
	$(BUILT)-image $(IMAGE_ARCHIVE) '$(IMAGE_NAME):$(VERSION)' '$(REPOSITORY_URL)' $(BINARIES)

formula: ## Fill the formula of Homebrew with the packed binaries of target/dist
	packaging/formula.sh '$(VERSION)' '$(REPOSITORY_URL)' $(DIST) > $(FORMULA)

checksums: ## Write the SHA-256 of every package
	cd $(DIST) && rm -f SHA256SUMS && sha256sum -- * > ../SHA256SUMS && mv ../SHA256SUMS .

# For Tekton, Argo and Jenkins no schema or linter is used here: the tests read those recipes
# and run their commands.
WORKFLOWS := .github/workflows/release.yml recipes/github-actions.yml
check-schema = $(PACKAGING_PYTHON) -m check_jsonschema --builtin-schema
check-recipes: target/actionlint ## Check the recipes and workflows with schemas and linters
	$(check-schema) vendor.github-actions action.yml
	$(check-schema) vendor.github-workflows $(WORKFLOWS)
	$(check-schema) vendor.gitlab-ci recipes/gitlab-ci.yml
	$(check-schema) vendor.cloudbuild recipes/cloud-build.yaml
	target/actionlint $(WORKFLOWS)
	$(if $(findstring /,$(PACKAGING_PYTHON)),$(dir $(PACKAGING_PYTHON)))zizmor --offline --no-progress --config .github/zizmor.yml action.yml $(WORKFLOWS)
	sh -n recipes/container-run.sh

target/actionlint: packaging/actionlint/go.mod packaging/actionlint/go.sum
	cd packaging/actionlint && CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off \
		go build -p 2 -trimpath -ldflags '-s -w' -o '$(CURDIR)/$@' github.com/rhysd/actionlint/cmd/actionlint
