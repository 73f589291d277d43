//! A request budget. Two buckets (a second, a minute) decide when the next request may go; three lanes and, within each, the
//! accounts in turn decide whose it is. The regular work goes evenly, never in a burst that would leave nothing of the minute to
//! those who come after it: whatever fleet of sweeps is due, a new subscription waits for one request's time.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::rotation::Rotation;
use crate::api::CronofyApplication;

/// Whose request goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Of a subscription that has no copy yet.
    New,
    /// Asked for by a notification.
    Notified,
    /// The regular work.
    Sweep,
}

const LANES: usize = 3;

impl From<Lane> for crate::metrics::Lane {
    fn from(lane: Lane) -> Self {
        match lane {
            Lane::New => Self::New,
            Lane::Notified => Self::Notified,
            Lane::Sweep => Self::Sweep,
        }
    }
}

/// What an application may ask of Cronofy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests in a second.
    pub per_second: u32,
    /// Requests in a minute.
    pub per_minute: u32,
}

impl Limits {
    /// Those of an application.
    #[must_use]
    pub fn of(application: &CronofyApplication) -> Self {
        let (per_second, per_minute) = application.spec.request_limits();
        let positive = |limit: i32| u32::try_from(limit).unwrap_or(1).max(1);
        Self { per_second: positive(per_second), per_minute: positive(per_minute) }
    }

    /// The smaller ones of both.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self { per_second: self.per_second.min(other.per_second), per_minute: self.per_minute.min(other.per_minute) }
    }

    /// The time between two requests if they go evenly all the time.
    #[must_use]
    pub fn spacing(self) -> Duration {
        MINUTE / self.per_minute.max(1)
    }
}

/// The wait after a 429 without `Retry-After`, doubled with each in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest wait after a 429, whatever Cronofy asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// The longest pause that a request is held for. Who would have to wait longer is sent away: it holds one of the places at
/// which subscriptions of all applications are worked on.
const LONGEST_HOLD: Duration = Duration::from_secs(5);

/// Cronofy asked the application to pause, for longer than a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the application's request limit at Cronofy is spent: requests go on in {} s", .0.as_secs())]
pub struct Paused(pub Duration);

/// The budget of one application.
#[derive(Debug)]
pub struct Budget {
    state: Mutex<State>,
    /// Wakes one who waits, to watch the clock or to look again.
    handed_over: Notify,
    /// Wakes all who wait: a pause began, which may be too long for them, or a place was given back.
    look_again: Notify,
}

#[derive(Debug)]
struct State {
    limits: Limits,
    /// When the last requests went, at most as many as a minute allows.
    sent: VecDeque<Instant>,
    paused_until: Option<Instant>,
    refusals: u32,
    lanes: [Queue; LANES],
    /// Somebody waits for the next place in time.
    driven: bool,
}

/// Waiting requests of one lane: accounts in turn, within an account in order.
#[derive(Debug, Default)]
struct Queue(Rotation<String, VecDeque<oneshot::Sender<()>>>);

impl Queue {
    fn push(&mut self, account: &str, waiter: oneshot::Sender<()>) {
        self.0.line(account.to_owned()).push_back(waiter);
    }

    /// Whether nobody waits any more.
    fn is_idle(&self) -> bool {
        self.0.lines().flatten().all(oneshot::Sender::is_closed)
    }

    /// The next one that still waits.
    fn pop(&mut self) -> Option<oneshot::Sender<()>> {
        self.0.next(|_, waiting| {
            loop {
                match waiting.pop_front() {
                    Some(waiter) if waiter.is_closed() => {} // its request was given up
                    other => return other,
                }
            }
        })
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

impl State {
    /// When the next request may go; at once if that is not after `now`.
    fn next_place(&mut self, now: Instant) -> Instant {
        while self.sent.front().is_some_and(|sent| now.saturating_duration_since(*sent) >= MINUTE) {
            self.sent.pop_front();
        }
        let after = |count: u32, window: Duration| {
            let nth_last = self.sent.len().checked_sub(usize::try_from(count).unwrap_or(usize::MAX))?;
            self.sent.get(nth_last).map(|sent| *sent + window)
        };
        let places = [after(self.limits.per_second, SECOND), after(self.limits.per_minute, MINUTE), self.paused_until];
        places.into_iter().flatten().max().unwrap_or(now).max(now)
    }

    /// When the next of those who wait may go. Sweeps keep a distance to whatever went before them.
    fn next_turn(&mut self, now: Instant) -> Instant {
        let place = self.next_place(now);
        let [new, notified, _] = &self.lanes;
        match self.sent.back() {
            Some(last) if new.is_idle() && notified.is_idle() => place.max(*last + self.limits.spacing()),
            Some(_) | None => place,
        }
    }

    /// The rest of a pause that is too long to be waited for.
    fn long_pause(&self, now: Instant) -> Option<Paused> {
        let rest = self.paused_until?.saturating_duration_since(now);
        (rest > LONGEST_HOLD).then_some(Paused(rest))
    }

    /// Lets as many go as may go now.
    fn grant(&mut self, now: Instant) {
        while self.next_turn(now) <= now {
            let Some(waiter) = self.lanes.iter_mut().find_map(Queue::pop) else { return };
            if waiter.send(()).is_ok() {
                self.sent.push_back(now);
            }
        }
    }
}

impl Budget {
    /// A full budget.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let state = State {
            limits,
            sent: VecDeque::new(),
            paused_until: None,
            refusals: 0,
            lanes: Default::default(),
            driven: false,
        };
        Self { state: Mutex::new(state), handed_over: Notify::new(), look_again: Notify::new() }
    }

    /// A budget that somebody else spent from until now, as evenly as it may be spent in the long run.
    #[must_use]
    pub fn taken_over(limits: Limits) -> Self {
        let (budget, now) = (Self::new(limits), Instant::now());
        let sent = (1..=limits.per_minute).rev().filter_map(|place| now.checked_sub(limits.spacing() * place));
        budget.state().sent.extend(sent);
        budget
    }

    /// Its limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.state().limits
    }

    /// Changes the limits; requests that went before still count.
    pub fn set_limits(&self, limits: Limits) {
        self.state().limits = limits;
        self.handed_over.notify_one();
    }

    /// Waits for a place. Gives how long that took. A caller that stops waiting takes nobody's place.
    ///
    /// # Errors
    /// While Cronofy is given a pause that is too long to be waited for, also if it begins meanwhile.
    pub async fn acquire(&self, lane: Lane, account: &str) -> Result<Duration, Paused> {
        let begun = Instant::now();
        let (waiter, mut granted) = oneshot::channel();
        if let Some(queue) = self.state().lanes.get_mut(lane as usize) {
            queue.push(account, waiter);
        }
        loop {
            let look_again = self.look_again.notified(); // from before the look, so that none is missed
            let next = {
                let (mut state, now) = (self.state(), Instant::now());
                state.grant(now);
                if granted.try_recv().is_ok() {
                    return Ok(begun.elapsed());
                }
                if let Some(paused) = state.long_pause(now) {
                    return Err(paused);
                }
                state.next_turn(now)
            };
            // One of those who wait watches the clock for all.
            let watching = Watching::begin(self);
            let other = async {
                if watching.is_some() {
                    tokio::time::sleep_until(next).await;
                } else {
                    self.handed_over.notified().await;
                }
            };
            tokio::select! {
                biased;
                _ = &mut granted => return Ok(begun.elapsed()),
                () = other => {}
                () = look_again => {}
            }
        }
    }

    /// The place that was just waited for, for a request that may turn out to be needless.
    pub fn place(&self) -> Place<'_> {
        Place(Some(self))
    }

    /// Cronofy refused with 429: nothing goes for a while, which is as long as it asks for, and never no time at all.
    pub fn slow_down(&self, retry_after: Option<Duration>) {
        let mut state = self.state();
        let growing = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(state.refusals));
        let spread = || growing.mul_f64(0.5 + fastrand::f64() / 2.0);
        let pause = retry_after.map_or_else(spread, |asked| asked.max(FIRST_PAUSE)).min(LONGEST_PAUSE);
        let until = Instant::now() + pause;
        state.paused_until = Some(state.paused_until.map_or(until, |before| before.max(until)));
        state.refusals = state.refusals.saturating_add(1);
        drop(state);
        self.look_again.notify_waiters();
    }

    /// Cronofy answered.
    pub fn answered(&self) {
        self.state().refusals = 0;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place; given back when dropped, unless its request was made.
#[must_use]
pub struct Place<'a>(Option<&'a Budget>);

impl Place<'_> {
    /// The request is made.
    pub fn used(mut self) {
        self.0 = None;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(budget) = self.0 {
            budget.state().sent.pop_back();
            budget.look_again.notify_waiters();
        }
    }
}

/// The role of watching the clock; handed over when dropped.
struct Watching<'a>(&'a Budget);

impl<'a> Watching<'a> {
    fn begin(budget: &'a Budget) -> Option<Self> {
        let taken = std::mem::replace(&mut budget.state().driven, true);
        // Not `then_some`: a role that was made and dropped would be handed over although somebody else has it.
        (!taken).then(|| Self(budget))
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.state().driven = false;
        self.0.handed_over.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LIMITS: Limits = Limits { per_second: 5, per_minute: 20 };

    #[tokio::test(start_paused = true)]
    async fn no_window_ever_holds_more_than_its_limit() {
        let budget = Arc::new(Budget::new(LIMITS));
        let start = Instant::now();
        let mut sent = Vec::new();
        for _ in 0..70 {
            budget.acquire(Lane::Notified, "a").await.unwrap();
            sent.push(start.elapsed());
        }
        for (index, first) in sent.iter().enumerate() {
            let within = |window: Duration| sent[index..].iter().take_while(|time| **time < *first + window).count();
            assert!(within(SECOND) <= 5 && within(MINUTE) <= 20, "{sent:?}");
        }
        assert!(sent[19] <= Duration::from_secs(4), "what is free is not held back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_subscription_goes_before_those_that_wait_in_lower_lanes() {
        let budget = Arc::new(Budget::new(Limits { per_second: 1, per_minute: 1_000 }));
        budget.acquire(Lane::Sweep, "first").await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let waiting = |lane, account: &'static str| {
            let (budget, order) = (budget.clone(), order.clone());
            async move {
                budget.acquire(lane, account).await.unwrap();
                order.lock().unwrap().push(account);
            }
        };
        tokio::join!(
            waiting(Lane::Sweep, "sweep"),
            waiting(Lane::Notified, "busy"),
            waiting(Lane::Notified, "busy"),
            waiting(Lane::Notified, "quiet"),
            waiting(Lane::New, "new"),
        );
        assert_eq!(*order.lock().unwrap(), ["new", "busy", "quiet", "busy", "sweep"]);
    }

    /// Sweeps of a hundred accounts, far more of them than fit into a minute, and time for as many of them as go.
    async fn crowded(budget: &Arc<Budget>, minutes: u32) -> tokio::task::JoinSet<()> {
        let mut sweeps = tokio::task::JoinSet::new();
        for number in 0..5_000 {
            let budget = budget.clone();
            sweeps.spawn(async move {
                budget.acquire(Lane::Sweep, &format!("account {}", number % 100)).await.unwrap();
            });
        }
        tokio::time::sleep(MINUTE * minutes + SECOND / 3).await;
        sweeps
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_sweeps_wait_a_new_subscription_waits_for_one_request_at_most() {
        let limits = Limits { per_second: 50, per_minute: 500 };
        for minutes in [0, 1, 3] {
            let budget = Arc::new(Budget::new(limits));
            let sweeps = crowded(&budget, minutes).await;
            // All that a first sync asks for, and its pages.
            for request in 0..20 {
                let waited = budget.acquire(Lane::New, "newcomer").await.unwrap();
                assert!(waited <= limits.spacing(), "request {request} after {minutes} min waited {waited:?}");
            }
            drop(sweeps);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn sweeps_use_all_of_the_budget_that_nobody_else_needs() {
        let limits = Limits { per_second: 50, per_minute: 500 };
        let budget = Arc::new(Budget::new(limits));
        let mut sweeps = crowded(&budget, 2).await;
        let mut gone = 0;
        while let Some(sweep) = sweeps.try_join_next() {
            sweep.unwrap();
            gone += 1;
        }
        assert!((995..=1_005).contains(&gone), "{gone} in two minutes");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_gives_up_takes_no_place_and_stops_nobody() {
        let budget = Arc::new(Budget::new(Limits { per_second: 1, per_minute: 1_000 }));
        budget.acquire(Lane::New, "a").await.unwrap();
        let given_up = tokio::time::timeout(Duration::from_millis(10), budget.acquire(Lane::New, "b")).await;
        assert!(given_up.is_err());
        assert!(budget.acquire(Lane::Sweep, "c").await.unwrap() <= SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_given_back_is_the_next_ones() {
        let budget = Budget::new(Limits { per_second: 1, per_minute: 1 });
        budget.acquire(Lane::New, "a").await.unwrap();
        budget.place().used();
        tokio::time::advance(MINUTE).await;
        budget.acquire(Lane::New, "a").await.unwrap();
        let place = budget.place();
        let back = async {
            tokio::time::sleep(SECOND).await;
            drop(place);
        };
        let (waited, ()) = tokio::join!(budget.acquire(Lane::New, "b"), back);
        assert_eq!(waited, Ok(SECOND));
        assert_eq!(budget.acquire(Lane::New, "c").await, Ok(MINUTE), "and no more than that one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_stops_the_whole_application_for_as_long_as_asked() {
        let budget = Budget::new(LIMITS);
        budget.slow_down(Some(Duration::from_secs(4)));
        assert_eq!(budget.acquire(Lane::New, "a").await, Ok(Duration::from_secs(4)));
        for no_time in [None, Some(Duration::ZERO)] {
            budget.slow_down(no_time);
            assert!(budget.acquire(Lane::New, "a").await.unwrap() > Duration::ZERO);
        }
        budget.answered();
        assert_eq!(budget.acquire(Lane::New, "a").await, Ok(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_pause_sends_those_away_who_come_and_those_who_wait() {
        let budget = Budget::new(Limits { per_second: 1, per_minute: 1 });
        budget.acquire(Lane::Sweep, "a").await.unwrap();
        let (almost, pause) = (Duration::from_secs(595), Duration::from_secs(595) + LONGEST_HOLD);
        let paused = Err(Paused(pause));
        let waiting = futures::future::join3(
            budget.acquire(Lane::New, "a"),
            budget.acquire(Lane::Sweep, "b"),
            budget.acquire(Lane::Sweep, "c"),
        );
        let refused = async { budget.slow_down(Some(pause)) };
        let ((one, two, three), ()) = tokio::join!(waiting, refused);
        assert_eq!([one, two, three], [paused; 3]);
        assert_eq!(budget.acquire(Lane::New, "d").await, paused);
        tokio::time::advance(almost).await;
        assert_eq!(budget.acquire(Lane::New, "d").await, Ok(LONGEST_HOLD));
    }
}
