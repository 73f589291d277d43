//! What enters and leaves the window by passing time, and what a long absence leaves behind.

use std::time::Duration;

use cronofy_sim::{Endpoint, RequestRecord};
use jiff::SignedDuration;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::json;

use super::{begin_before, channel_id, read_all};
use crate::support::operator::free_address;
use crate::support::past::let_pass_here;
use crate::support::switch::switched;
use crate::support::{Operator, World, event, on};

const DAY: Duration = Duration::from_hours(24);

fn days(count: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * count)
}

/// The first days that reads of whole events, and not of changes, asked for.
fn whole_reads_from(world: &World) -> Vec<Date> {
    let value = |request: &RequestRecord, key: &str| {
        request.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    };
    let reads = world.sim.requests().into_iter().filter(|request| request.endpoint == Endpoint::Events);
    let whole = reads.filter(|read| value(read, "last_modified").is_none());
    whole.map(|read| value(&read, "from").unwrap().parse().unwrap()).collect()
}

/// Aged: the operator's times by three days, in which Cronofy's clock goes on by as much. The operator is started anew, which
/// takes from it what it remembers of the difference between the clocks.
#[tokio::test]
async fn events_that_come_within_the_window_by_passing_time_are_read_and_those_that_leave_it_go() {
    let world = World::start("enters").await;
    begin_before(&world.sim, days(3));
    let (switch, options) = switched(&world).await;
    let operator = Operator::start(&options).await;
    switch.to(operator.webhook);
    // Three days ago the window was from 45 days before today to 198 days after it. What begins on day 198 came into it two
    // days ago, and must be there by now; what begins on day 201 is not in it yet.
    for (title, day) in [("leaves", -44), ("inside", 197), ("enters", 198), ("today", 200), ("tomorrow", 201)] {
        world.sim.put_event(&world.account, event(title, day)).unwrap();
    }
    world.subscribe("all", json!({})).await;
    world.at_rest("all").await;
    read_all(&world, "once more").await; // it knows the difference between the clocks now, and where the window begins
    world.titles("all", &["leaves", "inside"]).await;

    operator.kill();
    world.sim.clear_journal();
    world.sim.advance(3 * DAY).await;
    assert!(world.sim.deliveries().is_empty(), "Cronofy announces nothing of it");
    let_pass_here(&world, "all", days(3)).await;
    let operator = Operator::start(&options).await;
    switch.to(operator.webhook);
    world.titles("all", &["inside", "enters", "today"]).await;
    world.at_rest("all").await;
    let today = on(0, 0).to_zoned(TimeZone::UTC).date();
    let from = whole_reads_from(&world);
    assert_eq!(from.len(), 1, "one sweep: {from:?}");
    assert!(from[0] > today.saturating_add(jiff::Span::new().days(190)), "of the edge only: {from:?}");
    assert!(world.sim.deliveries().is_empty());
    let sweeps = "cronofy_operator_sweeps_total{kind=\"horizon_sweep\",outcome=\"success\"}";
    assert!(operator.metric(sweeps).await > 0.0);
}

/// Aged: the operator's times by a week, in which Cronofy's clock goes on by as much, closes the channel, and the calendar changes
/// in every way on each day. A full read is not due for another three weeks.
#[tokio::test]
async fn a_week_of_downtime_leaves_no_gap() {
    let world = World::start("week").await;
    begin_before(&world.sim, days(7));
    let (switch, options) = switched(&world).await;
    let operator = Operator::start(&options).await;
    switch.to(operator.webhook);
    for day in 0..8 {
        for kind in ["renamed", "moved", "moved out", "deleted"] {
            world.sim.put_event(&world.account, event(&format!("{kind} on day {day}"), 10 + day)).unwrap();
        }
        // Each of these days comes within the window during the week, or is beyond it still.
        world.sim.put_event(&world.account, event(&format!("at the edge {day}"), 194 + day)).unwrap();
        world.sim.put_event(&world.account, event(&format!("at the near edge {day}"), -48 + day)).unwrap();
    }
    world.subscribe("all", json!({ "intervals": { "fullSync": "672h" } })).await;
    let first = channel_id(&world.at_rest("all").await).unwrap();
    read_all(&world, "once more").await; // it knows the difference between the clocks now, and where the window begins
    world.equals_calendar("all").await;

    operator.kill();
    switch.to(free_address());
    for day in 0..7 {
        world.sim.put_event(&world.account, event(&format!("new on day {day}"), day)).unwrap();
        world.sim.put_event(&world.account, event(&format!("new at the edge on day {day}"), 195 + day)).unwrap();
        world
            .sim
            .rename_event(&format!("renamed on day {day}"), &format!("has another title since day {day}"))
            .unwrap();
        world.sim.move_event(&format!("moved on day {day}"), on(60 + day, 0), on(60 + day, 1)).unwrap();
        world.sim.move_event(&format!("moved out on day {day}"), on(300 + day, 0), on(300 + day, 1)).unwrap();
        world.sim.delete_event(&format!("deleted on day {day}")).unwrap();
        world.sim.advance(DAY).await;
    }
    assert!(world.sim.open_channels(&world.account).is_empty(), "Cronofy has closed the channel");
    world.sim.clear_journal();
    let_pass_here(&world, "all", days(7)).await;

    let operator = Operator::start(&options).await;
    switch.to(operator.webhook);
    world.equals_calendar("all").await;
    let back = world.at_rest("all").await;
    assert_ne!(channel_id(&back).unwrap(), first);
    assert_eq!(world.sim.open_channels(&world.account).len(), 1);
    let today = on(0, 0).to_zoned(TimeZone::UTC).date();
    assert!(whole_reads_from(&world).iter().all(|from| *from > today), "nothing but the edge is read as a whole");
    world.sim.put_event(&world.account, event("told", 1)).unwrap();
    world.equals_calendar("all").await;
}
