//! A simulator of the Cronofy calendar API over real HTTP: for tests, for demonstrations, for people without an account.
//!
//! [`Simulator::start`] binds a loopback port and gives a handle by which a test is everybody else: the owner of an account who
//! moves an event, the calendar service that breaks, the network that loses an answer. What Cronofy does not document is a
//! switch in [`Settings`].

mod clock;
mod control;
mod delivery;
mod faults;
mod http;
mod ics;
mod model;
mod settings;
mod simulator;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use self::clock::Clock;
use self::delivery::Clients;
pub use self::delivery::{SIGNATURE, sign};
pub use self::faults::{Answer, ContentType, Endpoint, Fault, Hold, Schedule, ScheduleError, ScheduledFault};
use self::faults::{Drawing, Gate};
pub use self::ics::IcsError;
pub use self::model::{
    AccountDraft, ChangeKind, ChangeRecord, Channel, Delivery, EventDraft, Filters, Notification, Profile, ReadQuery,
    When,
};
use self::model::{Application, Model};
pub use self::settings::*;
pub use self::simulator::{Restart, Series};

/// How to start.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Makes ids and all else that looks random.
    pub seed: u64,
    /// What the clock shows at the start; `None`: real time.
    pub now: Option<Timestamp>,
    /// The switches.
    pub settings: Settings,
    /// Faults by chance.
    pub schedule: Option<Schedule>,
    /// Also serve the control API.
    pub control: bool,
    /// Certificates in PEM form that deliveries trust besides those of the system.
    pub trusted_certificates: String,
    /// Where the API listens; `None`: a free loopback port.
    pub api_listen: Option<std::net::SocketAddr>,
    /// Where the control API listens; `None`: a free loopback port.
    pub control_listen: Option<std::net::SocketAddr>,
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No port could be bound.
    #[error("no port could be bound: {0}")]
    Listen(std::io::Error),
    /// The HTTP client for deliveries could not be made.
    #[error("the HTTP client could not be made: {0}")]
    Client(reqwest::Error),
    /// The schedule of faults cannot be kept.
    #[error("the schedule of faults: {0}")]
    Schedule(#[from] ScheduleError),
    /// No such thing.
    #[error("there is no {kind} {id}")]
    Unknown {
        /// What.
        kind: &'static str,
        /// Its id.
        id: String,
    },
}

/// A request that was made.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RequestRecord {
    /// The call.
    pub endpoint: Endpoint,
    /// Of which account.
    pub account: Option<String>,
    /// Of which application.
    pub client_id: Option<String>,
    /// What was answered; 0 if nothing was.
    pub status: u16,
    /// When, on the simulator's clock.
    pub time: Timestamp,
    /// Its query.
    pub query: Vec<(String, String)>,
}

/// How deliveries are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signing {
    /// With every active secret of the application.
    Valid,
    /// With this header instead, or none.
    Header(Option<String>),
}

pub(crate) struct State {
    pub clock: Clock,
    pub model: Model,
    pub faults: Vec<Fault>,
    pub gates: Vec<Gate>,
    /// Holds that the control API was asked for.
    pub holds: BTreeMap<u64, Hold>,
    pub requests: Vec<RequestRecord>,
    pub deliveries: Vec<Delivery>,
    /// Deliveries under way.
    pub in_flight: BTreeSet<u64>,
    /// Refresh tokens with which a refresh is under way.
    pub refreshing: Vec<String>,
    pub signing: Signing,
    /// Deliveries that are lost next.
    pub lost: usize,
    /// Every delivery comes twice.
    pub doubled: bool,
    /// No call gets an answer.
    pub down: bool,
}

pub(crate) struct Inner {
    state: Mutex<State>,
    pub api: String,
    pub clients: Clients,
    /// Counts restarts; each ends all connections.
    pub restarts: watch::Sender<u64>,
    /// Wakes the deliveries.
    pub wake: Notify,
    /// Counts changes, for those who wait.
    pub changed: watch::Sender<u64>,
}

impl Inner {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no delivery is due or in flight.
    pub async fn settle(&self) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            {
                let state = self.state();
                let now = state.clock.now();
                if state.in_flight.is_empty() && !state.model.pending.iter().any(|pending| pending.due <= now) {
                    return;
                }
            }
            self.wake.notify_one();
            let _ = tokio::time::timeout(Duration::from_millis(20), changed.changed()).await;
        }
    }
}

/// A running simulator. Clones are the same one; it ends with the last.
#[derive(Clone)]
pub struct Simulator {
    inner: Arc<Inner>,
    control: Option<String>,
    /// Ends them when the last handle goes.
    tasks: Arc<JoinSet<()>>,
}

impl Simulator {
    /// Starts one.
    ///
    /// # Errors
    /// If no port can be bound, or the schedule of faults is wrong.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let Options { seed, now, settings, schedule, control, trusted_certificates, api_listen, control_listen } =
            options;
        if let Some(schedule) = &schedule {
            schedule.check()?;
        }
        let any = || std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let api = TcpListener::bind(api_listen.unwrap_or_else(any)).await.map_err(Error::Listen)?;
        let address = api.local_addr().map_err(Error::Listen)?;
        let mut model = Model::new(seed, settings);
        model.drawing = schedule.map(Drawing::new);
        let state = State {
            clock: Clock::running(now.unwrap_or_else(Timestamp::now)),
            model,
            faults: Vec::new(),
            gates: Vec::new(),
            holds: BTreeMap::new(),
            requests: Vec::new(),
            deliveries: Vec::new(),
            in_flight: BTreeSet::new(),
            refreshing: Vec::new(),
            signing: Signing::Valid,
            lost: 0,
            doubled: false,
            down: false,
        };
        let inner = Arc::new(Inner {
            state: Mutex::new(state),
            api: format!("http://{address}"),
            clients: Clients::new(&trusted_certificates)?,
            restarts: watch::Sender::new(0),
            wake: Notify::new(),
            changed: watch::Sender::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(http::serve(inner.clone(), api));
        tasks.spawn(delivery::run(inner.clone()));
        let mut simulator = Self { inner, control: None, tasks: Arc::default() };
        if control {
            let listener = TcpListener::bind(control_listen.unwrap_or_else(any)).await.map_err(Error::Listen)?;
            let address = listener.local_addr().map_err(Error::Listen)?;
            simulator.control = Some(format!("http://{address}"));
            // The control API gets a handle that does not keep the tasks alive.
            tasks.spawn(control::serve(simulator.clone(), listener));
        }
        simulator.tasks = Arc::new(tasks);
        Ok(simulator)
    }

    /// Where the API is.
    #[must_use]
    pub fn api_url(&self) -> String {
        self.inner.api.clone()
    }

    /// Where the control API is; empty without one.
    #[must_use]
    pub fn control_url(&self) -> String {
        self.control.clone().unwrap_or_default()
    }

    /// Changes switches.
    pub fn settings(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.inner.state().model.settings);
        self.inner.wake.notify_one();
    }

    /// The switches as they are for all.
    #[must_use]
    pub fn current_settings(&self) -> Settings {
        self.inner.state().model.settings.clone()
    }

    /// Changes switches within a scope, over what holds for all and over what was changed before. Gives a number by which
    /// [`Self::end_override`] takes it back.
    pub fn settings_for(&self, scope: Scope, change: impl FnOnce(&mut Settings)) -> u64 {
        let mut state = self.inner.state();
        let mut changed = state.model.settings.clone();
        change(&mut changed);
        let settings = state.model.settings.difference(&changed);
        self.add_override(&mut state, scope, settings)
    }

    pub(crate) fn add_override(&self, state: &mut State, scope: Scope, settings: Map<String, Value>) -> u64 {
        let id = state.model.next_number();
        state.model.overrides.push(Override { id, scope, settings });
        self.inner.wake.notify_one();
        id
    }

    /// Takes back switches that were changed within a scope. Whether there were any.
    #[expect(clippy::must_use_candidate, reason = "taking back is the point")]
    pub fn end_override(&self, id: u64) -> bool {
        let mut state = self.inner.state();
        let before = state.model.overrides.len();
        state.model.overrides.retain(|own| own.id != id);
        state.model.overrides.len() < before
    }

    /// The same for all of them.
    pub fn clear_overrides(&self) {
        self.inner.state().model.overrides.clear();
    }

    /// Registers an application with these active client secrets.
    pub fn add_application(&self, client_id: &str, secrets: &[&str]) {
        let secrets = secrets.iter().map(ToString::to_string).collect();
        let application = Application { secrets, requests: VecDeque::new() };
        self.inner.state().model.applications.insert(client_id.to_owned(), application);
    }

    /// Replaces an application's active client secrets.
    pub fn rotate_secrets(&self, client_id: &str, secrets: &[&str]) {
        if let Some(application) = self.inner.state().model.applications.get_mut(client_id) {
            application.secrets = secrets.iter().map(ToString::to_string).collect();
        }
    }
}

/// The examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
