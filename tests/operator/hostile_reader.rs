//! Whoever reads at any moment sees one calendar that there really was.

use std::collections::BTreeSet;
use std::pin::pin;

use calendar_reader::{Calendar, Error, Kind, Reader};
use cronofy_sim::Notification;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, watcher};
use serde_json::json;
use testenv::eventually;
use tokio::sync::watch;

use crate::support::switch::Switch;
use crate::support::{Operator, PATIENCE, World, event};

const EVENTS: usize = 10_000;
const GENERATIONS: usize = 8;

/// The generation of a calendar, if all of its events are of one.
fn generation(calendar: &Calendar) -> Option<usize> {
    let titles: BTreeSet<&str> = calendar.events.iter().filter_map(|event| event.summary.as_deref()).collect();
    let title = titles.first()?.strip_prefix("generation ")?.parse().ok();
    title.filter(|_| titles.len() == 1 && calendar.events.len() == EVENTS)
}

/// Gives every event the title of a generation, at one moment as far as the operator can see.
async fn turn(world: &World, generation: usize) {
    world.sim.down(true);
    world.sim.lose_deliveries(EVENTS);
    for number in 0..EVENTS {
        world.sim.rename_event(&format!("e{number:05}"), &format!("generation {generation}")).unwrap();
    }
    world.sim.settle().await;
    world.sim.lose_deliveries(0);
    world.sim.down(false);
}

fn notify(world: &World) {
    for channel in world.sim.open_channels(&world.account) {
        world.sim.notify(&channel.id, &Notification::change(Timestamp::now()));
    }
}

/// Reads whenever something has been written since the last read began, for as long as anybody wants to know. Gives the generations
/// seen, in their order.
async fn read_on(
    reader: Reader,
    maps: Api<PartialObjectMeta<ConfigMap>>,
    newest: watch::Sender<Option<usize>>,
) -> Vec<usize> {
    let mut writes = pin!(watcher(maps, watcher::Config::default()));
    let (mut seen, mut reads) = (Vec::new(), 0);
    loop {
        tokio::select! {
            () = newest.closed() => break,
            _ = writes.next() => {}
        }
        while writes.next().now_or_never().is_some() {}
        match reader.read().await {
            Ok(calendar) => {
                reads += 1;
                let Some(generation) = generation(&calendar) else { panic!("a mixture: {:?}", calendar.content_hash) };
                if seen.last() != Some(&generation) {
                    seen.push(generation);
                }
                newest.send_replace(Some(generation));
            }
            Err(Error::NotFound { .. }) if seen.is_empty() => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(reads > GENERATIONS, "{reads}");
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_read_is_one_generation_while_writes_go_on_and_the_operator_is_killed() {
    let world = World::start("hostile").await;
    world.sim.settings(|settings| settings.page_size = EVENTS);
    for number in 0..EVENTS {
        let day = i64::try_from(number % 180).unwrap();
        world.sim.put_event(&world.account, event("generation 0", day).uid(format!("e{number:05}"))).unwrap();
    }
    let maps: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(world.client.clone(), world.ns());
    let (tell, mut newest) = watch::channel(None);
    let reading = tokio::spawn(read_on(world.reader("all-events", Kind::ConfigMap), maps.clone(), tell));
    let switch = Switch::start().await;
    let mut options = world.operator_options().await;
    options.webhook_base_url = Some(format!("http://{}", switch.address()));
    let mut operator = Some(Operator::start(&options).await);
    switch.to(operator.as_ref().unwrap().webhook);
    world.subscribe("all", json!({})).await;
    world.ready("all").await;

    let count = || async { maps.list(&ListParams::default()).await.unwrap().items.len() };
    // Where in the writing of a generation the operator is killed: fixed, so that a failure comes again.
    let kills = [Some(1), None, Some(40), None, Some(110), Some(0), None];
    for (number, kill) in kills.into_iter().enumerate() {
        let before = count().await;
        turn(&world, number + 1).await;
        notify(&world);
        if let Some(written) = kill {
            let begun = || async { (count().await >= before + written).then_some(()) };
            eventually("it has begun to write", PATIENCE, begun).await.unwrap();
            operator.take().unwrap().kill();
            operator = Some(Operator::start(&options).await);
            switch.to(operator.as_ref().unwrap().webhook);
            notify(&world);
        }
        let there = newest.wait_for(|newest| *newest == Some(number + 1));
        let there = tokio::time::timeout(PATIENCE * 2, there).await;
        there.unwrap_or_else(|_| panic!("generation {} is not there", number + 1)).expect("the reader goes on");
    }
    drop(newest);
    let seen = reading.await.unwrap();
    assert!(seen.is_sorted(), "no read goes back: {seen:?}");
    assert_eq!(seen.last(), Some(&(GENERATIONS - 1)));
    drop(operator);
}
