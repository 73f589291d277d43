//! Answers that mean something of their own where they come.

use cronofy_sim::{Answer, Endpoint, Fault, Notification, WrongClient};
use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::json;
use testenv::eventually;

use super::answers::{Stuck, WAY, call, label, run_into, way_to, without_notified};
use super::{Bench, Requests, Told, Trial, sum, times};
use crate::support::past::age_field;
use crate::support::{PATIENCE, condition};

use Endpoint::{CreateChannel, Events, EventsPage, ListChannels, Token, UserInfo};

/// How a cause goes away.
enum Heal {
    /// By itself.
    Itself,
    /// The owner authorizes anew, and somebody puts the token into the Secret.
    Authorization,
    /// Somebody changes the spec.
    Spec(serde_json::Value),
    /// An hour passes.
    Hour,
}

struct Case {
    name: &'static str,
    endpoint: Endpoint,
    answer: Answer,
    reason: &'static str,
    message: &'static str,
    /// Requests before the first try, and with each.
    cost: (Requests, Requests),
    heal: Heal,
}

fn retried(
    name: &'static str,
    endpoint: Endpoint,
    answer: Answer,
    reason: &'static str,
    message: &'static str,
) -> Case {
    let (once, each) = way_to(endpoint);
    Case { name, endpoint, answer, reason, message, cost: (once, each), heal: Heal::Itself }
}

const REFUSED_TOKEN: &str =
    "Cronofy refuses a fresh access token (401): it is tried again; if this stays, authorize the account anew";
const NOT_FOUND: &str =
    "Cronofy does not find what is asked for (404): check spec.calendarIds and the application's data centre";
const SCOPE: &str = "the account's authorization lacks a scope (403): let the owner authorize again with read_events, and \
                     put the new refresh_token into Secret";

fn retried_cases() -> Vec<Case> {
    let not_found = |endpoint, status| retried("404", endpoint, Answer::status(status), "NotFound", NOT_FOUND);
    let foreign = "Cronofy's next page is at https://elsewhere.invalid, which is not the application's API, so it was not \
                   read: check spec.dataCenter; it is tried again";
    vec![
        not_found(ListChannels, 404),
        not_found(CreateChannel, 410),
        not_found(Events, 404),
        Case {
            // Begun anew three times before it counts as failed.
            cost: (times(0, &[]), times(4, &[Events, EventsPage])),
            ..retried(
                "404",
                EventsPage,
                Answer::status(404),
                "NotFound",
                "pages of events vanish while they are read (404): the read is tried again",
            )
        },
        retried(
            "404",
            Token,
            Answer::status(404),
            "NotFound",
            "refresh_token: there is no such call at the application's API (404): check spec.dataCenter or spec.endpoint of \
             the CronofyApplication; it is tried again",
        ),
        retried(
            "400",
            Token,
            Answer::body(400, r#"{"error":"temporarily_confused"}"#),
            "MalformedAnswer",
            "refresh_token: status 400 is not one that Cronofy documents: check for a proxy in between; it is tried again",
        ),
        retried("foreign", Events, Answer::ForeignPage, "ForeignPage", foreign),
        retried("foreign", EventsPage, Answer::ForeignPage, "ForeignPage", foreign),
    ]
}

fn terminal_cases() -> Vec<Case> {
    let invalid = |field: &str| {
        Answer::body(422, json!({ "errors": { field: [{ "key": "errors.bad", "description": "bad" }] } }).to_string())
    };
    let scope = |endpoint| Case {
        heal: Heal::Authorization,
        ..retried("403", endpoint, Answer::status(403), "InsufficientScope", SCOPE)
    };
    let refused = |name, endpoint, field, message, spec| Case {
        heal: Heal::Spec(spec),
        ..retried(name, endpoint, invalid(field), "InvalidRequest", message)
    };
    let utc = json!({ "timeZone": "Etc/GMT" });
    vec![
        scope(ListChannels),
        scope(CreateChannel),
        scope(Events),
        scope(EventsPage),
        refused(
            "422-zone",
            Events,
            "tzid",
            "events: Cronofy refuses spec.timeZone (422, errors.bad): correct it",
            utc.clone(),
        ),
        refused(
            "422-from",
            Events,
            "from",
            "events: Cronofy refuses spec.window (422, errors.bad): correct it",
            json!({ "window": { "pastDays": 10 } }),
        ),
        refused(
            "422-calendars",
            CreateChannel,
            "filters.calendar_ids",
            "create_channel: Cronofy refuses spec.calendarIds (422, errors.bad): correct it",
            utc.clone(),
        ),
        refused(
            "422-url",
            CreateChannel,
            "callback_url",
            "create_channel: Cronofy refuses the operator's --webhook-base-url (422, errors.bad): correct it",
            utc.clone(),
        ),
        refused(
            "422-other",
            Events,
            "hue",
            "events: Cronofy refuses the request (422), hue: errors.bad; correct the spec",
            utc,
        ),
    ]
}

fn told(trial: &str, case: &Case) -> Told {
    let stalled = !matches!(case.heal, Heal::Itself);
    let message = match case.reason {
        "PlanRequired" => format!("{}: {}", call(case.endpoint), case.message),
        "InsufficientScope" => {
            format!("{}: {} {{namespace}}/{trial}", call(case.endpoint), case.message)
        }
        _ => case.message.to_owned(),
    };
    Told { reason: case.reason, message, on: super::answers::conditions(case.endpoint, case.reason), stalled }
}

async fn stuck<'a>(bench: &'a Bench, case: &Case) -> Stuck<'a> {
    let name = format!("{}-{}", label(case.endpoint), case.name);
    let mut told = told(&name, case);
    told.message = told.message.replace("{namespace}", bench.world.ns());
    run_into(bench, &name, case.endpoint, case.answer.clone(), told).await
}

#[tokio::test]
async fn refusals_that_may_pass_are_tried_again_and_cost_what_each_try_costs() {
    let bench = Bench::start("refused", &[]).await;
    join_all(retried_cases().into_iter().map(async |case| {
        let stuck = stuck(&bench, &case).await;
        let (count, requests) = stuck.trial.failed(3).await;
        let (once, each) = case.cost;
        let expected = (0..count).fold(once, |requests, _| sum(requests, each.clone()));
        assert_eq!(requests, expected, "{} after {count} tries", stuck.trial.name);
        stuck.trial.told_once(&stuck.told).await;
        stuck.heals().await;
    }))
    .await;
}

#[tokio::test]
async fn refusals_that_do_not_pass_wait_for_the_one_thing_that_mends_them() {
    let bench = Bench::start("terminal", &[]).await;
    let stuck = join_all(terminal_cases().into_iter().map(async |case| (stuck(&bench, &case).await, case))).await;
    let trials: Vec<_> = stuck.iter().map(|(stuck, _)| &stuck.trial).collect();
    bench.wake(&trials, 3).await;
    join_all(stuck.iter().map(async |(stuck, case)| {
        let trial = &stuck.trial;
        let (once, each) = case.cost.clone();
        let [asked, expected] = [trial.requests(), sum(once, each)].map(|all| without_notified(case.endpoint, all));
        assert_eq!(asked, expected, "{} after it was woken", trial.name);
        stuck.keeps_its_copy().await;
        trial.sim.clear_faults();
        match &case.heal {
            Heal::Itself | Heal::Hour => {}
            Heal::Authorization => {
                trial.authorize().await;
                trial.request().await;
            }
            Heal::Spec(spec) => trial.subscribe(spec.clone()).await,
        }
        trial.ready().await;
    }))
    .await;
}

#[tokio::test]
async fn what_is_mended_at_cronofy_is_found_within_the_hour_though_nothing_here_tells_of_it() {
    let bench = Bench::start("plan", &[]).await;
    let plan =
        "the application's plan at Cronofy lacks this feature (402): change the plan; it is tried again each hour";
    let stuck = join_all([Token, Events, CreateChannel].map(async |endpoint| {
        let case = Case { heal: Heal::Hour, ..retried("402", endpoint, Answer::status(402), "PlanRequired", plan) };
        (stuck(&bench, &case).await, case)
    }))
    .await;
    let trials: Vec<_> = stuck.iter().map(|(stuck, _)| &stuck.trial).collect();
    let requests =
        || trials.iter().zip(&stuck).map(|(trial, (_, case))| without_notified(case.endpoint, trial.requests()));
    let before: Vec<_> = requests().collect();
    for trial in &trials {
        trial.sim.clear_faults();
    }
    for minutes in [50, 10] {
        let time = SignedDuration::from_mins(minutes);
        join_all(trials.iter().map(|trial| age_field(&bench.world, &trial.name, "/failure/lastTime", time))).await;
        if minutes == 50 {
            bench.wake(&trials, 2).await;
            assert_eq!(requests().collect::<Vec<_>>(), before, "not before the hour is over");
        }
    }
    bench.wake(&trials, 1).await;
    join_all(trials.iter().map(|trial| trial.ready())).await;
}

/// An authorization that is gone and credentials that are wrong, for a subscription that is new and for one that has a copy.
#[tokio::test]
async fn wrong_credentials_are_told_apart_from_a_revoked_authorization() {
    let bench = Bench::start("credentials", &[]).await;
    let revoked = async |name: &str, copied: bool| {
        let trial = Trial::prepare(&bench, name).await;
        if copied {
            trial.copied().await;
            trial.sim.revoke(&trial.account);
            trial.request().await;
        } else {
            trial.sim.revoke(&trial.account);
            trial.subscribe(json!({})).await;
        }
        let told = Told {
            reason: "AuthorizationRevoked",
            message: format!(
                "the account's authorization is revoked or unknown to Cronofy: let the owner authorize again, and put the new \
                 refresh_token into Secret {}/{name}",
                bench.world.ns()
            ),
            on: if copied { &["CredentialsValid", "Synced"] } else { &["CredentialsValid", "Synced", "ChannelActive"] },
            stalled: true,
        };
        trial.explained(&told).await;
        (trial, told)
    };
    let wrong = async |name: &str, answer: WrongClient| {
        let trial = Trial::prepare(&bench, name).await;
        trial.sim.settings(|settings| settings.wrong_client = answer);
        trial.put_credentials("wrong").await;
        trial.subscribe(json!({})).await;
        let told = Told {
            reason: "ClientCredentialsInvalid",
            message: format!(
                "Cronofy refuses the application's credentials: correct client_id and client_secret in Secret {}/{name}-app, \
                 and check spec.dataCenter of the CronofyApplication",
                bench.world.ns()
            ),
            on: &["CredentialsValid", "Synced", "ChannelActive"],
            stalled: true,
        };
        trial.explained(&told).await;
        (trial, told)
    };
    let stuck = [
        revoked("revoked", false).await,
        revoked("revoked-later", true).await,
        wrong("wrong-401", WrongClient::Unauthorized).await,
        wrong("wrong-400", WrongClient::InvalidClient).await,
    ];
    let trials: Vec<_> = stuck.iter().map(|(trial, _)| trial).collect();
    let before: Vec<_> = trials.iter().map(|trial| trial.requests()).collect();
    bench.wake(&trials, 3).await;
    for (trial, before) in trials.iter().zip(before) {
        assert_eq!(trial.requests(), before, "{} after it was woken", trial.name);
        assert_eq!(before[&Token], 1, "{}", trial.name);
    }
    join_all(stuck.iter().map(async |(trial, told)| {
        if told.reason == "AuthorizationRevoked" {
            trial.authorize().await;
        } else {
            trial.put_credentials(crate::support::world::CLIENT_SECRET).await;
        }
        trial.request().await;
        trial.ready().await;
    }))
    .await;
}

#[tokio::test]
async fn an_access_token_that_is_refused_although_it_is_fresh_is_renewed_no_more_than_once_a_try() {
    let bench = Bench::start("unauthorized", &[]).await;
    join_all(WAY.into_iter().filter(|endpoint| *endpoint != Token).map(async |endpoint| {
        let case = retried("401", endpoint, Answer::status(401), "Unauthorized", REFUSED_TOKEN);
        let stuck = stuck(&bench, &case).await;
        let (count, requests) = stuck.trial.failed(3).await;
        for (asked, least) in [(Token, count - 1), (endpoint, count)] {
            assert!((least..=2 * count).contains(&requests[&asked]), "{count} tries of {endpoint:?} cost {requests:?}");
        }
        stuck.trial.told_once(&stuck.told).await;
        stuck.heals().await;
    }))
    .await;
}

#[tokio::test]
async fn an_access_token_that_has_ended_is_renewed_once_and_nobody_is_told() {
    let bench = Bench::start("expired", &[]).await;
    join_all(WAY.into_iter().filter(|endpoint| *endpoint != Token).map(async |endpoint| {
        let trial = Trial::prepare(&bench, label(endpoint)).await;
        let fault = Fault::next(1, endpoint, Answer::status(401));
        let usual = if matches!(endpoint, ListChannels | CreateChannel) {
            trial.sim.inject(fault);
            trial.subscribe(json!({})).await;
            trial.ready().await;
            times(1, &[Token, UserInfo, ListChannels, CreateChannel, Events])
        } else {
            trial.copied().await;
            trial.sim.inject(fault);
            if endpoint == UserInfo {
                let channel = trial.sim.open_channels(&trial.account)[0].id.clone();
                trial.sim.notify(&channel, &Notification::new("profile_disconnected"));
                times(1, &[UserInfo])
            } else {
                trial.request().await;
                times(1, &[UserInfo, Events, EventsPage])
            }
        };
        let expected = sum(usual, times(1, &[Token, endpoint]));
        let asked = eventually("all is asked again", PATIENCE, || {
            std::future::ready((trial.requests().values().sum::<usize>() >= expected.values().sum()).then_some(()))
        });
        asked.await.unwrap();
        trial.ready().await;
        assert_eq!(trial.requests(), expected, "{endpoint:?}");
        assert_eq!(trial.warnings().await, 0, "{endpoint:?}");
    }))
    .await;
}

#[tokio::test]
async fn an_account_that_may_not_be_asked_about_itself_is_copied_all_the_same() {
    let bench = Bench::start("unasked", &[]).await;
    join_all([403, 404, 410].map(async |status| {
        let trial = Trial::prepare(&bench, &format!("userinfo-{status}")).await;
        trial.sim.inject(Fault::next(usize::MAX, UserInfo, Answer::status(status)));
        trial.copied().await;
        assert_eq!(condition(&trial.ready().await, "CredentialsValid").0, "True");
        assert_eq!(trial.warnings().await, 0, "{status}");
    }))
    .await;
}

#[tokio::test]
async fn a_page_that_is_gone_begins_the_read_anew() {
    let bench = Bench::start("page", &[]).await;
    let trial = Trial::prepare(&bench, "page").await;
    trial.sim.inject(Fault::next(2, EventsPage, Answer::status(404)));
    trial.copied().await;
    trial.titles(&["one", "two"]).await;
    assert_eq!(trial.warnings().await, 0);
    trial.sim.inject(Fault::next(2, EventsPage, Answer::status(410)));
    trial.request().await;
    trial
        .until("has read everything again", |found| found.status.as_ref().unwrap().last_handled_request.is_some())
        .await;
    assert_eq!(trial.requests(), sum(times(1, &[UserInfo]), times(3, &[Events, EventsPage])));
    trial.ready().await;
}
