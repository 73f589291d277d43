#!/usr/bin/env bash
# Prints the folder that holds etcd, kube-apiserver, kube-controller-manager, kubectl and helm, building what is missing.
#
# Order: KUBEBUILDER_ASSETS if it is set, then the cache, then a build from the Go modules that go.mod pins.
# The cache lies outside the clone and is keyed by the pinned versions and the build flags. Progress goes to
# standard error, so that `dir=$(hack/tools/build.sh)` is enough for a caller.
set -euo pipefail

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
	echo "$KUBEBUILDER_ASSETS"
	exit 0
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$here/go.mod")
minor=$(echo "$version" | cut -d. -f2)
stamp=k8s.io/component-base/version
ldflags="-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=1 -X $stamp.gitMinor=$minor"
key=$({ cat "$here/go.mod" "$here/go.sum"; echo "$ldflags"; go env GOOS GOARCH; } | sha256sum | cut -c1-16)
cache=${CRONOFY_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cronofy-operator}/tools/$version-$key
mkdir -p "$cache"

# One builder at a time: a second caller waits for the first and then finds everything built.
exec 9>"$cache/.lock"
flock 9

build() { # build NAME PACKAGE
	[ -x "$cache/$1" ] && return
	echo "building $1 (once for these versions; kube-apiserver takes a few minutes) ..." >&2
	local start=$SECONDS
	(cd "$here" && CGO_ENABLED=0 go build -trimpath -ldflags "$ldflags" -o "$cache/.$1.part" "$2") >&2
	mv "$cache/.$1.part" "$cache/$1"
	echo "built $1 in $((SECONDS - start)) s" >&2
}

build etcd go.etcd.io/etcd/server/v3
build kubectl k8s.io/kubernetes/cmd/kubectl
build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver
build kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager
build helm helm.sh/helm/v4/cmd/helm

echo "$cache"
