//! The webhook of the running operator: who is let in, what each answer tells, and that nobody can hold it up.

use std::time::Duration;

use crate::support::hook::{self, post, post_signed, raw};
use crate::support::world::{CLIENT_ID, CLIENT_SECRET};
use crate::support::{Operator, PATIENCE, World, event};
use cronofy_sim::{Channel, Endpoint, Fault, sign};
use kube::api::DeleteParams;
use serde_json::json;
use testenv::eventually;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// Long enough for a receiver to look at the Secret again, and too short for what it remembers to run out by itself.
const LOOKS_AGAIN: Duration = Duration::from_secs(30);

/// A subscription at rest, with nothing pending, and its channel.
async fn at_rest(world: &World) -> Channel {
    world.subscribe("all", json!({})).await;
    world.at_rest("all").await;
    world.channel(world.ns(), "all", &world.account).await
}

/// Reads of the application's Secret since then, whoever of the operator's parts made them.
fn secret_reads(world: &World, since: usize) -> usize {
    let log = world.plane.audit().unwrap().since(since).namespace(world.ns()).resource("secrets");
    log.filter(|entry| entry.name == "app" && entry.verb == "get").len()
}

async fn world_with_operator(name: &str) -> (World, Operator) {
    let world = World::start(name).await;
    let operator = world.operator().await;
    (world, operator)
}

#[tokio::test]
async fn what_the_application_has_not_signed_is_refused_and_leaves_no_trace() {
    let (world, _operator) = world_with_operator("unsigned").await;
    let channel = at_rest(&world).await;
    let (client, url) = (hook::client(), channel.callback_url.as_str());
    let body = hook::change(&channel, hook::minutes_ago(10));
    let good = sign(CLIENT_SECRET, body.as_bytes());
    let changed_body = body.replacen("change", "chance", 1);
    let url_alphabet = good.trim_end_matches('=').replace('+', "-").replace('/', "_");
    let cases = [
        ("a changed byte", Some(good.clone()), changed_body.as_str()),
        ("a byte more", Some(good.clone()), &format!("{body} ")),
        ("no header", None, &body),
        ("an empty header", Some(String::new()), &body),
        ("a garbled header", Some("?".repeat(44)), &body),
        ("the alphabet for URLs", Some(url_alphabet), &body),
        ("a wrong secret", Some(sign("secret-of-somebody", body.as_bytes())), &body),
        ("two wrong secrets", Some(format!("{},{}", sign("a", body.as_bytes()), sign("b", body.as_bytes()))), &body),
    ];

    let (before, reads) = (world.requests_so_far(), world.sim.requests().len());
    for (what, signature, body) in cases {
        assert_eq!(post(&client, url, signature.as_deref(), body).await.bare(), 401, "{what}");
    }
    assert_eq!(world.status_writes(before).len(), 0, "nothing refused is noted");
    assert_eq!(world.sim.requests().len(), reads, "nothing refused costs a request");

    // The same counting sees the good one.
    assert_eq!(post(&client, url, Some(&good), body).await.bare(), 204);
    assert!(!world.status_writes(before).is_empty());
}

#[tokio::test]
async fn with_two_active_secrets_either_one_signs_in_any_order() {
    let world = World::start("two").await;
    let previous = "secret-before";
    world
        .secret(
            "app",
            &[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET), ("client_secret_previous", previous)],
        )
        .await;
    world.sim.rotate_secrets(CLIENT_ID, &[CLIENT_SECRET, previous]);
    let operator = world.operator().await;
    let channel = at_rest(&world).await;
    let (client, url) = (hook::client(), channel.callback_url.as_str());
    let body = hook::change(&channel, hook::minutes_ago(1));
    let [new, old, other] = [CLIENT_SECRET, previous, "another"].map(|secret| sign(secret, body.as_bytes()));
    for header in [
        new.clone(),
        old.clone(),
        format!("{new},{old}"),
        format!("{old},{new}"),
        format!("{other}, {new}"),
        format!("{other},{old}"),
    ] {
        assert_eq!(post(&client, url, Some(&header), body.as_str()).await.bare(), 204, "{header}");
    }
    assert_eq!(post(&client, url, Some(&other), body.as_str()).await.bare(), 401);
    let matches = |slot| format!("cronofy_operator_webhook_secret_matches_total{{secret=\"{slot}\"}}");
    assert!(operator.metric(&matches("previous")).await >= 2.0, "who waits to retire the old secret can see its use");

    // Cronofy itself signs with every active secret.
    world.sim.put_event(&world.account, event("signed twice", 1)).unwrap();
    world.titles("all", &["signed twice"]).await;
}

#[tokio::test]
async fn an_exchanged_secret_is_accepted_after_one_look_and_the_retired_one_refused_without_a_restart() {
    let (world, _operator) = world_with_operator("exchange").await;
    let channel = at_rest(&world).await;
    let (client, url, new) = (hook::client(), channel.callback_url.as_str(), "secret-from-now-on");
    let body = hook::change(&channel, hook::minutes_ago(1));
    let deliver = async |secret: &str| post_signed(&client, url, secret, &body).await.bare();
    assert_eq!(deliver(CLIENT_SECRET).await, 204);
    assert_eq!(deliver(new).await, 401, "nobody knows it yet");

    // Both are active at Cronofy, and in the Secret.
    world.sim.rotate_secrets(CLIENT_ID, &[new, CLIENT_SECRET]);
    world
        .secret("app", &[("client_id", CLIENT_ID), ("client_secret", new), ("client_secret_previous", CLIENT_SECRET)])
        .await;
    let before = world.requests_so_far();
    accepted(&world, async || deliver(new).await).await;
    assert_eq!(secret_reads(&world, before), 1, "one look at the Secret is enough");
    assert_eq!(deliver(CLIENT_SECRET).await, 204);
    assert_eq!(deliver("forged").await, 401);

    // The old one is retired.
    world.sim.rotate_secrets(CLIENT_ID, &[new]);
    world.secret("app", &[("client_id", CLIENT_ID), ("client_secret", new)]).await;
    eventually("the retired secret is refused", LOOKS_AGAIN, || async {
        assert_eq!(deliver(new).await, 204, "the one in force is accepted throughout");
        // A signature that fits nothing makes the receiver look again; without one it looks within a minute.
        assert_eq!(deliver("forged").await, 401);
        (deliver(CLIENT_SECRET).await == 401).then_some(())
    })
    .await
    .unwrap();

    // The controller renews its access token with it, too.
    world.sim.inject(Fault::next(1, Endpoint::Events, cronofy_sim::Answer::status(401)));
    world.sim.put_event(&world.account, event("after", 1)).unwrap();
    world.titles("all", &["after"]).await;
    world.ready("all").await;
    let renewals = world.sim.requests().into_iter().filter(|request| request.endpoint == Endpoint::Token);
    assert_eq!(renewals.map(|request| request.status).collect::<Vec<_>>(), [200, 200], "at the start, and now");
}

/// Waits until a delivery is answered with 204: a receiver that has just looked at the Secret looks again some seconds later.
async fn accepted(world: &World, deliver: impl AsyncFn() -> u16) {
    let delivered = eventually("the new secret is accepted", LOOKS_AGAIN, || async {
        let status = deliver().await;
        assert!(matches!(status, 204 | 401), "{status}");
        (status == 204).then_some(())
    });
    delivered.await.unwrap_or_else(|error| panic!("{error}; namespace {}", world.ns()));
}

#[tokio::test]
async fn every_answer_tells_no_more_than_its_status() {
    let (world, operator) = world_with_operator("answers").await;
    let channel = at_rest(&world).await;
    let (client, url) = (hook::client(), channel.callback_url.as_str());
    let before = world.requests_so_far();

    let body = hook::change(&channel, hook::minutes_ago(1));
    let unknown = format!("{}/hook/{}", operator.base(), "A".repeat(22));
    for path in [unknown, operator.base(), format!("{url}/more"), format!("{}/metrics", operator.base())] {
        assert_eq!(post_signed(&client, &path, CLIENT_SECRET, &body).await.bare(), 404, "{path}");
    }
    for request in [client.get(url), client.put(url).body(body.clone()), client.delete(url), client.head(url)] {
        let answer = hook::answer(request).await;
        assert_eq!((answer.bare(), answer.allow.as_deref()), (405, Some("POST")));
    }
    assert_eq!(post_signed(&client, url, CLIENT_SECRET, "change, please").await.bare(), 400);
    assert_eq!(post_signed(&client, url, CLIENT_SECRET, &body[..body.len() / 2]).await.bare(), 400);
    let unknown = hook::notification("calendar_painted", &channel);
    assert_eq!(post_signed(&client, url, CLIENT_SECRET, &unknown).await.bare(), 204);
    assert_eq!(world.status_writes(before).len(), 0, "none of these is noted");

    // Who asks for nothing more is told so in one piece, without a word.
    let path = url.strip_prefix(&operator.base()).unwrap();
    let long = "x".repeat(65 * 1024);
    let head = format!("POST {path} HTTP/1.1\r\nHost: hooks.example.org\r\nConnection: close\r\n");
    let declared = format!("{head}Content-Length: {}\r\n\r\n{long}", long.len());
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
    for request in [declared, chunked] {
        let answer = raw(operator.webhook, request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
        assert!(head.starts_with("HTTP/1.1 413 "), "{answer}");
        assert_eq!(body, "");
    }
    assert_eq!(world.status_writes(before).len(), 0);

    world.subscriptions().delete("all", &DeleteParams::default()).await.unwrap();
    world.gone("all").await;
    eventually("the path of a deleted subscription is unknown", PATIENCE, || async {
        (post_signed(&client, url, CLIENT_SECRET, &body).await.bare() == 404).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn two_hundred_half_open_connections_do_not_hold_a_notification_up() {
    let (world, operator) = world_with_operator("slow").await;
    let channel = at_rest(&world).await;
    let path = channel.callback_url.strip_prefix(&operator.base()).unwrap();
    let mut open = Vec::new();
    for number in 0..200 {
        let mut stream = TcpStream::connect(operator.webhook).await.unwrap();
        // Half of a head, and half of a body.
        let end = if number % 2 == 0 { "" } else { "Content-Length: 400\r\n\r\n{\"notification\":" };
        let begun = format!("POST {path} HTTP/1.1\r\nHost: hooks.example.org\r\n{end}");
        stream.write_all(begun.as_bytes()).await.unwrap();
        open.push(stream);
    }
    world.sim.put_event(&world.account, event("in time", 1)).unwrap();
    world.sim.settle().await;
    let deliveries = world.sim.deliveries();
    let changes: Vec<_> = deliveries.iter().filter(|delivery| delivery.kind == "change").collect();
    assert_eq!(changes.len(), 1, "Cronofy has to deliver but once");
    assert_eq!(changes[0].status, Some(204));
    world.titles("all", &["in time"]).await;

    // They end although their clients do nothing.
    let connections = "cronofy_operator_webhook_connections";
    eventually("the half-open connections are ended", Duration::from_secs(30), || async {
        (operator.metric(connections).await < 1.0).then_some(())
    })
    .await
    .unwrap();
    drop(open);
}
