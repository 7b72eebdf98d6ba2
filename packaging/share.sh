#!/bin/sh
# Writes the man pages and the completions of the shells: share.sh BINARY FOLDER
#
# The binary knows them from the definition of its command line. FOLDER becomes what Debian and Homebrew call share.
set -eu

binary=$1 share=$2
rm -rf "$share"
mkdir -p "$share/bash-completion/completions" "$share/zsh/site-functions" "$share/fish/vendor_completions.d"
"$binary" man "$share/man/man1" >/dev/null
"$binary" completions bash >"$share/bash-completion/completions/modelcar"
"$binary" completions zsh >"$share/zsh/site-functions/_modelcar"
"$binary" completions fish >"$share/fish/vendor_completions.d/modelcar.fish"
