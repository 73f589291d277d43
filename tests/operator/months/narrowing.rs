//! What may not be shown any more is gone at once, whatever else is wrong.

use cronofy_operator::api::CalendarSubscription;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use testenv::{AuditEntry, eventually};

use crate::support::{PATIENCE, World, condition, event, observed};

const TITLE: &str = "meeting of the board";
const DESCRIPTION: &str = "agenda with all papers";

/// All that is written of the events, whatever it is called.
async fn written(world: &World) -> String {
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), world.ns());
    json!(maps.list(&ListParams::default()).await.unwrap().items).to_string()
}

/// How often the operator has looked at the subscription since the edit, until it wrote an output.
fn looks_before_the_output(world: &World, since: usize) -> usize {
    let log = world.plane.audit().unwrap().since(since).namespace(world.ns());
    let own = |entry: &AuditEntry| entry.user.ends_with(":operator");
    let edit = |entry: &&AuditEntry| !own(entry) && entry.resource == "calendarsubscriptions" && entry.verb == "patch";
    let after = log.iter().skip_while(|entry| !edit(entry)).filter(|entry| own(entry));
    let before_output =
        after.take_while(|entry| entry.resource != "configmaps" || entry.verb == "get" || entry.verb == "watch");
    before_output.filter(|entry| entry.resource == "calendarsubscriptions" && entry.verb == "get").count()
}

/// What is wrong while the visibility is narrowed.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Nothing,
    CronofyAway,
    Suspended,
    GrantRevoked,
    SecretGone,
    ApplicationGone,
}

#[tokio::test]
async fn narrowed_from_full_to_busy_no_title_is_left_after_one_reconcile_whatever_is_wrong() {
    use Trouble::{ApplicationGone, CronofyAway, GrantRevoked, Nothing, SecretGone, Suspended};
    for trouble in [Nothing, CronofyAway, Suspended, GrantRevoked, SecretGone, ApplicationGone] {
        let world = World::start("narrowed").await;
        let _operator = world.operator().await;
        for day in 1..=3 {
            let draft = event(TITLE, day).uid(format!("event {day}")).more(json!({ "description": DESCRIPTION }));
            world.sim.put_event(&world.account, draft).unwrap();
        }
        world.subscribe("all", json!({ "visibility": "Full" })).await;
        world.at_rest("all").await;
        let before = written(&world).await;
        assert!(before.contains(TITLE) && before.contains(DESCRIPTION));

        match trouble {
            Nothing | Suspended => {}
            CronofyAway => world.sim.down(true),
            GrantRevoked => world.sim.revoke(&world.account),
            SecretGone => world.delete_secret("account").await,
            ApplicationGone => {
                world.delete_application("app").await;
                world.refused("all", "ApplicationNotFound").await;
            }
        }
        let since = world.requests_so_far();
        world.subscribe("all", json!({ "visibility": "Busy", "suspend": matches!(trouble, Suspended) })).await;
        let text = format!("no title is left with {trouble:?}");
        let narrowed = eventually(&text, PATIENCE, async || {
            let text = written(&world).await;
            (!text.contains(TITLE) && !text.contains(DESCRIPTION)).then_some(())
        });
        narrowed.await.unwrap();
        // One look at the spec as it is now, and perhaps the second look of a reconcile that the edit overtook.
        let looks = looks_before_the_output(&world, since);
        assert!(looks <= 2, "{looks} looks with {trouble:?}");
        let events = world.events("all").await;
        assert_eq!(events.len(), 3, "the times stay with {trouble:?}");
        assert!(events.iter().all(|event| event.get("summary").is_none() && event.get("start").is_some()));
        world.until("all", "has looked", |found: &CalendarSubscription| observed(found)).await;
        if matches!(trouble, Suspended) {
            assert_eq!(condition(&world.subscriptions().get("all").await.unwrap(), "Ready").1, "Suspended");
        }
    }
}

/// The copy under the former name must not outlive the change that forbids what is in it.
#[tokio::test]
async fn an_output_that_is_renamed_and_narrowed_at_once_leaves_no_title_behind_while_cronofy_is_away() {
    let world = World::start("renamed").await;
    let _operator = world.operator().await;
    world.sim.put_event(&world.account, event(TITLE, 1).uid("event")).unwrap();
    world.subscribe("all", json!({ "visibility": "Full" })).await;
    world.at_rest("all").await;
    world.sim.down(true);
    let spec: Value = json!({ "visibility": "Busy", "store": { "name": "times" } });
    world.subscribe("all", spec).await;
    let narrowed =
        eventually("no title is left", PATIENCE, async || (!written(&world).await.contains(TITLE)).then_some(()));
    if let Err(error) = narrowed.await {
        let status = world.subscriptions().get("all").await.map(|found| json!(found.status));
        panic!("{error}: {} {status:#?}", written(&world).await);
    }
    world.sim.down(false);
    eventually("the new output is written", PATIENCE, async || {
        Some(world.events_in(world.ns(), "times").await).filter(|events| events.len() == 1)
    })
    .await
    .unwrap();
    eventually("the former one is gone", PATIENCE, async || world.output("all-events").await.is_none().then_some(()))
        .await
        .unwrap();
}
