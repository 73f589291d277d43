//! The real kubectl.

use std::{
    ffi::OsStr,
    path::Path,
    process::{ExitStatus, Stdio},
};

use tokio::{io::AsyncWriteExt, process::Command};

use crate::{Access, ControlPlane, Error, Tool};

/// What kubectl wrote and how it ended.
#[derive(Debug, Clone)]
pub struct KubectlOutput {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error, warnings of the API server included.
    pub stderr: String,
}

impl ControlPlane {
    /// Runs kubectl as administrator.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be run. That kubectl itself fails is no error, see [`KubectlOutput::status`].
    pub async fn kubectl<I, S>(&self, arguments: I) -> Result<KubectlOutput, Error>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.kubectl_as(&self.admin_access(), arguments, "").await
    }

    /// Runs kubectl as any user, with `input` as its standard input.
    ///
    /// # Errors
    /// As [`ControlPlane::kubectl`].
    pub async fn kubectl_as<I, S>(&self, access: &Access, arguments: I, input: &str) -> Result<KubectlOutput, Error>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        run(&self.tools().path(Tool::Kubectl)?, self.dir(), access, arguments, input).await
    }
}

/// Runs kubectl as this user, with a folder of its own in `folder`.
pub(crate) async fn run<I, S>(
    program: &Path,
    folder: &Path,
    access: &Access,
    arguments: I,
    input: &str,
) -> Result<KubectlOutput, Error>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    // In a folder of its own, as is the home where kubectl caches what it discovered: runs may overlap.
    let home = tempfile::Builder::new()
        .prefix("kubectl-")
        .tempdir_in(folder)
        .map_err(Error::io("make a folder for kubectl"))?;
    let kubeconfig = home.path().join("kubeconfig");
    access.write_kubeconfig(&kubeconfig)?;
    let mut child = Command::new(program)
        .args(arguments)
        .env("KUBECONFIG", &kubeconfig)
        .env("HOME", home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(Error::io("run kubectl"))?;
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // Fails if kubectl ends without reading its input, which its status will tell.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output.map_err(Error::io("wait for kubectl"))?;
    Ok(KubectlOutput {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
