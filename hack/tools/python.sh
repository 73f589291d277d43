#!/usr/bin/env bash
# Usage: hack/tools/python.sh
#
# Prints the folder of a virtual environment of Python with the packages that tests use, made beside the built tools if it is missing.
# Its programs are run as modules, `FOLDER/bin/python -m NAME`, since the folder is made in another place.
# All versions and hashes stand in python/requirements.txt; whatever is not the file that was pinned is refused.
set -euo pipefail

say() { echo "python.sh: $*" >&2; }
python=$(command -v python3) || { say "there is no python3: install Python 3.11 or newer"; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { say "$("$python" --version) is too old: install 3.11 or newer"; exit 1; }

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/python" && pwd)
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }
# The interpreter counts: an environment is of no use to another one.
key=$({ cat "$here/requirements.txt"; "$python" -c 'import sys, sysconfig; print(sys.version, sys.base_prefix, sysconfig.get_platform())'; } | sha256 | cut -c1-16)
cache=${CRONOFY_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cronofy-operator}/python
folder=$cache/$key
if [ -d "$folder" ]; then
	echo "$folder"
	exit 0
fi

mkdir -p "$cache"
part=$(mktemp -d "$cache/.part.XXXXXX")
trap 'rm -rf "$part"' EXIT
say "fetching what $here/requirements.txt names, once ..."
"$python" -m venv "$part/all" >&2 || { say "venv is missing: Debian has it in python3-venv"; exit 1; }
"$part/all/bin/python" -m pip install --quiet --require-hashes --no-deps --only-binary :all: --requirement "$here/requirements.txt" >&2 ||
	{ say "pip cannot fetch them: its message above says why"; exit 1; }
# Of two callers at once, the second finds the first one's folder in place, which holds the same.
"$python" -c 'import os, sys; os.rename(*sys.argv[1:])' "$part/all" "$folder" 2>/dev/null || [ -d "$folder" ]
echo "$folder"
