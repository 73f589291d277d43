//! The webhook from outside: what Cronofy, a proxy or a stranger may send to it, and what it answers.

use std::net::SocketAddr;
use std::time::Duration;

use cronofy_sim::{Channel, SIGNATURE, sign};
use jiff::Timestamp;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::operator::PATIENCE;

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub allow: Option<String>,
    pub body: String,
}

impl Answer {
    /// The status of an answer that tells nothing but its status.
    pub fn bare(&self) -> u16 {
        assert_eq!(self.body, "", "every answer is empty: {self:?}");
        self.status
    }
}

/// A client as Cronofy's: each request on a connection of its own.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE).build().unwrap()
}

/// Posts a body with this signature header, or none.
pub async fn post(client: &reqwest::Client, url: &str, signature: Option<&str>, body: impl Into<String>) -> Answer {
    let mut request = client.post(url).header("Content-Type", "application/json; charset=utf-8").body(body.into());
    if let Some(signature) = signature {
        request = request.header(SIGNATURE, signature);
    }
    answer(request).await
}

/// Posts a body that is signed with this secret.
pub async fn post_signed(client: &reqwest::Client, url: &str, secret: &str, body: &str) -> Answer {
    post(client, url, Some(&sign(secret, body.as_bytes())), body).await
}

/// Sends a request.
pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let allow = response.headers().get("allow").map(|value| value.to_str().unwrap().to_owned());
    Answer { status: response.status().as_u16(), allow, body: response.text().await.unwrap() }
}

/// Sends these bytes and gives all that comes back until the connection ends.
pub async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let exchange = async {
        let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
        let request = request.to_vec();
        // An answer may come, and the connection end, before all is sent.
        let sent = tokio::spawn(async move {
            let _cut_short = write.write_all(&request).await;
            write
        });
        let mut text = Vec::new();
        let _reset = read.read_to_end(&mut text).await;
        drop(sent.await.unwrap());
        String::from_utf8_lossy(&text).into_owned()
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("the webhook answers and ends the connection")
}

/// The body of a notification of this type through a channel, as Cronofy writes it.
pub fn notification(kind: &str, channel: &Channel) -> String {
    json!({
        "notification": { "type": kind },
        "channel": { "channel_id": channel.id, "callback_url": channel.callback_url, "filters": {} },
    })
    .to_string()
}

/// The body of a `change` through a channel.
pub fn change(channel: &Channel, since: Timestamp) -> String {
    json!({
        "notification": { "type": "change", "changes_since": since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string() },
        "channel": { "channel_id": channel.id, "callback_url": channel.callback_url, "filters": {} },
    })
    .to_string()
}

/// A time some minutes ago, in whole seconds.
pub fn minutes_ago(minutes: u64) -> Timestamp {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    now - Duration::from_secs(60 * minutes)
}
