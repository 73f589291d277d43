//! Answers that do not come, come too late, end too early or do not end.

use std::time::Duration;

use cronofy::url::Url;
use cronofy::{Client, Error, Options, Retry, TransportFault};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use crate::calls::{ALL, WITHOUT_CONTENT, call, failure};
use crate::server::{RawServer, Server, Then};

fn client(api: &Url, timeout: Duration) -> Client {
    let mut options = Options::new(api.clone());
    options.request_timeout = timeout;
    options.max_body_bytes = 1000;
    Client::new(options).unwrap()
}

/// Long enough for every answer that comes at all.
const PATIENT: Duration = Duration::from_mins(1);
/// For answers that never come.
const SHORT: Duration = Duration::from_millis(150);

async fn faults(bytes: &str, then: Then, timeout: Duration, with_content: TransportFault) {
    let server = RawServer::start(bytes, then).await;
    let client = client(&server.api, timeout);
    for endpoint in ALL.into_iter().filter(|endpoint| !WITHOUT_CONTENT.contains(endpoint)) {
        let error = failure(&client, endpoint).await;
        assert!(
            matches!(error, Error::Transport { fault, .. } if fault == with_content),
            "{endpoint} {bytes:?} {then:?}: {error:?}"
        );
        assert_eq!(error.retry(), Retry::Backoff);
    }
}

#[tokio::test]
async fn a_refused_connection_is_a_failure_to_connect() {
    // Bound but not listening: the port is taken, and nobody answers.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let api = Url::parse(&format!("http://{}", socket.local_addr().unwrap())).unwrap();
    let client = client(&api, PATIENT);
    for endpoint in ALL {
        let error = failure(&client, endpoint).await;
        assert!(matches!(error, Error::Transport { fault: TransportFault::Connect, .. }), "{error:?}");
        assert_eq!(error.category(), "ConnectFailed");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_a_failure_to_connect_over_https() {
    let server = Server::answering(200, "").await;
    let mut api = server.api.clone();
    api.set_scheme("https").unwrap();
    let options = Options::new(api);
    let error = failure(&Client::new(options).unwrap(), ALL[0]).await;
    assert!(matches!(error, Error::Transport { fault: TransportFault::Connect, .. }), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_is_a_reset() {
    for then in [Then::Close, Then::Reset] {
        faults("", then, PATIENT, TransportFault::Reset).await;
        faults("HTTP/1.1 200 O", then, PATIENT, TransportFault::Reset).await;
    }
    faults("SMTP ready\r\n\r\n", Then::Close, PATIENT, TransportFault::Reset).await;
}

#[tokio::test]
async fn a_connection_that_ends_within_the_body_is_a_cut_answer() {
    let length = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"canary\":";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n{\"canary\":\r\n";
    for bytes in [length, chunked] {
        faults(bytes, Then::Close, PATIENT, TransportFault::CutBody).await;
    }
}

#[tokio::test]
async fn a_head_or_a_body_that_does_not_come_is_a_timeout() {
    faults("", Then::Hang, SHORT, TransportFault::Timeout).await;
    faults("HTTP/1.1 200 OK\r\ncontent-len", Then::Hang, SHORT, TransportFault::Timeout).await;
    let body = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"canary\":";
    faults(body, Then::Hang, SHORT, TransportFault::Timeout).await;
}

#[tokio::test]
async fn the_status_of_a_refusal_counts_even_if_its_body_does_not_come() {
    let bytes = "HTTP/1.1 503 No\r\nretry-after: 9\r\ncontent-length: 100\r\n\r\n{\"canary\":";
    // The head must come in time and the body must not; long enough for the one, and waited for by all calls together.
    for (then, timeout) in [(Then::Hang, Duration::from_secs(4)), (Then::Close, PATIENT)] {
        let server = RawServer::start(bytes, then).await;
        let client = client(&server.api, timeout);
        let mut calls = JoinSet::new();
        for endpoint in ALL {
            let client = client.clone();
            calls.spawn(async move { failure(&client, endpoint).await });
        }
        for error in calls.join_all().await {
            assert_eq!((error.category(), error.retry()), ("ServerError", Retry::After(Duration::from_secs(9))));
        }
    }
}

#[tokio::test]
async fn a_call_without_content_is_done_once_the_status_says_so() {
    let server = RawServer::start("HTTP/1.1 202 Accepted\r\ncontent-length: 100\r\n\r\n", Then::Close).await;
    for endpoint in WITHOUT_CONTENT {
        call(&client(&server.api, PATIENT), endpoint).await.unwrap();
    }
}

#[tokio::test]
async fn a_body_is_read_up_to_the_limit_and_no_further() {
    let fitting = format!(r#"{{"channels":[]}}{}"#, " ".repeat(1000 - 15));
    let server = Server::answering(200, fitting.clone()).await;
    let limited = client(&server.api, PATIENT);
    let token = crate::calls::access_token();
    assert_eq!(fitting.len(), 1000);
    assert!(limited.channels(&token).await.unwrap().value.is_empty());

    let server = Server::answering(200, fitting + " ").await;
    let error = client(&server.api, PATIENT).channels(&token).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 1000, .. }), "{error}");
}

#[tokio::test]
async fn a_body_without_end_is_cut_at_the_limit() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let server = RawServer::start(head, Then::Repeat(b"6\r\ncanary\r\n")).await;
    let client = client(&server.api, PATIENT);
    for endpoint in ALL.into_iter().filter(|endpoint| !WITHOUT_CONTENT.contains(endpoint)) {
        let error = failure(&client, endpoint).await;
        assert!(matches!(error, Error::TooLarge { limit: 1000, .. }), "{error}");
    }
}
