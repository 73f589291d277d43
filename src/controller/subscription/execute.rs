//! Steps 3 and 4 of a reconcile: ask the engine for the one thing to do, do it, tell it what came of it, until it rests.
//! Only this file performs the engine's steps.

use std::convert::identity;
use std::sync::Arc;
use std::time::Instant;

use calendar_sync::{Desired, EventsRequest, Memory, Observed, Outcome, Purpose, Record, Snapshot, Step, Stored};
use cronofy::secrecy::SecretString;
use cronofy::{Answer, Endpoint, NewChannel, PageUrl};
use jiff::{SignedDuration, Timestamp};
use kube::Api;

use super::dereference::Dereferenced;
use super::outputs::{NoPlace, Place};
use super::tally::tally;
use super::verdict::{About, Refusal, Verdict};
use super::{Error, status, transitions, translate};
use crate::api::{CalendarSubscription, StoreKind};
use crate::controller::accounts::{self, Grant};
use crate::controller::budget::{Budget, Lane, Limits};
use crate::controller::context::Context;
use crate::controller::failure;
use crate::metrics::{self, ChannelOperation, SkipReason, StoreType, StoredPart};
use crate::store::{Committed, EventStore as _, Head, StoreError};

/// Steps of one reconcile. A read of the largest account takes one a page; more than this is a defect, and the reconcile
/// begins anew after a while instead of spinning.
const MOST_STEPS: usize = 10_000;

/// Before the next try to remove old slices.
const TIDY_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// Everything that steps are performed with.
pub struct Driver<'a> {
    /// What reconciles share.
    pub context: &'a Arc<Context>,
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
    token: Option<SecretString>,
    head: Option<Head>,
    page: Option<PageUrl>,
    purpose: Option<Purpose>,
    skipped: usize,
    /// When the store is to be tidied up, as of the last look at it.
    tidy: Option<Timestamp>,
}

impl<'a> Driver<'a> {
    /// What it takes to reconcile `object`.
    pub fn new(
        context: &'a Arc<Context>,
        api: &'a Api<CalendarSubscription>,
        found: &Dereferenced,
        desired: &'a Desired,
        object: CalendarSubscription,
    ) -> Result<Self, Refusal> {
        let refusal = |reason, message| Refusal { reason, message, about: About::Spec, stalled: true };
        let place = Place::wanted(context, &object).map_err(|error| match error {
            NoPlace::Unsupported(unsupported) => refusal("NotSupported", unsupported.to_string()),
            NoPlace::Name(invalid) => refusal("InvalidSpec", invalid.to_string()),
        })?;
        let cronofy = context.cronofy(&found.api).map_err(|error| Refusal {
            about: About::Credentials,
            ..refusal("InvalidEndpoint", format!("spec.endpoint of the CronofyApplication cannot be used: {error}"))
        })?;
        let budget = context.budgets.of(&found.key, Limits::of(&found.application));
        Ok(Self { context, api, desired, object, cronofy, budget, grant: found.grant.clone(), place })
    }

    /// Performs steps until the engine rests. Gives the step it rests at, and what is known then.
    pub async fn run(mut self, memory: Memory) -> Result<(Step, Observed), Error> {
        let before = self.object.status.clone().unwrap_or_default();
        let token = self.context.accounts.cached(&self.grant);
        let observed = Observed::new(status::record(&before), status::mark(&before), memory, token.is_some());
        let tidy = self.context.remembered(&self.desired.uid).tidy;
        let mut pass = Pass { observed, token, head: None, page: None, purpose: None, skipped: 0, tidy };
        for _ in 0..MOST_STEPS {
            let step = calendar_sync::next(self.desired, &pass.observed, Timestamp::now());
            let outcome = match &step {
                Step::Finish => return Ok((step, pass.observed)), // the object goes: nobody reads its status
                Step::Wait { .. } | Step::Stop(_) => {
                    self.write_status(&pass.observed, Some(&step)).await?;
                    self.tidy(&pass).await;
                    return Ok((step, pass.observed));
                }
                Step::Record(record) => self.record(&mut pass, record).await?,
                step => self.perform(&mut pass, step).await,
            };
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
        let desired = self.desired;
        let before = self.object.status.clone().unwrap_or_default();
        let written = status::write(self.api, self.object.clone(), observed.acted_on, |before| {
            status::compose(before, generation, &Verdict::Engine { desired, observed, resting })
        });
        let (object, changed) = written.await?;
        if changed {
            let after = object.status.clone().unwrap_or_default();
            self.context.events.publish(&object, transitions::between(&before, &after)).await;
        }
        self.object = object;
        Ok(())
    }

    /// Performs one step outside. Whatever goes wrong is an outcome, too.
    async fn perform(&self, pass: &mut Pass, step: &Step) -> Outcome {
        let lane = Self::lane(&pass.observed, None);
        match step {
            Step::Load => self.load(pass).await,
            Step::Commit(snapshot) => self.commit(pass, snapshot).await,
            Step::Erase => match self.erase(&pass.observed).await {
                Ok(()) => Outcome::Erased,
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
        }
    }

    async fn load(&self, pass: &mut Pass) -> Outcome {
        let Place { store, target } = &self.place;
        let head = match store.head(target).await {
            Ok(head) => head,
            Err(error) => return Outcome::Failed(error.failure()),
        };
        if let Some(output) = head.output.as_ref().filter(|output| pass.observed.record.output.as_ref() != Some(output))
        {
            // A crash came between a commit and what follows it.
            if let Err(error) = self.remove_former_output(&pass.observed).await {
                return Outcome::Failed(error.failure());
            }
            pass.observed.record.output = Some(output.clone());
        }
        let stored = head.stored.clone();
        pass.tidy = head.tidy;
        pass.head = Some(Head { stored: Stored::Unread, ..head });
        Outcome::Loaded(stored)
    }

    async fn refresh_token(&self, pass: &mut Pass) -> Outcome {
        let lane = Self::lane(&pass.observed, None);
        match self.context.accounts.refresh(&self.grant, &self.cronofy, &self.budget, lane).await {
            Ok(token) => {
                pass.token = Some(token);
                Outcome::TokenReady
            }
            Err(accounts::Error::Cronofy(error)) => {
                self.slow_down(&error);
                Outcome::Failed(failure::cronofy(&error))
            }
            Err(error) => Outcome::Failed(failure::account(&error)),
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
        let waited = self.budget.acquire(lane, &self.grant.account_key()).await;
        self.context.metrics.budget_wait(lane.into(), waited);
        let begun = Instant::now();
        let result = call(&self.cronofy, token).await;
        self.context.metrics.cronofy_request(endpoint, failure::answered_with(&result), begun.elapsed());
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
                self.slow_down(&error);
                Err(Outcome::Failed(failure::cronofy(&error)))
            }
        }
    }

    /// A 429 is about the whole application.
    fn slow_down(&self, error: &cronofy::Error) {
        if let cronofy::Error::RateLimited { retry_after, .. } = error {
            self.budget.slow_down(*retry_after);
        }
    }

    /// Whose turn a request is: that of a subscription without a copy comes first.
    fn lane(observed: &Observed, purpose: Option<Purpose>) -> Lane {
        match purpose {
            Some(Purpose::Full) => Lane::Sweep,
            Some(Purpose::Initial) => Lane::New,
            _ if observed.record.last_full_sync.is_none() => Lane::New,
            Some(Purpose::Delta) | None => Lane::Notified,
        }
    }

    async fn commit(&self, pass: &mut Pass, snapshot: &Snapshot) -> Outcome {
        let Some(head) = &pass.head else { return Outcome::HeadMoved };
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
                if let Err(error) = self.remove_former_output(&pass.observed).await {
                    return Outcome::Failed(error.failure());
                }
                Outcome::Committed { output, changed }
            }
            Err(StoreError::HeadMoved) => Outcome::HeadMoved,
            Err(error) => Outcome::Failed(error.failure()),
        }
    }

    /// Removes what is stored, here and where it stood before the spec changed.
    async fn erase(&self, observed: &Observed) -> Result<(), StoreError> {
        self.remove_former_output(observed).await?;
        self.place.store.erase(&self.place.target).await
    }

    /// The output has another kind or name now: the one before is not kept current any more, so it must not stay.
    async fn remove_former_output(&self, observed: &Observed) -> Result<(), StoreError> {
        let former = observed.record.output.as_ref().filter(|output| !self.place.is_of(output));
        let former = former.and_then(|output| Place::of_output(self.context, &self.object, output));
        match former {
            Some(Place { store, target }) => store.erase(&target).await,
            None => Ok(()),
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
        let lane = Self::lane(&pass.observed, Some(request.purpose));
        let answer = if request.page == 0 {
            pass.skipped = 0;
            pass.purpose = Some(request.purpose);
            let query = match translate::query(request, &self.desired.time_zone) {
                Ok(query) => query,
                Err(error) => return Outcome::Failed(failure::time_zone(error)),
            };
            self.call(pass, lane, Endpoint::Events, async |client, token| client.events(token, &query).await).await
        } else {
            let Some(page) = pass.page.take() else { return Outcome::NotFound };
            self.call(pass, lane, Endpoint::EventsPage, async |client, token| client.next_page(token, &page).await)
                .await
        };
        match answer {
            Ok(Answer { value, date }) => {
                let more = value.next.is_some();
                pass.page = value.next;
                pass.skipped += value.skipped;
                let events = value.events.into_iter().filter_map(translate::event).collect();
                Outcome::Page { events, more, server_time: date }
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
