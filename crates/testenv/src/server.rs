//! One server process with its guard.

use std::{
    fs::File,
    io::{PipeWriter, Read, Seek, SeekFrom, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::{Error, state_dir::StateDir};

/// Becomes the server, after leaving a guard behind.
///
/// Standard input is a pipe from our process, standard output the pipe that keeps the folder. The guard reads one line
/// from the first. We send one when the server has ended; if the pipe ends without a line, our process is gone, and
/// the guard kills the server. `$$` stays the pid of the outer shell, which `exec` makes the server's.
const GUARD: &str = r#"
exec 3>&1 4<&0 >&2 </dev/null
(read -r released <&4 || kill -KILL "$$") 3>&- &
exec "$@" 4<&-
"#;

/// As much of a log as an error message shows.
const LOG_TAIL: u64 = 4096;

/// A running server. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    child: Child,
    guard: PipeWriter,
    log: PathBuf,
}

impl Server {
    /// Runs `program`, one of Kubernetes' own; what it writes goes to `<name>.log` in the folder, appended.
    pub(crate) fn spawn(
        name: &'static str,
        program: &Path,
        arguments: &[String],
        dir: &StateDir,
    ) -> Result<Self, Error> {
        // They live for minutes and hold little, so to collect their memory less often costs little and spares the processor.
        Self::spawn_in(name, Command::new(program).args(arguments).env("GOGC", "400"), dir.path(), dir)
    }

    /// Runs a program with the environment and the arguments of `command` in another folder, and logs there.
    pub(crate) fn spawn_in(
        name: &'static str,
        command: &Command,
        folder: &Path,
        dir: &StateDir,
    ) -> Result<Self, Error> {
        let log = folder.join(format!("{name}.log"));
        let log_file =
            File::options().create(true).append(true).open(&log).map_err(Error::io(format!("write {name}'s log")))?;
        let (read_end, guard) = std::io::pipe().map_err(Error::io("make a pipe"))?;
        let child = Command::new("sh")
            .args(["-c", GUARD, name])
            .arg(command.get_program())
            .args(command.get_args())
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .current_dir(folder)
            .stdin(read_end)
            .stdout(dir.hold()?)
            .stderr(log_file)
            .process_group(0)
            .spawn()
            .map_err(Error::io("run sh"))?;
        Ok(Self { name, child, guard, log })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error if the server has ended by itself.
    pub(crate) fn check_running(&mut self) -> Result<(), Error> {
        match self.child.try_wait().map_err(Error::io(format!("wait for {}", self.name)))? {
            None => Ok(()),
            Some(status) => Err(self.ended(status)),
        }
    }

    /// Stops the process in its tracks (SIGSTOP). Its sockets stay open. Returns when it stands still.
    pub(crate) fn pause(&mut self) -> Result<(), Error> {
        self.check_running()?;
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::STOP).map_err(|error| Error::io(format!("pause {}", self.name))(error.into()))?;
        // NOWAIT leaves the state for `Child` to collect.
        waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
            .map_err(|error| Error::io(format!("wait for {} to pause", self.name))(error.into()))?;
        Ok(())
    }

    /// Lets a paused process go on (SIGCONT).
    pub(crate) fn resume(&mut self) -> Result<(), Error> {
        self.check_running()?;
        kill_process(Pid::from_child(&self.child), Signal::CONT)
            .map_err(|error| Error::io(format!("resume {}", self.name))(error.into()))
    }

    /// The last lines the server wrote.
    pub(crate) fn log_tail(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(&self.log)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
            let mut tail = Vec::new();
            file.read_to_end(&mut tail)?;
            Ok(String::from_utf8_lossy(&tail).into_owned())
        };
        read().unwrap_or_else(|error| format!("(no log: {error})"))
    }

    fn ended(&self, status: ExitStatus) -> Error {
        Error::ServerEnded { server: self.name, status, log: self.log_tail() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Errors mean that it has ended already. The pid is ours until `wait` collects it, so this cannot hit
        // another process; nor can the guard, which is released only afterwards and then does not kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.guard.write_all(b"released\n");
    }
}
