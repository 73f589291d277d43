#!/usr/bin/env bash
# Usage: hack/tools/packages.sh chromium|node|postgres|calendar
#
# Prints the folder with programs from Debian's packages and their libraries, unpacked beside the built tools and not installed:
# what a node needs (runc and nft), a PostgreSQL server, the library that calendar programs parse with (libical), or a browser with
# its driver and a font. Nothing of the machine is changed but, if they are missing or old, apt's lists.
set -euo pipefail

say() { echo "packages.sh: $*" >&2; }
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
	say "these programs come from Debian's packages, and this machine has no apt-get"
	exit 1
fi

# What a package needs, by name.
needs() { apt-cache depends --recurse --no-{recommends,suggests,conflicts,breaks,replaces,enhances} "$1" | grep '^[a-z]' | sort -u; }

# What would be installed with these on a machine that has nothing.
installs() { apt-get install --simulate --no-install-recommends -o Dir::State::status=/dev/null "$@" | awk '/^Inst / { print $2 }' | sort; }

choose() {
	case $1 in
	chromium)
		# The browser that has no window at all, in place of the one that the driver asks for; without what only windows, sound
		# and graphics cards need, or the system has itself.
		mapfile -t packages < <(installs chromium-headless-shell chromium-driver fonts-dejavu-core | grep '^chromium-\|^font\|^lib\|^xkb-data$\|^zlib1g$' | grep -v '^libc6$\|^libllvm\|^libz3\|mesa-dri\|perl\|^libpam-\|^libgtk\|^libsystemd-shared\|^libcryptsetup')
		[ "${#packages[@]}" -gt 0 ]
		;;
	node) packages=(libedit2 libjansson4 libmnl0 libnftables1 libnftnl11 libseccomp2 libxtables12 nftables runc) ;;
	postgres)
		# The release's own version and its client, with all libraries but those of the system itself, and of what is not used here.
		# To the end of the list: apt-cache fails where nobody reads on.
		server=$(apt-cache depends postgresql 2>/dev/null | grep -o 'postgresql-[0-9]*$' | tail -1) || return 1
		mapfile -t packages < <(printf '%s\n' "$server" "${server/-/-client-}" && needs "$server" | grep '^lib' | grep -v '^libc6\|^libc-\|^libllvm\|^libperl\|perl$\|^libpam-')
		;;
	calendar)
		library=$(apt-cache pkgnames libical3 2>/dev/null | grep -x 'libical3\(t64\)\?' | tail -1) || return 1
		mapfile -t packages < <(echo "$library" && needs "$library" | grep '^libicu')
		;;
	*)
		say "there is no set of packages called $1"
		exit 2
		;;
	esac
}
set=${1:?chromium, node, postgres or calendar}

release=$(. /etc/os-release && echo "$ID-${VERSION_ID:-rolling}")
cache=${CRONOFY_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cronofy-operator}/packages
mkdir -p "$cache"
# What was chosen, so that only the first caller asks apt.
platform=$release-$(dpkg --print-architecture)
chosen=$cache/.$platform-$set-$(sha256sum < "${BASH_SOURCE[0]}" | cut -c1-16)
present() { [ -f "$chosen" ] && folder=$cache/$(< "$chosen") && [ -d "$folder" ]; }
if present; then
	echo "$folder"
	exit 0
fi
# One caller at a time: who reads apt's lists while another fetches them finds no package. Where flock is missing, that may happen.
if command -v flock >/dev/null; then
	exec 9>"$cache/.lock"
	if ! flock -n 9; then
		say "waiting for another fetch into $cache ..."
		flock 9
	fi
fi
if present; then
	echo "$folder"
	exit 0
fi

# Done with this folder: it is what was chosen.
found() {
	part=$(mktemp "$cache/.part.XXXXXX")
	basename "$folder" > "$part"
	mv "$part" "$chosen"
	echo "$folder"
}

choose "$set" || { apt-get -q update >&2 && choose "$set"; } || { say "apt knows no such packages"; exit 1; }
folder=$cache/$platform-$(echo "${packages[*]}" | sha256sum | cut -c1-16)
if [ -d "$folder" ]; then
	found
	exit 0
fi

part=$(mktemp -d "$cache/.part.XXXXXX")
trap 'rm -rf "$part"' EXIT
mkdir "$part/packages" "$part/root"
fetch() { (cd "$part/packages" && apt-get -q download "${packages[@]}") >&2; }
say "fetching ${packages[*]} ..."
# Lists that are older than the archive name packages that are not there any more.
fetch || { apt-get -q update >&2 && fetch; } || { say "apt-get cannot fetch them: its message above says why"; exit 1; }
for package in "$part"/packages/*.deb; do dpkg -x "$package" "$part/root"; done
# Without a lock, the second of two callers finds the first one's folder in place, which holds the same.
mv -T "$part/root" "$folder" 2>/dev/null || [ -d "$folder" ]
rm -rf "$part"
found
