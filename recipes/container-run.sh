#!/bin/sh
# Pushes a model with nothing but Docker or podman: container-run.sh SOURCE IMAGE [ARGUMENT...]
#
#   recipes/container-run.sh Qwen/Qwen2.5-0.5B-Instruct registry/repository:tag
#
# The container reads the login that `docker login` or `podman login` wrote, and HF_TOKEN. A login that a credential helper
# keeps does not reach into the container: set MODELCAR_REGISTRY_USERNAME and MODELCAR_REGISTRY_PASSWORD instead.
# CONTAINER_ENGINE chooses the program.
set -eu

engine=${CONTAINER_ENGINE:-$(command -v docker || command -v podman || true)}
if [ -z "$engine" ]; then
    echo 'neither docker nor podman is installed: install one, or set CONTAINER_ENGINE' >&2
    exit 1
fi
set -- push "$@"
for config in "${REGISTRY_AUTH_FILE:-}" "${DOCKER_CONFIG:-$HOME/.docker}/config.json" \
    "${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/containers/auth.json"; do
    if [ -n "$config" ] && [ -f "$config" ]; then
        login=$config
        break
    fi
done
exec "$engine" run --rm --network=host ${login:+--volume="$login:/login/config.json:ro" --env=DOCKER_CONFIG=/login} \
    --env=HF_TOKEN --env=HF_ENDPOINT --env=MODELCAR_REGISTRY_USERNAME --env=MODELCAR_REGISTRY_PASSWORD \
    "${MODELCAR_IMAGE:-ghcr.io/modelcar/modelcar:0.1.0}" "$@"
