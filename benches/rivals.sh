#!/usr/bin/env bash
# Installs the tools that the benchmarks `e2e` and `pull` compare with: Debian packages (as root) and a virtual
# environment in target/. What is missing afterwards is named in the benchmarks' tables.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

DEBIAN_PACKAGES=(docker-registry skopeo buildah zstd python3 python3-venv)
# Another vendor's package of containerd would have to make room for Debian's.
type -P containerd >/dev/null || DEBIAN_PACKAGES+=(containerd)
readonly PYTHON_PACKAGES=(oci-modelcar==1.3.0 olot==1.2.1 modelcar-base-image==0.1.0 huggingface_hub==2.4.0)
readonly VENV=$PWD/target/rivals/venv

missing=()
for package in "${DEBIAN_PACKAGES[@]}"; do
    if [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
        missing+=("$package")
    fi
done
if ((${#missing[@]})); then
    echo "installing: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q update
    apt-get -q install -y --no-install-recommends "${missing[@]}"
fi

[[ -x $VENV/bin/pip ]] || python3 -m venv "$VENV"
"$VENV/bin/pip" install -q --disable-pip-version-check "${PYTHON_PACKAGES[@]}"
"$VENV/bin/pip" list --disable-pip-version-check | grep -E "$(IFS='|'; echo "${PYTHON_PACKAGES[*]%%==*}" | tr _ .)"
dpkg-query -W "${DEBIAN_PACKAGES[@]}"
