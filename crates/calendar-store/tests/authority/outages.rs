//! The API server is away: that is no answer, least of all a no.

use std::time::{Duration, Instant};

use calendar_store::Access as _;
use calendar_store::authority::{REMEMBERED, REVIEW_LIMIT};
use calendar_store::database::Feed;
use calendar_store_client::Reason;
use testenv::{ControlPlane, Options};

use crate::support::{EVENTS, Store, bearer, feed, right};

#[tokio::test]
async fn without_the_api_server_nobody_is_refused_and_nobody_let_in() {
    let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start(Options::default()).await.unwrap()));
    let store = Store::on(plane).await;
    store.grant("reader", &[right("get", EVENTS, None)]).await;
    let (reader, late) = (store.token("reader").await, store.token("late").await);
    let made = Feed {
        id: String::new(),
        label: "phone".to_owned(),
        created: jiff::Timestamp::now(),
        created_by: "somebody".to_owned(),
    };
    let hash = calendar_store::feeds::hash("feed_known");
    assert!(store.database.add_feed(&store.namespace, "team", &hash, &made).await.unwrap());
    let unavailable = Some(Reason::Unavailable);
    assert_eq!(store.reads(Some(&reader)).await, None);
    let reviewed = Instant::now();

    plane.pause().unwrap();
    assert_eq!(store.reads(Some(&reader)).await, None, "remembered");
    let asked = Instant::now();
    let all = futures::future::join_all((0..20).map(|_| store.reads(Some(&late)))).await;
    assert!(all.iter().all(|answer| *answer == unavailable), "{all:?}");
    assert!(asked.elapsed() < REVIEW_LIMIT * 2, "all wait for the same answer: {:?}", asked.elapsed());
    assert!(store.authority.may_write(&bearer(Some(&late))).await.is_err());
    assert!(
        store.authority.may_subscribe(&feed("feed_known"), &store.namespace, "team").await.is_ok(),
        "a feed needs none"
    );
    assert_eq!(store.reads(None).await, Some(Reason::Unauthorized), "nor does no token at all");

    plane.resume().unwrap();
    plane.stop_apiserver();
    let left = REMEMBERED.saturating_sub(reviewed.elapsed());
    tokio::time::sleep(left).await;
    assert_eq!(store.reads(Some(&reader)).await, unavailable, "no longer remembered");
    plane.start_apiserver().await.unwrap();
    // The API server refuses everything until it has read the roles.
    let back = testenv::eventually("the reader is let in again", Duration::from_secs(30), async || {
        store.reads(Some(&reader)).await.is_none().then_some(())
    });
    back.await.unwrap();
}
