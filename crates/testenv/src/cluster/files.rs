//! What the servers of a cluster read.

use std::path::Path;

use serde_json::{Value, json};

use super::{network::Network, pause::PAUSE};

/// How containerd runs pods.
pub(super) fn containerd(folder: &Path, programs: &Path) -> String {
    let (folder, programs) = (folder.display(), programs.display());
    // Without the right to lower a process' score for the killer of processes, runc fails to start it.
    format!(
        r#"version = 3

[grpc]
address = "{folder}/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE}"

[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{programs}"]
conf_dir = "{folder}/cni"
"#
    )
}

/// How pods of a machine are connected.
pub(super) fn pod_network(network: &Network, machine: u8) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge",
            "bridge": "pods0",
            "isDefaultGateway": true,
            "hairpinMode": true,
            "ipam": { "type": "host-local", "ranges": [[{ "subnet": network.pods_of(machine) }]] },
        }],
    })
}

/// How kubelet runs.
pub(super) fn kubelet(folder: &Path, network: &Network, machine: u8, cgroup: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.address(machine),
        // It can be reached from this host only.
        "authentication": { "anonymous": { "enabled": true }, "webhook": { "enabled": false } },
        "authorization": { "mode": "AlwaysAllow" },
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{cgroup}"),
        "failCgroupV1": false,
        "failSwapOn": false,
        "containerRuntimeEndpoint": format!("unix://{}/containerd.sock", folder.display()),
        "clusterDNS": [network.address(super::CONTROL)],
        "clusterDomain": "cluster.local",
        "evictionHard": { "memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
        // A machine without power is noticed in seconds.
        "nodeLeaseDurationSeconds": 4,
        "nodeStatusUpdateFrequency": "2s",
    })
}

/// Names of Services.
pub(super) fn coredns(network: &Network) -> String {
    format!(
        "cluster.local:53 {{\n  bind {}\n  kubernetes cluster.local {{\n    kubeconfig ../controllers.kubeconfig testenv\n  }}\n}}\n",
        network.address(super::CONTROL)
    )
}
