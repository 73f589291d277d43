#!/usr/bin/env bash
# Usage: hack/tools/packages.sh
#
# Prints the folder with the programs that a node needs from Debian's packages: runc and nft with their libraries, unpacked
# beside the built tools and not installed. Nothing of the machine is changed but, if they are missing or old, apt's lists.
set -euo pipefail

packages=(libedit2 libjansson4 libmnl0 libnftables1 libnftnl11 libseccomp2 libxtables12 nftables runc)

say() { echo "packages.sh: $*" >&2; }
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
	say "runc and nft come from Debian's packages, and this machine has no apt-get"
	exit 1
fi

release=$(. /etc/os-release && echo "$ID-${VERSION_ID:-rolling}")
cache=${CRONOFY_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cronofy-operator}/packages
folder=$cache/$release-$(dpkg --print-architecture)-$(echo "${packages[*]}" | sha256sum | cut -c1-16)
if [ -d "$folder" ]; then
	echo "$folder"
	exit 0
fi

mkdir -p "$cache"
part=$(mktemp -d "$cache/.part.XXXXXX")
trap 'rm -rf "$part"' EXIT
mkdir "$part/packages" "$part/root"
fetch() { (cd "$part/packages" && apt-get -q download "${packages[@]}") >&2; }
say "fetching ${packages[*]} ..."
# Lists that are older than the archive name packages that are not there any more.
fetch || { apt-get -q update >&2 && fetch; } || { say "apt-get cannot fetch them: its message above says why"; exit 1; }
for package in "$part"/packages/*.deb; do dpkg -x "$package" "$part/root"; done
# Of two callers at once, the second finds the first one's folder in place, which holds the same.
mv -T "$part/root" "$folder" 2>/dev/null || [ -d "$folder" ]
echo "$folder"
