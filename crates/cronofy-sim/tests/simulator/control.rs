//! The control API: what the handle can do, over HTTP.

use cronofy_sim::{Endpoint, Settings};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{CLIENT_ID, Receiver, World, answer, event, eventually};

/// A call that must answer 2xx.
async fn ok(world: &World, method: Method, path: &str, body: Value) -> Value {
    let done = world.control(method.clone(), path, Some(body)).await;
    assert!((200..300).contains(&done.status), "{method} {path}: {done:?}");
    if done.text.is_empty() { Value::Null } else { done.json() }
}

#[tokio::test]
async fn every_switch_is_read_and_changed_by_its_name() {
    let world = World::start().await;
    let shown = world.control(Method::GET, "/settings", None).await.json();
    let known = serde_json::to_value(Settings { rate_limit: None, ..Settings::default() }).unwrap();
    assert_eq!(shown, known);
    assert_eq!(shown["delivery_timeout"], 5, "spans of time are seconds");
    assert_eq!(shown["verification"], "after_create");
    let patch = json!({
        "page_size": 3, "rotation": "stays", "auto_close": null, "delivery_timeout": 0.25, "rate_limit": [5, 50],
        "window": [10, 20], "signature": "body_changed",
    });
    let changed = ok(&world, Method::PATCH, "/settings", patch.clone()).await;
    for (field, value) in patch.as_object().unwrap() {
        assert_eq!(&changed[field], value, "{field}");
    }
    assert_eq!(serde_json::to_value(world.sim.current_settings()).unwrap(), changed);
    let same = ok(&world, Method::PATCH, "/settings", changed.clone()).await;
    assert_eq!(same, changed, "all that is shown can be sent back");
}

#[tokio::test]
async fn wrong_switches_are_refused_with_the_field_and_the_remedy_and_change_nothing() {
    let world = World::start().await;
    let before = world.sim.current_settings();
    for (patch, field, remedy) in [
        (json!({ "page_size": 5, "colour": "blue" }), "colour", "GET /settings shows all"),
        (json!({ "page_size": "many" }), "page_size", "expected usize"),
        (json!({ "rotation": "sometimes" }), "rotation", "expected one of `rotates`, `with_grace`, `stays`, `absent`"),
        (json!({ "delivery_timeout": -1 }), "delivery_timeout", "a number of seconds that is not negative"),
        (json!({ "auto_close": "never" }), "auto_close", "expected f64"),
        (json!({ "rate_limit": [1] }), "rate_limit", "expected a tuple of size 2"),
        (json!({ "year_zero": 1 }), "year_zero", "expected a boolean"),
    ] {
        let refused = world.control(Method::PATCH, "/settings", Some(patch)).await;
        let said = refused.json();
        assert_eq!((refused.status, said["field"].as_str()), (400, Some(field)), "{said}");
        assert!(said["remedy"].as_str().unwrap().contains(remedy), "{said}");
    }
    let text = world.http.patch(format!("{}/settings", world.sim.control_url())).body("page_size=3");
    let refused = answer(text).await.unwrap();
    assert_eq!((refused.status, &refused.json()["field"]), (400, &json!("body")));
    assert_eq!(world.sim.current_settings(), before);
}

#[tokio::test]
async fn switches_differ_within_a_scope() {
    let world = World::start().await;
    let new = json!({ "scope": { "endpoint": "user_info", "times": 1 }, "settings": { "access_tokens": "refused" } });
    let id = ok(&world, Method::POST, "/settings/overrides", new.clone()).await["id"].as_u64().unwrap();
    let listed = world.control(Method::GET, "/settings/overrides", None).await.json();
    assert_eq!(listed["overrides"][0]["id"], id);
    assert_eq!(listed["overrides"][0]["settings"], json!({ "access_tokens": "refused" }));
    assert_eq!(world.get("/v1/userinfo").await.status, 401);
    assert_eq!(world.get("/v1/userinfo").await.status, 200);

    let id = ok(&world, Method::POST, "/settings/overrides", new.clone()).await["id"].as_u64().unwrap();
    let path = format!("/settings/overrides/{id}");
    assert_eq!(world.control(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(world.control(Method::DELETE, &path, None).await.status, 404);
    ok(&world, Method::POST, "/settings/overrides", new).await;
    assert_eq!(world.control(Method::DELETE, "/settings/overrides", None).await.status, 204);
    assert_eq!(world.get("/v1/userinfo").await.status, 200);
    for (wrong, field) in [
        (json!({ "settings": { "page_size": "x" } }), "settings.page_size"),
        (json!({ "scope": { "planet": "x" }, "settings": {} }), "scope"),
        (json!({ "scope": {} }), "settings"),
    ] {
        let refused = world.control(Method::POST, "/settings/overrides", Some(wrong)).await;
        assert_eq!((refused.status, refused.json()["field"].as_str()), (400, Some(field)));
    }
}

#[tokio::test]
async fn faults_are_injected_in_every_form() {
    let world = World::start().await;
    for (answer, status) in [
        (json!({ "status": { "status": 503 } }), Some(503)),
        (
            json!({ "status": { "status": 429, "retry_after": "9", "body": "x", "content_type": "text/plain" } }),
            Some(429),
        ),
        (json!("cut"), None),
        (json!("reset"), None),
        (json!("lost_answer"), None),
        (json!("truncated"), None),
        (json!("empty_body"), Some(200)),
        (json!("wrong_content_type"), Some(200)),
        (json!("foreign_page"), Some(200)),
        (json!({ "slow": 0.01 }), Some(200)),
        (json!({ "late_answer": 0.01 }), Some(200)),
        (json!({ "slow_body": 0.01 }), Some(200)),
    ] {
        let fault = json!({ "endpoint": "user_info", "account": world.account, "answer": answer });
        ok(&world, Method::POST, "/faults", fault).await;
        let result = crate::support::answer(world.request(Method::GET, "/v1/userinfo")).await;
        assert_eq!(result.ok().map(|answer| answer.status), status, "{answer}");
    }
    ok(&world, Method::POST, "/faults", json!({ "times": 3, "answer": "cut" })).await;
    let waiting = world.control(Method::GET, "/faults", None).await.json();
    assert_eq!(waiting["faults"], json!([{ "times": 3, "endpoint": null, "account": null, "answer": "cut" }]));
    assert_eq!(world.control(Method::DELETE, "/faults", None).await.status, 204);
    assert_eq!(world.get("/v1/userinfo").await.status, 200);
    for (wrong, field, remedy) in [
        (json!({}), "answer", "missing field"),
        (json!({ "answer": "explode" }), "answer", "expected one of"),
        (json!({ "answer": "cut", "endpoint": "door" }), "endpoint", "expected one of"),
        (json!({ "answer": "cut", "times": -1 }), "times", "expected usize"),
        (json!({ "answer": "cut", "how": "fast" }), "how", "expected one of"),
        (json!({ "answer": { "status": { "status": 500, "content_type": "x" } } }), "answer", "is not one of"),
    ] {
        let refused = world.control(Method::POST, "/faults", Some(wrong)).await;
        let said = refused.json();
        assert_eq!((refused.status, said["field"].as_str()), (400, Some(field)), "{said}");
        assert!(said["remedy"].as_str().unwrap().contains(remedy), "{said}");
    }
}

#[tokio::test]
async fn a_schedule_is_set_shown_and_ended() {
    let world = World::start().await;
    let schedule = json!({ "seed": 7, "probabilities": { "server_error": 1.0 } });
    ok(&world, Method::PUT, "/schedule", schedule.clone()).await;
    assert_eq!(world.get("/v1/userinfo").await.status, 500);
    assert_eq!(world.control(Method::GET, "/schedule", None).await.json()["schedule"], schedule);
    assert_eq!(world.control(Method::DELETE, "/schedule", None).await.status, 204);
    assert_eq!(world.get("/v1/userinfo").await.status, 200);
    assert!(world.control(Method::GET, "/schedule", None).await.json()["schedule"].is_null());
    for (wrong, field) in [
        (json!({ "seed": 7, "probabilities": { "cut": 2 } }), "probabilities"),
        (json!({ "seed": 7, "probabilities": { "boredom": 0.1 } }), "probabilities"),
        (json!({ "probabilities": {} }), "seed"),
    ] {
        let refused = world.control(Method::PUT, "/schedule", Some(wrong)).await;
        assert_eq!((refused.status, refused.json()["field"].as_str()), (400, Some(field)));
    }
}

#[tokio::test]
async fn calls_are_held_and_let_go() {
    let world = World::start().await;
    let id = ok(&world, Method::POST, "/holds", json!({ "endpoint": "user_info" })).await["id"].as_u64().unwrap();
    let path = format!("/holds/{id}");
    let held = world.get("/v1/userinfo");
    let release = async {
        eventually("the call", || async {
            (world.control(Method::GET, &path, None).await.json()["waiting"] == 1).then_some(())
        })
        .await;
        assert_eq!(world.control(Method::DELETE, &path, None).await.status, 204);
    };
    let (held, ()) = tokio::join!(held, release);
    assert_eq!(held.status, 200);
    assert_eq!(world.control(Method::DELETE, &path, None).await.status, 404);
}

#[tokio::test]
async fn the_clock_is_set_advanced_and_frozen() {
    let world = World::start().await;
    let now = async || world.control(Method::GET, "/clock", None).await.json()["now"].clone();
    assert_eq!(now().await, "2026-11-25T12:00:00Z");
    ok(&world, Method::POST, "/clock", json!({ "advance_seconds": 90 })).await;
    assert_eq!(now().await, "2026-11-25T12:01:30Z");
    ok(&world, Method::POST, "/clock", json!({ "set": "2027-01-01T00:00:00Z" })).await;
    assert_eq!(now().await, "2027-01-01T00:00:00Z");
    ok(&world, Method::POST, "/clock", json!({ "frozen": false })).await;
    eventually("the next second", || async { (now().await != "2027-01-01T00:00:00Z").then_some(()) }).await;
    let refused = world.control(Method::POST, "/clock", Some(json!({ "set": "noon" }))).await;
    assert_eq!((refused.status, refused.json()["field"].as_str()), (400, Some("set")));
}

#[tokio::test]
async fn deliveries_are_lost_doubled_signed_wrongly_and_listed() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    let id = world.channel(&receiver).await;
    receiver.take();
    let notify = async |kind: &str| {
        ok(&world, Method::POST, &format!("/channels/{id}/notify"), json!({ "type": kind })).await;
        ok(&world, Method::POST, "/settle", json!({})).await;
        receiver.take()
    };
    ok(&world, Method::POST, "/deliveries", json!({ "lose": 1 })).await;
    assert!(notify("gdpr_requested").await.is_empty());
    ok(&world, Method::POST, "/deliveries", json!({ "doubled": true })).await;
    assert_eq!(notify("gdpr_requested").await.len(), 2);
    ok(&world, Method::POST, "/deliveries", json!({ "doubled": false })).await;
    ok(&world, Method::PUT, "/signing", json!({ "header": "nonsense" })).await;
    assert_eq!(notify("change").await[0].signature(), Some("nonsense"));
    ok(&world, Method::PUT, "/signing", json!({ "header": null })).await;
    assert_eq!(notify("change").await[0].signature(), None);
    assert_eq!(world.control(Method::PUT, "/signing", Some(json!({}))).await.json()["field"], "header");
    assert_eq!(world.control(Method::DELETE, "/signing", None).await.status, 204);
    ok(&world, Method::POST, "/applications", json!({ "client_id": CLIENT_ID, "secrets": ["x", "y"] })).await;
    let signed = notify("change").await;
    let both = ["x", "y"].map(|secret| cronofy_sim::sign(secret, &signed[0].body)).join(",");
    assert_eq!(signed[0].signature(), Some(both.as_str()));

    let listed = world.control(Method::GET, "/deliveries", None).await.json()["deliveries"].clone();
    let last = listed.as_array().unwrap().last().unwrap();
    assert_eq!((&last["type"], &last["status"], &last["channel"]), (&json!("change"), &json!(204), &json!(id)));
    assert_eq!(last["signature"], both);
    assert_eq!(world.control(Method::POST, &format!("/channels/{id}/close"), None).await.status, 204);
    assert!(world.sim.open_channels(&world.account).is_empty());
    assert_eq!(world.control(Method::POST, "/channels/chn_x/close", None).await.status, 404);
    assert_eq!(world.control(Method::POST, "/channels/chn_x/notify", Some(json!({ "type": "x" }))).await.status, 404);
    world.control(Method::DELETE, "/journal", None).await;
    assert!(world.sim.deliveries().is_empty());
}

#[tokio::test]
async fn a_whole_account_is_made_and_used_over_http() {
    let mut world = World::start().await;
    ok(&world, Method::POST, "/applications", json!({ "client_id": "new", "secrets": ["s"] })).await;
    let account = ok(&world, Method::POST, "/accounts", json!({ "id": "acc_new", "email": "ana@example.org" })).await;
    assert_eq!(account["id"], "acc_new");
    let home = account["calendars"][0].as_str().unwrap().to_owned();
    let apple = ok(&world, Method::POST, "/accounts/acc_new/profiles", json!({ "provider": "apple" })).await;
    let named = json!({ "name": "Family", "profile": apple["id"] });
    let family = ok(&world, Method::POST, "/accounts/acc_new/calendars", named).await["id"].clone();
    let code = json!({ "client_id": CLIENT_ID, "redirect_uri": "https://op.example.org/cb" });
    let code = ok(&world, Method::POST, "/accounts/acc_new/codes", code).await["code"].clone();
    let exchange = json!({
        "grant_type": "authorization_code", "code": code, "redirect_uri": "https://op.example.org/cb",
    });
    let tokens = world.token_request(&exchange).await.json();
    tokens["access_token"].as_str().unwrap().clone_into(&mut world.token);

    let draft = json!({
        "calendar": home, "summary": "Review", "start": "2026-12-01T09:00:00Z", "end": "2026-12-01T10:00:00Z",
        "zone": "Europe/Berlin", "more": { "location": { "description": "Room 7" } },
    });
    ok(&world, Method::PUT, "/events/mine", draft).await;
    ok(&world, Method::PUT, "/events/mine", json!({ "calendar": family, "summary": "Moved" })).await;
    let shown = world.read(&[("localized_times", "true")]).await.json()["events"][0].clone();
    assert_eq!((&shown["summary"], &shown["calendar_id"]), (&json!("Moved"), &family));
    assert_eq!(shown["start"], json!({ "time": "2026-12-01T10:00:00+01:00", "tzid": "Europe/Berlin" }));
    assert_eq!(shown["location"]["description"], "Room 7");
    let repeated = json!({
        "summary": "Daily", "start": "2026-12-02", "end": "2026-12-03", "count": 3, "every_seconds": 86_400,
    });
    let series = ok(&world, Method::POST, &format!("/calendars/{home}/series"), repeated).await;
    assert_eq!(series["uids"].as_array().unwrap().len(), 3);
    assert_eq!(world.read(&[]).await.uids().len(), 4);
    let listed = world.control(Method::GET, "/accounts/acc_new/events", None).await.json();
    assert_eq!(listed["events"].as_array().unwrap().len(), 4);
    assert_eq!(world.control(Method::DELETE, "/events/mine", None).await.status, 204);
    assert_eq!(world.control(Method::DELETE, "/events/unknown", None).await.status, 404);
    let changes = world.control(Method::GET, "/changes", None).await.json()["changes"].clone();
    let kinds: Vec<&str> = changes.as_array().unwrap().iter().map(|change| change["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["created", "rehomed", "created", "created", "created", "deleted"]);

    let path = format!("/calendars/{home}");
    ok(&world, Method::PATCH, &path, json!({ "read_only": true })).await;
    assert_eq!(world.get("/v1/calendars").await.json()["calendars"][0]["calendar_readonly"], true);
    assert_eq!(world.control(Method::DELETE, &path, None).await.status, 204);
    assert!(world.read(&[]).await.uids().is_empty());
    let requests = world.control(Method::GET, "/requests", None).await.json()["requests"].clone();
    assert_eq!(requests[0]["endpoint"], "token");
    assert_eq!(requests[1]["account"], "acc_new");

    let accounts = world.control(Method::GET, "/accounts", None).await.json()["accounts"].clone();
    let shown = accounts.as_array().unwrap().iter().find(|account| account["id"] == "acc_new").unwrap();
    assert_eq!(shown["profiles"][1]["provider"], "apple");
    assert_eq!((&shown["granted"], &shown["calendars"][0]["deleted"]), (&json!(true), &json!(true)));
    let room =
        ok(&world, Method::POST, "/application-calendars", json!({ "client_id": CLIENT_ID, "id": "room" })).await;
    assert!(room["account"].as_str().unwrap().starts_with("apc_"));
}

#[tokio::test]
async fn accounts_are_troubled_over_http() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.channel(&receiver).await;
    receiver.take();
    let path = format!("/accounts/{}", world.account);
    let profile = json!({
        "connected": false, "initial_sync_required": true, "conferencing_connected": false,
    });
    ok(&world, Method::POST, &format!("{path}/profile"), profile).await;
    ok(&world, Method::POST, &format!("{path}/profile"), json!({ "initial_sync_required": false })).await;
    ok(&world, Method::POST, &format!("{path}/gdpr"), json!({})).await;
    world.sim.settle().await;
    let mut kinds = receiver.kinds();
    kinds.sort();
    let expected = [
        "conferencing_profile_disconnected",
        "gdpr_requested",
        "profile_disconnected",
        "profile_initial_sync_completed",
    ];
    assert_eq!(kinds, expected);
    for (patch, status) in [
        (json!({ "refused_with": 402 }), 402),
        (json!({ "refused_with": null, "scope": "list_calendars" }), 403),
        (json!({ "scope": null }), 200),
    ] {
        ok(&world, Method::PATCH, &path, patch).await;
        assert_eq!(world.read(&[]).await.status, status);
    }
    let token = ok(&world, Method::POST, &format!("{path}/tokens"), json!({ "client_id": CLIENT_ID })).await;
    let token = token["refresh_token"].as_str().unwrap();
    ok(&world, Method::POST, &format!("{path}/revoke"), json!({})).await;
    assert_eq!(world.refresh(token).await.status, 400);
    ok(&world, Method::POST, &format!("{path}/grant"), json!({})).await;
    assert_eq!(world.refresh(token).await.status, 200);
    let other = json!({ "client_id": CLIENT_ID, "callback_url": "http://127.0.0.1:1/hook" });
    ok(&world, Method::POST, &format!("{path}/channels"), other).await;
    assert_eq!(world.sim.open_channels(&world.account).len(), 2);
    ok(&world, Method::POST, "/restart", json!({ "restart": "channels_lost" })).await;
    assert!(world.sim.open_channels(&world.account).is_empty());
    ok(&world, Method::POST, "/down", json!({ "down": true })).await;
    answer(world.request(Method::GET, "/v1/userinfo")).await.unwrap_err();
    ok(&world, Method::POST, "/down", json!({ "down": false })).await;
    assert_eq!(world.control(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(world.control(Method::DELETE, &path, None).await.status, 404);
    assert_eq!(world.sim.count(Endpoint::Token), 2);
}

#[tokio::test]
async fn wrong_bodies_and_unknown_things_are_refused_with_what_is_wrong() {
    let world = World::start().await;
    let account = format!("/accounts/{}", world.account);
    for (method, path, body, field) in [
        (Method::POST, "/applications", json!({ "client_id": "x" }), "secrets"),
        (Method::POST, "/applications", json!({ "client_id": 5, "secrets": [] }), "client_id"),
        (Method::POST, "/accounts", json!({ "phone": "x" }), "phone"),
        (Method::PUT, "/events/new", json!({}), "calendar"),
        (Method::PUT, "/events/new", json!({ "calendar": "x" }), "start"),
        (Method::PUT, "/events/new", json!({ "calendar": "x", "start": "noon" }), "start"),
        (Method::PUT, "/events/new", json!({ "calendar": "x", "start": "2026-12-01" }), "end"),
        (Method::POST, "/down", json!({}), "down"),
        (Method::POST, "/restart", json!({ "restart": "gently" }), "restart"),
        (Method::POST, "/holds", json!({ "endpoint": "door" }), "endpoint"),
        (Method::POST, "/deliveries", json!({ "lose": "some" }), "lose"),
        (Method::PATCH, account.as_str(), json!({ "refused_with": "x" }), "refused_with"),
    ] {
        let refused = world.control(method, path, Some(body)).await;
        let said = refused.json();
        assert_eq!((refused.status, said["field"].as_str()), (400, Some(field)), "{path}: {said}");
        assert!(!said["remedy"].as_str().unwrap().is_empty());
    }
    for (method, path, body) in [
        (Method::POST, "/accounts/x/tokens", json!({ "client_id": CLIENT_ID })),
        (Method::POST, "/accounts/x/calendars", json!({})),
        (Method::POST, "/accounts/x/profiles", json!({ "provider": "apple" })),
        (Method::POST, "/accounts/x/revoke", json!({})),
        (Method::POST, "/accounts/x/gdpr", json!({})),
        (Method::PATCH, "/accounts/x", json!({})),
        (Method::PATCH, "/calendars/x", json!({ "read_only": true })),
        (Method::DELETE, "/calendars/x", json!({})),
        (Method::PUT, "/events/new", json!({ "calendar": "x", "start": "2026-12-01", "end": "2026-12-02" })),
    ] {
        let refused = world.control(method, path, Some(body)).await;
        assert_eq!(refused.status, 404, "{path}");
        assert!(refused.json()["error"].as_str().unwrap().contains("there is no"), "{path}");
    }
}

#[tokio::test]
async fn the_first_page_lists_the_routes_and_the_readme_every_switch_and_fault() {
    let world = World::start().await;
    world.sim.put_event(&world.calendar, event("one", "2026-12-01T09:00:00Z")).unwrap();
    let routes = world.control(Method::GET, "/", None).await.text;
    assert!(routes.contains("PATCH  /settings"), "{routes}");
    let readme = include_str!("../../README.md");
    let known = serde_json::to_value(Settings::default()).unwrap();
    for switch in known.as_object().unwrap().keys() {
        assert!(readme.contains(&format!("`{switch}`")), "the README lacks the switch {switch}");
    }
    let schedule = json!({ "seed": 1, "probabilities": { "?": 1 } });
    let fault = json!({ "answer": "?" });
    for (method, path, body) in [(Method::PUT, "/schedule", schedule), (Method::POST, "/faults", fault)] {
        let refused = world.control(method, path, Some(body)).await.json();
        let names: Vec<&str> = refused["remedy"].as_str().unwrap().split('`').skip(3).step_by(2).collect();
        assert!(names.len() > 5, "{refused}");
        for name in names {
            assert!(readme.contains(&format!("`{name}`")), "the README lacks the fault {name}");
        }
    }
    for line in routes.lines() {
        let path = line.split_whitespace().nth(1).unwrap().trim_end_matches(',');
        let known = world.http.get(format!("{}{path}", world.sim.control_url()));
        let status = answer(known).await.unwrap().status;
        assert!(status != 404 || path.contains('{'), "{line}: {status}");
    }
}
