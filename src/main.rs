//! The `cronofy-operator` binary.

use std::process::ExitCode;

use clap::Parser as _;
use cronofy_operator::cli::Cli;

fn main() -> ExitCode {
    // First, so that nobody chooses another one.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("a TLS provider is installed already");
        return ExitCode::FAILURE;
    }
    Cli::parse().execute()
}
