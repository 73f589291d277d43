//! Sections 3.2 to 3.6 of the API: grants and tokens.

use std::time::Duration;

use cronofy_sim::{
    AccessTokens, ConcurrentRefresh, Endpoint, RefreshWhileValid, RefuseGrant, Rotation, Scope, WrongClient,
};
use serde_json::json;

use crate::support::{CLIENT_ID, SECRET, World, answer};

const REDIRECT: &str = "https://op.example.org/cb";

#[tokio::test]
async fn a_code_is_exchanged_once_and_only_for_its_own_url() {
    let world = World::start().await;
    let exchange = |code: String, redirect_uri: &'static str| {
        let fields = json!({ "grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri });
        let world = &world;
        async move { world.token_request(&fields).await }
    };
    let code = world.sim.issue_code(&world.account, CLIENT_ID, REDIRECT);
    let tokens = exchange(code.clone(), REDIRECT).await;
    assert_eq!(tokens.status, 200);
    let body = tokens.json();
    assert_eq!(body["token_type"], "bearer");
    assert_eq!(body["expires_in"], 3600);
    assert_eq!(body["account_id"], world.account);
    assert_eq!(body["sub"], world.account);
    assert_eq!(body["linking_profile"]["profile_name"], "owner@example.org");
    assert!(body["refresh_token"].is_string() && body["access_token"].is_string() && body["scope"].is_string());

    let again = exchange(code, REDIRECT).await;
    assert_eq!((again.status, again.json()), (400, json!({ "error": "invalid_grant" })));
    let elsewhere = world.sim.issue_code(&world.account, CLIENT_ID, REDIRECT);
    assert_eq!(exchange(elsewhere, "https://other.example.org/cb").await.status, 400);
    assert_eq!(exchange("unknown".to_owned(), REDIRECT).await.status, 400);
}

#[tokio::test]
async fn a_refresh_is_taken_as_json_and_as_a_form_and_is_not_to_be_stored() {
    let world = World::start().await;
    let first = world.sim.issue_refresh_token(&world.account, CLIENT_ID);
    let as_json = world.refresh(&first).await;
    assert_eq!(as_json.status, 200);
    assert_eq!(as_json.header("cache-control"), Some("no-store"));

    let second = world.sim.issue_refresh_token(&world.account, CLIENT_ID);
    let fields = [
        ("client_id", CLIENT_ID),
        ("client_secret", SECRET),
        ("grant_type", "refresh_token"),
        ("refresh_token", &second),
    ];
    let as_form = answer(world.http.post(format!("{}/oauth/token", world.sim.api_url())).form(&fields)).await.unwrap();
    assert_eq!(as_form.status, 200);
    assert_eq!(as_form.json()["token_type"], "bearer");
    let unknown = world.token_request(&json!({ "grant_type": "password" })).await;
    assert_eq!((unknown.status, unknown.json()), (400, json!({ "error": "unsupported_grant_type" })));
}

#[tokio::test]
async fn what_becomes_of_a_used_refresh_token_is_a_switch() {
    // rotation, whether another token comes back, whether the old one still works
    let cases = [
        (Rotation::Rotates, Some(true), 400),
        (Rotation::WithGrace, Some(true), 200),
        (Rotation::Stays, Some(false), 200),
        (Rotation::Absent, None, 200),
    ];
    for (rotation, another, old_answers) in cases {
        let world = World::with(|settings| settings.rotation = rotation).await;
        let old = world.sim.issue_refresh_token(&world.account, CLIENT_ID);
        let first = world.refresh(&old).await.json();
        let returned = first.get("refresh_token").map(|token| token.as_str().unwrap().to_owned());
        assert_eq!(returned.as_ref().map(|token| *token != old), another, "{rotation:?}");
        assert_eq!(world.refresh(&old).await.status, old_answers, "{rotation:?}");
        if let Some(returned) = returned {
            assert_eq!(world.refresh(&returned).await.status, 200, "{rotation:?}");
        }
    }
}

#[tokio::test]
async fn a_refresh_while_valid_gives_a_new_token_or_the_same_with_the_rest_of_its_time() {
    for (switch, same, left) in [(RefreshWhileValid::NewToken, false, 3600), (RefreshWhileValid::SameToken, true, 3000)]
    {
        let world = World::with(|settings| {
            settings.rotation = Rotation::Stays;
            settings.refresh_while_valid = switch;
        })
        .await;
        let token = world.sim.issue_refresh_token(&world.account, CLIENT_ID);
        let first = world.refresh(&token).await.json();
        world.sim.advance(Duration::from_mins(10)).await;
        let second = world.refresh(&token).await.json();
        assert_eq!(first["access_token"] == second["access_token"], same, "{switch:?}");
        assert_eq!(second["expires_in"], left, "{switch:?}");
        world.sim.advance(Duration::from_hours(2)).await;
        assert_ne!(world.refresh(&token).await.json()["access_token"], first["access_token"], "it expired");
    }
}

#[tokio::test]
async fn the_second_of_two_refreshes_at_once_succeeds_or_is_refused() {
    for (switch, rotation, expected) in [
        (ConcurrentRefresh::BothSucceed, Rotation::Rotates, [200, 200]),
        (ConcurrentRefresh::SecondRefused, Rotation::Rotates, [200, 400]),
        (ConcurrentRefresh::SecondRefused, Rotation::Stays, [200, 400]),
    ] {
        let world = World::with(|settings| {
            settings.concurrent_refresh = switch;
            settings.rotation = rotation;
        })
        .await;
        let token = world.sim.issue_refresh_token(&world.account, CLIENT_ID);
        let hold = world.sim.hold(Endpoint::Token, 2);
        let both = async { tokio::join!(world.refresh(&token), world.refresh(&token)) };
        let release = async {
            hold.arrived_times(2).await;
            hold.release();
        };
        let ((first, second), ()) = tokio::join!(both, release);
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        assert_eq!(statuses, expected, "{switch:?} {rotation:?}");
        // One after another, the old token is judged by the rotation alone.
        let old = if rotation == Rotation::Stays { 200 } else { 400 };
        assert_eq!(world.refresh(&token).await.status, old, "{switch:?} {rotation:?}");
    }
}

#[tokio::test]
async fn access_tokens_end_when_they_say_by_the_simulators_clock() {
    for (expires_in, said, lives) in [
        (Some(3600), json!(3600), 3600),
        (Some(1800), json!(1800), 1800),
        (Some(1), json!(1), 1),
        (None, json!(null), 1800),
    ] {
        let mut world = World::with(|settings| settings.expires_in = expires_in.map(Duration::from_secs)).await;
        let refresh = world.sim.issue_refresh_token(&world.account, CLIENT_ID);
        let body = world.refresh(&refresh).await.json();
        assert_eq!(body["expires_in"], said);
        assert_eq!(body.get("expires_in").is_some(), expires_in.is_some());
        body["access_token"].as_str().unwrap().clone_into(&mut world.token);
        world.sim.advance(Duration::from_secs(lives - 1)).await;
        assert_eq!(world.get("/v1/userinfo").await.status, 200, "{expires_in:?}");
        world.sim.advance(Duration::from_secs(1)).await;
        let expired = world.get("/v1/userinfo").await;
        assert_eq!((expired.status, expired.header("www-authenticate")), (401, Some("Bearer")), "{expires_in:?}");
    }
}

#[tokio::test]
async fn good_tokens_can_be_refused_even_after_a_refresh() {
    let mut world = World::with(|settings| settings.access_tokens = AccessTokens::Refused).await;
    assert_eq!(world.get("/v1/userinfo").await.status, 401);
    world.token = world.fresh_token().await;
    assert_eq!(world.get("/v1/userinfo").await.status, 401);
    world.sim.settings(|settings| settings.access_tokens = AccessTokens::Honoured);
    assert_eq!(world.get("/v1/userinfo").await.status, 200);
    let refused = |settings: &mut cronofy_sim::Settings| settings.access_tokens = AccessTokens::Refused;
    world.sim.settings_for(Scope::next(2), refused);
    let statuses = [
        world.get("/v1/userinfo").await.status,
        world.get("/v1/profiles").await.status,
        world.get("/v1/userinfo").await.status,
    ];
    assert_eq!(statuses, [401, 401, 200], "the next two calls");
}

#[tokio::test]
async fn refreshes_or_exchanges_can_be_refused_though_the_grant_is_in_force() {
    for (switch, refresh_answers, exchange_answers) in
        [(RefuseGrant::Never, 200, 200), (RefuseGrant::Refresh, 400, 200), (RefuseGrant::Exchange, 200, 400)]
    {
        let world = World::start().await;
        world.sim.settings(|settings| settings.refuse_grant = switch);
        let token = world.sim.issue_refresh_token(&world.account, CLIENT_ID);
        let code = world.sim.issue_code(&world.account, CLIENT_ID, REDIRECT);
        let exchange = json!({ "grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT });
        let answers = [world.refresh(&token).await, world.token_request(&exchange).await];
        assert_eq!(answers.each_ref().map(|answer| answer.status), [refresh_answers, exchange_answers], "{switch:?}");
        for refused in answers.iter().filter(|answer| answer.status == 400) {
            assert_eq!(refused.json(), json!({ "error": "invalid_grant" }));
        }
    }
}

#[tokio::test]
async fn wrong_client_credentials_are_401_or_invalid_client() {
    for (switch, status, text) in
        [(WrongClient::Unauthorized, 401, ""), (WrongClient::InvalidClient, 400, r#"{"error":"invalid_client"}"#)]
    {
        let world = World::with(|settings| settings.wrong_client = switch).await;
        let refresh_token = world.sim.issue_refresh_token(&world.account, CLIENT_ID);
        for (path, client_id, secret) in [
            ("/oauth/token", CLIENT_ID, "wrong"),
            ("/oauth/token", "nobody", SECRET),
            ("/oauth/token/revoke", CLIENT_ID, "wrong"),
            ("/v1/application_calendars", CLIENT_ID, "wrong"),
        ] {
            let body = json!({
                "client_id": client_id, "client_secret": secret, "grant_type": "refresh_token",
                "refresh_token": refresh_token, "application_calendar_id": "room",
            });
            let refused = world.anonymous(path, &body).await;
            assert_eq!((refused.status, refused.text.as_str()), (status, text), "{switch:?} {path}");
        }
    }
}

#[tokio::test]
async fn a_revoked_grant_is_invalid_by_its_token_by_its_subject_and_by_hand() {
    let mut world = World::start().await;
    for by in ["token", "sub", "hand"] {
        world.sim.grant(&world.account);
        let refresh = world.sim.issue_refresh_token(&world.account, CLIENT_ID);
        world.token = world.fresh_token().await;
        match by {
            "token" => {
                let revoked = world.with_credentials("/oauth/token/revoke", &json!({ "token": refresh })).await;
                assert_eq!((revoked.status, revoked.text.as_str()), (200, ""));
            }
            "sub" => {
                let subject = json!({ "sub": world.account });
                assert_eq!(world.with_credentials("/oauth/token/revoke", &subject).await.status, 200);
            }
            _ => world.sim.revoke(&world.account),
        }
        let refused = world.refresh(&refresh).await;
        assert_eq!((refused.status, refused.json()), (400, json!({ "error": "invalid_grant" })), "by {by}");
        assert_eq!(world.get("/v1/userinfo").await.status, 401, "by {by}");
    }
    let unknown = world.with_credentials("/oauth/token/revoke", &json!({ "token": "unknown" })).await;
    assert_eq!(unknown.status, 200, "as RFC 7009 says");
}

#[tokio::test]
async fn an_application_calendar_is_one_account_by_its_id() {
    let mut world = World::start().await;
    let room = json!({ "application_calendar_id": "demo-room-7" });
    let first = world.with_credentials("/v1/application_calendars", &room).await;
    assert_eq!(first.status, 200);
    let body = first.json();
    assert_eq!(body["token_type"], "bearer");
    assert_eq!(body["application_calendar_id"], "demo-room-7");
    assert!(body["sub"].as_str().unwrap().starts_with("apc_"));
    let second = world.with_credentials("/v1/application_calendars", &room).await.json();
    assert_eq!(second["sub"], body["sub"]);
    assert_eq!(world.refresh(body["refresh_token"].as_str().unwrap()).await.status, 200);

    body["access_token"].as_str().unwrap().clone_into(&mut world.token);
    let about = world.get("/v1/userinfo").await.json();
    assert_eq!(about["cronofy.type"], "application_calendar");
    assert_eq!(about["application_calendar_id"], "demo-room-7");
    assert_eq!(about["cronofy.data"]["application_calendar"]["application_calendar_id"], "demo-room-7");
    assert_eq!(about["cronofy.data"]["profiles"][0]["provider_name"], "cronofy");
    assert!(about.get("email").is_none());
    let none = world.with_credentials("/v1/application_calendars", &json!({})).await;
    assert_eq!(none.status, 422);
    assert_eq!(none.json()["errors"]["application_calendar_id"][0]["key"], "errors.required");
}

#[tokio::test]
async fn calls_without_a_token_or_with_a_wrong_one_are_401() {
    let mut world = World::start().await;
    for token in ["", "wrong"] {
        token.clone_into(&mut world.token);
        for path in ["/v1/userinfo", "/v1/events?tzid=Etc%2FUTC", "/v1/channels", "/v1/calendars", "/v1/account"] {
            assert_eq!(world.get(path).await.status, 401, "{path}");
        }
    }
    assert_eq!(world.get("/v1/nothing").await.status, 404);
    assert_eq!(world.get("/").await.status, 404);
}
