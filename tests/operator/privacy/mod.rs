//! Secrets, tokens, addresses and the texts of events go nowhere but where they belong: marked values are planted wherever the
//! operator takes anything in, and all that it lets out is searched for them.

mod debug;
mod planted;

use std::collections::{BTreeMap, BTreeSet};

use cronofy_operator::api::{CalendarSubscription, CronofyApplication};
use cronofy_sim::{SIGNATURE, sign};
use futures::future::join_all;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use self::planted::{
    ATTENDEE, ATTENDEE_MAIL, BROKEN_TOKEN, CLIENT_ID, CLIENT_SECRET, DESCRIPTION, HEADER, MARK, MEETING, NOTIFIED,
    ORGANIZER, ORGANIZER_MAIL, OWNER_MAIL, PLACE, TITLE, WRONG_SECRET, fails, failures, plant,
};
use crate::support::condition;
use crate::trouble::bench::{Bench, Trial};

/// Sends everything to the webhook that somebody could, at the path of a channel and at others.
async fn knock(callback_url: &str) {
    // A connection each: one whose body was refused is closed.
    let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let unknown = callback_url.rsplit_once('/').unwrap().0.to_owned() + "/kanaryunknownpathtoken";
    let notification = |kind: &str| {
        json!({ "notification": { "type": kind, "kanaryfield": NOTIFIED, "changes_since": NOTIFIED },
            "channel": { "channel_id": NOTIFIED, "callback_url": NOTIFIED } })
        .to_string()
    };
    let bodies = [
        NOTIFIED.to_owned(),
        format!("{{\"{NOTIFIED}\":"),
        notification(NOTIFIED),
        notification("change"),
        json!({ "notification": { "type": NOTIFIED } }).to_string(),
        NOTIFIED.repeat(10_000),
        String::new(),
    ];
    let mut answers = BTreeSet::new();
    for body in bodies {
        let signed = sign(CLIENT_SECRET, body.as_bytes());
        for (url, signature) in [
            (callback_url, Some(signed.as_str())),
            (callback_url, Some(HEADER)),
            (callback_url, None),
            (unknown.as_str(), Some(signed.as_str())),
        ] {
            let mut request = http.post(url).query(&[("kanaryquery", NOTIFIED)]).header("X-Kanary", HEADER);
            if let Some(signature) = signature {
                request = request.header(SIGNATURE, signature);
            }
            let answer = request.body(body.clone()).send().await;
            // Whoever still sends when it is refused may see no more than the end of the connection.
            let Some(answer) = answer.map_or_else(|error| (body.len() < 64 * 1024).then(|| panic!("{error}")), Some)
            else {
                continue;
            };
            answers.insert(answer.status().as_u16());
        }
    }
    answers.insert(http.get(callback_url).header("Cookie", HEADER).send().await.unwrap().status().as_u16());
    answers.remove(&413);
    assert_eq!(answers, [204, 400, 401, 404, 405].into(), "every way to answer was taken");
}

/// Everything that must not be found, by what it is.
async fn forbidden(bench: &Bench, trials: &[Trial<'_>]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::from([("a planted value".to_owned(), MARK.to_owned())]);
    let secrets: Api<Secret> = Api::namespaced(bench.world.client.clone(), bench.world.ns());
    for trial in trials {
        let secret = secrets.get(&trial.name).await.unwrap();
        let token = secret.data.unwrap().remove("refresh_token").unwrap().0;
        all.insert(format!("the refresh token of {}", trial.name), String::from_utf8(token).unwrap());
        for channel in trial.sim.channels(&trial.account) {
            let token = channel.callback_url.rsplit('/').next().unwrap();
            all.insert(format!("the path of channel {}", channel.id), token.to_owned());
        }
    }
    all
}

/// Tokens of the simulator, by their form: also those that nobody but the operator has seen.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    ["at_", "rt_"].into_iter().flat_map(move |prefix| {
        text.match_indices(prefix).filter_map(move |(at, _)| {
            let token = text.get(at..at + 19)?;
            token[3..].chars().all(|character| character.is_ascii_hexdigit()).then_some(token)
        })
    })
}

fn search(place: &str, text: &str, forbidden: &BTreeMap<String, String>) {
    for (what, value) in forbidden {
        if let Some(at) = text.find(value.as_str()) {
            let from = (0..at).rev().find(|from| text.is_char_boundary(*from) && at - from >= 200).unwrap_or(0);
            let to = (at + 100..text.len()).find(|to| text.is_char_boundary(*to)).unwrap_or(text.len());
            panic!("{place} shows {what}: …{}…", &text[from..to]);
        }
    }
    let tokens: Vec<_> = tokens(text).collect();
    assert!(tokens.is_empty(), "{place} shows {tokens:?}");
}

/// Takes out what may be told in the status only: the page where the owner connects a service again.
fn without_relink(mut subscription: Value) -> (Value, Vec<Value>) {
    let profiles = subscription.pointer_mut("/status/account/profiles").and_then(Value::as_array_mut);
    let taken = profiles.into_iter().flatten().filter_map(|profile| profile.as_object_mut()?.remove("relinkURL"));
    let taken = taken.collect();
    (subscription, taken)
}

async fn listed<K>(bench: &Bench) -> Vec<K>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(bench.world.client.clone(), bench.world.ns());
    api.list(&ListParams::default()).await.unwrap().items
}

#[tokio::test]
async fn nothing_planted_is_found_where_it_does_not_belong() {
    let bench = Bench::tuned("private", &[], |options| {
        options.environment.insert("RUST_LOG".to_owned(), "trace".to_owned());
        options.arguments = vec!["--concurrency".to_owned(), "64".to_owned()];
    })
    .await;
    let mut trials = join_all(["busy", "titles", "full"].map(|name| Trial::prepare(&bench, name))).await;
    for (trial, visibility) in trials.iter_mut().zip(["Busy", "Titles", "Full"]) {
        plant(trial).await;
        trial.subscribe(json!({ "visibility": visibility })).await;
        trial.ready().await;
    }
    let full = &trials[2];
    knock(&full.sim.open_channels(&full.account)[0].callback_url).await;
    full.sim.rename_event("one", &format!("{TITLE}again")).unwrap();
    full.titles(&[&format!("{TITLE}again"), TITLE]).await;
    full.sim.connect_profile(&full.account, false);
    full.until("is disconnected", |found| condition(found, "Ready").1 == "ProfileDisconnected").await;

    let mut failing = join_all(failures().into_iter().map(async |(name, endpoint, answer, reason)| {
        let mut trial = Trial::prepare(&bench, name).await;
        fails(&mut trial, endpoint, answer, reason).await;
        trial
    }))
    .await;
    trials.append(&mut failing);
    let mut wrong = Trial::prepare(&bench, "wrong-secret").await;
    plant(&mut wrong).await;
    let values: [(&str, &[u8]); 2] = [("client_id", CLIENT_ID.as_bytes()), ("client_secret", WRONG_SECRET.as_bytes())];
    wrong.put_values(&wrong.credentials(), &values).await;
    let mut broken = Trial::prepare(&bench, "broken-secret").await;
    plant(&mut broken).await;
    broken.put_values(&broken.name, &[("refresh_token", format!("{BROKEN_TOKEN}\n{BROKEN_TOKEN}").as_bytes())]).await;
    for (trial, reason) in [(&wrong, "ClientCredentialsInvalid"), (&broken, "SecretKeyInvalid")] {
        trial.subscribe(json!({})).await;
        trial.until(reason, |found| condition(found, "Ready").1 == reason).await;
    }
    trials.extend([wrong, broken]);

    let forbidden = forbidden(&bench, &trials).await;
    let mut relinks = Vec::new();
    for subscription in listed::<CalendarSubscription>(&bench).await {
        search("Debug of a subscription", &format!("{subscription:?}"), &forbidden);
        let (subscription, relink) = without_relink(json!(subscription));
        search("a subscription", &subscription.to_string(), &forbidden);
        relinks.extend(relink);
    }
    assert!(relinks.iter().any(|url| url.to_string().contains(OWNER_MAIL)), "what is allowed is there: {relinks:?}");
    for object in listed::<CronofyApplication>(&bench).await {
        search("an application", &format!("{object:?} {}", json!(object)), &forbidden);
    }
    let events = listed::<Event>(&bench).await;
    assert!(events.len() > 20, "{}", events.len());
    for event in &events {
        search("an Event", &json!(event).to_string(), &forbidden);
    }
    for lease in listed::<Lease>(&bench).await {
        search("a lease", &json!(lease).to_string(), &forbidden);
    }
    check_copies(&bench, &forbidden).await;
    for (what, text) in debug::shown().await {
        search(&format!("Debug of {what}"), &text, &forbidden);
    }

    for path in ["metrics", "readyz", "livez"] {
        let url = format!("http://{}/{path}", bench.operator.admin);
        search(path, &reqwest::get(url).await.unwrap().text().await.unwrap(), &forbidden);
    }
    let Bench { operator, .. } = &bench;
    let log = operator.log();
    assert!(log.iter().any(|line| line.contains("\"TRACE\"")), "everything is logged");
    for line in &log {
        search("the log", line, &forbidden);
    }
}

/// A copy holds what its visibility allows, and nothing else.
async fn check_copies(bench: &Bench, forbidden: &BTreeMap<String, String>) {
    let text = [DESCRIPTION, PLACE, ORGANIZER, ORGANIZER_MAIL, ATTENDEE, ATTENDEE_MAIL, MEETING];
    let maps: BTreeMap<_, _> = listed::<ConfigMap>(bench)
        .await
        .into_iter()
        .map(|map| (map.metadata.name.clone().unwrap(), json!(map).to_string()))
        .collect();
    search("the copy of times", &maps["busy-events"], forbidden);
    assert!(maps["titles-events"].contains(TITLE));
    search("the copy of titles", &maps["titles-events"].replace(TITLE, ""), forbidden);
    for text in text {
        assert!(maps["full-events"].contains(text), "{text} was planted and is allowed here");
    }
    // Those that only have no channel are full copies, too.
    for (name, map) in maps.iter().filter(|(name, _)| !["busy-events", "titles-events"].contains(&name.as_str())) {
        let rest = text.iter().rev().chain([&TITLE]).fold(map.clone(), |rest, text| rest.replace(text, ""));
        search(name, &rest, forbidden);
    }
}
