//! What each call sends, and what it makes of the documented answer.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::Method;
use cronofy::secrecy::ExposeSecret as _;
use cronofy::{AccountKind, Client, Error, EventTime, EventsQuery, Filters, NewChannel, Options, Revocation};

use crate::calls::{access_token, application, new_channel, refresh_token, second_page};
use crate::server::{Seen, Server};

const TOKEN: &str = r#"{"token_type":"bearer","access_token":"at_2","expires_in":1800,"refresh_token":"rt_2",
    "scope":"list_calendars read_events","application_calendar_id":"room-7","sub":"apc_1"}"#;

fn json(seen: &Seen) -> serde_json::Value {
    assert_eq!(seen.header("content-type"), Some("application/json"));
    serde_json::from_slice(&seen.body).unwrap()
}

fn assert_bearer(seen: &Seen) {
    assert_eq!(seen.header("authorization"), Some("Bearer canary-at"));
    assert_eq!(seen.header("accept"), Some("application/json"));
}

#[tokio::test]
async fn a_refresh_sends_the_credentials_in_the_body_and_returns_the_new_tokens() {
    let server = Server::with_headers(200, &[("date", "Fri, 20 Nov 2026 07:41:05 GMT")], TOKEN).await;
    let answer = server.client().refresh_token(&application(), &refresh_token()).await.unwrap();
    assert_eq!(answer.value.access_token.expose_secret(), "at_2");
    assert_eq!(answer.value.refresh_token.unwrap().expose_secret(), "rt_2");
    assert_eq!(answer.value.expires_in, Some(Duration::from_mins(30)));
    assert_eq!(answer.date, Some("2026-11-20T07:41:05Z".parse().unwrap()));

    let seen = server.only_request();
    assert_eq!(seen.line(), "POST /oauth/token");
    assert_eq!(seen.header("authorization"), None);
    assert_eq!(
        json(&seen),
        serde_json::json!({"client_id": "id-1", "client_secret": "canary/se\"cret", "grant_type": "refresh_token",
                           "refresh_token": "canary rt+"})
    );
}

#[tokio::test]
async fn a_code_is_exchanged_with_the_redirect_it_was_asked_for_with() {
    let server = Server::answering(200, TOKEN).await;
    server.client().exchange_code(&application(), &"c0de-1".into(), "https://op.example.org/cb").await.unwrap();
    let seen = server.only_request();
    assert_eq!(seen.line(), "POST /oauth/token");
    assert_eq!(
        json(&seen),
        serde_json::json!({"client_id": "id-1", "client_secret": "canary/se\"cret",
                           "grant_type": "authorization_code", "code": "c0de-1",
                           "redirect_uri": "https://op.example.org/cb"})
    );
}

#[tokio::test]
async fn an_application_calendar_gives_tokens_without_a_browser() {
    let server = Server::answering(200, TOKEN).await;
    let token = server.client().application_calendar(&application(), "room-7").await.unwrap().value;
    assert_eq!(token.application_calendar_id.as_deref(), Some("room-7"));
    assert_eq!(token.sub.as_deref(), Some("apc_1"));
    let seen = server.only_request();
    assert_eq!(seen.line(), "POST /v1/application_calendars");
    assert_eq!(
        json(&seen),
        serde_json::json!({"client_id": "id-1", "client_secret": "canary/se\"cret",
                           "application_calendar_id": "room-7"})
    );
}

#[tokio::test]
async fn a_revocation_names_a_token_or_an_account() {
    let server = Server::answering(200, "").await;
    let client = server.client();
    client.revoke(&application(), Revocation::Token(&refresh_token())).await.unwrap();
    client.revoke(&application(), Revocation::Subject("acc_1")).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].line(), "POST /oauth/token/revoke");
    assert_eq!(
        json(&seen[0]),
        serde_json::json!({"client_id": "id-1", "client_secret": "canary/se\"cret", "token": "canary rt+"})
    );
    assert_eq!(
        json(&seen[1]),
        serde_json::json!({"client_id": "id-1", "client_secret": "canary/se\"cret", "sub": "acc_1"})
    );
}

#[tokio::test]
async fn userinfo_and_calendars_are_read_with_the_access_token() {
    let server = Server::answering(
        200,
        r#"{"sub":"acc_1","cronofy.type":"account","cronofy.data":{"profiles":[{"profile_id":"pro_1",
            "profile_connected":true}]},"calendars":[{"calendar_id":"cal_1","calendar_primary":true}]}"#,
    )
    .await;
    let client = server.client();
    let info = client.userinfo(&access_token()).await.unwrap().value;
    assert_eq!((info.sub.as_str(), info.kind), ("acc_1", Some(AccountKind::Account)));
    assert!(info.profiles[0].profile_connected);
    let calendars = client.calendars(&access_token()).await.unwrap().value;
    assert_eq!(calendars[0].calendar_id, "cal_1");

    let seen = server.seen();
    assert_eq!(seen.iter().map(Seen::line).collect::<Vec<_>>(), ["GET /v1/userinfo", "GET /v1/calendars"]);
    seen.iter().for_each(assert_bearer);
}

#[tokio::test]
async fn a_channel_is_created_with_its_calendars_sorted_and_once_each() {
    let server = Server::answering(
        200,
        r#"{"channel":{"channel_id":"chn_1","callback_url":"https://h.example.org/1",
            "filters":{"calendar_ids":["cal_a","cal_b"]}}}"#,
    )
    .await;
    let client = server.client();
    let calendar_ids = ["cal_b", "cal_a", "cal_b"].map(str::to_owned).to_vec();
    let filters = Filters { calendar_ids: Some(calendar_ids), only_managed: Some(false) };
    let wanted = NewChannel { filters, ..new_channel() };
    let channel = client.create_channel(&access_token(), &wanted).await.unwrap().value;
    assert_eq!(channel.channel_id, "chn_1");
    assert!(channel.filters.same_as(&wanted.filters));
    client.create_channel(&access_token(), &new_channel()).await.unwrap();

    let seen = server.seen();
    seen.iter().for_each(assert_bearer);
    assert_eq!(seen[0].line(), "POST /v1/channels");
    assert_eq!(
        json(&seen[0]),
        serde_json::json!({"callback_url": "https://h.example.org/1",
                           "filters": {"calendar_ids": ["cal_a", "cal_b"], "only_managed": false}})
    );
    assert_eq!(json(&seen[1]), serde_json::json!({"callback_url": "https://h.example.org/1", "filters": {}}));
}

#[tokio::test]
async fn channels_are_listed_and_closed() {
    let server = Server::start(|seen| {
        let (status, body) = match seen.method {
            Method::DELETE => (202, ""),
            _ => {
                (200, r#"{"channels":[{"channel_id":"chn_1","callback_url":"https://h.example.org/1","filters":{}}]}"#)
            }
        };
        crate::server::answer(status, &[], body.into())
    })
    .await;
    let client = server.client();
    let channels = client.channels(&access_token()).await.unwrap().value;
    assert_eq!(channels[0].callback_url, "https://h.example.org/1");
    let closed = client.close_channel(&access_token(), "chn/?#1").await.unwrap();
    assert!(closed.date.is_some());

    let seen = server.seen();
    assert_eq!(
        seen.iter().map(Seen::line).collect::<Vec<_>>(),
        ["GET /v1/channels", "DELETE /v1/channels/chn%2F%3F%231"]
    );
    assert!(seen[1].body.is_empty());
    seen.iter().for_each(assert_bearer);
}

#[tokio::test]
async fn events_are_read_page_by_page_from_the_address_the_server_gave() {
    let server = Server::start(|seen| {
        let host = seen.headers.get("host").unwrap().to_str().unwrap();
        let body = if seen.uri.path() == "/v1/events" {
            format!(
                r#"{{"pages":{{"current":1,"total":2,"next_page":"http://{host}/v1/events/pages/6a1f?x=%40"}},"events":[
                    {{"calendar_id":"cal_1","event_uid":"evt_1","start":"2026-12-03","end":"2026-12-05"}}, 7]}}"#
            )
        } else {
            r#"{"pages":{"current":2,"total":2},"events":[{"calendar_id":"cal_1","event_uid":"evt_2","deleted":true}]}"#
                .to_owned()
        };
        crate::server::answer(200, &[("content-type", "text/plain".to_owned())], body.into())
    })
    .await;
    let client = server.client();
    let query = EventsQuery {
        tzid: "Europe/Berlin".parse().unwrap(),
        last_modified: Some("2026-11-20T07:41:05Z".parse().unwrap()),
        include_deleted: true,
        calendar_ids: BTreeSet::from(["cal_x@Yz".to_owned()]),
        ..EventsQuery::default()
    };
    let first = client.events(&access_token(), &query).await.unwrap();
    assert!(first.date.is_some());
    assert_eq!((first.value.events.len(), first.value.skipped), (1, 1));
    assert!(matches!(&first.value.events[0].start, Some(EventTime::Date { zone: None, .. })));
    let last = client.next_page(&access_token(), &first.value.next.unwrap()).await.unwrap().value;
    assert!(last.events[0].deleted && last.next.is_none());

    let seen = server.seen();
    assert_eq!(
        seen.iter().map(Seen::line).collect::<Vec<_>>(),
        [
            "GET /v1/events?tzid=Europe%2FBerlin&last_modified=2026-11-20T07%3A41%3A05Z&include_deleted=true\
             &calendar_ids%5B%5D=cal_x%40Yz",
            "GET /v1/events/pages/6a1f?x=%40"
        ]
    );
    seen.iter().for_each(assert_bearer);
}

#[tokio::test]
async fn a_page_of_one_api_is_not_fetched_by_the_client_of_another() {
    let (one, other) = (Server::answering(200, "{}").await, Server::answering(200, "{}").await);
    let page = second_page(&one.client());
    let error = other.client().next_page(&access_token(), &page).await.unwrap_err();
    assert!(matches!(error, Error::ForeignPage { .. }), "{error}");
    assert!(one.seen().is_empty() && other.seen().is_empty());
}

#[tokio::test]
async fn requests_that_cannot_be_right_are_not_sent() {
    let server = Server::answering(200, "{}").await;
    let client = server.client();
    let token = access_token();
    let no_calendar = Filters { calendar_ids: Some(Vec::new()), only_managed: None };
    let range = |from: &str, to: &str| EventsQuery {
        from: Some(from.parse().unwrap()),
        to: Some(to.parse().unwrap()),
        ..EventsQuery::default()
    };
    let errors = [
        client.close_channel(&token, "").await.unwrap_err(),
        client.close_channel(&token, "..").await.unwrap_err(),
        client.create_channel(&token, &NewChannel { filters: no_calendar, ..new_channel() }).await.unwrap_err(),
        client.create_channel(&token, &NewChannel { callback_url: String::new(), ..new_channel() }).await.unwrap_err(),
        client.events(&token, &range("2026-12-01", "2026-12-01")).await.unwrap_err(),
        client.events(&token, &range("2026-12-02", "2026-12-01")).await.unwrap_err(),
        client
            .events(&token, &EventsQuery { calendar_ids: [String::new()].into(), ..EventsQuery::default() })
            .await
            .unwrap_err(),
        client.userinfo(&"canary\r\nx: y".into()).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.category(), "InvalidRequest");
        assert_eq!(error.retry(), cronofy::Retry::Never);
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_base_address_with_a_path_and_an_own_user_agent_are_used() {
    let server = Server::answering(200, r#"{"channels":[]}"#).await;
    let mut options = Options::new(server.api.join("sim/").unwrap());
    options.user_agent = "tests/1".to_owned();
    let client = Client::new(options).unwrap();
    client.channels(&access_token()).await.unwrap();
    let seen = server.only_request();
    assert_eq!(seen.line(), "GET /sim/v1/channels");
    assert_eq!(seen.header("user-agent"), Some("tests/1"));
}
