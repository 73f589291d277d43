//! The folder of one control plane, removed when its last user is gone.

use std::{
    io::PipeWriter,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::Error;

/// Returns once nobody holds the write end of its standard input any more, then removes the folder.
const JANITOR: &str = r#"cat >/dev/null; rm -rf -- "$1""#;

/// A temporary folder that outlives neither this process nor the servers that use it.
///
/// This value and every server hold the write end of a pipe whose read end a shell waits on. So the folder goes after
/// the last server, also if this process was killed and its servers' guards still have to kill them.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    in_use: Option<PipeWriter>,
    janitor: Child,
}

impl StateDir {
    pub(crate) fn create() -> Result<Self, Error> {
        Self::with_janitor(JANITOR, &[])
    }

    /// With another script, which is given the folder and these arguments.
    pub(crate) fn with_janitor(script: &str, arguments: &[&str]) -> Result<Self, Error> {
        let dir =
            tempfile::Builder::new().prefix("testenv-").tempdir().map_err(Error::io("make a temporary folder"))?;
        let (read_end, write_end) = std::io::pipe().map_err(Error::io("make a pipe"))?;
        let janitor = Command::new("sh")
            .args(["-c", script, "testenv-janitor"])
            .arg(dir.path())
            .args(arguments)
            .stdin(read_end)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(Error::io("run sh"))?;
        Ok(Self { path: dir.keep(), in_use: Some(write_end), janitor })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// For a server to hold as long as it lives.
    pub(crate) fn hold(&self) -> Result<Stdio, Error> {
        match &self.in_use {
            Some(write_end) => write_end.try_clone().map(Stdio::from).map_err(Error::io("duplicate a pipe")),
            None => Ok(Stdio::null()),
        }
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        self.in_use = None;
        // Nothing to be done about a failure here, and the folder is a temporary one.
        let _ = self.janitor.wait();
    }
}
