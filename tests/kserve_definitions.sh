#!/usr/bin/env bash
# Writes KServe's own resource definitions, by release, to target/kserve-definitions, for the tests that hold rendered
# manifests against them. They come from KServe's Go module, or from the folder that MODELCAR_KSERVE_DIR names. What can't
# be had is said; the tests then use the trimmed schema of this repository for that release.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly MODULE=github.com/kserve/kserve
readonly KINDS=(inferenceservices llminferenceservices)
readonly TO=target/kserve-definitions
# Release and checksum of the module.
readonly RELEASES=(
    'v0.16.0 h1:kDkcAU5VMiZf4zhdDXH+UdAIgzXhs10GMv0d9r4qvTs='
    'v0.17.0 h1:IaynaBFzVQz1Xyrw5n3ncqzd5Y7L1RkO+YWvVwwtMQE='
    'v0.18.1 -'
    'v0.19.0 h1:8Pbdm9Ekn1JEuHrobqJhZI4uRHyf5bk1ofb5+3kEI14='
    'v0.20.0 h1:Bs7HxmGV4KFqqptDcWseKv+mwD4YOYHJWcuVgPG2Gug='
)

# Prints the folder with the definitions of a release. A release without a checksum above has no Go module.
folder() {
    local release=$1 sum=$2 answer
    if [[ $sum == - ]] || ! answer=$(GOFLAGS='' GOWORK=off go mod download -json "$MODULE@$release" 2>/dev/null); then
        echo "${MODELCAR_KSERVE_DIR:-}/$release"
        return
    fi
    if ! grep -qF "\"Sum\": \"$sum\"" <<<"$answer"; then
        echo "the Go module $MODULE@$release has another checksum than $0 states" >&2
        return 1
    fi
    sed -n 's|.*"Dir": "\(.*\)".*|\1/config/crd/full|p' <<<"$answer"
}

for line in "${RELEASES[@]}"; do
    read -r release sum <<<"$line"
    found=$(folder "$release" "$sum")
    mkdir -p "$TO/$release"
    for kind in "${KINDS[@]}"; do
        name=serving.kserve.io_$kind.yaml
        file=$(find "$found" -name "$name" -print -quit 2>/dev/null) || true
        if [[ -n $file ]]; then
            install -m 644 "$file" "$TO/$release/$name"
        else
            echo "no definitions of $kind of KServe $release here"
        fi
    done
done
