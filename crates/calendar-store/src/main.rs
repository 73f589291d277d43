//! The `calendar-store` binary.

use std::process::ExitCode;

use calendar_store::cli::Cli;
use clap::Parser as _;

fn main() -> ExitCode {
    // First, so that nobody chooses another one.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("a TLS provider is installed already");
        return ExitCode::FAILURE;
    }
    Cli::parse().execute()
}
