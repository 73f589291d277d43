//! `testenv up`: a control plane to try things on by hand, or from a program in another language.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use serde_json::json;
use testenv::{ControlPlane, Error, Options};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

#[derive(Parser)]
#[command(about = "Runs an etcd and a kube-apiserver that go with the program that started them", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts a control plane, prints where it is as one line of JSON, and stops it when standard input ends or on
    /// SIGINT or SIGTERM.
    Up {
        /// Write the administrator's kubeconfig here as well.
        #[arg(long, value_name = "PATH")]
        kubeconfig: Option<PathBuf>,
        /// Collect garbage and finish the deletion of namespaces.
        #[arg(long)]
        controller_manager: bool,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let Command::Up { kubeconfig, controller_manager } = Arguments::parse().command;
    match up(kubeconfig, controller_manager).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("testenv: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn up(kubeconfig: Option<PathBuf>, controller_manager: bool) -> Result<(), Error> {
    let io = |action: &str| {
        let action = action.to_owned();
        move |source| Error::Io { action, source }
    };
    // Before the start, so that a signal while starting is not lost.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io("wait for SIGINT"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(io("wait for SIGTERM"))?;
    // A thread and not a task, which would keep the runtime from ending while the input goes on.
    let (input_ended, mut end_of_input) = oneshot::channel();
    std::thread::spawn(move || {
        // An error means that there is no more input either; and nobody listens only when we are ending anyway.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = input_ended.send(());
    });
    let stopped = async {
        tokio::select! {
            _ = &mut end_of_input => {}
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let run = async {
        let control_plane = ControlPlane::start(Options { controller_manager, ..Options::default() }).await?;
        let path = match kubeconfig {
            None => control_plane.kubeconfig_path(),
            Some(path) => {
                control_plane.admin_access().write_kubeconfig(&path)?;
                path
            }
        };
        let pids: serde_json::Map<_, _> =
            control_plane.pids().into_iter().map(|(name, pid)| (name.to_owned(), pid.into())).collect();
        println!(
            "{}",
            json!({
                "kubeconfig": path,
                "server": control_plane.admin_access().url(),
                "directory": control_plane.dir(),
                "pids": pids,
            })
        );
        std::future::pending::<Result<(), Error>>().await
    };
    let outcome = tokio::select! {
        () = stopped => Ok(()),
        outcome = run => outcome,
    };
    outcome
}
