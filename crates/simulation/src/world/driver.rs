//! A driver as the operator's is: looks at the durable state, asks the engine for the one thing to do, does it, tells it what
//! came of it, until the engine rests. One step at a time, so that anything can happen in between.

use std::collections::BTreeSet;
use std::fmt;

use calendar_sync::{
    Desired, EventsRequest, Mark, Memory, Observed, Outcome, Reason, Record, RemoteEvent, Retry, Snapshot, Step,
    channel,
};

use super::World;
use super::faults::{Fault, Refusal, failed};
use super::status::{self, Changed, Status};
use super::store::Commit;

/// A process that reconciles the subscription. Nothing in it is durable.
#[derive(Clone, Debug, Default)]
pub struct Driver {
    number: usize,
    token: Option<u64>,
    memory: Memory,
    pass: Option<Pass>,
    /// The status that the last pass left, and the mark that it knew of: a watch tells of all that came since.
    seen: (Status, Mark),
}

/// One reconcile.
#[derive(Clone, Debug)]
pub struct Pass {
    /// What the spec says, as of its begin.
    pub desired: Desired,
    /// What the engine knows.
    pub observed: Observed,
    known: Status,
    head: Option<u64>,
    page: Option<u64>,
    /// When the channels were listed in this pass.
    listed: Option<u64>,
    /// The read under way or gathered.
    pub read: Option<Read>,
}

/// What the world remembers of a read, to judge what is made of it.
#[derive(Clone, Debug)]
pub struct Read {
    /// The request of its first page.
    pub request: EventsRequest,
    /// When it began.
    pub began: u64,
    /// Whether the last page was read.
    pub complete: bool,
    /// What it showed.
    pub shown: BTreeSet<String>,
}

/// What a driver's step came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// There is more to do.
    Going,
    /// The pass has ended at this step.
    Rested(Step),
    /// The pass was given up, and begins anew.
    Failed,
}

impl Driver {
    /// A process that has just started.
    #[must_use]
    pub fn new(number: usize) -> Self {
        Self { number, ..Self::default() }
    }

    /// The process dies: all that is not durable is lost.
    pub fn crash(&mut self) {
        *self = Self::new(self.number);
    }

    /// Whether the last pass knew of all that is asked for.
    #[must_use]
    pub fn has_seen(&self, status: &Status) -> bool {
        let (left, mark) = &self.seen;
        status.is_still(left) && status.mark == *mark
    }

    /// Whether Cronofy takes the access token that is at hand.
    #[must_use]
    pub fn has_good_token(&self, world: &World) -> bool {
        self.token.is_some_and(|token| world.cronofy.accepts(token))
    }

    /// Whether a pass is under way.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        self.pass.is_some()
    }

    /// All that the driver goes by, without numbers that only tell one run from another: equal sketches in equal worlds go
    /// on alike.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn sketch(&self, world: &World, to: &mut impl fmt::Write) -> fmt::Result {
        let Driver { number: _, token, memory, pass, seen } = self;
        let accepted = token.map(|token| world.cronofy.accepts(token));
        write!(to, "{accepted:?} {memory:?} {} {:?}", world.status.is_still(&seen.0), seen.1)?;
        if let Some(Pass { desired, observed, known, head, page, listed, read }) = pass {
            let page = page.map(|address| world.cronofy.page(address));
            let read = read.as_ref().map(|read| (&read.request, read.complete, world.audit.is_after_mark(read.began)));
            let (current, on_top) = (world.status.is_still(known), *head == world.store.version());
            let listed = listed.map(|listed| world.audit.is_after_creates(listed));
            write!(to, "{} {observed:?} {current} {on_top} {page:?} {listed:?} {read:?}", desired.inputs)?;
        }
        Ok(())
    }

    /// Begins a pass if none is under way, and takes one step, with what `strikes` it.
    pub fn step(&mut self, world: &mut World, strikes: &mut dyn FnMut(&Step, &Pass) -> Option<Fault>) -> Progress {
        let mut pass = self.pass.take().unwrap_or_else(|| {
            let known = world.status.clone();
            let desired = world.desired();
            let desired = match world.bug {
                Some(bug) => bug.wants(desired),
                None => desired,
            };
            let token = self.token.is_some();
            let observed = Observed::new(known.record.clone(), known.mark.clone(), self.memory.clone(), token);
            Pass { desired, observed, known, head: None, page: None, listed: None, read: None }
        });
        let bug = world.bug;
        if let Some(bug) = bug {
            bug.before(&mut pass, world.now);
        }
        let step = calendar_sync::next(&pass.desired, &pass.observed, world.now);
        let step = match bug {
            Some(bug) => bug.instead_of(step, &pass, world.now),
            None => step,
        };
        world.took(self.number, &step);
        let fault = strikes(&step, &pass);
        let mut outcome = match &step {
            Step::Finish => {
                world.finish(pass.observed.leaked);
                return Progress::Rested(step);
            }
            Step::Wait { .. } | Step::Stop(_) => {
                let record = pass.observed.record.clone();
                if fault.is_some() || world.write(&mut pass.known, &record, pass.observed.acted_on).is_err() {
                    return Progress::Failed;
                }
                if matches!(step, Step::Wait { .. }) {
                    world.judge_listed(pass.listed);
                }
                self.memory = pass.observed.memory;
                let mark = status::cleared(&pass.observed.mark, pass.observed.acted_on);
                self.seen = (pass.known, mark);
                return Progress::Rested(step);
            }
            Step::Record(record) => match Self::record(world, &mut pass, record, fault) {
                Some(outcome) => outcome,
                None => return Progress::Failed,
            },
            step => self.perform(world, &mut pass, step, fault),
        };
        if let Some(bug) = bug {
            bug.answered(&mut pass, &step, &mut outcome, world);
        }
        pass.observed.observe(&pass.desired, &step, outcome, world.now);
        if let Some(bug) = bug {
            bug.after(&mut pass, world.now);
        }
        self.pass = Some(pass);
        Progress::Going
    }

    fn record(world: &mut World, pass: &mut Pass, record: &Record, fault: Option<Fault>) -> Option<Outcome> {
        if matches!(fault, Some(Fault::Refused(_))) {
            return None;
        }
        pass.observed.record = record.clone();
        let written = world.write(&mut pass.known, record, pass.observed.acted_on);
        match (written, fault) {
            (Ok(()), None) => Some(Outcome::Recorded(pass.known.mark.clone())),
            (Ok(()), Some(_)) | (Err(Changed), _) => None,
        }
    }

    fn perform(&mut self, world: &mut World, pass: &mut Pass, step: &Step, fault: Option<Fault>) -> Outcome {
        let refused = match fault {
            Some(Fault::Refused(refusal)) => refusal.applies_to(step).then_some(refusal),
            Some(Fault::AnswerLost) | None => None,
        };
        let remote = step.needs_token() || *step == Step::RefreshToken;
        if !remote {
            if refused.is_some() {
                return failed(Reason::StoreUnavailable, Retry::Backoff);
            }
            let outcome = self.effect(world, pass, step);
            return match fault {
                Some(Fault::AnswerLost) => failed(Reason::StoreUnavailable, Retry::Backoff),
                Some(Fault::Refused(_)) | None => outcome,
            };
        }
        if let Step::ReadEvents(EventsRequest { page: 1.., .. }) = step
            && pass.page.is_none()
        {
            return Outcome::NotFound; // the address is lost: no request is sent
        }
        world.cronofy.requests += 1;
        if let Some(refusal) = world.cronofy.refusing.filter(|refusal| refusal.applies_to(step)).or(refused) {
            if refusal == Refusal::Unauthorized {
                // The page is asked for once more with another token.
                self.token = None;
            } else {
                pass.page = None;
            }
            return refusal.outcome();
        }
        if step.needs_token() && !self.token.is_some_and(|token| world.cronofy.accepts(token)) {
            self.token = None;
            return Outcome::Unauthorized;
        }
        if *step == Step::RefreshToken && fault == Some(Fault::AnswerLost) {
            // The operator stores a returned refresh token before anything else, but this one never reaches it: whether the
            // one that it has is dead now is not documented (`Switches::grace`).
            world.cronofy.refresh(world.status.grant);
            return failed(Reason::CronofyUnreachable, Retry::Backoff);
        }
        let outcome = self.effect(world, pass, step);
        match fault {
            Some(Fault::AnswerLost) => {
                pass.page = None;
                failed(Reason::CronofyUnreachable, Retry::Backoff)
            }
            Some(Fault::Refused(_)) | None => outcome,
        }
    }

    fn effect(&mut self, world: &mut World, pass: &mut Pass, step: &Step) -> Outcome {
        match step {
            Step::Load => {
                let (stored, output, version) = world.store.head();
                pass.head = version;
                Outcome::Loaded { stored, output }
            }
            Step::Commit(snapshot) => Self::commit(world, pass, snapshot),
            Step::Erase => {
                world.store.erase();
                Outcome::Erased
            }
            Step::RefreshToken => match world.cronofy.refresh(world.status.grant) {
                Some((access, refresh)) => {
                    // Stored before the access token is used.
                    world.status.grant = refresh;
                    self.token = Some(access);
                    Outcome::TokenReady
                }
                None => Refusal::InvalidGrant.outcome(),
            },
            Step::CheckAccount => Outcome::Account(world.cronofy.account()),
            Step::ListChannels => {
                let channels = world.cronofy.list(world.now);
                pass.listed = Some(world.note_listing(&channels));
                Outcome::Channels(channels)
            }
            Step::CreateChannel { callback_url, filter } => {
                world.judge_create(self.number, pass.listed, &pass.known, &pass.desired, callback_url);
                match world.cronofy.create(callback_url, filter, world.now) {
                    Some(id) => Outcome::ChannelCreated { id },
                    None => Refusal::Unprocessable.outcome(),
                }
            }
            Step::CloseChannel { id } => {
                world.judge_close(&pass.desired, id);
                if world.cronofy.close(id, world.now) {
                    Outcome::ChannelClosed { id: id.clone() }
                } else {
                    Outcome::NotFound
                }
            }
            Step::ReadEvents(request) => Self::read(world, pass, request),
            Step::Record(_) | Step::Wait { .. } | Step::Stop(_) | Step::Finish => {
                world.must(false, || format!("not a step with an effect: {step:?}"));
                failed(Reason::NotSupported, Retry::Never)
            }
        }
    }

    fn commit(world: &mut World, pass: &mut Pass, snapshot: &Snapshot) -> Outcome {
        let read = pass.read.take();
        world.must(read.as_ref().is_none_or(|read| read.complete), || {
            "only a complete read changes anything".to_owned()
        });
        match world.store.commit(pass.head, snapshot) {
            Some(Commit { before, changed, output, version }) => {
                pass.head = Some(version);
                world.judge_commit(&pass.desired, read.as_ref(), before.as_ref(), snapshot);
                Outcome::Committed { output, changed }
            }
            None => Outcome::HeadMoved,
        }
    }

    fn read(world: &mut World, pass: &mut Pass, request: &EventsRequest) -> Outcome {
        let address = if request.page == 0 { None } else { pass.page.take() };
        let zone = &pass.desired.time_zone;
        let Some(page) = world.cronofy.read(request, zone, address, world.now) else { return Outcome::NotFound };
        if request.page == 0 {
            let began = world.audit.tick();
            pass.read = Some(Read { request: request.clone(), began, complete: false, shown: BTreeSet::new() });
        }
        if let Some(read) = &mut pass.read {
            read.complete = page.next.is_none();
            read.shown.extend(page.events.iter().map(|event| match event {
                RemoteEvent::Present(event) => event.id.clone(),
                RemoteEvent::Deleted { id, .. } => id.clone(),
            }));
        }
        pass.page = page.next;
        let clock = world.cronofy.clock(world.now);
        let server_time = jiff::Timestamp::from_second(clock.as_second()).ok();
        Outcome::Page {
            events: page.events,
            managed: page.managed,
            more: page.next.is_some(),
            server_time: server_time.filter(|_| world.cronofy.switches.tells_time),
        }
    }
}

/// The callback URL that may be created now, if any: that of the intent which is written down.
pub(super) fn intended_url(known: &Status, desired: &Desired) -> Option<String> {
    let generation = known.record.channel.next?;
    Some(channel::callback_url(desired.callback_base.as_deref()?, &desired.uid, generation))
}

impl Pass {
    /// Whether the step leaves the process, so that something can go wrong on its way: a rest that has nothing to write does
    /// not.
    #[must_use]
    pub fn leaves(&self, step: &Step) -> bool {
        match step {
            Step::Wait { .. } | Step::Stop(_) => self.known.differs(&self.observed.record, self.observed.acted_on),
            Step::ReadEvents(EventsRequest { page: 1.., .. }) => self.page.is_some(),
            Step::Load
            | Step::RefreshToken
            | Step::CheckAccount
            | Step::ListChannels
            | Step::CreateChannel { .. }
            | Step::CloseChannel { .. }
            | Step::ReadEvents(_)
            | Step::Commit(_)
            | Step::Erase
            | Step::Record(_) => true,
            Step::Finish => false,
        }
    }
}

impl Fault {
    /// Whether it can strike that step.
    #[must_use]
    pub fn applies_to(self, step: &Step, pass: &Pass) -> bool {
        pass.leaves(step)
            && match self {
                Fault::Refused(refusal) => refusal.applies_to(step),
                Fault::AnswerLost => true,
            }
    }
}

impl Refusal {
    /// Whether that step can be answered like this.
    fn applies_to(self, step: &Step) -> bool {
        match self {
            Refusal::Unavailable | Refusal::Timeout => true,
            Refusal::InvalidGrant => *step == Step::RefreshToken,
            Refusal::PageGone => matches!(step, Step::ReadEvents(EventsRequest { page: 1.., .. })),
            Refusal::RateLimited(_) => step.needs_token() || *step == Step::RefreshToken,
            Refusal::Unauthorized | Refusal::PlanRequired | Refusal::Forbidden | Refusal::Unprocessable => {
                step.needs_token()
            }
        }
    }
}
