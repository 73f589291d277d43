//! Delivers notifications over HTTP: signed, tried again on the simulator's clock, and given up after a day in silence.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;
use tokio::task::JoinSet;

use crate::clock::add;
use crate::model::{Delivery, Model, Pending};
use crate::settings::Retries;
use crate::{Inner, Signing};

/// The header that signatures stand in.
pub const SIGNATURE: &str = "Cronofy-HMAC-SHA256";

/// The signature of a body with one secret.
#[must_use]
pub fn sign(secret: &str, body: &[u8]) -> String {
    match Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        Ok(mut mac) => {
            mac.update(body);
            STANDARD.encode(mac.finalize().into_bytes())
        }
        Err(_) => String::new(), // a key of any length will do
    }
}

/// Delivers what is due until the simulator ends.
pub(crate) async fn run(inner: Arc<Inner>) {
    let mut tasks = JoinSet::new();
    loop {
        let (due, wait) = {
            let mut state = inner.state();
            let now = state.clock.now();
            let due = take_due(&mut state.model, now);
            state.in_flight += due.len();
            let next = state.model.pending.iter().map(|pending| pending.due).min();
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

/// Takes out what is due, at most one delivery a channel, in order.
fn take_due(model: &mut Model, now: Timestamp) -> Vec<Pending> {
    let mut due: Vec<Pending> = model.pending.iter().filter(|pending| pending.due <= now).cloned().collect();
    model.pending.retain(|pending| pending.due > now);
    due.sort_by_key(|pending| pending.due);
    due
}

async fn deliver(inner: Arc<Inner>, pending: Pending) {
    let (request, timeout, copies) = {
        let state = inner.state();
        let Some(channel) = state.model.channels.get(&pending.channel).filter(|channel| channel.closed.is_none())
        else {
            drop(state);
            done(&inner);
            return;
        };
        let secrets = state.model.applications.get(&channel.client_id).map(|application| application.secrets.clone());
        let signature = match &state.signing {
            Signing::Valid => {
                let secrets = secrets.unwrap_or_default();
                Some(secrets.iter().map(|secret| sign(secret, pending.body.as_bytes())).collect::<Vec<_>>().join(","))
            }
            Signing::Header(header) => header.clone(),
        };
        if state.lost > 0 {
            drop(state);
            inner.state().lost -= 1;
            done(&inner);
            return;
        }
        let mut request = inner
            .http
            .post(&channel.callback_url)
            .header("Content-Type", "application/json; charset=utf-8")
            .body(pending.body.clone());
        if let Some(signature) = signature {
            request = request.header(SIGNATURE, signature);
        }
        (request, state.model.settings.delivery_timeout, if state.doubled { 2 } else { 1 })
    };
    let mut status = None;
    for _ in 0..copies {
        let Some(request) = request.try_clone() else { break };
        status = request.timeout(timeout).send().await.ok().map(|answer| answer.status().as_u16());
    }
    {
        let mut state = inner.state();
        let now = state.clock.now();
        let Pending { channel, kind, body, attempt, due: _ } = pending.clone();
        state.deliveries.push(Delivery { channel, kind, body, attempt, time: now, status });
        settle(&mut state.model, pending, status, now);
    }
    done(&inner);
}

fn done(inner: &Inner) {
    inner.state().in_flight -= 1;
    inner.wake.notify_one();
    inner.changed.send_modify(|changes| *changes += 1);
}

/// What an answer means: done, tried again later, or the end of the channel.
fn settle(model: &mut Model, pending: Pending, status: Option<u16>, now: Timestamp) {
    let (auto_close, retries, close_on_gone) =
        (model.settings.auto_close, model.settings.retries, model.settings.close_on_gone);
    let Some(channel) = model.channels.get_mut(&pending.channel) else { return };
    if status.is_some_and(|status| (200..300).contains(&status)) {
        channel.failing_since = None;
        return;
    }
    let since = *channel.failing_since.get_or_insert(now);
    let given_up = auto_close.is_some_and(|limit| add(since, limit) <= now);
    if given_up || (close_on_gone && status == Some(410)) {
        let id = channel.id.clone();
        model.close_channel(&id, now);
        return;
    }
    let wait = match retries {
        Retries::None => return,
        Retries::Fixed => Duration::from_mins(1),
        Retries::Exponential => {
            let doublings = pending.attempt.saturating_sub(1).min(16);
            Duration::from_secs(10).saturating_mul(1 << doublings).min(Duration::from_hours(1))
        }
    };
    model.pending.push(Pending { attempt: pending.attempt.saturating_add(1), due: add(now, wait), ..pending });
}
