#!/usr/bin/env bash
# Usage: hack/tools/packages.sh node|postgres|calendar
#
# Prints the folder with programs from Debian's packages and their libraries, unpacked beside the built tools and not installed:
# what a node needs (runc and nft), a PostgreSQL server, or the library that calendar programs parse with (libical). Nothing of the machine is changed but, if they are missing or old,
# apt's lists.
set -euo pipefail

say() { echo "packages.sh: $*" >&2; }
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
	say "these programs come from Debian's packages, and this machine has no apt-get"
	exit 1
fi

# What a package needs, by name.
needs() { apt-cache depends --recurse --no-{recommends,suggests,conflicts,breaks,replaces,enhances} "$1" | grep '^[a-z]' | sort -u; }

choose() {
	case $1 in
	node) packages=(libedit2 libjansson4 libmnl0 libnftables1 libnftnl11 libseccomp2 libxtables12 nftables runc) ;;
	postgres)
		# The release's own version and its client, with all libraries but those of the system itself, and of what is not used here.
		server=$(apt-cache depends postgresql 2>/dev/null | grep -o -m1 'postgresql-[0-9]*$') || return 1
		mapfile -t packages < <(printf '%s\n' "$server" "${server/-/-client-}" && needs "$server" | grep '^lib' | grep -v '^libc6\|^libc-\|^libllvm\|^libperl\|perl$\|^libpam-')
		;;
	calendar)
		library=$(apt-cache pkgnames libical3 2>/dev/null | grep -x -m1 'libical3\(t64\)\?') || return 1
		mapfile -t packages < <(echo "$library" && needs "$library" | grep '^libicu')
		;;
	*)
		say "there is no set of packages called $1"
		exit 2
		;;
	esac
}
choose "${1:?node, postgres or calendar}" || { apt-get -q update >&2 && choose "$1"; } || { say "apt knows no such packages"; exit 1; }

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
