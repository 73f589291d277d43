#!/usr/bin/env bash
# Usage: hack/tools/build.sh [NAME...]
#
# Prints the folder that holds etcd, kube-apiserver, kubectl, kube-controller-manager and helm (or only the ones named),
# building what is missing.
#
# Order: KUBEBUILDER_ASSETS if it is set, then the cache, then a build from the Go modules that go.mod pins, here and in the
# folders beside it: a program of another project has a go.mod of its own. go.work joins them, so that what they have in common, the
# libraries of Kubernetes above all, has one version and is compiled once. Programs of ours stand in folders below the go.mod that
# they build with.
# The cache lies outside the clone and is keyed by the pinned versions, our sources and the build flags. Progress goes to
# standard error, so that `dir=$(hack/tools/build.sh)` is enough for a caller. Any number of callers may run at once.
set -euo pipefail

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
	echo "$KUBEBUILDER_ASSETS"
	exit 0
fi

tools=("$@")
[ $# -gt 0 ] || tools=(etcd kube-apiserver kubectl kube-controller-manager helm)

package() { # package NAME: the folder of the go.mod, and the Go package of a program
	case "$1" in
	etcd) echo . go.etcd.io/etcd/server/v3 ;;
	kube-apiserver | kube-controller-manager | kube-proxy | kube-scheduler | kubectl | kubelet) echo . "k8s.io/kubernetes/cmd/$1" ;;
	helm) echo . helm.sh/helm/v4/cmd/helm ;;
	helm3) echo helm3 helm.sh/helm/v3/cmd/helm ;;
	containerd | containerd-shim-runc-v2 | ctr) echo containerd "github.com/containerd/containerd/v2/cmd/$1" ;;
	bridge | loopback) echo containerd "github.com/containernetworking/plugins/plugins/main/$1" ;;
	host-local) echo containerd "github.com/containernetworking/plugins/plugins/ipam/$1" ;;
	coredns) echo coredns github.com/coredns/coredns ;;
	pause) echo . ./pause ;;
	promtool) echo prometheus github.com/prometheus/prometheus/cmd/promtool ;;
	exposition | evaluate) echo prometheus "./$1" ;;
	kube-state-metrics) echo kube-state-metrics k8s.io/kube-state-metrics/v2 ;;
	kubeconform) echo kubeconform github.com/yannh/kubeconform/cmd/kubeconform ;;
	*)
		echo "build.sh: no such program: $1" >&2
		return 2
		;;
	esac
}
for tool in "${tools[@]}"; do package "$tool" >/dev/null; done

# As Go names them, but known without it: what is built once works where Go is not installed.
platform() {
	uname -s | tr '[:upper:]' '[:lower:]'
	case "$(uname -m)" in
	x86_64) echo amd64 ;;
	aarch64) echo arm64 ;;
	*) uname -m ;;
	esac
}
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$here/go.mod")
minor=$(echo "$version" | cut -d. -f2)
stamp=k8s.io/component-base/version
# Nobody debugs them, so they are linked without what a debugger needs, and that is not compiled either.
gcflags=all=-dwarf=false
ldflags="-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=1 -X $stamp.gitMinor=$minor"
# What is done without: file systems and volumes that need libraries of the system, and clients of clouds.
tags=no_btrfs,no_devmapper,no_zfs,remove_all_sd
key=$({ cat "$here"/go.* "$here"/*/go.* "$here"/*/*.go "$here"/*/*/*.go; echo "$ldflags $gcflags $tags"; platform; } | sha256 | cut -c1-16)
cache=${CRONOFY_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cronofy-operator}/tools/$version-$key

missing() {
	for tool in "${tools[@]}"; do [ -x "$cache/$tool" ] || echo "$tool"; done
}

# The usual case, without a lock: a program gets its name only when it is complete.
if [ -z "$(missing)" ]; then
	echo "$cache"
	exit 0
fi

if ! command -v go >/dev/null; then
	cat >&2 <<-END
		build.sh: $(missing | tr '\n' ' ')must be built, and go is not installed.
		Install Go $(awk '$1 == "go" { print $2 }' "$here/go.work") or newer (https://go.dev/doc/install), or set KUBEBUILDER_ASSETS to a folder that
		holds these programs (Kubernetes $version; other recent versions mostly work).
	END
	exit 1
fi

mkdir -p "$cache"
# One builder at a time: kube-apiserver alone takes 2.4 GB of memory. Others wait for it and find everything built.
# Where flock is missing they build side by side, which is slow but right.
if command -v flock >/dev/null; then
	exec 9>"$cache/.lock"
	if ! flock -n 9; then
		echo "build.sh: waiting for another build in $cache ..." >&2
		flock 9
	fi
fi

ticker=
trap '[ -z "$ticker" ] || kill "$ticker" 2>/dev/null || true; rm -f "$cache"/.*."$$.part"' EXIT

build() { # build NAME
	local part=$cache/.$1.$$.part start=$SECONDS module package
	read -r module package < <(package "$1")
	echo "build.sh: building $1, once for these versions (kube-apiserver: a few minutes) ..." >&2
	(
		exec 9>&- >&2
		while sleep 20 >/dev/null 2>&1; do echo "build.sh: still building $1, $((SECONDS - start)) s so far ..."; done
	) &
	ticker=$!
	# The compiler takes a tenth of its time to save memory that it gives back a moment later.
	(cd "$here/$module" && CGO_ENABLED=0 GOGC=${GOGC:-800} \
		go build -trimpath -tags "$tags" -gcflags "$gcflags" -ldflags "$ldflags" -o "$part" "$package") >&2
	kill "$ticker"
	wait "$ticker" 2>/dev/null || true
	ticker=
	mv "$part" "$cache/$1"
	echo "build.sh: built $1 in $((SECONDS - start)) s" >&2
}

for tool in $(missing); do build "$tool"; done

echo "$cache"
