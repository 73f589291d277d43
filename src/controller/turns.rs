//! Whose subscription is worked on next. The runtime starts what is due in no order, and whoever waits for a budget would keep one
//! of its places: a backlog of sweeps would hold up a new subscription before its lane counts, and an application without budget
//! all others. So a subscription takes a turn before its reconcile begins: by lane, applications in turn, accounts in turn.
//!
//! One that has to wait keeps no place of the runtime and no memory but its name: its reconcile ends at once, and the runtime is
//! told of it again when its turn has come. One at work steps aside while it waits for a budget; how many of an application's lane do so
//! is bounded, so that what waits is mostly names.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures::poll;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::accounts::AccountKey;
use super::budget::Lane;
use super::context::ApplicationKey;
use super::watches::GuardedSubscription;

/// Which subscription.
pub type Name = ObjectRef<GuardedSubscription>;

/// As many of one application's lane wait for the budget before no more of them are begun: enough that one is always there when
/// the next request may go.
const ASIDE: usize = 4;

/// What decides when a subscription's turn comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// How urgent it is.
    pub lane: Lane,
    /// Whose budget it needs.
    pub application: ApplicationKey,
    /// Whose requests it makes.
    pub account: Option<AccountKey>,
}

/// Whose turn it is, of all subscriptions of this process.
#[derive(Debug)]
pub struct Turns {
    state: Mutex<State>,
}

impl Turns {
    /// Turns for so many at a time.
    #[must_use]
    pub fn new(places: u16) -> Arc<Self> {
        let state = State {
            places: usize::from(places.max(1)),
            new: Line::default(),
            notified: Line::default(),
            sweep: Line::default(),
            waiting: HashMap::new(),
            called: HashMap::new(),
            tickets: 0,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// A channel that is wide enough for all that can be called and have not come yet.
    #[must_use]
    pub fn channel(&self) -> (mpsc::Sender<Name>, mpsc::Receiver<Name>) {
        mpsc::channel(self.state().places)
    }

    /// A turn, if it is this subscription's. If not it waits, and its name is sent to `call` when it is to ask again.
    #[must_use]
    pub fn take(self: &Arc<Self>, name: &Name, claim: Claim, call: &mpsc::Sender<Name>) -> Option<Turn> {
        let (called, others) = {
            let mut state = self.state();
            if !state.called.contains_key(name) {
                state.wait(name, claim, call);
            }
            let mut others = Vec::new();
            while let Some(next) = state.next() {
                if next.name != *name {
                    others.push(next);
                }
            }
            (state.called.remove(name), others)
        };
        if !others.is_empty() {
            for next in others {
                self.tell(next);
            }
            self.call();
        }
        let Called { claim, waited } = called?;
        Some(Turn { turns: self.clone(), lane: claim.lane, application: claim.application, waited })
    }

    /// A subscription is gone: it does not come when it is called.
    pub fn gone(&self, name: &Name) {
        {
            let mut state = self.state();
            state.withdraw(name);
            if let Some(Called { claim, .. }) = state.called.remove(name) {
                state.line(claim.lane).working -= 1;
            }
        }
        self.call();
    }

    /// Calls as many as there is room for.
    fn call(&self) {
        loop {
            let next = self.state().next();
            match next {
                Some(next) => self.tell(next),
                None => return,
            }
        }
    }

    fn tell(&self, Waiting { name, call }: Waiting) {
        // The channel holds all that can be called. One whose controller has ended does not come.
        if call.try_send(name.clone()).is_err() {
            let mut state = self.state();
            if let Some(Called { claim, .. }) = state.called.remove(&name) {
                state.line(claim.lane).working -= 1;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A subscription's turn, until dropped.
#[derive(Debug)]
pub struct Turn {
    turns: Arc<Turns>,
    /// The lane that it was waited for in.
    pub lane: Lane,
    application: ApplicationKey,
    /// How long the turn was waited for while the application's budget was short.
    pub waited: Option<Duration>,
}

impl Turn {
    /// Waits for the budget, or for somebody who does. Meanwhile others are worked on.
    pub async fn aside<T>(&self, wait: impl Future<Output = T>) -> T {
        let mut wait = pin!(wait);
        if let Poll::Ready(done) = poll!(wait.as_mut()) {
            return done; // there is nothing to wait for
        }
        let _aside = Aside::step(self);
        wait.await
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.state().line(self.lane).working -= 1;
        self.turns.call();
    }
}

/// One that has stepped aside; it is at work again when this is dropped, whether or not there is a place.
struct Aside<'a>(&'a Turn);

impl<'a> Aside<'a> {
    fn step(turn: &'a Turn) -> Self {
        {
            let mut state = turn.turns.state();
            let line = state.line(turn.lane);
            line.working -= 1;
            *line.aside.entry(turn.application.clone()).or_default() += 1;
        }
        turn.turns.call();
        Self(turn)
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        let Self(turn) = self;
        {
            let mut state = turn.turns.state();
            let line = state.line(turn.lane);
            line.working += 1;
            if let Some(aside) = line.aside.get_mut(&turn.application) {
                *aside -= 1;
                if *aside == 0 {
                    line.aside.remove(&turn.application);
                }
            }
        }
        turn.turns.call();
    }
}

#[derive(Debug)]
struct State {
    /// So many may be at work.
    places: usize,
    new: Line,
    notified: Line,
    sweep: Line,
    /// All who wait, by name.
    waiting: HashMap<Name, Place>,
    /// Those whose turn has come and who have not taken it yet. They count as at work.
    called: HashMap<Name, Called>,
    tickets: u64,
}

/// Where one waits.
#[derive(Debug)]
struct Place {
    ticket: u64,
    claim: Claim,
    /// Since when, if the application's budget was short then.
    short_since: Option<Instant>,
}

#[derive(Debug)]
struct Called {
    claim: Claim,
    waited: Option<Duration>,
}

#[derive(Debug)]
struct Waiting {
    name: Name,
    call: mpsc::Sender<Name>,
}

/// One lane.
#[derive(Debug, Default)]
struct Line {
    waiting: Rotation<ApplicationKey, Rotation<Option<AccountKey>, BTreeMap<u64, Waiting>>>,
    working: usize,
    aside: HashMap<ApplicationKey, usize>,
}

impl Line {
    fn aside(&self, application: &ApplicationKey) -> usize {
        self.aside.get(application).copied().unwrap_or_default()
    }
}

impl State {
    fn line(&mut self, lane: Lane) -> &mut Line {
        match lane {
            Lane::New => &mut self.new,
            Lane::Notified => &mut self.notified,
            Lane::Sweep => &mut self.sweep,
        }
    }

    fn wait(&mut self, name: &Name, claim: Claim, call: &mpsc::Sender<Name>) {
        let Claim { lane, application, account } = claim.clone();
        if let Some(place) = self.waiting.get(name) {
            let known = &place.claim;
            if known.lane <= lane && known.application == application && known.account == account {
                return;
            }
            self.withdraw(name);
        }
        let ticket = self.tickets;
        self.tickets += 1;
        let most = self.most_aside();
        let line = self.line(lane);
        let short_since = (line.aside(&application) >= most).then(Instant::now);
        let waiting = Waiting { name: name.clone(), call: call.clone() };
        line.waiting.line(application).line(account).insert(ticket, waiting);
        self.waiting.insert(name.clone(), Place { ticket, claim, short_since });
    }

    fn withdraw(&mut self, name: &Name) {
        let Some(Place { ticket, claim: Claim { lane, application, account }, .. }) = self.waiting.remove(name) else {
            return;
        };
        self.line(lane).waiting.line(application).line(account).remove(&ticket);
    }

    /// The next one whose turn it is.
    fn next(&mut self) -> Option<Waiting> {
        let most = self.most_aside();
        let next = [Lane::New, Lane::Notified, Lane::Sweep].into_iter().find_map(|lane| {
            if !self.has_place(lane) {
                return None;
            }
            let Line { waiting, aside, .. } = self.line(lane);
            waiting.next(|application, accounts| {
                let full = aside.get(application).is_some_and(|aside| *aside >= most);
                if full { None } else { accounts.next(|_, waiting| waiting.pop_first()) }
            })
        });
        let (_ticket, next) = next?;
        if let Some(Place { claim, short_since, .. }) = self.waiting.remove(&next.name) {
            self.line(claim.lane).working += 1;
            let waited = short_since.map(|since| since.elapsed());
            self.called.insert(next.name.clone(), Called { claim, waited });
        }
        Some(next)
    }

    /// Whether there is room for one more of a lane. Some places are kept for those who are more urgent, since requests to
    /// Cronofy may take long.
    fn has_place(&self, lane: Lane) -> bool {
        let sweeps = self.sweep.working;
        let no_less_urgent = sweeps + self.notified.working;
        let all = no_less_urgent + self.new.working;
        let but = |kept: usize| (self.places - kept).max(1);
        all < self.places
            && match lane {
                Lane::New => true,
                Lane::Notified => no_less_urgent < but(self.places / 8),
                Lane::Sweep => sweeps < but(self.places.div_ceil(4)),
            }
    }

    /// How many of an application's lane may stand aside: with many applications out of budget one of each, since each holds
    /// what it has read.
    fn most_aside(&self) -> usize {
        let aside: usize = [&self.new, &self.notified, &self.sweep].iter().flat_map(|line| line.aside.values()).sum();
        if aside < 2 * self.places { ASIDE } else { 1 }
    }
}

/// Lines that come in turn. Each key stands in the order once.
#[derive(Debug)]
struct Rotation<K, L> {
    order: VecDeque<K>,
    lines: HashMap<K, L>,
}

impl<K, L> Default for Rotation<K, L> {
    fn default() -> Self {
        Self { order: VecDeque::new(), lines: HashMap::new() }
    }
}

/// What may be empty.
trait Drains {
    fn is_empty(&self) -> bool;
}

impl<K, V> Drains for BTreeMap<K, V> {
    fn is_empty(&self) -> bool {
        BTreeMap::is_empty(self)
    }
}

impl<K, L: Drains> Drains for Rotation<K, L> {
    fn is_empty(&self) -> bool {
        self.lines.values().all(Drains::is_empty)
    }
}

impl<K: Clone + Eq + Hash, L: Default + Drains> Rotation<K, L> {
    /// The line of a key.
    fn line(&mut self, key: K) -> &mut L {
        let order = &mut self.order;
        self.lines.entry(key).or_insert_with_key(|key| {
            order.push_back(key.clone());
            L::default()
        })
    }

    /// What is taken from the first line that gives something; that line comes last then.
    fn next<T>(&mut self, mut take: impl FnMut(&K, &mut L) -> Option<T>) -> Option<T> {
        let mut passed = 0;
        while let Some(key) = self.order.get(passed) {
            let Some(line) = self.lines.get_mut(key).filter(|line| !line.is_empty()) else {
                self.lines.remove(key);
                self.order.remove(passed);
                continue;
            };
            let Some(taken) = take(key, line) else {
                passed += 1;
                continue;
            };
            let drained = line.is_empty();
            if let Some(key) = self.order.remove(passed) {
                if drained {
                    self.lines.remove(&key);
                } else {
                    self.order.push_back(key);
                }
            }
            return Some(taken);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        Name::new(name).within("rooms")
    }

    fn claim(lane: Lane, application: &str, account: &str) -> Claim {
        Claim {
            lane,
            application: ApplicationKey { namespace: "rooms".to_owned(), name: application.to_owned() },
            account: Some(AccountKey::ApplicationCalendar(account.to_owned())),
        }
    }

    /// Subscriptions that ask for turns, as the runtime would make them.
    struct Crowd {
        turns: Arc<Turns>,
        call: mpsc::Sender<Name>,
        called: mpsc::Receiver<Name>,
        claims: HashMap<String, Claim>,
    }

    impl Crowd {
        fn new(places: u16) -> Self {
            let turns = Turns::new(places);
            let (call, called) = turns.channel();
            Self { turns, call, called, claims: HashMap::new() }
        }

        fn ask(&mut self, subscription: &str, lane: Lane, application: &str, account: &str) -> Option<Turn> {
            let claim = claim(lane, application, account);
            self.claims.insert(subscription.to_owned(), claim.clone());
            self.turns.take(&name(subscription), claim, &self.call)
        }

        /// Those that are called, who come.
        fn come(&mut self) -> Vec<(String, Turn)> {
            let mut come = Vec::new();
            while let Ok(called) = self.called.try_recv() {
                let turn = self.turns.take(&called, self.claims[&called.name].clone(), &self.call);
                come.push((called.name.clone(), turn.expect("who is called has a turn")));
            }
            come
        }

        /// The order in which those who wait come, one after another.
        fn order(&mut self, first: Turn) -> Vec<String> {
            let (mut turns, mut order) = (vec![first], Vec::new());
            while let Some(turn) = turns.pop() {
                drop(turn);
                for (name, turn) in self.come() {
                    order.push(name);
                    turns.push(turn);
                }
            }
            order
        }

        fn is_empty(&self) -> bool {
            let State { new, notified, sweep, waiting, called, .. } = &*self.turns.state();
            let idle = |line: &Line| line.working == 0 && line.aside.is_empty() && line.waiting.is_empty();
            waiting.is_empty() && called.is_empty() && [new, notified, sweep].into_iter().all(idle)
        }
    }

    #[test]
    fn the_most_urgent_comes_first_then_applications_and_accounts_in_turn() {
        let mut crowd = Crowd::new(1);
        let first = crowd.ask("first", Lane::Sweep, "big", "a").unwrap();
        for (name, lane, application, account) in [
            ("sweep a1", Lane::Sweep, "big", "a"),
            ("sweep a2", Lane::Sweep, "big", "a"),
            ("sweep b1", Lane::Sweep, "big", "b"),
            ("sweep of another", Lane::Sweep, "small", "a"),
            ("notified a1", Lane::Notified, "big", "a"),
            ("notified a2", Lane::Notified, "big", "a"),
            ("notified b1", Lane::Notified, "big", "b"),
            ("new", Lane::New, "big", "a"),
        ] {
            assert!(crowd.ask(name, lane, application, account).is_none(), "{name} waits");
        }
        let order = crowd.order(first);
        let expected = [
            "new",
            "notified a1",
            "notified b1",
            "notified a2",
            "sweep a1",
            "sweep of another",
            "sweep b1",
            "sweep a2",
        ];
        assert_eq!(order, expected);
        assert!(crowd.is_empty());
    }

    #[test]
    fn whoever_becomes_more_urgent_is_moved_and_comes_once() {
        let mut crowd = Crowd::new(1);
        let first = crowd.ask("first", Lane::Sweep, "app", "a").unwrap();
        for name in ["one", "two", "three"] {
            assert!(crowd.ask(name, Lane::Sweep, "app", "a").is_none());
        }
        assert!(crowd.ask("three", Lane::Notified, "app", "a").is_none());
        assert!(crowd.ask("three", Lane::Sweep, "app", "a").is_none(), "it stays as urgent as it was");
        assert_eq!(crowd.order(first), ["three", "one", "two"]);
        assert!(crowd.is_empty());
    }

    #[test]
    fn sweeps_leave_places_to_those_who_are_more_urgent() {
        for (places, sweeps) in [(1, 1), (2, 1), (4, 3), (16, 12), (64, 48)] {
            let mut crowd = Crowd::new(places);
            let mut ask = |lane, most: u16| {
                let asked = 0..most;
                asked
                    .filter_map(|number| crowd.ask(&format!("{lane:?} {number}"), lane, "app", "a"))
                    .collect::<Vec<_>>()
            };
            let sweeping = ask(Lane::Sweep, 100);
            assert_eq!(sweeping.len(), sweeps, "of {places}");
            let urgent = ask(Lane::New, 100);
            assert_eq!(sweeping.len() + urgent.len(), usize::from(places));
        }
    }

    #[tokio::test]
    async fn an_application_that_waits_for_its_budget_holds_up_no_other_and_begins_few() {
        let mut crowd = Crowd::new(2);
        let mut aside = Vec::new();
        let mut due: Vec<_> =
            (0..40).filter_map(|number| crowd.ask(&format!("{number}"), Lane::Sweep, "poor", "a")).collect();
        while let Some(turn) = due.pop() {
            let mut waits = Box::pin(async move { turn.aside(std::future::pending::<()>()).await });
            assert!(poll!(&mut waits).is_pending());
            aside.push(waits);
            due.extend(crowd.come().into_iter().map(|(_, turn)| turn));
        }
        assert_eq!(aside.len(), ASIDE, "no more are begun than are needed");
        for (name, lane, application) in
            [("other", Lane::Sweep, "rich"), ("notified", Lane::Notified, "poor"), ("new", Lane::New, "poor")]
        {
            assert!(crowd.ask(name, lane, application, "b").is_some(), "{name} does not wait");
        }
        let late = crowd.ask("late", Lane::Sweep, "poor", "b");
        assert!(late.is_none());
        assert!(crowd.come().is_empty());
        aside.pop(); // one has ended
        let come = crowd.come();
        assert_eq!(come.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["4"], "and the next one begins");
        drop((aside, come));
        while !crowd.come().is_empty() {}
        assert!(crowd.is_empty());
    }

    #[test]
    fn one_that_is_gone_keeps_nobody_waiting() {
        let mut crowd = Crowd::new(1);
        let first = crowd.ask("first", Lane::Sweep, "app", "a").unwrap();
        for name in ["waits", "called", "last"] {
            assert!(crowd.ask(name, Lane::Sweep, "app", "a").is_none());
        }
        crowd.turns.gone(&name("waits"));
        drop(first);
        assert_eq!(crowd.called.try_recv().unwrap(), name("called"));
        crowd.turns.gone(&name("called"));
        assert_eq!(crowd.come().into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["last"]);
        assert!(crowd.is_empty());
    }

    #[test]
    fn what_a_controller_that_has_ended_is_told_takes_no_place() {
        let mut crowd = Crowd::new(1);
        let first = crowd.ask("first", Lane::Sweep, "app", "a").unwrap();
        let (ended, _) = crowd.turns.channel();
        assert!(crowd.turns.take(&name("nobody"), claim(Lane::New, "app", "a"), &ended).is_none());
        assert!(crowd.ask("last", Lane::Sweep, "app", "a").is_none());
        assert_eq!(crowd.order(first), ["last"]);
        assert!(crowd.is_empty());
    }
}
