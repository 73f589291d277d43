//! Sections 5 and 7 of the API: deliveries, their signatures, retries, and the silent end of a channel.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cronofy_sim::{DeliveryShape, Retries, Settings, Signature, SignatureOrder, Signing};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::support::{CLIENT_ID, Received, Receiver, SECRET, World, at};

/// The digest, by nothing of ours.
fn digest(secret: &str, body: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

fn signature(secret: &str, body: &[u8]) -> String {
    STANDARD.encode(digest(secret, body))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"))
}

#[test]
fn signatures_are_as_in_the_published_vectors() {
    let body = br#"{"example":"well-known"}"#;
    for (secret, expected) in [
        ("pDY0Oi7TJSP2hfNmZNkm5", "6r2/HjBkqymGegX0wOfifieeUXbbHwtV/LohHS+jv6c="),
        ("CRN_NggYusqPGLxwjw5FHOJYOqSrTPNXy8WQf14OID", "5DxentQi5YSXODEzTVv06sRwJ3pULIz1KrYv20qxEK0="),
    ] {
        assert_eq!(cronofy_sim::sign(secret, body), expected);
        assert_eq!(signature(secret, body), expected);
    }
}

#[tokio::test]
async fn a_delivery_is_a_signed_post_of_json_with_nothing_else_of_cronofys() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    let id = world.channel(&receiver).await;
    world.change("one").await;
    let arrived = receiver.received();
    assert_eq!(arrived.iter().map(Received::kind).collect::<Vec<_>>(), ["verification", "change"]);
    for delivery in &arrived {
        assert_eq!(delivery.method, "POST");
        assert_eq!(delivery.headers["content-type"], "application/json; charset=utf-8");
        assert_eq!(delivery.signature(), Some(signature(SECRET, &delivery.body).as_str()));
        assert_eq!(delivery.json()["channel"]["channel_id"], id);
        assert!(delivery.headers.keys().all(|name| !name.as_str().starts_with("x-")), "{:?}", delivery.headers);
    }
    let journal = world.sim.deliveries();
    assert_eq!(journal.len(), 2);
    assert_eq!((journal[1].kind.as_str(), journal[1].attempt, journal[1].status), ("change", 1, Some(204)));
    assert_eq!(journal[1].body.as_bytes(), arrived[1].body);
    assert_eq!(journal[1].signature.as_deref(), arrived[1].signature());
}

#[tokio::test]
async fn every_active_secret_signs_and_rotation_takes_effect_at_once() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.channel(&receiver).await;
    // The secrets, their order, whether with a space, and the secrets whose signatures are expected, with what parts them.
    let cases = [
        ("a b", SignatureOrder::AsGiven, false, "a,b"),
        ("a b", SignatureOrder::Reversed, false, "b,a"),
        ("a b c", SignatureOrder::AsGiven, true, "a, b, c"),
        ("b", SignatureOrder::Reversed, true, "b"),
        ("a", SignatureOrder::AsGiven, false, "a"),
    ];
    for (index, (secrets, order, space, expected)) in cases.into_iter().enumerate() {
        let secrets: Vec<&str> = secrets.split(' ').collect();
        receiver.take();
        world.sim.rotate_secrets(CLIENT_ID, &secrets);
        world.sim.settings(|settings| {
            settings.signature_order = order;
            settings.signature_space = space;
        });
        world.change(&format!("event {index}")).await;
        let arrived = receiver.take();
        let separator = if space { ", " } else { "," };
        let values: Vec<String> = expected.split(separator).map(|secret| signature(secret, &arrived[0].body)).collect();
        assert_eq!(arrived[0].signature(), Some(values.join(separator).as_str()), "{secrets:?} {order:?}");
    }
}

#[tokio::test]
async fn signatures_go_wrong_as_the_switch_says() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.channel(&receiver).await;
    for switch in [
        Signature::Valid,
        Signature::Wrong,
        Signature::Missing,
        Signature::Empty,
        Signature::HexDigest,
        Signature::EncodedHexDigest,
        Signature::BodyChanged,
    ] {
        receiver.take();
        world.sim.settings(|settings| settings.signature = switch);
        world.change(&format!("{switch:?}")).await;
        let arrived = receiver.take();
        let (header, body) = (arrived[0].signature(), &arrived[0].body);
        let digest = digest(SECRET, body);
        match switch {
            Signature::Valid => assert_eq!(header, Some(signature(SECRET, body).as_str())),
            Signature::Wrong => {
                assert_ne!(header, Some(signature(SECRET, body).as_str()));
                assert_eq!(STANDARD.decode(header.unwrap()).unwrap().len(), 32, "but it looks like one");
            }
            Signature::Missing => assert_eq!(header, None),
            Signature::Empty => assert_eq!(header, Some("")),
            Signature::HexDigest => assert_eq!(header, Some(hex(&digest).as_str())),
            Signature::EncodedHexDigest => assert_eq!(header, Some(STANDARD.encode(hex(&digest)).as_str())),
            Signature::BodyChanged => {
                assert_ne!(header, Some(signature(SECRET, body).as_str()));
                assert_eq!(header, Some(signature(SECRET, &body[..body.len() - 1]).as_str()));
                assert_eq!(arrived[0].kind(), "change", "it is JSON still");
            }
        }
    }
    world.sim.settings(|settings| settings.signature = Signature::Valid);
    world.sim.sign_with(Signing::Header(Some("garbled".to_owned())));
    world.change("garbled").await;
    assert_eq!(receiver.take()[0].signature(), Some("garbled"));
}

#[tokio::test]
async fn deliveries_take_shapes_that_a_receiver_must_stand() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.channel(&receiver).await;
    world.sim.settings(|settings| settings.slow_delivery = Duration::from_millis(200));
    for switch in [
        DeliveryShape::Normal,
        DeliveryShape::Chunked,
        DeliveryShape::Slow,
        DeliveryShape::Junk,
        DeliveryShape::InvalidJson,
        DeliveryShape::Get,
    ] {
        receiver.take();
        world.sim.settings(|settings| settings.delivery_shape = switch);
        world.change(&format!("{switch:?}")).await;
        let arrived = receiver.take();
        assert_eq!(arrived.len(), 1, "{switch:?}");
        let delivery = &arrived[0];
        assert_eq!(delivery.signature(), Some(signature(SECRET, &delivery.body).as_str()), "{switch:?}");
        let is_chunked = delivery.headers.get("transfer-encoding").is_some();
        assert_eq!(is_chunked, matches!(switch, DeliveryShape::Chunked | DeliveryShape::Slow), "{switch:?}");
        assert_eq!(delivery.method == "GET", switch == DeliveryShape::Get, "{switch:?}");
        match switch {
            DeliveryShape::Normal | DeliveryShape::Chunked | DeliveryShape::Slow => {
                assert_eq!(delivery.kind(), "change");
            }
            DeliveryShape::Junk => assert_eq!(delivery.body.len(), 1024 * 1024),
            DeliveryShape::InvalidJson => {
                assert!(delivery.body.starts_with(b"{"));
                serde_json::from_slice::<serde_json::Value>(&delivery.body).unwrap_err();
            }
            DeliveryShape::Get => assert!(delivery.body.is_empty()),
        }
    }
}

#[tokio::test]
async fn a_delivery_that_takes_longer_to_send_than_it_may_has_failed() {
    let world = World::with(|settings| settings.retries = Retries::None).await;
    let receiver = Receiver::start().await;
    world.channel(&receiver).await;
    world.sim.settings(|settings| settings.delivery_shape = DeliveryShape::Slow);
    let usual = Settings::default().slow_delivery;
    for (takes, may_take, status) in
        [(usual, Duration::from_millis(50), None), (Duration::from_millis(1), usual.mul_f64(0.9), Some(204))]
    {
        world.sim.settings(|settings| {
            settings.slow_delivery = takes;
            settings.delivery_timeout = may_take;
        });
        world.sim.clear_journal();
        world.change(&format!("{takes:?}")).await;
        assert_eq!(world.sim.deliveries()[0].status, status, "{takes:?}");
    }
}

/// Seconds after the first try at which the others came, in `span`.
async fn tries(change: impl FnOnce(&mut Settings), status: u16, span: Duration) -> Vec<i64> {
    let world = World::with(change).await;
    let receiver = Receiver::start().await;
    world.channel(&receiver).await;
    receiver.answer(status);
    world.sim.clear_journal();
    world.change("one").await;
    world.sim.advance(span).await;
    let deliveries = world.sim.deliveries();
    let numbers: Vec<u32> = deliveries.iter().map(|delivery| delivery.attempt).collect();
    let counted: Vec<u32> = (1..).take(deliveries.len()).collect();
    assert_eq!(numbers, counted);
    let first = deliveries[0].time;
    deliveries[1..].iter().map(|delivery| delivery.time.duration_since(first).as_secs()).collect()
}

#[tokio::test]
async fn failed_deliveries_are_tried_again_as_the_switch_says() {
    let span = Duration::from_mins(5);
    assert_eq!(tries(|_| {}, 500, span).await, [10, 30, 70, 150]);
    assert_eq!(tries(|_| {}, 404, span).await, [10, 30, 70, 150]);
    assert_eq!(tries(|settings| settings.retries = Retries::Fixed, 503, span).await, [60, 120, 180, 240, 300]);
    assert!(tries(|settings| settings.retries = Retries::None, 503, span).await.is_empty());
    assert!(tries(|settings| settings.retry_client_errors = false, 401, span).await.is_empty());
    assert_eq!(tries(|settings| settings.retry_client_errors = false, 500, span).await, [10, 30, 70, 150]);
    assert!(tries(|_| {}, 202, span).await.is_empty(), "any 2xx is a success");
}

#[tokio::test]
async fn a_redirect_is_followed_or_is_a_failure() {
    for follow in [true, false] {
        let world = World::with(|settings| settings.follow_redirects = follow).await;
        let receiver = Receiver::start().await;
        world.channel(&receiver).await;
        receiver.answer(307);
        receiver.take();
        world.sim.clear_journal();
        world.change("one").await;
        let paths: Vec<String> = receiver.take().into_iter().map(|arrived| arrived.path).collect();
        let status = world.sim.deliveries()[0].status;
        if follow {
            assert_eq!((paths, status), (vec!["/hook".to_owned(), "/moved".to_owned()], Some(204)));
        } else {
            assert_eq!((paths, status), (vec!["/hook".to_owned()], Some(307)));
        }
    }
}

#[tokio::test]
async fn a_day_of_failures_closes_a_channel_in_silence() {
    let mut world = World::start().await;
    let receiver = Receiver::start().await;
    world.channel(&receiver).await;
    receiver.answer(503);
    world.change("one").await;
    world.sim.advance(Duration::from_hours(23)).await;
    assert_eq!(world.sim.open_channels(&world.account).len(), 1, "not before a day");
    world.sim.advance(Duration::from_hours(2)).await;
    assert_eq!(world.sim.open_channels(&world.account).len(), 0);
    let closed = world.sim.channels(&world.account)[0].closed.unwrap();
    let since = at(crate::support::NOW);
    assert!((24..26).contains(&closed.duration_since(since).as_hours()), "{closed}");

    receiver.answer(204);
    receiver.take();
    world.change("two").await;
    world.sim.advance(Duration::from_hours(48)).await;
    assert!(receiver.take().is_empty(), "nothing says so, and nothing comes any more");
    world.token = world.fresh_token().await;
    assert_eq!(world.get("/v1/channels").await.text, r#"{"channels":[]}"#);
}

#[tokio::test]
async fn one_success_within_the_day_keeps_a_channel_open() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.channel(&receiver).await;
    receiver.answer(503);
    world.change("one").await;
    world.sim.advance(Duration::from_hours(23)).await;
    receiver.answer(204);
    world.sim.advance(Duration::from_hours(2)).await;
    receiver.answer(503);
    world.change("two").await;
    world.sim.advance(Duration::from_hours(20)).await;
    assert_eq!(world.sim.open_channels(&world.account).len(), 1, "the day begins anew");
}

#[tokio::test]
async fn channels_are_closed_by_failures_only_as_the_switches_say() {
    for (auto_close, closed) in
        [(None, false), (Some(Duration::from_hours(1)), true), (Some(Duration::from_hours(24)), false)]
    {
        let world = World::with(|settings| settings.auto_close = auto_close).await;
        let receiver = Receiver::start().await;
        world.channel(&receiver).await;
        receiver.answer(500);
        world.change("one").await;
        world.sim.advance(Duration::from_hours(4)).await;
        assert_eq!(world.sim.open_channels(&world.account).is_empty(), closed, "{auto_close:?}");
    }
    for (on_gone, status, closed) in [(false, 410, false), (true, 410, true), (true, 404, false)] {
        let world = World::with(|settings| settings.close_on_gone = on_gone).await;
        let receiver = Receiver::start().await;
        world.channel(&receiver).await;
        receiver.answer(status);
        world.change("one").await;
        assert_eq!(world.sim.open_channels(&world.account).is_empty(), closed, "{on_gone} {status}");
    }
    let world = World::start().await;
    let receiver = Receiver::start().await;
    let id = world.channel(&receiver).await;
    world.sim.close_channel_by_hand(&id);
    receiver.take();
    world.change("one").await;
    assert!(receiver.take().is_empty(), "by hand");
}

#[tokio::test]
async fn deliveries_are_lost_and_doubled_by_hand() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.channel(&receiver).await;
    receiver.take();
    world.sim.lose_deliveries(2);
    for uid in ["one", "two", "three"] {
        world.change(uid).await;
    }
    assert_eq!(receiver.take().len(), 1, "two were lost, for good");
    world.sim.double_deliveries(true);
    world.change("four").await;
    let twice = receiver.take();
    assert_eq!((twice.len(), &twice[0].body), (2, &twice[1].body));
}
