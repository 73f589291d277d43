//! Starts etcd and kube-apiserver for tests, the demo and benchmarks.
