//! What an outcome changes in what is known.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::decide::after;
use crate::reading::{self, MOST_BYTES, MOST_EVENTS, MOST_PAGES, Reading};
use crate::{
    Account, ChannelRecord, Desired, EventsRequest, Failure, Failures, Mark, Memory, Mode, NotificationType, Observed,
    Outcome, Output, Purpose, Reason, Record, RemoteChannel, RemoteEvent, Retry, Step, Stored, channel, failure, guard,
    schedule,
};

/// Channels an account may have (documented).
pub const MOST_CHANNELS: usize = 128;
/// How often a read begins anew because a page was gone, before it counts as failed.
const MOST_RESTARTS: u32 = 3;
/// How often a commit is computed anew because the store had changed, before it counts as failed.
const MOST_MOVED_HEADS: u32 = 3;

/// How long a channel that was just made may be missing in a listing.
const LISTING_LAG: Duration = Duration::from_mins(10);
/// How far the stored cursor may stay behind reads that show nothing.
const IDLE_CURSOR: SignedDuration = SignedDuration::from_hours(1);
/// A difference between clocks that nothing depends on.
const CLOCK_TRIFLE: SignedDuration = SignedDuration::from_mins(1);

/// A page of events, as it came.
struct Page {
    events: Vec<RemoteEvent>,
    managed: BTreeSet<String>,
    more: bool,
    server_time: Option<Timestamp>,
}

impl Observed {
    /// What is known at the start of a pass.
    #[must_use]
    pub fn new(record: Record, mark: Mark, memory: Memory, token: bool) -> Self {
        let mut observed = Self { record, mark, memory, token, ..Self::default() };
        observed.absorb_mark();
        observed
    }

    /// Takes in what came of `step`.
    pub fn observe(&mut self, desired: &Desired, step: &Step, outcome: Outcome, now: Timestamp) {
        if step.needs_token() && !matches!(outcome, Outcome::Unauthorized | Outcome::Failed(_)) {
            self.untried_token = false;
        }
        match outcome {
            Outcome::Loaded { stored, output } => self.loaded(stored, output, now),
            Outcome::TokenReady => {
                self.token = true;
                self.untried_token = true;
            }
            Outcome::Account(account) => self.account(account, now),
            Outcome::Channels(channels) => self.channels(channels, now),
            Outcome::ChannelCreated { id } => self.channel_created(desired, step, id, now),
            Outcome::ChannelClosed { id } => self.channel_closed(&id),
            Outcome::Page { events, managed, more, server_time } => {
                self.page(desired, step, Page { events, managed, more, server_time }, now);
            }
            Outcome::Committed { output, changed } => self.committed(desired, step, output, changed, now),
            Outcome::HeadMoved => {
                self.reading = None;
                self.stored = Stored::Unread;
                self.moved_heads = self.moved_heads.saturating_add(1);
                if self.moved_heads > MOST_MOVED_HEADS {
                    self.failed(desired, moved_head(), false, now);
                }
            }
            Outcome::Erased => self.erased(desired, now),
            Outcome::Recorded(mark) => self.recorded(step, mark),
            Outcome::Unauthorized => {
                self.token = false;
                if std::mem::take(&mut self.untried_token) {
                    self.failed(desired, refused_token(), false, now);
                }
            }
            Outcome::NotFound => self.not_found(desired, step, now),
            Outcome::Failed(failure) => self.step_failed(desired, step, failure, now),
        }
    }

    /// The time on Cronofy's clock.
    pub(crate) fn time_at_cronofy(&self, now: Timestamp) -> Timestamp {
        now.checked_add(self.memory.clock_difference).unwrap_or(now)
    }

    /// The time on our clock at which it is `time` at Cronofy.
    pub(crate) fn time_here(&self, time: Timestamp) -> Timestamp {
        time.checked_sub(self.memory.clock_difference).unwrap_or(time)
    }

    /// Whether nothing failed but the channel.
    pub(crate) fn only_channel_failed(&self) -> bool {
        self.record.failures.as_ref().is_some_and(|failures| failures.about_channel)
    }

    /// Whether it was the store that failed last.
    pub(crate) fn store_failed(&self) -> bool {
        self.record.failures.as_ref().is_some_and(|failures| failures.last.reason.is_of_store())
    }

    /// Whether everything was read, but not what is gone, which a delta tells. What is stored says so, so that neither a delta
    /// that fails nor a crash before it leaves that to the next look at the channel.
    pub(crate) fn deletions_unknown(&self) -> bool {
        let incomplete = self.stored.snapshot().filter(|snapshot| !snapshot.complete);
        // Once the account is whole, the next read of everything tells it.
        let keeps = self.record.held.is_some() || !schedule::absence_tells(self.record.account.as_ref());
        keeps && incomplete.is_some_and(|snapshot| self.memory.deletions_known != Some(snapshot.last_full_sync))
    }

    /// Whether the mark asks for something that is not done yet.
    pub(crate) fn mark_open(&self) -> bool {
        self.mark.pending() && self.acted_on != Some(self.mark.sequence)
    }

    /// Whether a person asks for a full sync that has not been made.
    pub(crate) fn asked(&self, desired: &Desired) -> bool {
        desired.request.is_some() && desired.request != self.record.handled_request
    }

    /// Whether the owner demands that the events be erased.
    pub(crate) fn erasure_demanded(&self) -> bool {
        self.mark_open() && self.mark.has(NotificationType::GdprRequested)
    }

    /// Whether the events are to be erased, or are and stay so.
    pub(crate) fn erasing(&self, desired: &Desired) -> bool {
        self.erasure_demanded() || (self.record.erased.is_some() && !self.asked(desired))
    }

    /// The record of a channel that has just been made or adopted.
    pub(crate) fn live_channel(
        &self,
        id: String,
        generation: i64,
        configuration: String,
        now: Timestamp,
    ) -> ChannelRecord {
        ChannelRecord {
            id: Some(id),
            generation,
            // Stays until the channels it replaces are closed, so that a crash in between is made good.
            next: Some(generation),
            configuration: Some(configuration),
            created: Some(now),
            verified: self.record.channel.next_verified.map(|_| now),
            next_verified: None,
            last_notification: self.record.channel.last_notification,
            // Changes may have come before it: they are looked for at once.
            last_check: None,
            suspect: None,
        }
    }

    /// A delivery that arrived proves that Cronofy reaches us; a mark that says no more than that is done with.
    fn absorb_mark(&mut self) {
        if !self.mark_open() || self.erasure_demanded() {
            return;
        }
        if self.record.erased.is_some() {
            self.act_on_mark(); // there is nothing left that it could be about
            return;
        }
        let channel = &mut self.record.channel;
        if channel.id.is_none() {
            return;
        }
        // A late delivery of the channel before tells nothing of this one.
        if self.mark.generation.is_none_or(|generation| generation >= channel.generation) {
            channel.verified = channel.verified.or(self.mark.received);
            channel.suspect = None;
        }
        if self.mark.types.iter().all(|&kind| kind == NotificationType::Verification) {
            self.act_on_mark();
        }
    }

    fn act_on_mark(&mut self) {
        self.acted_on = Some(self.mark.sequence);
        self.unrecorded = true;
        let channel = &mut self.record.channel;
        if channel.next.is_some_and(|next| next > channel.generation && self.mark.generation == Some(next)) {
            channel.next_verified = channel.next_verified.or(self.mark.received);
        }
        if self.mark.received.is_some() {
            channel.last_notification = self.mark.received;
        }
    }

    /// The store knows better than the record, which is behind after a crash between the two. Where the events are others than
    /// those that were written last, it may as well be that the store was restored from a copy and is behind itself.
    fn loaded(&mut self, stored: Stored, output: Option<Output>, now: Timestamp) {
        if let Stored::Present(snapshot) = &stored {
            self.record.last_full_sync = Some(snapshot.last_full_sync);
            self.record.swept_through = Some(snapshot.swept_through);
            let recorded = self.record.output.as_ref();
            // An output of another name is one that is still to be removed: the commit that follows does so.
            let former =
                recorded.is_some_and(|recorded| output.as_ref().is_none_or(|output| output.name != recorded.name));
            // The status keeps what was written last until what may be missing is read, so that a crash does not forget it.
            self.store_differs =
                recorded.zip(output.as_ref()).is_some_and(|(recorded, found)| found.differs_from(recorded));
            if !former && !self.store_differs {
                let hash = |output: &Output| output.content_hash.clone();
                if output.as_ref().map(hash) != recorded.map(hash) {
                    self.record.last_change = Some(now);
                }
                self.record.output = output;
            }
        }
        self.stored = stored;
    }

    fn account(&mut self, account: Account, now: Timestamp) {
        self.account_checked = true;
        self.memory.last_account_check = Some(now);
        self.memory.account_fresh = true;
        self.record.account = Some(account);
        let only_about_profiles = |kind: &NotificationType| match kind {
            NotificationType::ProfileDisconnected | NotificationType::Verification => true,
            NotificationType::Change
            | NotificationType::ProfileInitialSyncCompleted
            | NotificationType::GdprRequested => false,
        };
        if self.mark_open() && self.mark.types.iter().all(only_about_profiles) {
            self.act_on_mark();
        }
    }

    fn channels(&mut self, channels: Vec<RemoteChannel>, now: Timestamp) {
        let present = &mut self.record.channel;
        let listed = channels.iter().any(|channel| Some(&channel.id) == present.id.as_ref());
        // A listing may lag behind a create.
        let settled = present.created.is_none_or(|created| after(schedule::sound(created, now), LISTING_LAG) <= now);
        if present.id.is_some() && !listed && settled {
            // Cronofy has closed it, and tells nobody.
            present.id = None;
            present.verified = None;
            self.unrecorded = true;
        }
        self.channels = Some(channels);
    }

    fn channel_created(&mut self, desired: &Desired, step: &Step, id: String, now: Timestamp) {
        let Step::CreateChannel { callback_url, filter } = step else { return };
        let (Some(base), Some(generation)) = (&desired.callback_base, self.record.channel.next) else { return };
        let configuration = channel::configuration(base, filter);
        self.record.channel = self.live_channel(id.clone(), generation, configuration, now);
        self.unrecorded = true;
        let channels = self.channels.get_or_insert_default();
        let ours = |channel: &RemoteChannel| {
            channel.id != id && channel::generation_of(&channel.callback_url, &desired.uid, generation).is_some()
        };
        if !channels.iter().any(ours) {
            self.record.channel.next = None; // nothing to close: no need to come back for it
        }
        channels.retain(|channel| channel.id != id);
        channels.push(RemoteChannel { id, callback_url: callback_url.clone(), filter: filter.clone() });
        self.absorb_mark();
    }

    fn channel_closed(&mut self, id: &str) {
        if let Some(channels) = &mut self.channels {
            channels.retain(|channel| channel.id != id);
        }
    }

    fn committed(&mut self, desired: &Desired, step: &Step, output: Output, changed: bool, now: Timestamp) {
        let Step::Commit(snapshot) = step else { return };
        self.record.last_full_sync = Some(snapshot.last_full_sync);
        self.record.swept_through = Some(snapshot.swept_through);
        if changed || self.store_differs {
            self.record.last_change = Some(now);
        }
        self.record.output = Some(output);
        self.unrecorded = true;
        // Without a read it was narrowed, and nothing more is known than before.
        let Some(reading) = self.reading.take() else {
            self.stored = Stored::Present(snapshot.clone());
            return;
        };
        let silent = self.silence(desired, &reading, now);
        self.record.held = reading.absence.clone().and_then(|absence| absence.held);
        let before = std::mem::replace(&mut self.stored, Stored::Present(snapshot.clone()));
        self.read_ended(&reading, now);
        if reading.is_full() {
            self.record.handled_request.clone_from(&reading.answers);
            if !matches!(before, Stored::Present(_)) {
                self.memory.deletions_known = Some(snapshot.last_full_sync);
            }
        }
        if silent {
            self.record.channel.suspect = Some(now);
        }
        // The read began after the mark was known, since the mark is only looked at between reads.
        if reading.shows_changes() && !self.deletions_unknown() && self.mark_open() && !self.erasure_demanded() {
            self.act_on_mark();
        }
    }

    /// A page of events. A complete read that shows nothing new where nothing was announced is done with.
    fn page(&mut self, desired: &Desired, step: &Step, page: Page, now: Timestamp) {
        let Step::ReadEvents(request) = step else { return };
        let Page { events, managed, more, server_time } = page;
        self.memory.clock_difference = difference(server_time, now);
        if request.page == 0 && self.restarts < MOST_RESTARTS && self.asks_for_other_dates(desired, request, now) {
            // Asked by a clock that was wrong: what lies beyond would be dropped, or taken for read.
            self.restarts = self.restarts.saturating_add(1);
            self.reading = None;
            return;
        }
        let mut reading = match self.reading.take() {
            Some(reading) if request.page > 0 => reading,
            Some(_) | None => {
                let after_listing = self.channels.is_some();
                Reading::begin(desired, request.clone(), after_listing, server_time, now)
            }
        };
        reading.take(events, managed, desired.visibility);
        if !more {
            reading.absence = Some(guard::judge(desired, self, &reading, now));
        }
        if reading.is_too_large() {
            self.failed(desired, too_large(), false, now);
        } else if more && reading.next_page >= MOST_PAGES {
            self.failed(desired, endless_pages(), false, now);
        } else if !more && self.is_idle_poll(desired, &reading) {
            self.read_ended(&reading, now);
        } else {
            self.reading = Some(reading);
        }
    }

    /// Whether the request is for other dates than it would be by what is known of Cronofy's clock now.
    fn asks_for_other_dates(&self, desired: &Desired, request: &EventsRequest, now: Timestamp) -> bool {
        let swept_through = self.stored.snapshot().map(|snapshot| snapshot.swept_through);
        request.range != reading::range(desired, request.purpose, swept_through, self.time_at_cronofy(now))
    }

    /// Whether a read in a regular course brings nothing that would be worth a write. The cursor follows once an hour.
    fn is_idle_poll(&self, desired: &Desired, reading: &Reading) -> bool {
        let Stored::Present(snapshot) = &self.stored else { return false };
        reading.request.purpose == Purpose::Poll
            && !self.mark_open()
            && self.record.failures.is_none()
            && reading.cursor().duration_since(snapshot.cursor) < IDLE_CURSOR
            && !reading.shows_news(desired, &self.stored)
            && !reading.shows_managed_news(desired, &self.stored)
    }

    /// Whether this read shows a change that should have been announced and was not.
    fn silence(&self, desired: &Desired, reading: &Reading, now: Timestamp) -> bool {
        let unasked = match reading.request.purpose {
            Purpose::Check | Purpose::Poll => true,
            Purpose::Initial | Purpose::Full | Purpose::Delta | Purpose::Sweep => false,
        };
        let channel = &self.record.channel;
        // What changed before the channel was made is announced by nobody.
        let established = channel.created.is_some_and(|created| schedule::sound(created, now) < reading.begins_at());
        unasked
            && desired.mode == Mode::Push
            && established
            && channel.verified.is_some()
            && channel.suspect.is_none()
            && !self.mark_open()
            && !schedule::is_unhealthy(desired, self, now)
            && reading.shows_news(desired, &self.stored)
    }

    fn read_ended(&mut self, reading: &Reading, now: Timestamp) {
        self.memory.last_read = Some(now);
        self.memory.account_fresh = false;
        if reading.shows_changes() {
            self.memory.last_look = Some(now);
            if !reading.is_full() {
                self.memory.deletions_known = self.stored.snapshot().map(|snapshot| snapshot.last_full_sync);
            }
            self.store_differs = false;
        }
        if !self.only_channel_failed() {
            self.record.failures = None;
            self.memory.blocked_on = None;
        }
        if reading.after_listing && reading.shows_changes() && self.record.channel.id.is_some() {
            self.record.channel.last_check = Some(now);
            self.unrecorded = true;
        }
    }

    fn erased(&mut self, desired: &Desired, now: Timestamp) {
        self.output_removed = true;
        if desired.deletion.is_some() {
            return;
        }
        self.stored = Stored::Absent;
        self.reading = None;
        // The channel stops to count before it is closed, as when it is left.
        let channel = self.record.channel.left();
        self.record =
            Record { channel, handled_request: desired.request.clone(), erased: Some(now), ..Record::default() };
        self.act_on_mark();
    }

    fn recorded(&mut self, step: &Step, mark: Mark) {
        let Step::Record(record) = step else { return };
        self.record = record.as_ref().clone();
        self.unrecorded = false;
        self.acted_on = None;
        if mark != self.mark {
            self.mark = mark;
            self.account_checked = false;
        }
        self.absorb_mark();
    }

    fn not_found(&mut self, desired: &Desired, step: &Step, now: Timestamp) {
        match step {
            Step::CloseChannel { id } => self.channel_closed(id),
            Step::CheckAccount => self.account(Account::default(), now),
            Step::ReadEvents(request) if request.page > 0 => {
                self.reading = None;
                self.restarts = self.restarts.saturating_add(1);
                if self.restarts > MOST_RESTARTS {
                    self.failed(desired, vanished_page(), false, now);
                }
            }
            Step::Load
            | Step::RefreshToken
            | Step::ListChannels
            | Step::CreateChannel { .. }
            | Step::ReadEvents(_)
            | Step::Commit(_)
            | Step::Erase
            | Step::Record(_)
            | Step::Wait { .. }
            | Step::Stop(_)
            | Step::Finish => self.failed(desired, not_found(), about_channel(step), now),
        }
    }

    fn step_failed(&mut self, desired: &Desired, step: &Step, failure: Failure, now: Timestamp) {
        let farewell = desired.deletion.is_some() || self.record.erased.is_some();
        match step {
            // Not every kind of account may be asked about itself: events and channels decide.
            Step::CheckAccount if failure.reason == Reason::InsufficientScope => self.account(Account::default(), now),
            Step::RefreshToken | Step::ListChannels | Step::CloseChannel { .. }
                if farewell && failure.retry == Retry::Never =>
            {
                self.leaked = true; // nobody can close it for us any more
            }
            // Whose name it is now, it is not our output: ours is gone.
            Step::Load if farewell && failure.reason == Reason::Conflict => self.loaded(Stored::Absent, None, now),
            // A removal is never given up.
            Step::Erase if failure.retry == Retry::Never => {
                self.failed(desired, Failure { retry: Retry::Backoff, ..failure }, false, now);
            }
            Step::Load => self.failed_for(desired, failure, false, failure::LONGEST_STORE_BACKOFF, now),
            Step::CreateChannel { .. } if self.account_is_full() && tells_of_the_request(failure.reason) => {
                self.failed(desired, channel_limit(), true, now);
            }
            _ => self.failed(desired, failure, about_channel(step) && !farewell, now),
        }
    }

    /// Whether the account has as many channels as it may have: which answer a create gets then is not documented, so whatever it
    /// says means that, a 429 too.
    #[must_use]
    pub fn account_is_full(&self) -> bool {
        self.channels.as_ref().is_some_and(|channels| channels.len() >= MOST_CHANNELS)
    }

    fn failed(&mut self, desired: &Desired, failure: Failure, about_channel: bool, now: Timestamp) {
        self.failed_for(desired, failure, about_channel, failure::LONGEST_BACKOFF, now);
    }

    /// Notes a failure after which it is tried again within `longest`, unless the failure says when.
    fn failed_for(
        &mut self,
        desired: &Desired,
        failure: Failure,
        about_channel: bool,
        longest: Duration,
        now: Timestamp,
    ) {
        self.reading = None; // a read that is not complete changes nothing
        self.memory.account_fresh = false;
        self.channels = None; // what failed may have taken effect
        if failure.reason == Reason::AuthorizationRevoked {
            // What becomes of a channel when the grant ends is not documented, and the next grant may be for another account: with
            // it another channel is made, whether or not the present one is still listed.
            self.record.channel.configuration = None;
        }
        let before = self.record.failures.as_ref().filter(|failures| {
            // A deletion counts its own failures.
            desired.deletion.is_none_or(|deletion| failures.time >= deletion.since)
        });
        let count = before.map_or(0, |failures| failures.count).saturating_add(1);
        let next_retry = match failure.retry {
            Retry::Never => None,
            Retry::After(wait) => {
                let wait = wait.clamp(failure::SHORTEST_WAIT, failure::LONGEST_BACKOFF);
                Some(after(now, wait.saturating_add(failure::spread(&(&desired.uid, count), wait / 10))))
            }
            Retry::Backoff => Some(after(now, failure::backoff(&desired.uid, count, longest))),
        };
        if next_retry.is_none() {
            self.memory.blocked_on = Some(desired.inputs.clone());
        }
        self.record.failures = Some(Failures { count, last: failure, time: now, next_retry, about_channel });
    }
}

/// Whether a failure is Cronofy's answer to what was asked for, not trouble on the way or at Cronofy.
fn tells_of_the_request(reason: Reason) -> bool {
    !matches!(reason, Reason::CronofyUnavailable | Reason::CronofyUnreachable)
}

/// Whether a step is only about the channel: events can be read without it.
fn about_channel(step: &Step) -> bool {
    match step {
        Step::ListChannels | Step::CreateChannel { .. } | Step::CloseChannel { .. } => true,
        Step::Load
        | Step::RefreshToken
        | Step::CheckAccount
        | Step::ReadEvents(_)
        | Step::Commit(_)
        | Step::Erase
        | Step::Record(_)
        | Step::Wait { .. }
        | Step::Stop(_)
        | Step::Finish => false,
    }
}

/// How far Cronofy's clock is ahead of ours; nothing if that may be the way of an answer.
fn difference(server_time: Option<Timestamp>, now: Timestamp) -> SignedDuration {
    let difference = server_time.map_or(SignedDuration::ZERO, |time| time.duration_since(now));
    if difference.abs() > CLOCK_TRIFLE { difference } else { SignedDuration::ZERO }
}

fn failure(reason: Reason, message: &str, retry: Retry) -> Failure {
    Failure { reason, message: message.to_owned(), retry }
}

fn endless_pages() -> Failure {
    let message = "Cronofy's list of events has no end: the read was given up and is tried again";
    failure(Reason::MalformedAnswer, message, Retry::Backoff)
}

fn too_large() -> Failure {
    let megabytes = MOST_BYTES / 1_000_000;
    let message = format!(
        "the read was given up after {MOST_EVENTS} events or {megabytes} MB of their texts: narrow spec.window or \
         spec.calendarIds, or lower spec.visibility; the last complete copy stays"
    );
    failure(Reason::TooLarge, &message, Retry::Backoff)
}

fn moved_head() -> Failure {
    let message = "the output keeps changing while it is written: make sure that nobody else writes it";
    failure(Reason::StoreUnavailable, message, Retry::Backoff)
}

fn refused_token() -> Failure {
    let message =
        "Cronofy refuses a fresh access token (401): it is tried again; if this stays, authorize the account anew";
    failure(Reason::Unauthorized, message, Retry::Backoff)
}

fn vanished_page() -> Failure {
    let message = "pages of events vanish while they are read (404): the read is tried again";
    failure(Reason::NotFound, message, Retry::Backoff)
}

fn not_found() -> Failure {
    let message =
        "Cronofy does not find what is asked for (404): check spec.calendarIds and the application's data centre";
    failure(Reason::NotFound, message, Retry::Backoff)
}

fn channel_limit() -> Failure {
    let message = "the account has 128 channels, as many as Cronofy allows: close some that are not used any more";
    failure(Reason::ChannelLimitReached, message, Retry::Backoff)
}
