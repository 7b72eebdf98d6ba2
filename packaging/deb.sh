#!/bin/sh
# Makes a Debian package of a static binary and its share folder: deb.sh BINARY SHARE VERSION ARCHITECTURE OUTPUT.deb
#
# dpkg-deb alone, since there is nothing to compute: a static binary depends on no package.
# Times are SOURCE_DATE_EPOCH and the owner is root, so that the same binary gives the same package.
set -eu

binary=$1 share=$2 version=$3 architecture=$4 output=$5
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:?set it to the time of the files, in seconds since 1970}"
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
umask 022
chmod 755 "$root"

doc=$root/usr/share/doc/modelcar
install -D -m 755 "$binary" "$root/usr/bin/modelcar"
install -d "$root/DEBIAN" "$root/usr/share/lintian/overrides" "$doc"
cp -R "$share/man" "$share/bash-completion" "$share/fish" "$root/usr/share/"
# Debian keeps the folder site-functions for the administrator.
install -D -m 644 "$share/zsh/site-functions/_modelcar" "$root/usr/share/zsh/vendor-completions/_modelcar"
find "$root/usr/share" -type d -exec chmod 755 {} + -o -type f -exec chmod 644 {} +
gzip -9n "$root"/usr/share/man/man1/*.1
cat >"$doc/copyright" <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: modelcar
Source: https://github.com/modelcar/modelcar

Files: *
Copyright: 2026 the authors of modelcar
License: Apache-2.0
 On Debian systems the text of this licence is in /usr/share/common-licenses/Apache-2.0.
END
date=$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
printf 'modelcar (%s) stable; urgency=medium\n\n  * See CHANGELOG.md in the repository.\n\n -- modelcar <modelcar@users.noreply.github.com>  %s\n' \
    "$version" "$date" | gzip -9n >"$doc/changelog.gz"
# What lintian would say of every static binary.
echo 'modelcar: statically-linked-binary [usr/bin/modelcar]' >"$root/usr/share/lintian/overrides/modelcar"

cat >"$root/DEBIAN/control" <<END
Package: modelcar
Version: $version
Architecture: $architecture
Maintainer: modelcar <modelcar@users.noreply.github.com>
Installed-Size: $(du -k -s "$root/usr" | cut -f1)
Section: utils
Priority: optional
Homepage: https://github.com/modelcar/modelcar
Description: turn Hugging Face models into OCI images for KServe
 modelcar streams model weights from the Hugging Face Hub, a bucket or a folder
 into an OCI image, and pushes the image straight to a registry. It needs no
 Docker, and writes no weights to disk.
END
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
find "$root" -print0 | xargs -0 touch -h -d "@$SOURCE_DATE_EPOCH"
dpkg-deb --build --root-owner-group -Zxz "$root" "$output"
