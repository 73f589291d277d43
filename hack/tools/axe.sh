#!/usr/bin/env bash
# Usage: hack/tools/axe.sh
#
# Prints the file of axe-core, which checks pages in the tests' browser for accessibility: one version, by npm, unpacked beside the
# built tools. It is run as it is, and is no part of what is delivered.
set -euo pipefail

version=4.14.1
sum=e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745

cache=${CRONOFY_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cronofy-operator}/axe-core
file=$cache/axe-$version-${sum:0:16}.js
if [ ! -f "$file" ]; then
	command -v npm >/dev/null || { echo "axe.sh: axe-core comes by npm, which is not there: install nodejs and npm" >&2; exit 1; }
	mkdir -p "$cache"
	part=$(mktemp -d "$cache/.part.XXXXXX")
	trap 'rm -rf "$part"' EXIT
	(cd "$part" && npm pack --silent "axe-core@$version" >/dev/null) || { echo "axe.sh: npm cannot fetch axe-core: its message above says why" >&2; exit 1; }
	echo "$sum  $part/axe-core-$version.tgz" | sha256sum --check --quiet || { echo "axe.sh: what npm fetched is not axe-core $version" >&2; exit 1; }
	tar -xzf "$part/axe-core-$version.tgz" -C "$part" package/axe.min.js
	mv "$part/package/axe.min.js" "$file"
fi
echo "$file"
