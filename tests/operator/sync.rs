//! The main job: a subscription becomes a copy that follows the calendar.

use crate::support::{World, event, on};
use jiff::SignedDuration;
use serde_json::json;

#[tokio::test]
async fn a_subscription_becomes_a_copy_that_follows_every_kind_of_change() {
    let world = World::start("follows").await;
    world.sim.settings(|settings| settings.page_size = 3);
    for number in 0..10 {
        world
            .sim
            .put_event(&world.account, event(&format!("event {number}"), number).uid(format!("e{number}")))
            .unwrap();
    }
    let _operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    let ready = world.ready("all").await;
    assert_eq!(world.events("all").await.len(), 10, "all events of all pages");
    assert_eq!(ready.status.unwrap().output.unwrap().events, 10);

    world.sim.put_event(&world.account, event("new", 3).uid("new")).unwrap();
    world.events_until("all", "has the new one", |events| events.len() == 11).await;

    world.sim.rename_event("new", "renamed").unwrap();
    world.events_until("all", "is renamed", |events| events.iter().any(|event| event["summary"] == "renamed")).await;

    let later = on(5, 0);
    world.sim.move_event("e1", later, later + SignedDuration::from_hours(1)).unwrap();
    world
        .events_until("all", "is moved", |events| {
            events.iter().any(|event| event["id"] == "e1" && event["start"] == json!(later))
        })
        .await;

    world.sim.move_event("e2", on(300, 0), on(300, 1)).unwrap();
    world.events_until("all", "is moved out", |events| events.iter().all(|event| event["id"] != "e2")).await;

    world.sim.delete_event("e3").unwrap();
    world.events_until("all", "is deleted", |events| events.iter().all(|event| event["id"] != "e3")).await;

    assert_eq!(world.sim.open_channels(&world.account).len(), 1);
    world.ready("all").await;
}
