#!/usr/bin/env bash
# Usage: hack/test.sh
#
# Every check that a change has to pass. The tools are built beside the lints, and the simulation, which computes, runs beside the
# tests, the first of which mostly wait for servers; what it prints is shown when they have ended.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# What runs beside is a group of processes of its own, so that all of it can be ended.
set -m

beside=
simulation=$(mktemp)
finish() {
	[ -z "$beside" ] || kill -TERM -- "-$beside" 2>/dev/null || true
	rm -f "$simulation"
}
trap finish EXIT

# The first time this takes minutes, and says so line by line.
make --no-print-directory tools </dev/null &
beside=$!
cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- --deny warnings
# With the examples, since all else then has the features that it was checked with before.
RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --locked --lib --examples
if cargo tree --workspace --locked --invert ring 2>/dev/null | grep -q .; then
	echo "a second TLS provider is linked: see cargo tree --workspace --invert ring"
	exit 1
fi
cargo test --workspace --locked --no-run
wait "$beside"

echo "test.sh: the simulation begins, and is shown after the tests"
nice -n 19 make --no-print-directory simulate >"$simulation" 2>&1 </dev/null &
beside=$!
# Most tests wait for servers, so more of them than there are cores run at a time.
cargo test --workspace --locked -- --test-threads 8
status=0
wait "$beside" || status=$?
beside=
cat "$simulation"
[ "$status" = 0 ] || { echo "test.sh: the simulation failed, with status $status"; exit "$status"; }

make --no-print-directory demo ONCE=1
