//! Whose subscription is worked on next. The runtime starts what is due in no order, and whoever waits for a budget would keep one
//! of its places: a backlog of sweeps would hold up a new subscription before its lane counts, and an application without budget
//! all others. So a subscription takes a turn before its reconcile begins: by lane, applications in turn, accounts in turn.
//!
//! One that has to wait keeps no place of the runtime and no memory but its name: its reconcile ends at once, and the runtime is
//! told of it again when its turn has come. One at work steps aside while it waits for a budget; how many of an application's lane do so
//! is bounded, so that what waits is mostly names.

use std::collections::{BTreeMap, HashMap};
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
use super::rotation::Rotation;
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

#[cfg(test)]
mod tests;
