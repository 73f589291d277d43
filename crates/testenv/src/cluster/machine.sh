#!/usr/bin/env bash
# Makes a machine of the namespaces that it is started in, and is its init: when it ends, everything on the machine does.
# Usage: machine.sh control|worker, with the machine's folder as working directory and what is used below in the environment.
set -u

folder=$PWD
mkdir -p logs
hostname "$NAME"

# Mounts made here are seen in the pods, and by nobody outside.
mount --make-rshared /
for path in /run /var/log /var/lib /usr/libexec; do
	mkdir -p "over$path"
	mount --bind "over$path" "$path"
done
# What was running when the power went is not running now.
rm -rf /run/*
# kubelet sets these for the whole machine, and this is not one: it is shown files that have its values already.
for setting in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1; do
	file=over/${setting%=*}
	mkdir -p "$(dirname "$file")"
	echo "${setting#*=}" >"$file"
	mount --bind "$file" "/proc/sys/${setting%=*}"
done
echo 1 >/proc/sys/net/ipv4/ip_forward

# Runs a server, and again when it ends, as the init of a machine does.
keep() {
	local name=$1
	shift
	while :; do
		"$@" >>"logs/$name.log" 2>&1
		sleep 0.2
	done &
}

if [ "$1" = control ]; then
	keep etcd etcd --data-dir=etcd --unsafe-no-fsync --heartbeat-interval=50 --election-timeout=250 --log-level=warn
	keep kube-apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 --advertise-address="$ADDRESS" \
		--bind-address="$ADDRESS" --cert-dir=certificates --tls-cert-file=../apiserver.crt --tls-private-key-file=../apiserver.key \
		--client-ca-file=../authority.crt --token-auth-file=../tokens.csv --authorization-mode=Node,RBAC \
		--service-account-issuer=https://kubernetes.default.svc --service-account-key-file=../service-account.pub \
		--service-account-signing-key-file=../service-account.key --service-cluster-ip-range="$SERVICES" \
		--kubelet-preferred-address-types=InternalIP --audit-policy-file=../audit-policy.yaml --audit-log-path=audit.log \
		--audit-log-maxsize=100000 --default-not-ready-toleration-seconds=5 --default-unreachable-toleration-seconds=5
	access=(--kubeconfig=../controllers.kubeconfig --authentication-kubeconfig=../controllers.kubeconfig
		--authorization-kubeconfig=../controllers.kubeconfig --leader-elect=false --cert-dir=certificates)
	keep kube-controller-manager kube-controller-manager "${access[@]}" --use-service-account-credentials \
		--service-account-private-key-file=../service-account.key --root-ca-file=../authority.crt \
		--node-monitor-period=1s --node-monitor-grace-period=8s
	keep kube-scheduler kube-scheduler "${access[@]}"
	keep coredns coredns -conf Corefile
else
	for controller in /sys/fs/cgroup/*/; do mkdir -p "$controller$CGROUP"; done
	keep containerd containerd --config containerd.toml
	until ctr --address "$folder/containerd.sock" version >/dev/null 2>&1; do sleep 0.1; done
	ctr --address "$folder/containerd.sock" --namespace k8s.io images import ../pause.tar >logs/pause.log 2>&1
	keep kubelet kubelet --config=kubelet.yaml --kubeconfig=kubelet.kubeconfig --hostname-override="$NAME" --node-ip="$ADDRESS"
fi
# The control plane's machine is no node. To route to Services it passes for the first one: else it looks for itself for half a minute.
[ "$1" = control ] && NAME=node-1
keep kube-proxy kube-proxy --kubeconfig=../controllers.kubeconfig --hostname-override="$NAME" --proxy-mode=nftables \
	--cluster-cidr="$PODS" --conntrack-max-per-core=0 --conntrack-min=0 --healthz-bind-address="$ADDRESS:10256" \
	--metrics-bind-address="$ADDRESS:10249"
wait
