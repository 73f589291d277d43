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

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

use self::clock::Clock;
pub use self::delivery::{SIGNATURE, sign};
use self::faults::Gate;
pub use self::faults::{Answer, Endpoint, Fault, Hold};
pub use self::ics::IcsError;
pub use self::model::{AccountDraft, Channel, Delivery, EventDraft, Filters, Notification, Profile, ReadQuery, When};
use self::model::{Application, Change, Model};
pub use self::settings::*;

/// How to start.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Makes ids and all else that looks random.
    pub seed: u64,
    /// What the clock shows at the start; `None`: real time.
    pub now: Option<Timestamp>,
    /// The switches.
    pub settings: Settings,
    /// Also serve the control API.
    pub control: bool,
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
#[derive(Clone, Debug)]
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
    pub requests: Vec<RequestRecord>,
    pub deliveries: Vec<Delivery>,
    pub in_flight: usize,
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
    pub http: reqwest::Client,
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
                if state.in_flight == 0 && !state.model.pending.iter().any(|pending| pending.due <= now) {
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
    /// If no port can be bound.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let Options { seed, now, settings, control, api_listen, control_listen } = options;
        let any = || std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let api = TcpListener::bind(api_listen.unwrap_or_else(any)).await.map_err(Error::Listen)?;
        let address = api.local_addr().map_err(Error::Listen)?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0) // each delivery finds its own way, to whichever replica is there
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(Error::Client)?;
        let state = State {
            clock: Clock::running(now.unwrap_or_else(Timestamp::now)),
            model: Model::new(seed, settings),
            faults: Vec::new(),
            gates: Vec::new(),
            requests: Vec::new(),
            deliveries: Vec::new(),
            in_flight: 0,
            signing: Signing::Valid,
            lost: 0,
            doubled: false,
            down: false,
        };
        let inner = Arc::new(Inner {
            state: Mutex::new(state),
            api: format!("http://{address}"),
            http,
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

    /// Registers an application with these active client secrets.
    pub fn add_application(&self, client_id: &str, secrets: &[&str]) {
        let secrets = secrets.iter().map(ToString::to_string).collect();
        let application = Application { secrets, requests: std::collections::VecDeque::new() };
        self.inner.state().model.applications.insert(client_id.to_owned(), application);
    }

    /// Replaces an application's active client secrets.
    pub fn rotate_secrets(&self, client_id: &str, secrets: &[&str]) {
        if let Some(application) = self.inner.state().model.applications.get_mut(client_id) {
            application.secrets = secrets.iter().map(ToString::to_string).collect();
        }
    }

    /// Adds an account with one connected profile and one calendar.
    #[must_use]
    pub fn add_account(&self, draft: AccountDraft) -> String {
        self.inner.state().model.add_account(draft, None)
    }

    /// The account of an application calendar, made if need be.
    #[must_use]
    pub fn application_calendar(&self, client_id: &str, id: &str) -> String {
        self.inner.state().model.application_calendar(client_id, id)
    }

    /// Adds a calendar; gives its id, which is empty if there is no such account.
    #[must_use]
    pub fn add_calendar(&self, account: &str, name: &str) -> String {
        self.inner.state().model.add_calendar(account, name).unwrap_or_default()
    }

    /// The account's calendars, the first one first.
    #[must_use]
    pub fn calendars(&self, account: &str) -> Vec<String> {
        let state = self.inner.state();
        let account = state.model.accounts.get(account);
        account.into_iter().flat_map(|account| &account.calendars).map(|calendar| calendar.id.clone()).collect()
    }

    /// A refresh token, as an authorization by the owner would give.
    #[must_use]
    pub fn issue_refresh_token(&self, account: &str, client_id: &str) -> String {
        self.inner.state().model.issue_refresh_token(account, client_id)
    }

    /// Creates or changes an event as its owner would. `calendar` may be an account: then it goes into its first calendar.
    ///
    /// # Errors
    /// If there is no such calendar.
    pub fn put_event(&self, calendar: &str, draft: EventDraft) -> Result<String, Error> {
        let uid = {
            let mut state = self.inner.state();
            let now = state.clock.now();
            state.model.put_event(calendar, draft, now)
        };
        self.inner.wake.notify_one();
        uid.ok_or_else(|| Error::Unknown { kind: "calendar", id: calendar.to_owned() })
    }

    /// Moves an event.
    ///
    /// # Errors
    /// If there is no such event.
    pub fn move_event(&self, uid: &str, start: impl Into<When>, end: impl Into<When>) -> Result<(), Error> {
        let (start, end) = (start.into(), end.into());
        self.edit(uid, |change| {
            if let Some(draft) = &mut change.draft {
                (draft.start, draft.end) = (start, end);
            }
        })
    }

    /// Gives an event another title.
    ///
    /// # Errors
    /// If there is no such event.
    pub fn rename_event(&self, uid: &str, summary: &str) -> Result<(), Error> {
        self.edit(uid, |change| {
            if let Some(draft) = &mut change.draft {
                summary.clone_into(&mut draft.summary);
            }
        })
    }

    /// Puts an event into another calendar of the account.
    ///
    /// # Errors
    /// If there is no such event.
    pub fn move_to_calendar(&self, uid: &str, calendar: &str) -> Result<(), Error> {
        self.edit(uid, |change| calendar.clone_into(&mut change.calendar))
    }

    /// Deletes an event.
    ///
    /// # Errors
    /// If there is no such event.
    pub fn delete_event(&self, uid: &str) -> Result<(), Error> {
        self.edit(uid, |change| change.draft = None)
    }

    fn edit(&self, uid: &str, edit: impl FnOnce(&mut Change)) -> Result<(), Error> {
        let mut state = self.inner.state();
        let now = state.clock.now();
        let Some(event) = state.model.events.get(uid).cloned() else {
            return Err(Error::Unknown { kind: "event", id: uid.to_owned() });
        };
        let mut change = Change {
            uid: event.uid,
            account: event.account,
            calendar: event.calendar,
            draft: Some(event.draft),
            managed: None,
            event_id: None,
        };
        edit(&mut change);
        state.model.change(change, now);
        drop(state);
        self.inner.wake.notify_one();
        Ok(())
    }

    /// Reads an iCalendar file into a calendar. Gives the number of events.
    ///
    /// # Errors
    /// Names the component and the property that is not understood.
    pub fn import_ics(&self, calendar: &str, text: &str) -> Result<usize, IcsError> {
        let now = self.now();
        let days = |count: i64| SignedDuration::from_hours(24 * count);
        let (from, to) = (now.checked_sub(days(100)).unwrap_or(now), now.checked_add(days(400)).unwrap_or(now));
        let drafts = ics::parse(text, from, to)?;
        let count = drafts.len();
        for draft in drafts {
            let uid = draft.uid.clone().unwrap_or_default();
            self.put_event(calendar, draft).map_err(|_| IcsError::NoCalendar(format!("{calendar} for {uid}")))?;
        }
        Ok(count)
    }

    /// What a read shows now.
    #[must_use]
    pub fn read(&self, account: &str, query: &ReadQuery) -> Vec<Value> {
        let state = self.inner.state();
        state.model.read(account, query, state.clock.now())
    }

    /// The account's channels, closed ones too.
    #[must_use]
    pub fn channels(&self, account: &str) -> Vec<Channel> {
        self.inner.state().model.channels.values().filter(|channel| channel.account == account).cloned().collect()
    }

    /// The account's open channels.
    #[must_use]
    pub fn open_channels(&self, account: &str) -> Vec<Channel> {
        self.channels(account).into_iter().filter(|channel| channel.closed.is_none()).collect()
    }

    /// Adds a channel that somebody else made.
    pub fn add_channel(&self, account: &str, client_id: &str, callback_url: &str) {
        let mut state = self.inner.state();
        let now = state.clock.now();
        let _full = state.model.create_channel((account, client_id), callback_url, Filters::default(), now);
    }

    /// Closes a channel without telling anybody.
    pub fn close_channel_by_hand(&self, id: &str) {
        let mut state = self.inner.state();
        let now = state.clock.now();
        state.model.close_channel(id, now);
    }

    /// Sends a notification of any kind to a channel.
    pub fn notify(&self, channel: &str, notification: &Notification) {
        let mut state = self.inner.state();
        let now = state.clock.now();
        state.model.notify(channel, notification, now);
        drop(state);
        self.inner.wake.notify_one();
    }

    /// How deliveries are signed from now on.
    pub fn sign_with(&self, signing: Signing) {
        self.inner.state().signing = signing;
    }

    /// Loses the next deliveries: they count as done.
    pub fn lose_deliveries(&self, count: usize) {
        self.inner.state().lost = count;
    }

    /// Delivers everything twice, or not any more.
    pub fn double_deliveries(&self, doubled: bool) {
        self.inner.state().doubled = doubled;
    }

    /// No call gets an answer any more, or all do again.
    pub fn down(&self, down: bool) {
        self.inner.state().down = down;
    }

    /// Lets the next calls run into a fault.
    pub fn inject(&self, fault: Fault) {
        self.inner.state().faults.push(fault);
    }

    /// Forgets the faults that nobody ran into.
    pub fn clear_faults(&self) {
        self.inner.state().faults.clear();
    }

    /// Makes the next `count` calls to an endpoint wait.
    #[must_use]
    pub fn hold(&self, endpoint: Endpoint, count: usize) -> Hold {
        let gate = Arc::new(Semaphore::new(0));
        let arrived = watch::Sender::new(0);
        let hold = Hold { arrived: arrived.subscribe(), gate: gate.clone() };
        self.inner.state().gates.push(Gate { endpoint, left: count, arrived, open: gate });
        hold
    }

    /// Requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.inner.state().requests.clone()
    }

    /// Number of requests to an endpoint so far.
    #[must_use]
    pub fn count(&self, endpoint: Endpoint) -> usize {
        self.inner.state().requests.iter().filter(|request| request.endpoint == endpoint).count()
    }

    /// Deliveries so far.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.inner.state().deliveries.clone()
    }

    /// Forgets requests and deliveries so far.
    pub fn clear_journal(&self) {
        let mut state = self.inner.state();
        state.requests.clear();
        state.deliveries.clear();
    }

    /// Ends the account's grants: its refresh tokens answer `invalid_grant`.
    pub fn revoke(&self, account: &str) {
        self.inner.state().model.revoke(account);
    }

    /// The owner authorizes again.
    pub fn grant(&self, account: &str) {
        if let Some(account) = self.inner.state().model.accounts.get_mut(account) {
            account.granted = true;
        }
    }

    /// Calls with the account's tokens answer this status (402, 403), or are answered again.
    pub fn refuse(&self, account: &str, status: Option<u16>) {
        if let Some(account) = self.inner.state().model.accounts.get_mut(account) {
            account.refused_with = status;
        }
    }

    /// Breaks a calendar service off the account and says so, or connects it again, which is not told.
    pub fn connect_profile(&self, account: &str, connected: bool) {
        self.profile(account, |profile| profile.connected = connected);
        if !connected {
            self.tell(account, &Notification::new("profile_disconnected"));
        }
    }

    /// Begins or completes the first read of the account's calendar service; its completion is told.
    pub fn initial_sync(&self, account: &str, required: bool) {
        self.profile(account, |profile| profile.initial_sync_required = required);
        if !required {
            self.tell(account, &Notification::new("profile_initial_sync_completed"));
        }
    }

    /// The owner demands erasure.
    pub fn request_gdpr(&self, account: &str) {
        self.tell(account, &Notification::new("gdpr_requested"));
    }

    fn profile(&self, account: &str, change: impl Fn(&mut Profile)) {
        if let Some(account) = self.inner.state().model.accounts.get_mut(account) {
            account.profiles.iter_mut().for_each(change);
        }
    }

    fn tell(&self, account: &str, notification: &Notification) {
        let mut state = self.inner.state();
        let now = state.clock.now();
        state.model.notify_account(account, notification, now);
        drop(state);
        self.inner.wake.notify_one();
    }

    /// What the clock shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.state().clock.now()
    }

    /// Stops the clock.
    pub fn freeze(&self) {
        self.inner.state().clock.freeze();
        self.inner.wake.notify_one();
    }

    /// Lets the clock run on.
    pub fn run(&self) {
        self.inner.state().clock.run();
        self.inner.wake.notify_one();
    }

    /// Puts the clock forward, through all that becomes due on the way.
    pub async fn advance(&self, by: Duration) {
        let end = clock::add(self.now(), by);
        loop {
            self.settle().await;
            let next = {
                let mut state = self.inner.state();
                let next = state.model.pending.iter().map(|pending| pending.due).min().filter(|due| *due <= end);
                let now = state.clock.now();
                state.clock.set(next.unwrap_or(end).max(now));
                next
            };
            self.inner.wake.notify_one();
            if next.is_none() {
                return;
            }
        }
    }

    /// Waits until no delivery is due or in flight.
    pub async fn settle(&self) {
        self.inner.settle().await;
    }
}
