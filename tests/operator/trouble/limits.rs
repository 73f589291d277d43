//! Waits: those that Cronofy asks for, those of a Cronofy that is not there, and who does not have to wait.

use cronofy_sim::{Answer, Endpoint, Fault, Options, Simulator};
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::answers::{conditions, label, run_into, way_to};
use super::{Bench, Told, Trial, sum, times};
use crate::support::operator::free_address;
use crate::support::{condition, event};

use Endpoint::{Events, ListChannels, Token, UserInfo};

const RATE_LIMITED: &str = "the application's request limit at Cronofy is spent (429): all its subscriptions wait; lower \
                            spec.limits of the CronofyApplication, or ask Cronofy for more";

fn rate_limited(endpoint: Endpoint) -> Told {
    let reason = "RateLimited";
    Told { reason, message: RATE_LIMITED.to_owned(), on: conditions(endpoint, reason), stalled: false }
}

fn asking(status: u16, retry_after: &str) -> Answer {
    Answer::Status {
        status,
        content_type: "text/plain",
        body: String::new(),
        retry_after: Some(retry_after.to_owned()),
    }
}

/// In whole seconds, as HTTP writes it.
fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[tokio::test]
async fn a_wait_that_cronofy_asks_for_is_kept_and_shown() {
    let bench = Bench::start("asked", &[]).await;
    let until = || http_date(Timestamp::now() + SignedDuration::from_secs(5));
    let unavailable = |endpoint| Told {
        reason: "CronofyUnavailable",
        message: "events: Cronofy is in trouble (503): it is tried again".to_owned(),
        on: conditions(endpoint, ""),
        stalled: false,
    };
    let locked = |endpoint| Told {
        reason: "Locked",
        message: "list_channels: the account is locked at Cronofy for now (423): it is tried again".to_owned(),
        on: conditions(endpoint, ""),
        stalled: false,
    };
    let cases = [
        ("seconds", Token, Answer::rate_limited(Some("4")), rate_limited(Token)),
        ("seconds", UserInfo, Answer::rate_limited(Some("4")), rate_limited(UserInfo)),
        ("seconds", Events, Answer::rate_limited(Some("4")), rate_limited(Events)),
        ("date", Events, Answer::rate_limited(Some(&until())), rate_limited(Events)),
        ("unavailable", Events, asking(503, "4"), unavailable(Events)),
        ("locked", ListChannels, asking(423, "4"), locked(ListChannels)),
    ];
    join_all(cases.into_iter().map(async |(name, endpoint, answer, told)| {
        let name = format!("{}-{name}", label(endpoint));
        let stuck = run_into(&bench, &name, endpoint, answer, told).await;
        let failure = stuck.found.status.clone().unwrap().failure.unwrap();
        let wait = failure.next_retry_time.unwrap().0.duration_since(failure.last_time.0);
        // The date was made before the request, and all of these are whole seconds.
        let least = if name.ends_with("date") { 1 } else { 4 };
        assert!(wait >= SignedDuration::from_secs(least), "{name} waits {wait}");
        stuck.heals().await;
        let refused = stuck.trial.sim.requests().into_iter().filter(|request| request.status >= 400);
        assert!(refused.count() <= 2, "{name}");
    }))
    .await;
}

/// Also one that asks for no wait at all, or for one that is over, is not asked again and again.
#[tokio::test]
async fn a_limit_that_stays_spent_costs_one_request_a_try() {
    let bench = Bench::start("spent", &[]).await;
    let cases = [
        ("absent", Token, None),
        ("absent", ListChannels, None),
        ("absent", Events, None),
        ("garbled", Events, Some("soon")),
        ("zero", Token, Some("0")),
        ("zero", Events, Some("0")),
        ("past", Events, Some("Thu, 01 Jan 1970 00:00:00 GMT")),
    ];
    join_all(cases.into_iter().map(async |(name, endpoint, retry_after)| {
        let name = format!("{}-{name}", label(endpoint));
        let answer = Answer::rate_limited(retry_after);
        let stuck = run_into(&bench, &name, endpoint, answer, rate_limited(endpoint)).await;
        let (count, requests) = stuck.trial.failed(3).await;
        let (once, each) = way_to(endpoint);
        assert_eq!(requests, (0..count).fold(once, |requests, _| sum(requests, each.clone())), "{name}");
        stuck.trial.told_once(&stuck.told).await;
        stuck.heals().await;
    }))
    .await;
}

#[tokio::test]
async fn a_subscription_that_waits_for_its_next_try_is_not_hurried_by_notifications() {
    let bench = Bench::start("patient", &[]).await;
    let told = Told {
        reason: "CronofyUnavailable",
        message: "events: Cronofy is in trouble (503): it is tried again".to_owned(),
        on: conditions(Events, ""),
        stalled: false,
    };
    let stuck = run_into(&bench, "patient", Events, asking(503, "600"), told).await;
    bench.wake(&[&stuck.trial], 5).await;
    assert_eq!(stuck.trial.requests(), times(1, &[Events]));
    stuck.trial.told_once(&stuck.told).await;
    stuck.keeps_its_copy().await;
}

#[tokio::test]
async fn a_429_slows_all_subscriptions_of_its_application_and_no_other() {
    let bench = Bench::start("slow", &[]).await;
    let first = Trial::prepare(&bench, "first").await;
    let second = first.beside("second").await;
    let other = Trial::prepare(&bench, "other").await;
    for (trial, application) in [(&first, "first"), (&second, "first"), (&other, "other")] {
        trial.copied_by_way_of(application).await;
    }
    for trial in [&first, &second, &other] {
        trial.sim.clear_journal();
    }
    first.sim.inject(Fault::next(1, Events, Answer::rate_limited(Some("4"))));
    first.sim.put_event(&first.account, event("three", 1)).unwrap();
    first.until("is limited", |found| condition(found, "Ready").1 == "RateLimited").await;
    second.sim.put_event(&second.account, event("four", 1)).unwrap();
    other.sim.put_event(&other.account, event("three", 1)).unwrap();
    other.titles(&["one", "two", "three"]).await;
    assert!(other.warnings().await == 0 && other.is_ready().await, "another application does not wait");
    second.titles(&["one", "two", "four"]).await;
    first.titles(&["one", "two", "three"]).await;
    let requests = first.sim.requests();
    assert_eq!(requests[0].status, 429);
    // What Cronofy asked for is a bound that holds on any machine.
    let wait = requests[1].time.duration_since(requests[0].time);
    assert!(wait >= SignedDuration::from_secs(4), "the next request came after {wait}");
}

/// A long pause of one application does not take the places at which all others are worked on.
#[tokio::test]
async fn subscriptions_that_must_wait_long_say_so_and_are_in_nobodys_way() {
    let bench = Bench::working_on(2, "crowd", &[]).await;
    let first = Trial::prepare(&bench, "limited-0").await;
    first.sim.inject(Fault::everywhere(usize::MAX, Answer::rate_limited(Some("600"))));
    let mut crowd = vec![];
    for number in 1..6 {
        crowd.push(first.beside(&format!("limited-{number}")).await);
    }
    crowd.insert(0, first);
    for trial in &crowd {
        trial.subscribe(json!({ "applicationRef": { "name": "limited-0" } })).await;
    }
    let other = Trial::prepare(&bench, "other").await;
    other.copied().await;
    other.titles(&["one", "two"]).await;
    for trial in &crowd {
        trial.explained(&rate_limited(Token)).await;
    }
    let asked = crowd[0].requests();
    assert!(asked[&Token] <= 2, "only those at work when the limit was spent: {asked:?}");
    bench.wake(&crowd.iter().collect::<Vec<_>>(), 2).await;
    assert_eq!(crowd[0].requests(), asked, "and nobody after that");
}

#[tokio::test]
async fn a_cronofy_that_cannot_be_reached_is_found_again_when_it_is_back() {
    let bench = Bench::start("unreachable", &[]).await;
    let address = free_address();
    let options = || Options { api_listen: Some(address), ..Options::default() };
    let sim = Simulator::start(options()).await.unwrap();
    let mut trial = Trial::with(&bench, bench.world.ns(), "refused", sim).await;
    trial.sim = Simulator::start(Options::default()).await.unwrap(); // whoever was at the address is gone
    trial.subscribe(json!({})).await;
    let told = Told {
        reason: "CronofyUnreachable",
        message: "refresh_token: no connection to Cronofy: check egress, DNS and proxies; it is tried again".to_owned(),
        on: conditions(Token, ""),
        stalled: false,
    };
    trial.explained(&told).await;
    trial.failed(3).await;
    trial.told_once(&told).await;
    // The same seed makes the same account and the same token.
    let back = Simulator::start(options()).await.unwrap();
    assert_eq!(super::registered(&back).0, trial.account);
    trial.ready().await;
    assert_eq!(back.count(Token), 1);
}
