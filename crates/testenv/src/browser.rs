//! Chromium of Debian's packages, and its driver. What speaks `WebDriver` to it is the caller's.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::server::Server;
use crate::state_dir::StateDir;
use crate::tools::{axe, libraries, packages};
use crate::{Error, eventually};

const READY_LIMIT: Duration = Duration::from_secs(60);
/// Chromium calls nobody by itself, and ends with the driver, whose pipe it reads.
const ARGUMENTS: [&str; 13] = [
    "--headless",
    "--lang=en-GB",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    "--window-size=1280,900",
];

/// A driver of browsers, on a loopback port. Dropping it ends all its browsers and removes their folders.
#[derive(Debug)]
pub struct Browser {
    // First, so that it ends before the folder goes.
    _driver: Server,
    address: String,
    binary: PathBuf,
    _dir: StateDir,
}

impl Browser {
    /// Starts a driver. Its browsers have one font, are in UTC, and keep nothing outside a folder of their own.
    ///
    /// # Errors
    /// If the packages cannot be fetched, or the driver does not start.
    pub async fn start() -> Result<Self, Error> {
        let programs = tokio::task::spawn_blocking(|| packages("chromium"))
            .await
            .map_err(|error| Error::Refused(error.to_string()))??;
        let dir = StateDir::create()?;
        let home = dir.path();
        let fonts = home.join("fonts.conf");
        let (folder, cache) = (programs.join("usr/share/fonts"), home.join("fonts"));
        let text = format!(
            "<?xml version=\"1.0\"?><fontconfig><dir>{}</dir><cachedir>{}</cachedir></fontconfig>",
            folder.display(),
            cache.display()
        );
        fs::write(&fonts, text).map_err(Error::io("write fonts.conf"))?;
        let mut command = Command::new(programs.join("usr/bin/chromedriver"));
        command
            .arg("--port=0")
            .env("LD_LIBRARY_PATH", libraries(&programs))
            .env("FONTCONFIG_FILE", &fonts)
            .env("HOME", home)
            .env("TMPDIR", home)
            .env("XDG_CONFIG_HOME", home)
            .env("XDG_CACHE_HOME", home)
            .env("TZ", "UTC")
            .env("LANGUAGE", "en_GB");
        let mut driver = Server::spawn_in("chromedriver", &command, home, &dir)?;
        let log = home.join("chromedriver.log");
        let listening = eventually("chromedriver listens", READY_LIMIT, async || {
            let text = fs::read_to_string(&log).ok()?;
            let (_, port) = text.split_once("started successfully on port ")?;
            port.split(|character: char| !character.is_ascii_digit()).next()?.parse::<u16>().ok()
        });
        let port = match listening.await {
            Ok(port) => port,
            Err(error) => {
                driver.check_running()?;
                return Err(Error::Refused(format!("{error}: {}", driver.log_tail())));
            }
        };
        let binary = programs.join("usr/lib/chromium/chromium-headless-shell");
        Ok(Self { _driver: driver, address: format!("http://127.0.0.1:{port}"), binary, _dir: dir })
    }

    /// Where the driver listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What a session has to ask the driver for: a browser with an empty profile, which logs all that it asks for.
    #[must_use]
    pub fn capabilities(&self) -> Value {
        json!({
            "browserName": "chrome",
            "timeouts": { "script": 60_000 },
            "goog:chromeOptions": { "binary": self.binary, "args": ARGUMENTS },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        })
    }

    /// The text of axe-core, which checks a page for accessibility.
    ///
    /// # Errors
    /// If it cannot be fetched.
    pub async fn axe() -> Result<String, Error> {
        let file = tokio::task::spawn_blocking(axe).await.map_err(|error| Error::Refused(error.to_string()))??;
        fs::read_to_string(file).map_err(Error::io("read axe-core"))
    }
}
