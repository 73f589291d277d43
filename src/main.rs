//! The `cronofy-operator` binary.

fn main() {}
