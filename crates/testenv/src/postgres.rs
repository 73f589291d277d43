//! A PostgreSQL server of Debian's packages.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::ports::free_ports;
use crate::server::Server;
use crate::state_dir::StateDir;
use crate::tools::{libraries, packages};
use crate::{Error, eventually, unique_name};

const READY_LIMIT: Duration = Duration::from_secs(60);

/// A running PostgreSQL server, which is reached by a socket in its folder, and by no port unless it is asked for. Dropping it ends it and removes the
/// folder. What a transaction has committed survives [`kill`](Self::kill), though nothing waits for the disk.
#[derive(Debug)]
pub struct Postgres {
    // First, so that it ends before the folder goes.
    server: Option<Server>,
    programs: PathBuf,
    dir: StateDir,
    network: Option<Network>,
}

/// How it is reached from elsewhere.
#[derive(Debug)]
struct Network {
    address: SocketAddr,
    password: String,
}

impl Postgres {
    /// Starts one with an empty cluster and the superuser `store`, who needs no password.
    ///
    /// # Errors
    /// If the packages cannot be fetched, or the server does not start: a user other than root needs to be allowed user
    /// namespaces, since PostgreSQL refuses to be run by root and root's cache is nobody else's to read.
    pub async fn start() -> Result<Self, Error> {
        Self::start_with(None).await
    }

    /// The same, and by a free port of this address, too: for pods.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_at(address: IpAddr) -> Result<Self, Error> {
        let [port] = free_ports()?;
        let address = SocketAddr::from((address, port));
        let password = format!("{:032x}", fastrand::u128(..));
        let network = Network { address, password };
        let sql = format!("ALTER ROLE store PASSWORD '{}'", network.password);
        let postgres = Self::start_with(Some(network)).await?;
        postgres.execute(&["--command", &sql, "postgres"]).await?;
        Ok(postgres)
    }

    async fn start_with(network: Option<Network>) -> Result<Self, Error> {
        let programs = tokio::task::spawn_blocking(|| packages("postgres"))
            .await
            .map_err(|error| Error::Refused(error.to_string()))??;
        let dir = StateDir::create()?;
        let mut postgres = Self { server: None, programs, dir, network };
        let initdb =
            ["--no-sync", "--auth=trust", "--username=store", "--encoding=UTF8", "--locale=C", "--pgdata=data"];
        succeeded("initdb", postgres.command("initdb", &initdb)?).await?;
        if postgres.network.is_some() {
            let rules = postgres.dir.path().join("data/pg_hba.conf");
            let file = fs::OpenOptions::new().append(true).open(rules);
            let written = file.and_then(|mut file| file.write_all(b"host all all all scram-sha-256\n"));
            written.map_err(Error::io("let others reach PostgreSQL"))?;
        }
        postgres.start_again().await?;
        Ok(postgres)
    }

    /// Makes an empty database, and gives its address for clients.
    ///
    /// # Errors
    /// If the server does not do it.
    pub async fn database(&self) -> Result<String, Error> {
        let (name, host) = (unique_name("store"), self.dir.path().display().to_string());
        let command = self.command("createdb", &["--host", &host, "--username", "store", &name])?;
        succeeded("createdb", command).await?;
        Ok(format!("postgres://store@localhost:{}/{name}?host={host}", self.port()))
    }

    /// The address by the network of a database that [`database`](Self::database) gave, with a password; `None` if it is not to be
    /// reached so.
    #[must_use]
    pub fn network_url(&self, url: &str) -> Option<String> {
        let Network { address, password } = self.network.as_ref()?;
        Some(format!("postgres://store:{password}@{address}/{}", name(url)))
    }

    /// What is in a database that [`database`](Self::database) gave, as statements that first remove what they make.
    ///
    /// # Errors
    /// If the server does not do it.
    pub async fn dump(&self, url: &str) -> Result<String, Error> {
        let host = self.dir.path().display().to_string();
        let options = ["--clean", "--if-exists", "--host", &host, "--username", "store", name(url)];
        succeeded("pg_dump", self.command("pg_dump", &options)?).await
    }

    /// Executes such statements in a database.
    ///
    /// # Errors
    /// If one of them fails.
    pub async fn restore(&self, dump: &str, url: &str) -> Result<(), Error> {
        let file = unique_name("dump");
        fs::write(self.dir.path().join(&file), dump).map_err(Error::io("write a dump"))?;
        self.execute(&["--file", &file, name(url)]).await
    }

    async fn execute(&self, what: &[&str]) -> Result<(), Error> {
        let host = self.dir.path().display().to_string();
        let options = ["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--host", &host, "--username", "store"];
        succeeded("psql", self.command("psql", &[&options[..], what].concat())?).await.map(drop)
    }

    /// Ends all its processes at once, in the midst of whatever they do.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Starts it after [`kill`](Self::kill), and waits until it takes connections.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_again(&mut self) -> Result<(), Error> {
        let status = self.dir.path().join("data/postmaster.pid");
        // The one of a server that was killed.
        let _ = fs::remove_file(&status);
        let sockets = format!("unix_socket_directories={}", self.dir.path().display());
        let listen = self.network.as_ref().map(|network| network.address.ip().to_string()).unwrap_or_default();
        let (listen, port) = (format!("listen_addresses={listen}"), format!("port={}", self.port()));
        let settings =
            ["-D", "data", "-c", &listen, "-c", &port, "-c", &sockets, "-c", "fsync=off", "-c", "timezone=UTC"];
        let command = self.command("postgres", &settings)?;
        self.server = Some(Server::spawn_in("postgres", &command, self.dir.path(), &self.dir)?);
        let ready = eventually("PostgreSQL is ready", READY_LIMIT, async || {
            fs::read_to_string(&status).ok()?.lines().any(|line| line.trim() == "ready").then_some(())
        });
        match ready.await {
            Ok(()) => Ok(()),
            Err(error) => Err(match self.server.as_mut().map(Server::check_running) {
                Some(Err(ended)) => ended,
                _ => Error::Refused(format!(
                    "{error}: {}",
                    self.server.as_ref().map(Server::log_tail).unwrap_or_default()
                )),
            }),
        }
    }

    /// Its port; without a network a part of the socket's name.
    fn port(&self) -> u16 {
        self.network.as_ref().map_or(5432, |network| network.address.port())
    }

    /// One of its programs, in namespaces of its own: there the user is not root, and all ends with the first process.
    fn command(&self, program: &str, arguments: &[&str]) -> Result<Command, Error> {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-user=1", "--map-group=1", "--ipc", "--pid", "--fork", "--kill-child"]);
        command
            .arg(bin(&self.programs)?.join(program))
            .args(arguments)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .env("PGPORT", self.port().to_string())
            .env("LD_LIBRARY_PATH", libraries(&self.programs));
        Ok(command)
    }
}

/// The name in the address of a database.
fn name(url: &str) -> &str {
    let path = url.split_once('?').map_or(url, |(path, _)| path);
    path.rsplit('/').next().unwrap_or_default()
}

/// Runs a program to its end, and gives what it says.
async fn succeeded(name: &str, command: Command) -> Result<String, Error> {
    let output = tokio::process::Command::from(command).output().await.map_err(Error::io(format!("run {name}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Refused(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

/// The folder with the server's programs, whatever its version.
fn bin(root: &Path) -> Result<PathBuf, Error> {
    let versions = fs::read_dir(root.join("usr/lib/postgresql")).map_err(Error::io("look for PostgreSQL"))?;
    let found = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).find(|bin| bin.is_dir());
    found.ok_or_else(|| Error::Refused("the packages hold no PostgreSQL".into()))
}
