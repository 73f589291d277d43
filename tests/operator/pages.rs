//! Pages of a read that lead nowhere.

use cronofy_sim::Endpoint;
use serde_json::json;

use crate::support::{World, condition, event};

#[tokio::test]
async fn a_list_that_leads_in_a_circle_is_given_up_at_once_and_read_when_it_ends_again() {
    let world = World::start("circle").await;
    for (day, title) in ["one", "two", "three"].into_iter().enumerate() {
        world.sim.put_event(&world.account, event(title, i64::try_from(day).unwrap() + 1)).unwrap();
    }
    world.sim.settings(|settings| {
        settings.page_size = 1;
        settings.circular_next_page = true;
    });
    let _operator = world.operator().await;
    world.subscribe("all", json!({})).await;
    let said = world
        .until("all", "says what is wrong with the list", |subscription| {
            condition(subscription, "Synced").1 == "MalformedAnswer"
        })
        .await;
    let (_, _, message) = condition(&said, "Ready");
    assert_eq!(message, "Cronofy's list of events leads in a circle: the read was given up and is tried again");
    let requests = world.sim.requests();
    let asked = |wanted| requests.iter().filter(|request| request.endpoint == wanted).count();
    let (reads, pages) = (asked(Endpoint::Events), asked(Endpoint::EventsPage));
    assert!(pages <= reads, "{pages} further pages in {reads} reads: the second leads to itself");
    world.sim.settings(|settings| settings.circular_next_page = false);
    world.ready("all").await;
    world.titles("all", &["one", "two", "three"]).await;
}
