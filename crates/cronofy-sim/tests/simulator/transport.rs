//! What goes wrong on the wire, and answers that were injected.

use std::error::Error as _;
use std::time::Duration;

use cronofy_sim::{Answer, Endpoint, Fault};
use reqwest::Method;
use serde_json::json;

use crate::support::{World, answer, event};

/// One call that runs into a fault, then one that does not.
async fn faulty(fault: Answer) -> (World, Result<crate::support::Answer, reqwest::Error>) {
    let world = World::start().await;
    world.change("one").await;
    world.sim.inject(Fault::next(1, Endpoint::Events, fault));
    let request = || world.request(Method::GET, "/v1/events?tzid=Etc%2FUTC");
    let result = answer(request()).await;
    assert_eq!(answer(request()).await.unwrap().uids(), ["one"], "only the next call");
    (world, result)
}

fn is_reset(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionReset) {
            return true;
        }
        source = cause.source();
    }
    false
}

#[tokio::test]
async fn connections_end_in_several_ways() {
    let (_, cut) = faulty(Answer::Cut).await;
    assert!(!is_reset(&cut.unwrap_err()));
    let (_, reset) = faulty(Answer::Reset).await;
    assert!(is_reset(&reset.unwrap_err()));
    let (_, lost) = faulty(Answer::LostAnswer).await;
    lost.unwrap_err();
    let (_, truncated) = faulty(Answer::Truncated).await;
    let truncated = truncated.unwrap_err();
    assert!(truncated.is_body() || truncated.is_decode(), "its head came: {truncated:?}");
}

#[tokio::test]
async fn answers_can_be_empty_or_of_another_type() {
    let (_, empty) = faulty(Answer::EmptyBody).await;
    let empty = empty.unwrap();
    assert_eq!((empty.status, empty.text.as_str()), (200, ""));
    let (_, html) = faulty(Answer::WrongContentType).await;
    let html = html.unwrap();
    assert_eq!((html.header("content-type"), html.uids()), (Some("text/html"), vec!["one".to_owned()]));
}

#[tokio::test]
async fn slow_heads_and_slow_bodies_are_told_apart() {
    let world = World::start().await;
    let long = Duration::from_secs(3600);
    let request = || world.request(Method::GET, "/v1/userinfo");
    let short = Duration::from_millis(300);
    for head in [Answer::Slow(long), Answer::LateAnswer(long)] {
        world.sim.inject(Fault::next(1, Endpoint::UserInfo, head));
        assert!(request().timeout(short).send().await.unwrap_err().is_timeout(), "not even a head comes");
    }
    world.sim.inject(Fault::next(1, Endpoint::UserInfo, Answer::SlowBody(long)));
    let head = request().send().await.unwrap();
    assert_eq!(head.status(), 200, "the head comes at once");
    assert!(tokio::time::timeout(short, head.text()).await.is_err(), "the body does not");
    world.sim.inject(Fault::next(1, Endpoint::UserInfo, Answer::SlowBody(Duration::from_millis(40))));
    assert_eq!(answer(request()).await.unwrap().json()["sub"], world.account, "all of it comes in the end");
}

#[tokio::test]
async fn a_call_takes_place_or_not_as_the_fault_says() {
    for (fault, takes_place) in [
        (Answer::LostAnswer, true),
        (Answer::Truncated, true),
        (Answer::EmptyBody, true),
        (Answer::Cut, false),
        (Answer::Reset, false),
        (Answer::status(500), false),
    ] {
        let world = World::start().await;
        world.sim.inject(Fault::next(1, Endpoint::CreateChannel, fault.clone()));
        let body = json!({ "callback_url": "http://127.0.0.1:1/hook" });
        let _whatever = answer(world.request(Method::POST, "/v1/channels").json(&body)).await;
        assert_eq!(world.sim.open_channels(&world.account).len(), usize::from(takes_place), "{fault:?}");
    }
}

#[tokio::test]
async fn any_status_and_body_can_be_injected_for_any_call() {
    let world = World::start().await;
    for status in [401, 402, 403, 404, 410, 422, 423, 429, 500, 502, 503, 504] {
        world.sim.inject(Fault::everywhere(1, Answer::status(status)));
        assert_eq!(world.get("/v1/calendars").await.status, status);
    }
    let documented = r#"{"errors":{"tzid":[{"description":"errors.required","key":"errors.required"}]}}"#;
    for (fault, text, content_type) in [
        (Answer::invalid("tzid", "errors.required"), documented, "application/json; charset=utf-8"),
        (Answer::text(422, "no"), "no", "text/plain"),
        (Answer::body(422, "{}"), "{}", "application/json; charset=utf-8"),
    ] {
        world.sim.inject(Fault::next(1, Endpoint::Events, fault));
        let refused = world.read(&[]).await;
        assert_eq!((refused.status, refused.text.as_str()), (422, text));
        assert_eq!(refused.header("content-type"), Some(content_type));
    }
    for retry_after in [Some("7"), Some("Wed, 25 Nov 2026 12:00:07 GMT"), None] {
        world.sim.inject(Fault::next(1, Endpoint::Events, Answer::rate_limited(retry_after)));
        let limited = world.read(&[]).await;
        assert_eq!((limited.status, limited.header("retry-after")), (429, retry_after));
    }
    world.sim.inject(Fault::next(2, Endpoint::UserInfo, Answer::status(500)));
    world.sim.clear_faults();
    assert_eq!(world.get("/v1/userinfo").await.status, 200);
}

#[tokio::test]
async fn the_date_is_the_clocks_with_the_skew_of_the_switch() {
    let world = World::start().await;
    let date = async || world.get("/v1/userinfo").await.header("date").unwrap().to_owned();
    assert_eq!(date().await, "Wed, 25 Nov 2026 12:00:00 GMT");
    for (skew, shown) in [(90, "Wed, 25 Nov 2026 12:01:30 GMT"), (-86_400, "Tue, 24 Nov 2026 12:00:00 GMT")] {
        world.sim.settings(|settings| settings.date_skew = skew);
        assert_eq!(date().await, shown);
        world.sim.inject(Fault::next(1, Endpoint::UserInfo, Answer::status(500)));
        assert_eq!(date().await, shown, "also of an injected answer");
    }
}

#[tokio::test]
async fn nothing_is_answered_while_all_is_down_and_held_calls_wait() {
    let world = World::start().await;
    world.sim.down(true);
    answer(world.request(Method::GET, "/v1/userinfo")).await.unwrap_err();
    world.sim.down(false);
    assert_eq!(world.get("/v1/userinfo").await.status, 200);

    world.sim.put_event(&world.calendar, event("one", "2026-12-01T09:00:00Z")).unwrap();
    let hold = world.sim.hold(Endpoint::Events, 1);
    let read = world.read(&[]);
    let meanwhile = async {
        hold.arrived().await;
        world.sim.put_event(&world.calendar, event("two", "2026-12-02T09:00:00Z")).unwrap();
        hold.release();
    };
    let (read, ()) = tokio::join!(read, meanwhile);
    assert_eq!(read.uids(), ["one", "two"], "it takes place when it is let go");
}

#[tokio::test]
async fn the_journal_has_every_request() {
    let world = World::start().await;
    world.read(&[("from", "2026-12-01")]).await;
    world.sim.inject(Fault::next(1, Endpoint::UserInfo, Answer::status(503)));
    world.get("/v1/userinfo").await;
    world.get("/v1/nothing").await;
    let requests = world.sim.requests();
    let seen: Vec<_> = requests.iter().map(|request| (request.endpoint, request.status)).collect();
    assert_eq!(seen, [(Endpoint::Events, 200), (Endpoint::UserInfo, 503), (Endpoint::Unknown, 404)]);
    assert_eq!(requests[0].account.as_ref(), Some(&world.account));
    assert_eq!(requests[0].client_id.as_deref(), Some(crate::support::CLIENT_ID));
    assert!(requests[0].query.contains(&("from".to_owned(), "2026-12-01".to_owned())));
    assert_eq!(world.sim.count(Endpoint::Events), 1);
    world.sim.clear_journal();
    assert!(world.sim.requests().is_empty());
}
