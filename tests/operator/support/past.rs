//! Time that has passed. The operator's clock is the machine's, so nobody waits: time is taken from what the cluster remembers
//! of a subscription, which to an operator that looks next is the same as if it had passed.

use cronofy_operator::api::CalendarSubscription;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use testenv::eventually;

use super::operator::PATIENCE;
use super::world::World;

/// Takes this much time from all that the operator has noted by its own clock: in the status, and in the index of the copy. What
/// it has noted by Cronofy's stays: the cursor, and how far the window has been read. The changed index wakes the operator.
pub async fn let_pass_here(world: &World, name: &str, time: SignedDuration) {
    age_status(world, name, time).await;
    age_index(world, name, &["lastFullSync"], time).await;
}

/// The same, as if Cronofy's clock had gone on as well.
pub async fn let_pass(world: &World, name: &str, time: SignedDuration) {
    age_status(world, name, time).await;
    age_index(world, name, &["lastFullSync", "cursor"], time).await;
}

/// Takes time from one field of the status, by its JSON pointer. Nobody is woken by that.
pub async fn age_field(world: &World, name: &str, pointer: &str, time: SignedDuration) {
    let status = json!(world.subscriptions().get(name).await.unwrap().status);
    let value = status.pointer(pointer).unwrap_or_else(|| panic!("{name} has {pointer}: {status:#}")).clone();
    let keys = pointer.trim_start_matches('/').rsplit('/');
    let patch = keys.fold(earlier(value, time), |value, key| json!({ key: value }));
    patch_status(world, name, patch).await;
}

/// Waits until Cronofy has made the subscription's channel, whether or not it has reached it: only then has it an age.
pub async fn channel_made(world: &World, name: &str) {
    let made = |subscription: &CalendarSubscription| {
        let channel = subscription.status.as_ref().and_then(|status| status.channel.as_ref());
        channel.is_some_and(|channel| channel.created_time.is_some())
    };
    world.until(name, "has a channel", made).await;
}

/// Wakes the subscription's reconcile as a timer would: somebody touches its output, once there is one.
pub async fn wake(world: &World, name: &str) {
    let written = eventually("the output is written", PATIENCE, async || outputs(world).get(&output(name)).await.ok());
    written.await.unwrap();
    let patch = json!({ "metadata": { "annotations": { "team.example.org/seen": Timestamp::now().to_string() } } });
    outputs(world).patch(&output(name), &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

async fn age_status(world: &World, name: &str, time: SignedDuration) {
    let status = json!(world.subscriptions().get(name).await.unwrap().status);
    let mut aged = earlier(status.clone(), time);
    // The far edge is swept by the calendar day, whenever anything was noted.
    if status["sync"]["next"]["what"] == "HorizonSweep" {
        aged["sync"]["next"] = status["sync"]["next"].clone();
    }
    patch_status(world, name, aged).await;
}

async fn patch_status(world: &World, name: &str, status: Value) {
    let patch = Patch::Merge(json!({ "status": status }));
    world.subscriptions().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
}

/// The same with all its times so much earlier.
fn earlier(value: Value, time: SignedDuration) -> Value {
    match value {
        Value::String(text) => json!(text.parse::<Timestamp>().map_or(text, |found| (found - time).to_string())),
        Value::Array(values) => values.into_iter().map(|value| earlier(value, time)).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, earlier(value, time))).collect(),
        other => other,
    }
}

fn outputs(world: &World) -> Api<ConfigMap> {
    Api::namespaced(world.client.clone(), world.ns())
}

fn output(name: &str) -> String {
    format!("{name}-events")
}

/// Takes time from fields of the index, and seals it again: else it would be repaired as damaged.
async fn age_index(world: &World, name: &str, fields: &[&str], time: SignedDuration) {
    let index = outputs(world).get(&output(name)).await.unwrap().data.unwrap().remove("index.json").unwrap();
    let aged = sealed(&fields.iter().fold(index, |index, field| {
        let before = text_of(&index, field);
        let after = (before.parse::<Timestamp>().unwrap() - time).to_string();
        with(&index, field, &after)
    }));
    let patch = json!({ "data": { "index.json": aged } });
    outputs(world).patch(&output(name), &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

/// The text in a field of the index, which has a line for each.
fn text_of(index: &str, field: &str) -> String {
    let value: Value = serde_json::from_str(index).unwrap();
    value[field].as_str().unwrap_or_else(|| panic!("the index has {field}: {index}")).to_owned()
}

fn with(index: &str, field: &str, text: &str) -> String {
    let line = |text: &str| format!("{}: {}", json!(field), json!(text));
    index.replacen(&line(&text_of(index, field)), &line(text), 1)
}

/// The seal is the hash of the index in its order, without blanks and with an empty seal.
fn sealed(index: &str) -> String {
    let open = with(index, "seal", "");
    let compact: String = open.lines().map(|line| line.trim_start().replacen("\": ", "\":", 1)).collect();
    let digest = Sha256::digest(compact.as_bytes());
    let seal = digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    with(&open, "seal", &seal)
}
