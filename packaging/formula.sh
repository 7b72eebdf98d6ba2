#!/bin/sh
# Prints Homebrew's formula for the packed binaries of a release: formula.sh VERSION REPOSITORY_URL FOLDER
set -eu

version=$1 url=$2 folder=$3
blocks=
for cpu in x86_64:intel aarch64:arm; do
    file=modelcar-$version-${cpu%:*}-linux.tar.gz
    [ -f "$folder/$file" ] || continue
    sum=$(sha256sum "$folder/$file" | cut -d ' ' -f 1)
    blocks="$blocks  on_${cpu#*:} do
    url \"$url/releases/download/v$version/$file\"
    sha256 \"$sum\"
  end

"
done
[ -n "$blocks" ] || {
    echo "$folder has no packed binary of version $version: run \`make tarball\` first" >&2
    exit 1
}
BLOCKS=$blocks VERSION=$version awk '
    /^@ARCHITECTURES@$/ { printf "%s", ENVIRON["BLOCKS"]; next }
    { gsub(/@VERSION@/, ENVIRON["VERSION"]); print }
' "$(dirname "$0")/formula.rb.in"
