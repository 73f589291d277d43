//! Delivers notifications over HTTP: signed, tried again on the simulator's clock, and given up after a day in silence.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::StreamBody;
use hyper::body::Frame;
use jiff::Timestamp;
use sha2::Sha256;
use tokio::task::JoinSet;

use crate::clock::add;
use crate::model::{Channel, Delivery, Model, Pending, Waits};
use crate::settings::{DeliveryShape, Retries, Settings, Signature, SignatureOrder, Use};
use crate::{Error, Inner, Signing, State};

/// The header that signatures stand in.
pub const SIGNATURE: &str = "Cronofy-HMAC-SHA256";

/// Bytes of a delivery that means nothing.
const JUNK_BYTES: usize = 1024 * 1024;
/// Pieces that a slow delivery is sent in.
const PIECES: usize = 4;

/// The signature of a body with one secret.
#[must_use]
pub fn sign(secret: &str, body: &[u8]) -> String {
    STANDARD.encode(digest(secret, body))
}

fn digest(secret: &str, body: &[u8]) -> Vec<u8> {
    match Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        Ok(mut mac) => {
            mac.update(body);
            mac.finalize().into_bytes().to_vec()
        }
        Err(_) => Vec::new(), // a key of any length will do
    }
}

fn hex_digest(secret: &str, body: &[u8]) -> String {
    digest(secret, body).iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"))
}

/// The header for a body with these active secrets, and the body that is sent with it.
fn signed(settings: &Settings, secrets: &[String], body: Bytes) -> (Option<String>, Bytes) {
    let join = |sign: fn(&str, &[u8]) -> String| {
        let mut values: Vec<String> = secrets.iter().map(|secret| sign(secret, &body)).collect();
        if settings.signature_order == SignatureOrder::Reversed {
            values.reverse();
        }
        values.join(if settings.signature_space { ", " } else { "," })
    };
    match settings.signature {
        Signature::Valid => (Some(join(sign)), body),
        Signature::Wrong => (Some(sign("the secret of nobody", &body)), body),
        Signature::Missing => (None, body),
        Signature::Empty => (Some(String::new()), body),
        Signature::HexDigest => (Some(join(hex_digest)), body),
        Signature::EncodedHexDigest => (Some(join(|secret, body| STANDARD.encode(hex_digest(secret, body)))), body),
        Signature::BodyChanged => {
            let header = join(sign);
            let mut changed = body.to_vec();
            // A space more at the end leaves it valid JSON.
            changed.push(b' ');
            (Some(header), changed.into())
        }
    }
}

/// The clients that deliver.
#[derive(Debug)]
pub(crate) struct Clients {
    direct: reqwest::Client,
    following: reqwest::Client,
}

impl Clients {
    pub fn new(trusted_certificates: &str) -> Result<Self, Error> {
        let trusted = reqwest::Certificate::from_pem_bundle(trusted_certificates.as_bytes()).map_err(Error::Client)?;
        let client = |redirects| {
            reqwest::Client::builder()
                .no_proxy()
                .pool_max_idle_per_host(0) // each delivery finds its own way, to whichever replica is there
                .redirect(redirects)
                .tls_certs_merge(trusted.iter().cloned())
                .build()
                .map_err(Error::Client)
        };
        Ok(Self {
            direct: client(reqwest::redirect::Policy::none())?,
            following: client(reqwest::redirect::Policy::limited(5))?,
        })
    }
}

/// Delivers what is due until the simulator ends.
pub(crate) async fn run(inner: Arc<Inner>) {
    let mut tasks = JoinSet::new();
    loop {
        let (due, wait) = {
            let mut state = inner.state();
            let now = state.clock.now();
            let due = take_due(&mut state, now);
            let next = next_due(&state);
            (due, next.and_then(|next| state.clock.until(next)))
        };
        for pending in due {
            tasks.spawn(deliver(inner.clone(), pending));
        }
        inner.changed.send_modify(|changes| *changes += 1);
        let timer = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait.max(Duration::from_millis(1))).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = timer => {}
            () = inner.wake.notified() => {}
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// Takes out what is due and waits behind nothing. Deliveries to one channel may overtake each other, as several are under way
/// at a time.
fn take_due(state: &mut State, now: Timestamp) -> Vec<Pending> {
    let pending = &state.model.pending;
    let is_under_way =
        |number: u64| state.in_flight.contains(&number) || pending.iter().any(|other| other.number == number);
    let is_due = |pending: &&Pending| {
        let blocked = match pending.waits {
            Waits::Behind(number) => is_under_way(number),
            Waits::UntilDue | Waits::ForAnother | Waits::ForMore => false,
        };
        pending.due <= now && !blocked
    };
    let mut due: Vec<Pending> = pending.iter().filter(is_due).cloned().collect();
    state.in_flight.extend(due.iter().map(|pending| pending.number));
    let in_flight = &state.in_flight;
    state.model.pending.retain(|pending| !in_flight.contains(&pending.number));
    due.sort_by_key(|pending| (pending.due, pending.number));
    due
}

/// When the next delivery is due that waits behind nothing.
pub(crate) fn next_due(state: &State) -> Option<Timestamp> {
    let pending = state.model.pending.iter().filter(|pending| !matches!(pending.waits, Waits::Behind(_)));
    pending.map(|pending| pending.due).min()
}

/// One try of a delivery, ready to be sent.
struct Attempt {
    channel: Channel,
    settings: Settings,
    signature: Option<String>,
    body: Bytes,
    copies: usize,
}

impl Attempt {
    /// `None` if it is lost, or its channel is closed.
    fn prepare(state: &mut State, pending: &Pending) -> Option<Self> {
        let channel = state.model.channels.get(&pending.channel).filter(|channel| channel.closed.is_none())?.clone();
        let settings = state.model.settings_for(Use::delivery(&channel.account, &channel.id));
        if state.lost > 0 {
            state.lost -= 1;
            return None;
        }
        let body = match settings.delivery_shape {
            DeliveryShape::Normal | DeliveryShape::Chunked | DeliveryShape::Slow => Bytes::from(pending.body.clone()),
            DeliveryShape::Junk => Bytes::from(vec![b'#'; JUNK_BYTES]),
            DeliveryShape::InvalidJson => {
                let half = pending.body.len() / 2;
                Bytes::from(pending.body.clone()).slice(..half)
            }
            DeliveryShape::Get => Bytes::new(),
        };
        let application = state.model.applications.get(&channel.client_id);
        let secrets = application.map(|application| application.secrets.clone()).unwrap_or_default();
        let (signature, body) = match &state.signing {
            Signing::Valid => signed(&settings, &secrets, body),
            Signing::Header(header) => (header.clone(), body),
        };
        Some(Self { channel, settings, signature, body, copies: if state.doubled { 2 } else { 1 } })
    }

    /// Sends it once. `None`: no answer in time.
    async fn send(&self, clients: &Clients) -> Option<u16> {
        let client = if self.settings.follow_redirects { &clients.following } else { &clients.direct };
        let url = &self.channel.callback_url;
        let pieces = |between: Duration| {
            let size = self.body.len().div_ceil(PIECES).max(1);
            let pieces: Vec<Bytes> = self.body.chunks(size).map(Bytes::copy_from_slice).collect();
            let pieces = stream::iter(pieces).then(move |piece| async move {
                tokio::time::sleep(between).await;
                Ok::<_, std::io::Error>(Frame::data(piece))
            });
            reqwest::Body::wrap(StreamBody::new(Box::pin(pieces)))
        };
        let mut request = match self.settings.delivery_shape {
            DeliveryShape::Normal | DeliveryShape::Junk | DeliveryShape::InvalidJson => {
                client.post(url).body(self.body.clone())
            }
            DeliveryShape::Chunked => client.post(url).body(pieces(Duration::ZERO)),
            DeliveryShape::Slow => {
                let pieces_count = u32::try_from(PIECES).unwrap_or(1);
                client.post(url).body(pieces(self.settings.slow_delivery / pieces_count))
            }
            DeliveryShape::Get => client.get(url),
        };
        request = request.header("Content-Type", "application/json; charset=utf-8");
        if let Some(signature) = &self.signature {
            request = request.header(SIGNATURE, signature);
        }
        request.timeout(self.settings.delivery_timeout).send().await.ok().map(|answer| answer.status().as_u16())
    }
}

async fn deliver(inner: Arc<Inner>, pending: Pending) {
    let attempt = Attempt::prepare(&mut inner.state(), &pending);
    if let Some(attempt) = attempt {
        let mut status = None;
        for _ in 0..attempt.copies {
            status = attempt.send(&inner.clients).await;
        }
        let mut state = inner.state();
        let now = state.clock.now();
        state.deliveries.push(Delivery {
            channel: pending.channel.clone(),
            callback_url: attempt.channel.callback_url.clone(),
            kind: pending.kind.clone(),
            body: String::from_utf8_lossy(&attempt.body).into_owned(),
            signature: attempt.signature.clone(),
            attempt: pending.attempt,
            time: now,
            status,
        });
        settle(&mut state.model, &attempt.settings, &pending, status, now);
    }
    inner.state().in_flight.remove(&pending.number);
    inner.wake.notify_one();
    inner.changed.send_modify(|changes| *changes += 1);
}

/// What an answer means: done, tried again later, or the end of the channel.
fn settle(model: &mut Model, settings: &Settings, pending: &Pending, status: Option<u16>, now: Timestamp) {
    let number = model.next_number();
    let Some(channel) = model.channels.get_mut(&pending.channel).filter(|channel| channel.closed.is_none()) else {
        return;
    };
    if status.is_some_and(|status| (200..300).contains(&status)) {
        channel.failing_since = None;
        return;
    }
    let since = *channel.failing_since.get_or_insert(now);
    let given_up = settings.auto_close.is_some_and(|limit| add(since, limit) <= now);
    if given_up || (settings.close_on_gone && status == Some(410)) {
        let id = channel.id.clone();
        model.close_channel(&id, now);
        return;
    }
    if !settings.retry_client_errors && status.is_some_and(|status| (400..500).contains(&status)) {
        return;
    }
    let wait = match settings.retries {
        Retries::None => return,
        Retries::Fixed => Duration::from_mins(1),
        Retries::Exponential => {
            let doublings = pending.attempt.saturating_sub(1).min(16);
            Duration::from_secs(10).saturating_mul(1 << doublings).min(Duration::from_hours(1))
        }
    };
    model.pending.push(Pending {
        number,
        attempt: pending.attempt.saturating_add(1),
        due: add(now, wait),
        waits: Waits::UntilDue,
        ..pending.clone()
    });
}
