//! A driver as the operator's is: looks at the durable state, asks the engine for the one thing to do, does it, tells it what
//! came of it, until the engine rests. One step at a time, so that anything can happen in between.

use std::fmt;

use calendar_sync::{
    Desired, EventsRequest, Mark, Memory, Observed, Outcome, Reason, Record, Retry, Snapshot, Step, channel,
};
use jiff::tz;

use super::World;
use super::faults::{Fault, Refusal, failed};
use super::status::{self, Changed, Status};

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
struct Pass {
    desired: Desired,
    observed: Observed,
    known: Status,
    head: Option<u64>,
    page: Option<u64>,
    /// When the channels were listed in this pass.
    listed: Option<u64>,
    /// The read under way or gathered.
    read: Option<Read>,
}

/// What the world remembers of a read, to judge what is made of it.
#[derive(Clone, Debug)]
pub struct Read {
    pub request: EventsRequest,
    pub began: u64,
    pub complete: bool,
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
    pub fn new(number: usize) -> Self {
        Self { number, ..Self::default() }
    }

    /// The process dies: all that is not durable is lost.
    pub fn crash(&mut self) {
        *self = Self::new(self.number);
    }

    /// Whether the last pass knew of all that is asked for.
    pub fn has_seen(&self, status: &Status) -> bool {
        let (left, mark) = &self.seen;
        status.is_still(left) && status.mark == *mark
    }

    /// All that the driver goes by, without numbers that only tell one run from another: equal sketches in equal worlds go
    /// on alike.
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

    /// Begins a pass if none is under way, and takes one step.
    pub fn step(&mut self, world: &mut World, fault: Option<Fault>) -> Progress {
        let mut pass = self.pass.take().unwrap_or_else(|| {
            let known = world.status.clone();
            let desired = world.desired();
            let token = self.token.is_some();
            let observed = Observed::new(known.record.clone(), known.mark.clone(), self.memory.clone(), token);
            Pass { desired, observed, known, head: None, page: None, listed: None, read: None }
        });
        let step = calendar_sync::next(&pass.desired, &pass.observed, world.now);
        world.audit.count_step(&step);
        let outcome = match &step {
            Step::Finish => {
                world.finish(pass.observed.leaked);
                return Progress::Rested(step);
            }
            Step::Wait { .. } | Step::Stop(_) => {
                let record = pass.observed.record.clone();
                if fault.is_some() || world.write(&mut pass.known, &record, pass.observed.acted_on).is_err() {
                    return Progress::Failed;
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
        pass.observed.observe(&pass.desired, &step, outcome, world.now);
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
            let outcome = Self::perform_in_store(world, pass, step);
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
                self.token = None;
            }
            // The address of a page is used up by the try, as it is in the operator.
            pass.page = None;
            return refusal.outcome();
        }
        if step.needs_token() && !self.token.is_some_and(|token| world.cronofy.accepts(token)) {
            self.token = None;
            pass.page = None;
            return Outcome::Unauthorized;
        }
        let outcome = self.perform_at_cronofy(world, pass, step);
        match fault {
            Some(Fault::AnswerLost) => failed(Reason::CronofyUnreachable, Retry::Backoff),
            Some(Fault::Refused(_)) | None => outcome,
        }
    }

    fn perform_in_store(world: &mut World, pass: &mut Pass, step: &Step) -> Outcome {
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
            step => panic!("not a step of the store: {step:?}"),
        }
    }

    fn commit(world: &mut World, pass: &mut Pass, snapshot: &Snapshot) -> Outcome {
        let read = pass.read.take().expect("a commit follows a read");
        assert!(read.complete, "only a complete read changes anything");
        match world.store.commit(pass.head, snapshot) {
            Some((changed, output, version)) => {
                pass.head = Some(version);
                world.judge_commit(&pass.desired, &read, snapshot);
                Outcome::Committed { output, changed }
            }
            None => Outcome::HeadMoved,
        }
    }

    fn perform_at_cronofy(&mut self, world: &mut World, pass: &mut Pass, step: &Step) -> Outcome {
        match step {
            Step::RefreshToken => {
                self.token = Some(world.cronofy.refresh());
                Outcome::TokenReady
            }
            Step::CheckAccount => Outcome::Account(world.cronofy.account()),
            Step::ListChannels => {
                pass.listed = Some(world.audit.tick());
                Outcome::Channels(world.cronofy.list())
            }
            Step::CreateChannel { callback_url, filter } => {
                let listed = pass.listed.expect("no channel is created without a listing");
                let intended = pass.known.record.channel.next.expect("no channel is created without an intent");
                let base = pass.desired.callback_base.as_deref().unwrap();
                assert_eq!(*callback_url, channel::callback_url(base, &pass.desired.uid, intended));
                world.judge_create(self.number, listed, &pass.known);
                match world.cronofy.create(callback_url, filter) {
                    Some(id) => Outcome::ChannelCreated { id },
                    None => Refusal::Unprocessable.outcome(),
                }
            }
            Step::CloseChannel { id } => {
                if world.cronofy.close(id) {
                    Outcome::ChannelClosed { id: id.clone() }
                } else {
                    Outcome::NotFound
                }
            }
            Step::ReadEvents(request) => Self::read(world, pass, request),
            step => panic!("not a step of Cronofy: {step:?}"),
        }
    }

    fn read(world: &mut World, pass: &mut Pass, request: &EventsRequest) -> Outcome {
        let zone = tz::TimeZone::get(pass.desired.time_zone.name()).unwrap();
        let address = if request.page == 0 { None } else { pass.page.take() };
        let Some((events, next)) = world.cronofy.read(request, &zone, address) else { return Outcome::NotFound };
        if request.page == 0 {
            let began = world.audit.tick();
            pass.read = Some(Read { request: request.clone(), began, complete: false });
        }
        if let Some(read) = &mut pass.read {
            read.complete = next.is_none();
        }
        pass.page = next;
        let clock = world.cronofy.clock(world.now);
        let server_time = jiff::Timestamp::from_second(clock.as_second()).ok();
        let managed = world.cronofy.calendars.entries().filter(|entry| entry.managed);
        Outcome::Page {
            events,
            managed: managed.map(|entry| entry.event.id.clone()).collect(),
            more: next.is_some(),
            server_time: server_time.filter(|_| world.cronofy.switches.tells_time),
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
