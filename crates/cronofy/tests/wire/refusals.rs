//! Every refusal of every call.

use std::time::Duration;

use axum::body::Bytes;
use cronofy::{Error, JsonFaultKind, Retry};

use crate::calls::{ALL, WITH_CLIENT_CREDENTIALS, WITHOUT_CONTENT, failure};
use crate::server::{Server, answer};

#[tokio::test]
async fn every_status_of_every_call_has_its_category() {
    let table = [
        (402, "PaymentRequired"),
        (403, "Forbidden"),
        (404, "NotFound"),
        (410, "NotFound"),
        (418, "UnexpectedStatus"),
        (422, "Invalid"),
        (423, "Locked"),
        (429, "RateLimited"),
        (500, "ServerError"),
        (503, "ServerError"),
    ];
    for (status, category) in table {
        let server = Server::answering(status, "no").await;
        let client = server.client();
        for endpoint in ALL {
            let error = failure(&client, endpoint).await;
            assert_eq!(error.category(), category, "{endpoint} {status}");
            assert_eq!(error.to_string(), format!("{endpoint}: status {status}: no"));
        }
        assert_eq!(server.seen().len(), ALL.len(), "each call is sent once");
    }
}

#[tokio::test]
async fn unauthorized_means_the_token_or_the_client_depending_on_the_call() {
    let unauthorized = Server::with_headers(401, &[("www-authenticate", "Bearer")], "").await;
    let grant = Server::answering(400, r#"{"error":"invalid_grant"}"#).await;
    let application = Server::answering(400, r#"{"error":"invalid_client"}"#).await;
    let clients = [&unauthorized, &grant, &application].map(Server::client);
    for endpoint in ALL {
        let with_client = WITH_CLIENT_CREDENTIALS.contains(&endpoint);
        let expected = |category| if with_client { category } else { "UnexpectedStatus" };
        let on_401 = if with_client { "InvalidClient" } else { "Unauthorized" };
        assert_eq!(failure(&clients[0], endpoint).await.category(), on_401, "{endpoint}");
        assert_eq!(failure(&clients[1], endpoint).await.category(), expected("InvalidGrant"), "{endpoint}");
        assert_eq!(failure(&clients[2], endpoint).await.category(), expected("InvalidClient"), "{endpoint}");
    }
}

#[tokio::test]
async fn a_server_that_echoes_the_whole_request_betrays_nothing() {
    for status in [400, 401, 403, 418, 422, 429, 500] {
        for as_json in [true, false] {
            let server = Server::start(move |seen| {
                let echo = format!("{} {:?} {}", seen.uri, seen.headers, String::from_utf8_lossy(&seen.body));
                let body = if as_json {
                    serde_json::json!({"errors": {echo.as_str(): [{"key": echo, "description": echo}]}}).to_string()
                } else {
                    echo
                };
                answer(status, &[], body.into())
            })
            .await;
            let client = server.client();
            for endpoint in ALL {
                failure(&client, endpoint).await;
            }
        }
    }
}

#[tokio::test]
async fn a_422_tells_field_and_key_or_at_least_its_text() {
    let body = r#"{"errors":{"callback_url":[{"key":"errors.required","description":"required"}]}}"#;
    let fields_of = |error: Error| match error {
        Error::Invalid { fields, refusal } => (fields, refusal.excerpt),
        other => panic!("{other}"),
    };
    let server = Server::answering(422, body).await;
    let (fields, _) = fields_of(failure(&server.client(), ALL[6]).await);
    assert_eq!(
        fields.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["callback_url: required (errors.required)"]
    );
    for body in [r#"{"message":"not like that"}"#, "<p>not like that</p>", "not like that"] {
        let server = Server::answering(422, body).await;
        let (fields, excerpt) = fields_of(failure(&server.client(), ALL[6]).await);
        assert!(fields.is_empty() && excerpt.contains("not like that"), "{excerpt}");
    }
}

#[tokio::test]
async fn retry_after_is_told_in_both_forms_and_absent_otherwise() {
    let date = ("date", "Fri, 20 Nov 2026 07:41:05 GMT");
    let table: [(&[(&'static str, &str)], Retry); 4] = [
        (&[date, ("retry-after", "7")], Retry::After(Duration::from_secs(7))),
        (&[date, ("retry-after", "Fri, 20 Nov 2026 07:42:05 GMT")], Retry::After(Duration::from_mins(1))),
        (&[date, ("retry-after", "99999999")], Retry::After(Duration::from_hours(1))),
        (&[date], Retry::Backoff),
    ];
    for (headers, retry) in table {
        for status in [423, 429, 500, 503] {
            let server = Server::with_headers(status, headers, "").await;
            let client = server.client();
            for endpoint in ALL {
                assert_eq!(failure(&client, endpoint).await.retry(), retry, "{endpoint} {status} {headers:?}");
            }
        }
    }
}

#[tokio::test]
async fn redirects_are_not_followed_and_the_token_stays_here() {
    let elsewhere = Server::answering(200, "{}").await;
    for status in [301, 302, 303, 307, 308] {
        let server = Server::with_headers(status, &[("location", elsewhere.api.as_str())], "").await;
        let client = server.client();
        for endpoint in ALL {
            let error = failure(&client, endpoint).await;
            assert!(matches!(&error, Error::UnexpectedStatus(refusal) if refusal.status == status), "{error}");
        }
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_success_that_does_not_decode_is_malformed_and_its_content_is_not_shown() {
    let table = [
        ("", JsonFaultKind::EndOfInput),
        ("<html>canary</html>", JsonFaultKind::Syntax),
        (r#"{"events":[{"summary":"canary"#, JsonFaultKind::EndOfInput),
        (r#"{"canary":"canary"}"#, JsonFaultKind::Shape),
        (r#""canary""#, JsonFaultKind::Shape),
        (
            r#"{"sub":["canary"],"access_token":["canary"],"channel":"canary","channels":"canary","calendars":"canary",
                "pages":"canary","events":"canary"}"#,
            JsonFaultKind::Shape,
        ),
    ];
    for (body, kind) in table {
        let server = Server::answering(200, body).await;
        let client = server.client();
        for endpoint in ALL.into_iter().filter(|endpoint| !WITHOUT_CONTENT.contains(endpoint)) {
            let error = failure(&client, endpoint).await;
            assert!(
                matches!(error, Error::Malformed { fault, .. } if fault.kind == kind),
                "{endpoint} {body}: {error:?}"
            );
        }
    }
}

#[tokio::test]
async fn calls_without_content_succeed_whatever_the_body_says() {
    for status in [200, 202, 204] {
        let server = Server::answering(status, if status == 204 { "" } else { "<html>" }).await;
        let client = server.client();
        for endpoint in WITHOUT_CONTENT {
            crate::calls::call(&client, endpoint).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_long_refusal_is_cut_to_a_short_line() {
    let server = Server::answering(503, Bytes::from("line\n".repeat(1_000_000))).await;
    let client = server.client();
    for endpoint in ALL {
        let text = failure(&client, endpoint).await.to_string();
        assert!(text.chars().count() < 300, "{text}");
    }
}
