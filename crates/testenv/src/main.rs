//! `testenv up`, `testenv cluster`: a control plane, or a whole cluster, to try things on by hand, or from a program in another language.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use serde_json::json;
use testenv::{Cluster, ControlPlane, Error, Options};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

#[derive(Parser)]
#[command(about = "Runs a control plane, with nodes if asked for, that goes with the program that started it", version)]
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
    /// Starts a whole cluster with nodes that run pods, on this machine: needs root on Linux. Else as `up`.
    Cluster {
        /// Nodes, at most three.
        #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
        nodes: u8,
        /// Images to bring to the nodes, as archives.
        #[arg(long, value_name = "PATH")]
        image: Vec<PathBuf>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match until_stopped(Arguments::parse().command).await {
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

/// Runs what is asked for until standard input ends or a signal comes.
async fn until_stopped(command: Command) -> Result<(), Error> {
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
        match command {
            Command::Up { kubeconfig, controller_manager } => up(kubeconfig, controller_manager).await,
            Command::Cluster { nodes, image } => cluster(nodes, &image).await,
        }
    };
    tokio::select! {
        () = stopped => Ok(()),
        outcome = run => outcome,
    }
}

/// Does not return, but for an error.
async fn up(kubeconfig: Option<PathBuf>, controller_manager: bool) -> Result<(), Error> {
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
    std::future::pending().await
}

/// Does not return, but for an error.
async fn cluster(nodes: u8, images: &[PathBuf]) -> Result<(), Error> {
    let cluster = Cluster::start(nodes).await?;
    for image in images {
        cluster.load_images(image).await?;
    }
    println!(
        "{}",
        json!({
            "kubeconfig": cluster.kubeconfig_path(),
            "server": cluster.admin_access().url(),
            "directory": cluster.dir(),
            "nodes": cluster.nodes(),
            "host": cluster.host(),
        })
    );
    std::future::pending().await
}
