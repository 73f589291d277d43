//! Right for months: what time alone brings, and what nobody tells. The operator's clock is the machine's and its intervals are
//! minutes to weeks, so time is taken from what the cluster remembers instead, and Cronofy's clock is moved. Where both matter,
//! Cronofy begins in the past, so that the clocks agree once the time has passed. Each test says what it aged.
//!
//! That the engine decides alike through years is shown by simulation; here it is the whole operator on a real API server.

mod budget;
mod channel;
mod guard;
mod metrics;
mod modes;
mod narrowing;
mod spec;
mod window;

use std::ops::ControlFlow;
use std::time::Duration;

use cronofy_operator::api::CalendarSubscription;
use cronofy_sim::{Endpoint, Simulator};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;

use crate::support::{World, event};

/// Between two changes of a busy owner.
const PACE: Duration = Duration::from_millis(100);

/// Puts Cronofy's clock back, so that it is right again when this time has passed there.
fn begin_before(sim: &Simulator, time: SignedDuration) {
    sim.set_clock(Timestamp::now() - time);
}

/// Does something while the owner changes the calendar without a pause: creates, renames and deletes.
async fn while_it_changes<T>(world: &World, other: impl Future<Output = T>) -> T {
    let changes = async {
        let mut pace = tokio::time::interval(PACE);
        for number in 0_i64.. {
            pace.tick().await;
            let day = number % 12;
            let uid = format!("changing {day}");
            if number % 5 == 4 {
                let _not_there = world.sim.delete_event(&uid);
            } else {
                world.sim.put_event(&world.account, event(&format!("change {number}"), day).uid(uid)).unwrap();
            }
        }
    };
    tokio::select! {
        () = changes => unreachable!("it never ends"),
        done = other => done,
    }
}

/// The account has had a channel at any time since the journal was cleared, as Cronofy saw it: `open` before that.
fn never_without_channel(world: &World, open: usize) {
    let requests = world.sim.requests();
    let _end = requests.iter().try_fold(open, |open, request| {
        let open = match (request.endpoint, request.status) {
            (Endpoint::CreateChannel, 200) => open + 1,
            (Endpoint::CloseChannel, 202) => open - 1,
            _ => open,
        };
        assert!(open > 0, "no channel was left: {requests:#?}");
        ControlFlow::<(), usize>::Continue(open)
    });
}

/// The id of the present channel in the status.
fn channel_id(subscription: &CalendarSubscription) -> Option<String> {
    subscription.status.as_ref()?.channel.as_ref()?.id.clone()
}

/// The channel is another one than this, Cronofy has reached it, and nothing is left of the one before.
fn replaced(subscription: &CalendarSubscription, former: &str) -> bool {
    let channel = subscription.status.as_ref().and_then(|status| status.channel.as_ref());
    channel.is_some_and(|channel| {
        channel.id.as_deref().is_some_and(|id| id != former)
            && channel.verified_time.is_some()
            && channel.next.is_none()
    })
}

/// Asks for a full read and waits for it.
async fn read_all(world: &World, value: &str) -> CalendarSubscription {
    world.annotate("all", "cronofy-operator.dev/requestedAt", value).await;
    let handled = |found: &CalendarSubscription| {
        found.status.as_ref().and_then(|status| status.last_handled_request.as_deref()) == Some(value)
    };
    world.until("all", "has read everything", handled).await
}

/// Reasons of the Events about a subscription.
async fn event_reasons(world: &World, name: &str) -> Vec<String> {
    let api: Api<Event> = Api::namespaced(world.client.clone(), world.ns());
    let about = ListParams::default().fields(&format!("regarding.name={name}"));
    api.list(&about).await.unwrap().items.into_iter().filter_map(|event| event.reason).collect()
}
