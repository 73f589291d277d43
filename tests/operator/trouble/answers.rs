//! Every answer that is none, at every call of a subscription's way.

use std::time::Duration;

use cronofy_operator::api::CalendarSubscription;
use cronofy_sim::{Answer, Endpoint, Fault, Rotation};
use futures::future::join_all;

use super::{Bench, Requests, Told, Trial, sum, times};
use crate::support::event;

/// What Cronofy answers instead, and what becomes of it.
struct Cause {
    name: &'static str,
    answer: Answer,
    reason: &'static str,
    /// The line, after the name of the call.
    message: &'static str,
    stalled: bool,
    /// Whether a create answered like this has taken place nevertheless.
    takes_effect: bool,
}

fn retried(name: &'static str, answer: Answer, reason: &'static str, message: &'static str) -> Cause {
    Cause { name, answer, reason, message, stalled: false, takes_effect: false }
}

fn stalled(name: &'static str, answer: Answer, reason: &'static str, message: &'static str) -> Cause {
    Cause { stalled: true, ..retried(name, answer, reason, message) }
}

fn text(status: u16, content_type: &'static str, body: &str) -> Answer {
    Answer::Status { status, content_type, body: body.to_owned(), retry_after: None }
}

/// The beginning of any answer at all.
const HALF_JSON: &str =
    r#"{"access_token":"at_1","sub":"acc_1","pages":{"current":1,"total":1},"channels":[],"events":[{"ca"#;

/// Those that mean the same wherever they come.
fn everywhere() -> Vec<Cause> {
    let unavailable = |name, status, message| retried(name, Answer::status(status), "CronofyUnavailable", message);
    let malformed = "the answer is not JSON as Cronofy documents it: check for a proxy in between; it is tried again";
    let broke = "the connection to Cronofy broke: it is tried again";
    let page = "<!DOCTYPE html><html><body>Sign in to the network</body></html>";
    vec![
        unavailable("500", 500, "Cronofy is in trouble (500): it is tried again"),
        unavailable("502", 502, "Cronofy is in trouble (502): it is tried again"),
        unavailable("503", 503, "Cronofy is in trouble (503): it is tried again"),
        unavailable("504", 504, "Cronofy is in trouble (504): it is tried again"),
        retried(
            "423",
            Answer::status(423),
            "Locked",
            "the account is locked at Cronofy for now (423): it is tried again",
        ),
        retried("cut", Answer::Cut, "CronofyUnreachable", broke),
        retried("html", text(200, "text/html", page), "MalformedAnswer", malformed),
        // All of it arrives, and it is half of what it should be.
        retried("half-json", Answer::body(200, HALF_JSON), "MalformedAnswer", malformed),
        retried("empty", Answer::status(200), "MalformedAnswer", malformed),
        retried(
            "302",
            Answer::status(302),
            "MalformedAnswer",
            "status 302 is not one that Cronofy documents: check for a proxy in between; it is tried again",
        ),
        Cause { takes_effect: true, ..retried("truncated", Answer::Truncated, "CronofyUnreachable", broke) },
        Cause {
            takes_effect: true,
            ..retried(
                "timeout",
                Answer::LateAnswer(Duration::from_mins(5)),
                "CronofyUnreachable",
                "Cronofy did not answer in time: it is tried again",
            )
        },
        stalled(
            "402",
            Answer::status(402),
            "PlanRequired",
            "the application's plan at Cronofy lacks this feature (402): change the plan; it is tried again each hour",
        ),
        stalled(
            "422-text",
            text(422, "text/plain", "no"),
            "InvalidRequest",
            "Cronofy refuses the request (422): correct the spec",
        ),
        stalled(
            "422-bare",
            Answer::body(422, r#"{"message":"no"}"#),
            "InvalidRequest",
            "Cronofy refuses the request (422): correct the spec",
        ),
    ]
}

/// How many requests lead to a call once, and how many each try of it costs.
pub fn way_to(endpoint: Endpoint) -> (Requests, Requests) {
    use Endpoint::{CreateChannel, Events, EventsPage, ListChannels, Token, UserInfo};
    match endpoint {
        Token => (times(0, &[]), times(1, &[Token])),
        UserInfo => (times(1, &[Token]), times(1, &[UserInfo])),
        // Without a channel the events are read nevertheless.
        ListChannels => (times(1, &[Token, UserInfo, Events]), times(1, &[ListChannels])),
        // A channel is only asked for if a fresh list does not show it.
        CreateChannel => (times(1, &[Token, UserInfo, Events]), times(1, &[ListChannels, CreateChannel])),
        Events => (times(0, &[]), times(1, &[Events])),
        EventsPage => (times(0, &[]), times(1, &[Events, EventsPage])),
        other => panic!("no subscription calls {other:?}"),
    }
}

/// Requests without those that notifications bring about: where only the channel is not to be had, events are read nevertheless.
pub fn without_notified(endpoint: Endpoint, mut requests: Requests) -> Requests {
    if matches!(endpoint, Endpoint::ListChannels | Endpoint::CreateChannel) {
        requests.remove(&Endpoint::Events);
    }
    requests
}

/// The name of a call in messages.
pub fn call(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Token => "refresh_token",
        Endpoint::UserInfo => "userinfo",
        Endpoint::ListChannels => "list_channels",
        Endpoint::CreateChannel => "create_channel",
        Endpoint::Events => "events",
        Endpoint::EventsPage => "events_page",
        other => panic!("no subscription calls {other:?}"),
    }
}

/// The conditions that a trouble at a call is on: without a channel also on that one, and on that one alone if it is the channel
/// that is not to be had. An access token that is refused is no matter of the channel, wherever it is.
pub fn conditions(endpoint: Endpoint, reason: &str) -> &'static [&'static str] {
    let credentials = ["AuthorizationRevoked", "ClientCredentialsInvalid", "InsufficientScope", "Unauthorized"];
    let of_events = matches!(endpoint, Endpoint::Events | Endpoint::EventsPage);
    let of_channel = matches!(endpoint, Endpoint::ListChannels | Endpoint::CreateChannel) && reason != "Unauthorized";
    match (of_events, of_channel, credentials.contains(&reason)) {
        (true, _, false) => &["Synced"],
        (true, _, true) => &["Synced", "CredentialsValid"],
        (false, true, false) => &["ChannelActive"],
        (false, true, true) => &["ChannelActive", "CredentialsValid"],
        (false, false, false) => &["Synced", "ChannelActive"],
        (false, false, true) => &["Synced", "ChannelActive", "CredentialsValid"],
    }
}

/// A subscription that has run into a fault at a call.
pub struct Stuck<'a> {
    pub trial: Trial<'a>,
    endpoint: Endpoint,
    pub told: Told,
    /// The subscription as it said so first.
    pub found: CalendarSubscription,
    /// Of the output, where there is one.
    output: Option<String>,
}

/// Lets a subscription run into a fault: one that is new, or for the reading of events one that has a copy already.
pub async fn run_into<'a>(bench: &'a Bench, name: &str, endpoint: Endpoint, answer: Answer, told: Told) -> Stuck<'a> {
    let trial = Trial::prepare(bench, name).await;
    // The old refresh token lives on: the answer that brings the new one may be the one that is lost.
    trial.sim.settings(|settings| settings.rotation = Rotation::WithGrace);
    let fault = Fault::next(usize::MAX, endpoint, answer);
    let mut output = None;
    if matches!(endpoint, Endpoint::Events | Endpoint::EventsPage) {
        trial.copied().await;
        output = trial.output_version().await;
        trial.sim.inject(fault);
        trial.sim.put_event(&trial.account, event("three", 2)).unwrap(); // a notification comes, and a delta is read
        trial.sim.put_event(&trial.account, event("four", 3)).unwrap();
    } else {
        trial.sim.inject(fault);
        trial.subscribe(serde_json::json!({})).await;
    }
    let found = trial.explained(&told).await;
    Stuck { trial, endpoint, told, found, output }
}

impl Stuck<'_> {
    /// What was stored stays as it is. Where only the channel is not to be had there is a copy, and it goes on.
    pub async fn keeps_its_copy(&self) {
        if !self.told.on.contains(&"Synced") {
            assert!(self.trial.output_version().await.is_some(), "{}: there is no copy", self.trial.name);
            return;
        }
        assert_eq!(self.trial.output_version().await, self.output, "{}: the copy was touched", self.trial.name);
    }

    /// The cause is gone.
    pub async fn heals(&self) {
        self.keeps_its_copy().await;
        self.trial.sim.clear_faults();
        if self.told.stalled {
            self.trial.request().await;
        }
        self.trial.ready().await;
        if matches!(self.endpoint, Endpoint::Events | Endpoint::EventsPage) {
            self.trial.titles(&["one", "two", "three", "four"]).await;
        }
    }
}

fn told(endpoint: Endpoint, cause: &Cause) -> Told {
    let call = call(endpoint);
    Told {
        reason: cause.reason,
        message: format!("{call}: {}", cause.message),
        on: conditions(endpoint, cause.reason),
        stalled: cause.stalled,
    }
}

/// The calls of a subscription's way, in their order.
pub const WAY: [Endpoint; 6] = [
    Endpoint::Token,
    Endpoint::UserInfo,
    Endpoint::ListChannels,
    Endpoint::CreateChannel,
    Endpoint::Events,
    Endpoint::EventsPage,
];

/// A call in the name of a subscription.
pub fn label(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Token => "token",
        Endpoint::UserInfo => "userinfo",
        Endpoint::ListChannels => "list",
        Endpoint::CreateChannel => "create",
        Endpoint::Events => "events",
        Endpoint::EventsPage => "page",
        other => panic!("no subscription calls {other:?}"),
    }
}

#[tokio::test]
async fn an_answer_that_is_none_is_told_tried_again_no_faster_than_shown_and_over_when_it_is() {
    let bench = Bench::start("answers", &[]).await;
    let cases = WAY.into_iter().flat_map(|endpoint| {
        let causes = everywhere().into_iter().filter(move |cause| {
            // A create that took effect is found in the next list: that is a test of channels.
            !(cause.stalled || (cause.takes_effect && endpoint == Endpoint::CreateChannel))
        });
        causes.map(move |cause| (endpoint, cause))
    });
    join_all(cases.map(async |(endpoint, cause)| {
        let name = format!("{}-{}", label(endpoint), cause.name);
        let told = told(endpoint, &cause);
        let stuck = run_into(&bench, &name, endpoint, cause.answer, told).await;
        // One that takes half a minute to fail need not do so thrice.
        let tries = if cause.name == "timeout" { 1 } else { 3 };
        let (once, each) = way_to(endpoint);
        let (count, requests) = stuck.trial.failed(tries).await;
        let expected = (0..count).fold(once, |requests, _| sum(requests, each.clone()));
        assert_eq!(requests, expected, "{name} after {count} tries");
        stuck.trial.told_once(&stuck.told).await;
        stuck.heals().await;
    }))
    .await;
}

#[tokio::test]
async fn what_no_retry_mends_costs_one_request_until_a_person_acts() {
    let bench = Bench::start("stalled", &[]).await;
    let cases = WAY.into_iter().flat_map(|endpoint| {
        everywhere().into_iter().filter(|cause| cause.stalled).map(move |cause| (endpoint, cause))
    });
    let stuck = join_all(cases.map(async |(endpoint, cause)| {
        let name = format!("{}-{}", label(endpoint), cause.name);
        let told = told(endpoint, &cause);
        run_into(&bench, &name, endpoint, cause.answer, told).await
    }))
    .await;
    let trials: Vec<_> = stuck.iter().map(|stuck| &stuck.trial).collect();
    bench.wake(&trials, 3).await;
    for Stuck { trial, endpoint, .. } in &stuck {
        let (once, each) = way_to(*endpoint);
        let [asked, expected] = [trial.requests(), sum(once, each)].map(|all| without_notified(*endpoint, all));
        assert_eq!(asked, expected, "{} after it was woken", trial.name);
    }
    join_all(stuck.iter().map(Stuck::heals)).await;
}
