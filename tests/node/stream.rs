//! Calendars that change all the time, and what must be true of their copies after it.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use calendar_reader::{Kind, Reader};
use cronofy_sim::{Delivery, EventDraft, Simulator};
use jiff::ToSpan as _;
use testenv::eventually;
use tokio::time::MissedTickBehavior;

use crate::stage::{PATIENCE, Stage, TEAM};

/// Subscriptions, each to an account of its own.
const SUBSCRIPTIONS: usize = 10;
/// Between two changes: each is notified, so 50 notifications come in a second.
const BETWEEN_CHANGES: Duration = Duration::from_millis(20);

/// The calendars: each has one event, which is renamed again and again.
pub struct Calendars {
    /// By the name of the subscription.
    all: BTreeMap<String, Calendar>,
    changes: usize,
}

struct Calendar {
    account: String,
    event: String,
    title: String,
    channel: String,
}

impl Calendars {
    /// Subscribes to all, and waits until push works for each.
    pub async fn subscribe(stage: &Stage) -> Self {
        stage.add_application().await;
        let mut accounts = Vec::new();
        for number in 0..SUBSCRIPTIONS {
            let name = format!("calendar-{number}");
            let account = stage.subscribe(&name).await;
            let start = stage.sim.now() + 24.hours();
            let event = stage.sim.put_event(&account, EventDraft::new("as it was", start, start + 1.hours())).unwrap();
            accounts.push((name, account, event));
        }
        stage.all_ready().await;
        let all = accounts.into_iter().map(|(name, account, event)| {
            let channel = the_channel(&stage.sim, &account);
            (name, Calendar { account, event, title: "as it was".to_owned(), channel })
        });
        let calendars = Self { all: all.collect(), changes: 0 };
        calendars.copied(stage).await;
        calendars
    }

    /// Lets all calendars change while something is done.
    pub async fn change_during<T>(&mut self, sim: &Simulator, deed: impl Future<Output = T>) -> T {
        let mut ticks = tokio::time::interval(BETWEEN_CHANGES);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut deed = pin!(deed);
        loop {
            tokio::select! {
                done = &mut deed => return done,
                _ = ticks.tick() => self.change_one(sim),
            }
        }
    }

    fn change_one(&mut self, sim: &Simulator) {
        let name = format!("calendar-{}", self.changes % SUBSCRIPTIONS);
        self.changes += 1;
        let calendar = self.all.get_mut(&name).unwrap();
        calendar.title = format!("change {}", self.changes);
        sim.rename_event(&calendar.event, &calendar.title).unwrap();
    }

    /// Does something while all calendars change, and prints how many deliveries were not accepted at once. Nothing may be lost of
    /// them: each notification is accepted in the end, each copy equals its calendar, and each channel is the one it was.
    ///
    /// Gives the number of those that nobody answered as the operator does. A 503 is its answer while the API server takes no note,
    /// which happens on a busy machine whatever is done.
    pub async fn survive(&mut self, stage: &mut Stage, what: &str, deed: impl AsyncFnOnce(&mut Stage)) -> usize {
        let before = stage.sim.deliveries().len();
        let (changes_before, begun) = (self.changes, Instant::now());
        // The simulator is a handle to a server of its own; the deed needs the rest of the stage for itself.
        let sim = stage.sim.clone();
        self.change_during(&sim, deed(stage)).await;
        let (changes, seconds) = (self.changes - changes_before, begun.elapsed().as_secs_f64());

        let tell = async || {
            let mut deliveries = stage.sim.deliveries();
            let accepted = deliveries.iter().filter(|delivery| delivery.status == Some(204)).count();
            let first = |deliveries: &[Delivery]| deliveries.iter().filter(|delivery| delivery.attempt == 1).count();
            if first(&deliveries) != accepted {
                return None;
            }
            let these = deliveries.split_off(before);
            let mut refused = BTreeMap::new();
            for delivery in these.iter().filter(|delivery| delivery.status != Some(204)) {
                *refused.entry(delivery.status).or_insert(0_usize) += 1;
            }
            (first(&these) >= changes).then(|| (first(&these), refused))
        };
        let (notifications, refused) = match eventually("every notification is accepted", PATIENCE, tell).await {
            Ok(told) => told,
            Err(error) => panic!("{error}: {}\n{}", self.last_deliveries(stage), stage.what_pods_say().await),
        };
        self.copied(stage).await;
        for (name, calendar) in &self.all {
            assert_eq!(the_channel(&stage.sim, &calendar.account), calendar.channel, "the channel of {name}");
        }
        let rate = f64::from(u32::try_from(changes).unwrap()) / seconds;
        let count: usize = refused.values().sum();
        let unanswered = refused.iter().filter(|(status, _)| **status != Some(503)).map(|(_, count)| count).sum();
        let named = |status: Option<u16>| status.map_or("no answer".to_owned(), |status| format!("answer {status}"));
        let by_answer: Vec<_> = refused.iter().map(|(status, count)| format!("{}: {count}", named(*status))).collect();
        let by_answer = if by_answer.is_empty() { "none".to_owned() } else { by_answer.join(", ") };
        println!(
            "{what}: {changes} changes in {seconds:.0} s ({rate:.0} a second), {notifications} notifications, {count} deliveries not \
             accepted at once ({by_answer}), 0 lost, {SUBSCRIPTIONS} of {SUBSCRIPTIONS} channels kept, no second one"
        );
        unanswered
    }

    /// For a failed test: how many deliveries got which answer, by channel and attempt, and the last ones.
    fn last_deliveries(&self, stage: &Stage) -> String {
        let deliveries = stage.sim.deliveries();
        let mut counts = BTreeMap::new();
        for delivery in &deliveries {
            *counts.entry((&delivery.channel, delivery.attempt, delivery.status)).or_insert(0_usize) += 1;
        }
        let last = deliveries.len().saturating_sub(5);
        format!("{} changes, {counts:#?}, {:#?}", self.changes, &deliveries[last..])
    }

    /// Fails if a channel is open.
    pub fn have_no_channel(&self, sim: &Simulator) {
        for (name, calendar) in &self.all {
            let open = sim.open_channels(&calendar.account);
            assert!(open.is_empty(), "{name}: {open:?}");
        }
    }

    /// Waits until every copy equals its calendar.
    async fn copied(&self, stage: &Stage) {
        let client = stage.cluster.admin().unwrap();
        for (name, calendar) in &self.all {
            let reader = Reader::new(client.clone(), TEAM, format!("{name}-events"), Kind::ConfigMap);
            let what = format!("{name} shows {}", calendar.title);
            let copied = eventually(&what, PATIENCE, async || {
                let events = reader.read().await.ok()?.events;
                let [event] = events.as_slice() else { return None };
                (event.summary.as_deref() == Some(calendar.title.as_str())).then_some(())
            });
            if let Err(error) = copied.await {
                let describe = stage.kubectl(&["describe", "calsub", name, "--namespace", TEAM]).await;
                panic!("{error}: {describe}\n{}", stage.what_pods_say().await);
            }
        }
    }
}

/// The one open channel of an account.
fn the_channel(sim: &Simulator, account: &str) -> String {
    let open = sim.open_channels(account);
    let [channel] = open.as_slice() else { panic!("{account} has not one open channel: {open:?}") };
    channel.id.clone()
}
