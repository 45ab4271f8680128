#!/bin/sh
# Takes Debian's kernel out of its package into a folder, for a virtual machine. It is not installed on this one. A kernel
# that is there already is kept.
set -eu
folder=$1
[ -d "$folder/boot" ] && exit 0
package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-.*\)/\1/p' | head -n 1)
[ -n "$package" ] || { echo "This machine's apt knows no linux-image-amd64." >&2; exit 1; }
echo "Taking Debian's kernel out of $package, to $folder"
mkdir -p "$folder"
unpacked=$(mktemp -d "$folder/new.XXXXXX")
trap 'rm -rf "$unpacked"' EXIT
(cd "$unpacked" && apt-get download -q "$package" && dpkg-deb -x "$package"_*.deb root && mv root/boot root/lib ..)
