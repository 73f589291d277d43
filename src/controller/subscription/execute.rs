//! Steps 3 and 4 of a reconcile: ask the engine for the one thing to do, do it, tell it what came of it, until it rests.
//! Only this file performs the engine's steps.

use std::collections::HashSet;
use std::convert::identity;
use std::sync::Arc;
use std::time::Instant;

use calendar_sync::{Desired, EventsRequest, Observed, Outcome, Purpose, Record, Snapshot, Step, Stored};
use cronofy::secrecy::SecretString;
use cronofy::{Answer, Endpoint, NewChannel, PageUrl};
use jiff::{SignedDuration, Timestamp};
use kube::Api;
use tracing::Instrument as _;

use super::dereference::Dereferenced;
use super::outputs::{self, NoPlace, Place};
use super::tally::tally;
use super::verdict::{About, Refusal, Verdict};
use super::{Error, narrow, status, transitions, translate, urgency};
use crate::api::{CalendarSubscription, CalendarSubscriptionStatus, StoreKind};
use crate::controller::accounts::{self, Grant};
use crate::controller::budget::{Budget, Lane, Limits};
use crate::controller::context::{Context, Remembered};
use crate::controller::failure;
use crate::controller::turns::Turn;
use crate::metrics::{self, ChannelOperation, SkipReason, StoreType, StoredPart};
use crate::store::{Committed, EventStore as _, Head, StoreError};
use crate::traces::{self, TraceParent};

/// Steps of one reconcile. A read of the largest account takes one a page; more than this is a defect, and the reconcile
/// begins anew after a while instead of spinning.
const MOST_STEPS: usize = 10_000;

/// Before the next try to remove old slices.
const TIDY_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// Everything that steps are performed with.
pub struct Driver<'a> {
    /// What reconciles share.
    pub context: &'a Arc<Context>,
    /// The turn that the subscription has.
    pub turn: &'a Turn,
    /// The subscriptions of the namespace.
    pub api: &'a Api<CalendarSubscription>,
    /// What is wanted.
    pub desired: &'a Desired,
    /// The object as of the last read or write.
    pub object: CalendarSubscription,
    /// Cronofy.
    pub cronofy: cronofy::Client,
    /// The application's request budget.
    pub budget: Arc<Budget>,
    /// Whose tokens are used.
    pub grant: Grant,
    /// Where the events are written.
    pub place: Place,
}

/// What a reconcile carries from step to step.
struct Pass {
    observed: Observed,
    /// Whose turn its requests are, reads aside.
    lane: Lane,
    token: Option<SecretString>,
    head: Option<Head>,
    page: Option<PageUrl>,
    /// The pages that this read was led to.
    pages: HashSet<PageUrl>,
    purpose: Option<Purpose>,
    skipped: usize,
    /// The status does not speak of this spec and this output yet: there may be an output of another name.
    unsettled: bool,
    /// When the store is to be tidied up, as of the last look at it.
    tidy: Option<Timestamp>,
    /// The notification whose trace this is, or the last one that came since.
    origin: Option<TraceParent>,
}

impl<'a> Driver<'a> {
    /// What it takes to reconcile `object`.
    pub fn new(
        context: &'a Arc<Context>,
        turn: &'a Turn,
        api: &'a Api<CalendarSubscription>,
        found: &Dereferenced,
        desired: &'a Desired,
        object: CalendarSubscription,
    ) -> Result<Self, Refusal> {
        let refusal = |reason, message| Refusal { reason, message, about: About::Spec, stalled: true };
        let place = Place::wanted(context, &object).map_err(|error| match error {
            NoPlace::Remote(none) => refusal("NotSupported", none.to_string()),
            NoPlace::Name(invalid) => refusal("InvalidSpec", invalid.to_string()),
        })?;
        let cronofy = context.cronofy(&found.api).map_err(|error| Refusal {
            about: About::Credentials,
            ..refusal("InvalidEndpoint", format!("spec.endpoint of the CronofyApplication cannot be used: {error}"))
        })?;
        let budget = context.budgets.of(&found.key, Limits::of(&found.application));
        Ok(Self { context, turn, api, desired, object, cronofy, budget, grant: found.grant.clone(), place })
    }

    /// Performs steps until the engine rests. Gives the step it rests at, and what is known then.
    ///
    /// Where people `asked` for something else than at the last time, that is their answer to a failure: it is tried at once,
    /// whatever wait the failure set.
    pub async fn run(mut self, remembered: &Remembered, asked: &str) -> Result<(Step, Observed), Error> {
        let before = self.object.status.clone().unwrap_or_default();
        let token = self.context.accounts.cached(&self.grant);
        let mut record = status::record(&before);
        let answered = remembered.asked.as_ref().is_some_and(|before| before != asked);
        if answered && let Some(failures) = &mut record.failures {
            failures.next_retry = failures.next_retry.map(|retry| retry.min(Timestamp::now()));
        }
        let observed = Observed::new(record, status::mark(&before), remembered.memory.clone(), token.is_some());
        let settled = observed.record.output.as_ref().is_some_and(|output| self.place.is_of(output));
        let unsettled = before.observed_generation != self.object.metadata.generation || !settled;
        let mut pass = Pass {
            observed,
            lane: urgency::lane(&self.object),
            token,
            head: None,
            page: None,
            pages: HashSet::new(),
            purpose: None,
            skipped: 0,
            unsettled,
            tidy: remembered.tidy,
            origin: traces::origin(&self.object),
        };
        for _ in 0..MOST_STEPS {
            let step = calendar_sync::next(self.desired, &pass.observed, Timestamp::now());
            let span = traces::step(&step);
            let outcome = match &step {
                Step::Finish => return Ok((step, pass.observed)), // the object goes: nobody reads its status
                Step::Wait { .. } | Step::Stop(_) => {
                    let rest = async {
                        self.settle().await?;
                        self.write_status(&pass.observed, Some(&step)).await?;
                        self.tidy(&pass).await;
                        Ok::<_, Error>(())
                    };
                    rest.instrument(span).await?;
                    return Ok((step, pass.observed));
                }
                Step::Record(record) => self.record(&mut pass, record).instrument(span).await?,
                step => self.perform(&mut pass, step).instrument(span).await?,
            };
            pass.origin = traces::also_for_what_came(pass.origin, &self.object);
            tally(&self.context.metrics, &step, &outcome, pass.purpose);
            pass.observed.observe(self.desired, &step, outcome, Timestamp::now());
        }
        Err(Error::Endless)
    }

    /// Writes the engine's record down, and clears the mark that was acted on.
    async fn record(&mut self, pass: &mut Pass, record: &Record) -> Result<Outcome, Error> {
        let known = pass.observed.record.channel.id.clone();
        if record.channel.id.is_some() && record.channel.id != known {
            self.context.metrics.channel_operation(ChannelOperation::Adopt, metrics::Outcome::Success);
        }
        pass.observed.record = record.clone();
        self.write_status(&pass.observed, None).await?;
        Ok(Outcome::Recorded(status::mark(&self.object.status.clone().unwrap_or_default())))
    }

    /// Writes the status if it differs, and tells of the transition by Events.
    async fn write_status(&mut self, observed: &Observed, resting: Option<&Step>) -> Result<(), Error> {
        let generation = self.object.metadata.generation;
        let (desired, source) = (self.desired, self.grant.source());
        let now = Timestamp::now();
        let before = self.object.status.clone().unwrap_or_default();
        let written = status::write(self.api, self.object.clone(), observed.acted_on, |before| {
            let verdict = Verdict::Engine { desired, observed, resting, now };
            let source = Some(source.clone());
            CalendarSubscriptionStatus { account_source: source, ..status::compose(before, generation, &verdict) }
        });
        let (object, changed) = written.await?;
        if changed {
            // The first delivery through a new channel may be faster than the watch.
            self.context.routes.advance(&object);
            let after = object.status.clone().unwrap_or_default();
            self.context.events.publish(&object, transitions::between(&before, &after)).await;
        }
        self.object = object;
        Ok(())
    }

    /// Performs one step outside. Whatever goes wrong there is an outcome, too.
    async fn perform(&mut self, pass: &mut Pass, step: &Step) -> Result<Outcome, Error> {
        let lane = pass.lane;
        Ok(match step {
            Step::Load => {
                let loaded = self.load(pass).await;
                let present = pass.head.as_ref().is_some_and(|head| head.output.is_some());
                match (pass.unsettled, present) {
                    (false, _) => loaded,
                    (true, true) => self.without_others(&pass.observed, loaded).await?,
                    // Where there is none yet, a former one stays until the first commit, with what is still allowed of it.
                    (true, false) => self.narrowed(loaded).await,
                }
            }
            Step::Commit(snapshot) => self.commit(pass, snapshot).await?,
            Step::Erase => match outputs::end(self.context, &self.object, false).await {
                Ok(()) => {
                    self.note_others(Vec::new()).await?;
                    Outcome::Erased
                }
                Err(error) => Outcome::Failed(error.failure()),
            },
            Step::RefreshToken => self.refresh_token(pass).await,
            Step::CheckAccount => {
                let call =
                    self.call(pass, lane, Endpoint::UserInfo, async |client, token| client.userinfo(token).await);
                call.await.map_or_else(identity, |answer| Outcome::Account(translate::account(answer.value)))
            }
            Step::ListChannels => {
                let call =
                    self.call(pass, lane, Endpoint::ListChannels, async |client, token| client.channels(token).await);
                call.await.map_or_else(identity, |answer| {
                    Outcome::Channels(answer.value.into_iter().map(translate::channel).collect())
                })
            }
            Step::CreateChannel { callback_url, filter } => {
                let new = NewChannel { callback_url: callback_url.clone(), filters: translate::filters(filter) };
                let call = self.call(pass, lane, Endpoint::CreateChannel, async |client, token| {
                    client.create_channel(token, &new).await
                });
                call.await.map_or_else(identity, |answer| Outcome::ChannelCreated { id: answer.value.channel_id })
            }
            Step::CloseChannel { id } => {
                let call = self.call(pass, lane, Endpoint::CloseChannel, async |client, token| {
                    client.close_channel(token, id).await
                });
                call.await.map_or_else(identity, |_| Outcome::ChannelClosed { id: id.clone() })
            }
            Step::ReadEvents(request) => self.read(pass, request).await,
            // Rests and records are not performed here.
            Step::Record(_) | Step::Wait { .. } | Step::Stop(_) | Step::Finish => Outcome::NotFound,
        })
    }

    async fn load(&self, pass: &mut Pass) -> Outcome {
        let Place { store, target } = &self.place;
        match store.head(target).await {
            Ok(head) => {
                let (stored, output) = (head.stored.clone(), head.output.clone());
                if let (Some(known), Some(found)) = (&pass.observed.record.output, &output)
                    && found.differs_from(known)
                {
                    tracing::info!(
                        namespace = target.namespace(),
                        output = target.name(),
                        store = store.kind().as_str(),
                        "other events are stored than were written last, by a copy that was restored or right before a crash: \
                         what came after those is read"
                    );
                }
                pass.tidy = head.tidy;
                pass.head = Some(Head { stored: Stored::Unread, ..head });
                Outcome::Loaded { stored, output }
            }
            Err(error) => Outcome::Failed(error.failure()),
        }
    }

    async fn refresh_token(&self, pass: &mut Pass) -> Outcome {
        let lane = pass.lane;
        match self.context.accounts.refresh(&self.grant, &self.cronofy, &self.budget, lane, self.turn).await {
            Ok(token) => {
                pass.token = Some(token);
                Outcome::TokenReady
            }
            Err(error) => {
                if let accounts::Error::Cronofy(error) = &error {
                    self.slow_down(error);
                }
                Outcome::Failed(failure::account(&error, &self.grant))
            }
        }
    }

    /// Calls Cronofy once, in turn with all that share the application's budget. What is not an answer is an outcome.
    async fn call<T>(
        &self,
        pass: &Pass,
        lane: Lane,
        endpoint: Endpoint,
        call: impl AsyncFnOnce(&cronofy::Client, &SecretString) -> Result<Answer<T>, cronofy::Error>,
    ) -> Result<Answer<T>, Outcome> {
        let Some(token) = &pass.token else { return Err(Outcome::Unauthorized) };
        let waited = self.turn.aside(self.budget.acquire(lane, &self.grant.account_key())).await;
        let waited = waited.map_err(|paused| Outcome::Failed(failure::paused(paused)))?;
        self.context.metrics.budget_wait(lane.into(), waited);
        let begun = Instant::now();
        let span = traces::cronofy(endpoint);
        let result = call(&self.cronofy, token).instrument(span.clone()).await;
        let status = failure::answered_with(&result);
        traces::cronofy_answered(&span, status);
        drop(span);
        self.context.metrics.cronofy_request(endpoint, status, begun.elapsed());
        match result {
            Ok(answer) => {
                self.budget.answered();
                Ok(answer)
            }
            Err(cronofy::Error::Unauthorized(_)) => {
                self.context.accounts.invalidate(&self.grant, token);
                Err(Outcome::Unauthorized)
            }
            Err(cronofy::Error::NotFound(_)) => Err(Outcome::NotFound),
            Err(error) => {
                // Where an account has no room for another channel, a 429 says just that.
                if endpoint != Endpoint::CreateChannel || !pass.observed.account_is_full() {
                    self.slow_down(&error);
                }
                Err(Outcome::Failed(failure::cronofy(&error, &self.grant)))
            }
        }
    }

    /// A 429 is about the whole application.
    fn slow_down(&self, error: &cronofy::Error) {
        if let cronofy::Error::RateLimited { retry_after, .. } = error {
            self.budget.slow_down(*retry_after);
        }
    }

    async fn commit(&mut self, pass: &mut Pass, snapshot: &Snapshot) -> Result<Outcome, Error> {
        self.announce().await?;
        let Some(head) = &pass.head else { return Ok(Outcome::HeadMoved) };
        let full = pass.observed.record.last_full_sync != Some(snapshot.last_full_sync);
        let Place { store, target } = &self.place;
        match store.commit(target, head.version.as_ref(), snapshot).await {
            Ok(Committed { output, changed, written, slices, version, tidy }) => {
                self.context.metrics.events_skipped(SkipReason::Malformed, pass.skipped);
                let kind = store_type(store.kind());
                for bytes in slices {
                    self.context.metrics.store_write(kind, StoredPart::Slice, bytes);
                }
                if written > 0 {
                    self.context.metrics.store_write(kind, StoredPart::Index, written);
                }
                if let Some(received) = pass.observed.mark.received.filter(|_| pass.observed.mark.pending()) {
                    let elapsed = Timestamp::now().duration_since(received);
                    self.context.metrics.notification_to_stored(elapsed.unsigned_abs());
                }
                pass.tidy = tidy;
                pass.head = Some(Head { version: Some(version), ..Head::default() });
                let committed = Outcome::Committed { output, changed };
                // Another name means that nothing stood there, so that everything was read.
                if full { self.without_others(&pass.observed, committed).await } else { Ok(committed) }
            }
            Err(StoreError::HeadMoved) => Ok(Outcome::HeadMoved),
            Err(error) => Ok(Outcome::Failed(error.failure())),
        }
    }

    /// What came of a step, once no output of the subscription stands anywhere else in the cluster: a former one is not kept current
    /// any more. Secrets are never listed: of those only the last one is known. Calendar stores that are out of reach are noted.
    async fn without_others(&mut self, observed: &Observed, outcome: Outcome) -> Result<Outcome, Error> {
        let former = observed.record.output.as_ref().filter(|output| !self.place.is_of(output));
        let in_cluster = former.filter(|former| former.url.is_none());
        let in_cluster = in_cluster.map(|output| Place::earlier(self.context, &self.object, output));
        let removed = async {
            if let Some(former) = in_cluster.transpose()?.flatten() {
                former.store.erase(&former.target).await?;
            }
            outputs::erase_others(self.context, &self.place).await
        };
        if let Err(error) = removed.await {
            return Ok(Outcome::Failed(error.failure()));
        }
        let mut others = self.others();
        others.extend(former.and_then(|former| former.url.clone()).filter(|url| !others.contains(url)));
        self.empty(others).await?;
        Ok(outcome)
    }

    /// What came of a step, once a former output has no more in it than it may have.
    async fn narrowed(&self, outcome: Outcome) -> Outcome {
        let narrowed = async {
            match Place::written(self.context, &self.object)?.filter(|former| !self.place.is(former)) {
                Some(former) => narrow::one(&former, self.desired.visibility).await,
                None => Ok(()),
            }
        };
        match narrowed.await {
            Ok(()) => outcome,
            // A calendar store that is out of reach does not keep the events from being copied elsewhere: what stands there is
            // removed after that, or the condition says why not.
            Err(error) if error.out_of_reach().is_some() => outcome,
            Err(StoreError::HeadMoved) => Outcome::HeadMoved,
            Err(error) => Outcome::Failed(error.failure()),
        }
    }

    /// Removes what earlier commits left for readers, if it is due. Nothing depends on it: what fails is tried again.
    async fn tidy(&self, pass: &Pass) {
        let now = Timestamp::now();
        let next = match pass.tidy {
            Some(due) if due <= now => match self.place.store.tidy(&self.place.target).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(
                        namespace = self.place.target.namespace(), output = self.place.target.name(),
                        category = error.category(), error = %error, "old slices could not be removed, it is tried again"
                    );
                    Some(now.saturating_add(TIDY_AGAIN).unwrap_or(now))
                }
            },
            due => due,
        };
        self.context.remember(&self.desired.uid, |remembered| remembered.tidy = next);
    }

    async fn read(&self, pass: &mut Pass, request: &EventsRequest) -> Outcome {
        let lane = urgency::of_read(pass.lane, request.purpose);
        let answer = if request.page == 0 {
            pass.skipped = 0;
            pass.pages.clear();
            pass.purpose = Some(request.purpose);
            let query = match translate::query(request, &self.desired.time_zone) {
                Ok(query) => query,
                Err(error) => return Outcome::Failed(failure::time_zone(error)),
            };
            self.call(pass, lane, Endpoint::Events, async |client, token| client.events(token, &query).await).await
        } else {
            // Kept until the next one is known: with a token that has run out the same page is asked for again.
            let Some(page) = pass.page.clone() else { return Outcome::NotFound };
            self.call(pass, lane, Endpoint::EventsPage, async |client, token| client.next_page(token, &page).await)
                .await
        };
        match answer {
            Ok(Answer { value, date }) => {
                let more = value.next.is_some();
                if value.next.as_ref().is_some_and(|next| !pass.pages.insert(next.clone())) {
                    return Outcome::Failed(failure::circular_pages());
                }
                pass.page = value.next;
                pass.skipped += value.skipped;
                let managed = translate::managed(&value.events);
                let events = value.events.into_iter().filter_map(translate::event).collect();
                Outcome::Page { events, managed, more, server_time: date }
            }
            Err(outcome) => outcome,
        }
    }
}

fn store_type(kind: StoreKind) -> StoreType {
    match kind {
        StoreKind::ConfigMap => StoreType::ConfigMap,
        StoreKind::Secret => StoreType::Secret,
        StoreKind::Remote => StoreType::Remote,
    }
}
