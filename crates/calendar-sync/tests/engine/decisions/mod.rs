//! Each decision of the engine, in small cases: what is known, the step that follows, what comes of it.

mod channels;
mod content;
mod failures;
mod farewell;
mod health;
mod mass_deletion;
mod notifications;
mod reads;
mod schedule;
mod sweeps;
mod tokens;

use std::collections::BTreeSet;
use std::time::Duration;

use calendar_sync::{
    Account, ChannelFilter, ChannelRecord, DateRange, Deletion, Desired, Event, EventTime, EventsRequest, Failure,
    Filter, Intervals, LONGEST_BACKOFF, Mark, Memory, Mode, NotificationType, Observed, Outcome, Output, Profile,
    Purpose, Reason, Record, RemoteChannel, RemoteEvent, Retry, Snapshot, Step, Stored, TimeZone, Visibility, Why,
    Window, channel,
};
use jiff::Timestamp;

pub const NOW: &str = "2026-11-20T12:00:00Z";
pub const BASE: &str = "https://calendars.example.org";
pub const UID: &str = "6f1c2f0e-0000-4000-8000-000000000001";

/// A healthy subscription at noon, in a pass that is played by hand. Built up by `with_…`, then asked and answered.
#[derive(Clone)]
pub struct Case {
    pub desired: Desired,
    pub observed: Observed,
    pub now: Timestamp,
}

impl Case {
    /// Nothing exists yet.
    pub fn new() -> Self {
        Self::of(desired(), Record::default(), Mark::default(), Memory::default())
    }

    /// A channel is live, the account connected, the events `stored` as of an hour ago.
    pub fn settled() -> Self {
        Self::of(desired(), settled(), Mark::default(), Memory::default())
    }

    pub fn of(desired: Desired, record: Record, mark: Mark, memory: Memory) -> Self {
        Self { desired, observed: Observed::new(record, mark, memory, true), now: at(NOW) }
    }

    /// Another pass with what is durable of this one.
    pub fn again(&self) -> Self {
        let Observed { record, mark, memory, token, .. } = self.observed.clone();
        Self { observed: Observed::new(record, mark, memory, token), ..self.clone() }
    }

    pub fn marked(self, kinds: &[NotificationType]) -> Self {
        let mark = mark(kinds);
        Self { observed: Observed::new(self.observed.record, mark, self.observed.memory, true), ..self }
    }

    pub fn desiring(mut self, change: impl FnOnce(&mut Desired)) -> Self {
        change(&mut self.desired);
        self
    }

    pub fn recorded(mut self, change: impl FnOnce(&mut Record)) -> Self {
        change(&mut self.observed.record);
        self
    }

    pub fn next(&self) -> Step {
        calendar_sync::next(&self.desired, &self.observed, self.now)
    }

    /// Answers the step that is next.
    pub fn answer(&mut self, outcome: Outcome) -> &mut Self {
        let step = self.next();
        self.observed.observe(&self.desired, &step, outcome, self.now);
        self
    }

    /// Answers `Record` as a driver does that no mark came in between.
    pub fn write(&mut self) -> &mut Self {
        assert!(matches!(self.next(), Step::Record(_)), "{:?}", self.next());
        let mark = self.cleared_mark();
        self.answer(Outcome::Recorded(mark))
    }

    /// The mark after a write of the status: cleared if it was acted on.
    pub fn cleared_mark(&self) -> Mark {
        let mark = self.observed.mark.clone();
        if self.observed.acted_on == Some(mark.sequence) {
            Mark { sequence: mark.sequence, ..Mark::default() }
        } else {
            mark
        }
    }

    pub fn load(&mut self, stored: Stored) -> &mut Self {
        assert_eq!(self.next(), Step::Load);
        let output = self.observed.record.output.clone();
        self.answer(Outcome::Loaded { stored, output })
    }

    /// Looks at the account, where that comes first: it is as it is known to be.
    pub fn look(&mut self) -> &mut Self {
        if self.next() == Step::CheckAccount {
            let known = self.observed.record.account.clone().unwrap_or_default();
            self.answer(Outcome::Account(known));
        }
        self
    }

    pub fn page(&mut self, events: Vec<RemoteEvent>, more: bool) -> &mut Self {
        let server_time = Some(self.now);
        self.answer(Outcome::Page { events, managed: BTreeSet::new(), more, server_time })
    }

    pub fn commit(&mut self) -> &mut Self {
        self.answer(Outcome::Committed { output: Output::default(), changed: true })
    }

    pub fn fail(&mut self, reason: Reason, retry: Retry) -> &mut Self {
        self.answer(failed(reason, retry))
    }

    pub fn reads(&self) -> EventsRequest {
        match self.next() {
            Step::ReadEvents(request) => request,
            step => panic!("reads no events, but: {step:?}"),
        }
    }

    pub fn commits(&self) -> Snapshot {
        match self.next() {
            Step::Commit(snapshot) => *snapshot,
            step => panic!("commits nothing, but: {step:?}"),
        }
    }

    pub fn records(&self) -> Record {
        match self.next() {
            Step::Record(record) => *record,
            step => panic!("records nothing, but: {step:?}"),
        }
    }

    /// Whether nothing is left to do but the regular work, later.
    pub fn rests(&self) -> bool {
        match self.next() {
            Step::Wait { until, why } => {
                let regular = match why {
                    Why::FullSync
                    | Why::HorizonSweep
                    | Why::ChannelCheck
                    | Why::ChannelRenewal
                    | Why::Verification
                    | Why::Poll
                    | Why::FallbackPoll => true,
                    Why::Confirmation | Why::AccountCheck | Why::Delta | Why::Retry | Why::Suspended => false,
                };
                regular && until.is_some_and(|until| until > self.now)
            }
            _ => false,
        }
    }

    /// Reads what is asked for, which shows nothing, to the end.
    pub fn read_nothing(&mut self) -> &mut Self {
        self.page(Vec::new(), false);
        if matches!(self.next(), Step::Commit(_)) {
            self.commit();
        }
        if matches!(self.next(), Step::Record(_)) {
            self.write();
        }
        self
    }

    /// Until when it waits for a retry.
    pub fn retry_at(&self) -> Timestamp {
        self.observed.record.failures.as_ref().and_then(|failures| failures.next_retry).unwrap()
    }
}

/// With a channel for the present filter.
pub fn announced(mut case: Case) -> Case {
    while !matches!(case.next(), Step::ReadEvents(_)) {
        match case.next() {
            Step::Record(_) => case.write(),
            Step::ListChannels => case.answer(Outcome::Channels(vec![remote_channel("chn_1", 1)])),
            Step::CreateChannel { .. } => case.answer(Outcome::ChannelCreated { id: "chn_2".to_owned() }),
            Step::CloseChannel { id } => case.answer(Outcome::ChannelClosed { id }),
            step => panic!("{step:?}"),
        };
    }
    case
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn dates(from: &str, to: &str) -> DateRange {
    DateRange { from: from.parse().unwrap(), to: to.parse().unwrap() }
}

pub fn desired() -> Desired {
    Desired {
        uid: UID.to_owned(),
        filter: Filter::default(),
        time_zone: TimeZone::utc(),
        window: Window::default(),
        mode: Mode::Push,
        intervals: Intervals::default(),
        visibility: Visibility::Full,
        suspended: false,
        callback_base: Some(BASE.to_owned()),
        request: None,
        inputs: "as they are".to_owned(),
        deletion: None,
    }
}

pub fn settled() -> Record {
    let configuration = channel::configuration(BASE, &ChannelFilter::default());
    Record {
        channel: ChannelRecord {
            id: Some("chn_1".to_owned()),
            generation: 1,
            configuration: Some(configuration),
            created: Some(at("2026-11-10T12:00:00Z")),
            verified: Some(at("2026-11-10T12:00:01Z")),
            last_check: Some(at("2026-11-20T11:00:00Z")),
            ..ChannelRecord::default()
        },
        account: Some(account(true, false)),
        last_full_sync: Some(at("2026-11-20T11:00:00Z")),
        ..Record::default()
    }
}

pub fn account(connected: bool, initial_sync_required: bool) -> Account {
    let profile = Profile { id: "pro_1".to_owned(), connected, initial_sync_required, ..Profile::default() };
    Account { id: Some("acc_1".to_owned()), profiles: vec![profile] }
}

pub fn stored(events: &[Event]) -> Stored {
    Stored::Present(Box::new(snapshot(events)))
}

pub fn snapshot(events: &[Event]) -> Snapshot {
    Snapshot {
        cursor: at("2026-11-20T10:58:00Z"),
        fingerprint: desired().content_fingerprint(),
        visibility: desired().visibility,
        last_full_sync: at("2026-11-20T11:00:00Z"),
        complete: true,
        swept_through: "2027-06-09".parse().unwrap(),
        events: events.iter().map(|event| (event.id.clone(), event.clone())).collect(),
    }
}

/// An event from `start` to `end`, both instants or both dates.
pub fn event(id: &str, start: &str, end: &str) -> Event {
    let time = |text: &str| match text.parse() {
        Ok(instant) => EventTime::Instant(instant),
        Err(_) => EventTime::Date(text.parse().unwrap()),
    };
    Event {
        id: id.to_owned(),
        calendar_id: "cal_1".to_owned(),
        start: time(start),
        end: time(end),
        all_day: time(start).is_date(),
        time_zone: None,
        summary: Some("Off-site".to_owned()),
        status: None,
        transparency: None,
        participation: None,
        recurring: None,
        series: None,
        location: None,
        description: None,
        organizer: None,
        attendees: Vec::new(),
        meeting_url: None,
        updated: None,
    }
}

pub fn soon(id: &str) -> Event {
    event(id, "2026-11-25T09:00:00Z", "2026-11-25T10:00:00Z")
}

pub fn present(event: Event) -> RemoteEvent {
    RemoteEvent::Present(Box::new(event))
}

pub fn mark(kinds: &[NotificationType]) -> Mark {
    let changed = kinds.contains(&NotificationType::Change);
    Mark {
        sequence: 7,
        received: Some(at("2026-11-20T11:59:30Z")),
        changes_since: changed.then(|| at("2026-11-20T11:59:00Z")),
        types: kinds.iter().copied().collect(),
        generation: None,
    }
}

pub fn remote_channel(id: &str, generation: i64) -> RemoteChannel {
    let callback_url = channel::callback_url(BASE, UID, generation);
    RemoteChannel { id: id.to_owned(), callback_url, filter: ChannelFilter::default() }
}

pub fn failure(reason: Reason, retry: Retry) -> Failure {
    Failure { reason, message: "why, and what to do".to_owned(), retry }
}

pub fn failed(reason: Reason, retry: Retry) -> Outcome {
    Outcome::Failed(failure(reason, retry))
}
