//! Steps 3 and 4 of a reconcile: ask the engine for the one thing to do, do it, tell it what came of it, until it rests.
//! Only this file performs the engine's steps.

use std::sync::Arc;
use std::time::Instant;

use calendar_sync::{
    Desired, EventsRequest, Failure, Memory, Observed, Outcome, Purpose, Reason, Record, Retry, Step, Stored,
};
use cronofy::secrecy::SecretString;
use cronofy::{Answer, NewChannel, PageUrl};
use jiff::Timestamp;
use kube::Api;

use super::status::{self, WriteError};
use super::verdict::Verdict;
use super::{Error, transitions, translate};
use crate::api::CalendarSubscription;
use crate::controller::accounts::{Grant, Session};
use crate::controller::budget::{Budget, Lane};
use crate::controller::context::Context;
use crate::controller::failure;
use crate::store::{EventStore as _, Head, Store, Target};

/// Steps of one reconcile. A read of the largest account takes one a page; more than this is a defect, and the reconcile
/// begins anew after a while instead of spinning.
const MOST_STEPS: usize = 10_000;

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
    pub store: Store,
    /// The output.
    pub target: Target,
}

/// What a reconcile carries from step to step.
struct Pass {
    observed: Observed,
    token: Option<SecretString>,
    head: Option<Head>,
    page: Option<PageUrl>,
    skipped: usize,
}

impl Driver<'_> {
    /// Performs steps until the engine rests. Gives the step it rests at, and what is known then.
    pub async fn run(mut self, memory: Memory) -> Result<(Step, Observed), Error> {
        let before = self.object.status.clone().unwrap_or_default();
        let token = self.context.accounts.cached(&self.grant);
        let observed =
            Observed::new(status::record(&before), status::mark(&before), memory, token.is_some());
        let mut pass = Pass { observed, token, head: None, page: None, skipped: 0 };
        for _ in 0..MOST_STEPS {
            let step = calendar_sync::next(self.desired, &pass.observed, Timestamp::now());
            let outcome = match &step {
                Step::Wait { .. } | Step::Stop(_) | Step::Finish => {
                    self.write_status(&pass.observed, Some(&step)).await?;
                    return Ok((step, pass.observed));
                }
                Step::Record(record) => self.record(&mut pass, record).await?,
                step => self.perform(&mut pass, step).await,
            };
            pass.observed.observe(self.desired, &step, outcome, Timestamp::now());
        }
        Err(Error::Endless)
    }

    /// Writes the engine's record down, and clears the mark that was acted on.
    async fn record(&mut self, pass: &mut Pass, record: &Record) -> Result<Outcome, Error> {
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
        match step {
            Step::Load => self.load(pass).await,
            Step::Commit(snapshot) => self.commit(pass, snapshot).await,
            Step::Erase => match self.store.erase(&self.target).await {
                Ok(()) => Outcome::Erased,
                Err(error) => Outcome::Failed(error.failure()),
            },
            Step::RefreshToken => self.refresh_token(pass).await,
            Step::CheckAccount => {
                let call = self.call(pass, async |client, token| client.userinfo(token).await);
                call.await.map_or_else(identity, |answer| Outcome::Account(translate::account(answer.value)))
            }
            Step::ListChannels => {
                let call = self.call(pass, async |client, token| client.channels(token).await);
                call.await.map_or_else(identity, |answer| {
                    Outcome::Channels(answer.value.into_iter().map(translate::channel).collect())
                })
            }
            Step::CreateChannel { callback_url, filter } => {
                let new = NewChannel { callback_url: callback_url.clone(), filters: translate::filters(filter) };
                let call = self.call(pass, async |client, token| client.create_channel(token, &new).await);
                call.await.map_or_else(identity, |answer| Outcome::ChannelCreated { id: answer.value.channel_id })
            }
            Step::CloseChannel { id } => {
                let call = self.call(pass, async |client, token| client.close_channel(token, id).await);
                call.await.map_or_else(identity, |_| Outcome::ChannelClosed { id: id.clone() })
            }
            Step::ReadEvents(request) => self.read(pass, request).await,
            // Rests and records are not performed here.
            Step::Record(_) | Step::Wait { .. } | Step::Stop(_) | Step::Finish => Outcome::NotFound,
        }
    }

    async fn load(&self, pass: &mut Pass) -> Outcome {
        match self.store.head(&self.target).await {
            Ok(head) => {
                let stored = head.stored.clone();
                pass.head = Some(Head { stored: Stored::Unread, ..head });
                Outcome::Loaded(stored)
            }
            Err(error) => Outcome::Failed(error.failure()),
        }
    }

    async fn commit(&self, pass: &mut Pass, snapshot: &Snapshot) -> Outcome {
        let Some(head) = &pass.head else { return Outcome::HeadMoved };
        match self.store.commit(&self.target, head.version.as_ref(), snapshot).await {
            Ok(Committed { output, changed, written, version }) => {
                self.context.remember(&self.desired.uid, |remembered| {
                    remembered.output_version = Some(version.resource_version().to_owned());
                });
                self.context.metrics.events_skipped(SkipReason::Undecodable, pass.skipped);
                if written {
                    self.context.metrics.store_write(StoreType::ConfigMap, StoredPart::Index, output.bytes);
                }
                if let Some(received) = pass.observed.mark.received.filter(|_| pass.observed.mark.pending()) {
                    let elapsed = Timestamp::now().duration_since(received);
                    self.context.metrics.notification_to_stored(elapsed.unsigned_abs());
                }
                pass.head = Some(Head { version: Some(version), ..Head::default() });
                Outcome::Committed { output, changed }
            }
            Err(StoreError::HeadMoved) => Outcome::HeadMoved,
            Err(error) => Outcome::Failed(error.failure()),
        }
    }

    async fn read(&self, pass: &mut Pass, request: &EventsRequest) -> Outcome {
        let answer = if request.page == 0 {
            pass.skipped = 0;
            let query = match translate::query(request, &self.desired.time_zone) {
                Ok(query) => query,
                Err(error) => return Outcome::Failed(failure::time_zone(&error)),
            };
            self.call(pass, async |client, token| client.events(token, &query).await).await
        } else {
            let Some(page) = pass.page.take() else { return Outcome::NotFound };
            self.call(pass, async |client, token| client.next_page(token, &page).await).await
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
