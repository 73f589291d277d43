#!/usr/bin/env bash
# Usage: hack/test.sh
#
# Every check that a change has to pass. The tools are built beside the lints, and the simulation, which computes, runs beside the
# tests that mostly wait for servers; what it prints is shown when it has ended. The operator's suite runs alone: it keeps two
# processors busy by itself, and what it proves about outages needs servers that answer.
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

# Most tests wait for servers, so more of them than there are cores run at a time.
tests=(cargo test --workspace --locked)
threads=(-- --test-threads 8)

# All suites but the two that follow them, and those that need root and the image: `make e2e`.
others=()
shopt -s nullglob
for suite in {,crates/*/}tests/{*.rs,*/main.rs}; do
	suite=$(basename "${suite%/main.rs}" .rs)
	case $suite in
	operator | rights | cluster | node) ;;
	*) others+=(--test "$suite") ;;
	esac
done

# The first time this takes minutes, and says so line by line.
make --no-print-directory tools </dev/null &
beside=$!
cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- --deny warnings
RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --locked
if cargo tree --workspace --locked --invert ring 2>/dev/null | grep -q .; then
	echo "a second TLS provider is linked: see cargo tree --workspace --invert ring"
	exit 1
fi
"${tests[@]}" --no-run
cargo build --release --locked --package simulation
wait "$beside"

echo "test.sh: the simulation begins, and is shown when it has ended"
nice -n 19 make --no-print-directory simulate >"$simulation" 2>&1 </dev/null &
beside=$!
"${tests[@]}" --lib --bins "${others[@]}" "${threads[@]}"
"${tests[@]}" --doc
status=0
wait "$beside" || status=$?
beside=
cat "$simulation"
[ "$status" = 0 ] || { echo "test.sh: the simulation failed, with status $status"; exit "$status"; }

"${tests[@]}" --test operator "${threads[@]}"
# It judges what the operator's suite has left.
"${tests[@]}" --test rights
make --no-print-directory demo ONCE=1
