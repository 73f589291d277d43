//! The port for the cluster's own eyes: `/livez`, `/readyz`, `/metrics`.
//!
//! Ready means: caches filled and listeners up. Neither the lease nor Cronofy has a say: a standby that is never ready breaks
//! rollouts, and takes the webhook away with it. Alive means: no watchdog complains.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};

use crate::metrics::{Format, Metrics, Queue};

/// What is pending once the process has begun to stop.
pub const SHUTTING_DOWN: &str = "shutting down";

/// Whether the process is ready and alive. Clones share the same state.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<Vitals>>);

#[derive(Default)]
struct Vitals {
    components: BTreeMap<&'static str, Progress>,
    not_ready: Option<&'static str>,
    watchdogs: Vec<(&'static str, Watchdog)>,
}

/// How far a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Progress {
    Ready,
    /// Pending, for this reason if one is known.
    Pending(Option<String>),
}

type Watchdog = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

impl fmt::Debug for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { components, not_ready, watchdogs } = self;
        f.debug_struct("Vitals")
            .field("components", components)
            .field("not_ready", not_ready)
            .field("watchdogs", &watchdogs.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish()
    }
}

impl Health {
    /// A process of which nothing is known to be pending. It is ready until the first component is registered, so register
    /// all of them before the port is served.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a part that must be there for the process to be ready. It is pending until it says otherwise; registered
    /// again under the same name, it is pending again.
    #[must_use = "the component stays pending unless it is told to be ready"]
    pub fn component(&self, name: &'static str) -> Component {
        self.vitals().components.insert(name, Progress::Pending(None));
        Component { health: self.clone(), name }
    }

    /// Makes the process not ready for good, for this reason; [`SHUTTING_DOWN`] is the usual one.
    pub fn not_ready(&self, reason: &'static str) {
        self.vitals().not_ready = Some(reason);
    }

    /// Registers a watchdog: it is asked at each look at `/livez`, and its complaint is the answer. It must not block.
    pub fn watchdog(&self, name: &'static str, watchdog: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.vitals().watchdogs.push((name, Arc::new(watchdog)));
    }

    /// Registers a watchdog that complains when something in a queue has been waiting or running for longer than `limit`
    /// while nothing ended.
    pub fn watch_queue(&self, name: &'static str, queue: Queue, limit: Duration) {
        self.watchdog(name, move || match queue.stalled_for() {
            Some(stalled) if stalled > limit => {
                Err(format!("work is queued, but none was finished for {} s", stalled.as_secs()))
            }
            Some(_) | None => Ok(()),
        });
    }

    /// What is pending, in the order of names; empty when the process is ready.
    #[must_use]
    pub fn pending(&self) -> Vec<String> {
        let vitals = self.vitals();
        let components = vitals.components.iter().filter_map(|(name, state)| match state {
            Progress::Ready => None,
            Progress::Pending(None) => Some((*name).to_owned()),
            Progress::Pending(Some(why)) => Some(format!("{name}: {why}")),
        });
        vitals.not_ready.map(ToOwned::to_owned).into_iter().chain(components).collect()
    }

    /// What the watchdogs complain about, one line each; empty when the process is alive.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let watchdogs = self.vitals().watchdogs.clone();
        let complaint = |(name, watchdog): (&str, Watchdog)| watchdog().err().map(|cause| format!("{name}: {cause}"));
        watchdogs.into_iter().filter_map(complaint).collect()
    }

    /// Each statement leaves the vitals sound, so a panic elsewhere does not spoil them.
    fn vitals(&self) -> MutexGuard<'_, Vitals> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part that must be there for the process to be ready.
#[derive(Clone, Debug)]
pub struct Component {
    health: Health,
    name: &'static str,
}

impl Component {
    /// Tells whether the part is there.
    pub fn ready(&self, ready: bool) {
        let state = if ready { Progress::Ready } else { Progress::Pending(None) };
        self.health.vitals().components.insert(self.name, state);
    }

    /// Tells that the part is not there, and why: one line with the remedy.
    pub fn waits(&self, why: String) {
        self.health.vitals().components.insert(self.name, Progress::Pending(Some(why)));
    }
}

/// Brings those metrics up to date that are looked at rather than counted. It must not block.
pub type Refresh = Arc<dyn Fn() + Send + Sync>;

/// The admin port's routes; `refresh` is called before metrics are served. Serve them with
/// [`serve`](crate::webhook::listener::serve).
pub fn router(health: Health, metrics: Metrics, refresh: Refresh) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(health)
        .merge(Router::new().route("/metrics", get(exposition)).with_state((metrics, refresh)))
}

async fn livez(State(health): State<Health>) -> Response {
    verdict(&health.complaints())
}

async fn readyz(State(health): State<Health>) -> Response {
    verdict(&health.pending())
}

async fn exposition(State((metrics, refresh)): State<(Metrics, Refresh)>, asked: HeaderMap) -> Response {
    refresh();
    let accept = asked.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::preferred(&accept.collect::<Vec<_>>().join(","));
    let headers = [(header::CONTENT_TYPE, format.content_type()), (header::VARY, "accept")];
    (headers, format.of(metrics.encode())).into_response()
}

fn verdict<S: AsRef<str>>(obstacles: &[S]) -> Response {
    if obstacles.is_empty() {
        return "ok\n".into_response();
    }
    let lines: String = obstacles.iter().flat_map(|obstacle| [obstacle.as_ref(), "\n"]).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::metrics::{Controller, ReconcileOutcome};

    async fn look(health: &Health, path: &str) -> (StatusCode, String) {
        let answer = router(health.clone(), Metrics::new(), Arc::new(|| {}));
        let answer = answer.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_means_that_no_component_is_pending() {
        let health = Health::new();
        let caches = health.component("caches");
        let webhook = health.component("webhook");
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(look(&health, "/readyz").await, (unavailable, "caches\nwebhook\n".to_owned()));
        caches.ready(true);
        assert_eq!(look(&health, "/readyz").await, (unavailable, "webhook\n".to_owned()));
        webhook.ready(true);
        assert_eq!(look(&health, "/readyz").await, (StatusCode::OK, "ok\n".to_owned()));
        caches.ready(false);
        assert_eq!(look(&health, "/readyz").await, (unavailable, "caches\n".to_owned()));
        caches.waits("may not be listed: grant the right".to_owned());
        let (_, said) = look(&health, "/readyz").await;
        assert_eq!(said, "caches: may not be listed: grant the right\n");
        caches.ready(true);
        health.not_ready(SHUTTING_DOWN);
        assert_eq!(look(&health, "/readyz").await, (unavailable, "shutting down\n".to_owned()));
        assert_eq!(look(&health, "/livez").await.0, StatusCode::OK, "what stops is alive");
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_stands_still_is_a_sign_of_death_until_something_ends() {
        let health = Health::new();
        let queue = Metrics::new().queue(Controller::CalendarSubscription);
        health.watch_queue("reconciles", queue.clone(), Duration::from_mins(10));
        health.watchdog("lease", || Ok(()));
        queue.queued("rooms/maple");
        let running = queue.started("rooms/maple");
        tokio::time::advance(Duration::from_mins(10)).await;
        assert_eq!(look(&health, "/livez").await, (StatusCode::OK, "ok\n".to_owned()));
        tokio::time::advance(Duration::from_secs(1)).await;
        let (status, text) = look(&health, "/livez").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(text, "reconciles: work is queued, but none was finished for 601 s\n");
        running.finish(ReconcileOutcome::Success);
        assert_eq!(look(&health, "/livez").await, (StatusCode::OK, "ok\n".to_owned()));
    }

    #[tokio::test]
    async fn metrics_are_served_and_nothing_else_is() {
        let health = Health::new();
        let (status, text) = look(&health, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.ends_with("# EOF\n"));
        assert_eq!(look(&health, "/").await.0, StatusCode::NOT_FOUND);
    }
}
