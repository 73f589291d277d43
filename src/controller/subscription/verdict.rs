//! What a reconcile found, as conditions: each message says the cause and, where a person can act, the remedy.

use calendar_sync::{Account, Desired, Failures, Observed, Profile, Reason, Step, Stop};
use k8s_controller::conditions::ConditionStatus;

use super::status::{Says, stop_reason};
use crate::api::condition;

/// A step before the engine that refused to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One word for the cause.
    pub reason: &'static str,
    /// One line: cause and remedy.
    pub message: String,
    /// Which condition it is about.
    pub about: About,
    /// Whether only a person can mend it.
    pub stalled: bool,
}

/// Which condition a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Application, Secret or grant.
    Credentials,
    /// The spec itself.
    Spec,
}

/// What a reconcile found.
pub enum Verdict<'a> {
    /// A step before the engine refused to go on.
    Refused(&'a Refusal),
    /// The engine is at work or at rest.
    Engine {
        /// What is wanted.
        desired: &'a Desired,
        /// What is known.
        observed: &'a Observed,
        /// The step it rests at; `None` while it is at work.
        resting: Option<&'a Step>,
    },
}

impl Verdict<'_> {
    /// Every condition, with the summary first.
    pub fn conditions(&self) -> [(&'static str, Says); 6] {
        match self {
            Verdict::Refused(refusal) => refused(refusal),
            Verdict::Engine { desired, observed, resting } => engine(desired, observed, *resting),
        }
    }
}

fn refused(refusal: &Refusal) -> [(&'static str, Says); 6] {
    let Refusal { reason, message, about, stalled } = refusal;
    let cause = || no(reason, message.clone());
    let waiting = || unknown(reason, "not looked at until the cause is mended");
    [
        (condition::READY, cause()),
        (condition::CREDENTIALS_VALID, if *about == About::Credentials { cause() } else { waiting() }),
        (condition::CHANNEL_ACTIVE, waiting()),
        (condition::SYNCED, if *about == About::Spec { cause() } else { waiting() }),
        (
            condition::RECONCILING,
            if *stalled { no("Stalled", "waits for a person") } else { yes(reason, message.clone()) },
        ),
        (
            condition::STALLED,
            if *stalled { yes(reason, message.clone()) } else { no("Retrying", "tried again by itself") },
        ),
    ]
}

fn engine(desired: &Desired, observed: &Observed, resting: Option<&Step>) -> [(&'static str, Says); 6] {
    let stop = match resting {
        Some(Step::Stop(stop)) => Some(*stop),
        _ => None,
    };
    let credentials = credentials(observed);
    let channel = channel(desired, observed, stop);
    let synced = synced(desired, observed, stop);
    let ready = ready(desired, observed, [&credentials, &synced, &channel]);
    let stalled = match stop {
        Some(stop) => yes(stop_reason(stop), ready.message.clone()),
        None => no("NotStalled", "nothing waits for a person"),
    };
    let reconciling = if stop.is_some() {
        no("Stalled", "waits for a person")
    } else if let Some(Failures { last, .. }) = &observed.record.failures {
        yes(last.reason.as_str(), last.message.clone())
    } else if ready.status == ConditionStatus::True || desired.suspended {
        no("AtRest", "nothing to do until something changes or the next regular work is due")
    } else {
        yes(ready.reason, ready.message.clone())
    };
    [
        (condition::READY, ready),
        (condition::CREDENTIALS_VALID, credentials),
        (condition::CHANNEL_ACTIVE, channel),
        (condition::SYNCED, synced),
        (condition::RECONCILING, reconciling),
        (condition::STALLED, stalled),
    ]
}

fn credentials(observed: &Observed) -> Says {
    if let Some(Failures { last, .. }) = &observed.record.failures
        && is_about_credentials(last.reason)
    {
        return no(last.reason.as_str(), last.message.clone());
    }
    if observed.record.account.is_some() {
        yes("Accepted", "Cronofy accepts the application's and the account's credentials")
    } else {
        unknown("NotTried", "not yet tried at Cronofy")
    }
}

fn is_about_credentials(reason: Reason) -> bool {
    match reason {
        Reason::ClientCredentialsInvalid
        | Reason::AuthorizationRevoked
        | Reason::Unauthorized
        | Reason::InsufficientScope
        | Reason::SecretUnavailable => true,
        Reason::PlanRequired
        | Reason::InvalidRequest
        | Reason::NotFound
        | Reason::Locked
        | Reason::RateLimited
        | Reason::ChannelLimitReached
        | Reason::CronofyUnavailable
        | Reason::CronofyUnreachable
        | Reason::MalformedAnswer
        | Reason::ForeignPage
        | Reason::Conflict
        | Reason::TooLarge
        | Reason::StoreUnavailable
        | Reason::NoCallbackUrl
        | Reason::CallbackUrlTooLong
        | Reason::NotSupported => false,
    }
}

fn channel(desired: &Desired, observed: &Observed, stop: Option<Stop>) -> Says {
    let base = desired.callback_base.as_deref().unwrap_or("no URL");
    let record = &observed.record.channel;
    if stop == Some(Stop::Erased) {
        return no("Erased", "closed, since the account's owner had the data erased");
    }
    if let Some(Stop::Failed(reason @ (Reason::NoCallbackUrl | Reason::CallbackUrlTooLong | Reason::NotSupported))) =
        stop
    {
        return no(reason.as_str(), cannot(reason));
    }
    if record.id.is_none() {
        return match &observed.record.failures {
            Some(Failures { last, .. }) => no(last.reason.as_str(), last.message.clone()),
            None => no("Pending", "the push channel is being made"),
        };
    }
    if record.verified.is_none() {
        let message = format!(
            "Cronofy has not yet reached {base}: if this stays, check that the URL leads from the internet to the webhook \
             Service and that its certificate is valid"
        );
        return unknown("VerificationPending", message);
    }
    yes("Verified", format!("Cronofy delivers notifications to {base}"))
}

fn synced(desired: &Desired, observed: &Observed, stop: Option<Stop>) -> Says {
    let record = &observed.record;
    if let Some(time) = record.erased {
        let message = format!(
            "the stored events were erased at {time:.0} on the demand of the account's owner: delete the subscription, or \
             set the annotation {} to a new value to copy the account again",
            crate::api::REQUESTED_AT
        );
        return no("Erased", message);
    }
    if let Some(Stop::Failed(reason @ (Reason::NoCallbackUrl | Reason::CallbackUrlTooLong | Reason::NotSupported))) =
        stop
    {
        return no(reason.as_str(), cannot(reason));
    }
    if let Some(Failures { last, .. }) = &record.failures {
        return no(last.reason.as_str(), last.message.clone());
    }
    let Some(output) = record.output.as_ref().filter(|_| record.last_full_sync.is_some()) else {
        return no("FirstSyncPending", "the events have not been read yet");
    };
    if let Some(account) = &record.account {
        if let Some(profile) = account.profiles.iter().find(|profile| !profile.connected) {
            return no("ProfileDisconnected", disconnected(profile));
        }
        if account.initial_sync_pending() {
            return no("InitialSyncPending", initial_sync(account));
        }
    }
    let range = record.swept_through.map_or_else(String::new, |to| format!(", read up to {to}"));
    yes(
        "Synced",
        format!("{} in {} {}{range} ({})", events(output.events), output.kind, output.name, desired.time_zone.name()),
    )
}

fn ready(desired: &Desired, observed: &Observed, causes: [&Says; 3]) -> Says {
    if desired.suspended {
        return no("Suspended", "spec.suspend is true: the copy stays as it is; set it to false to go on");
    }
    if let Some(cause) = causes.into_iter().find(|says| says.status == ConditionStatus::False) {
        return no(cause.reason, cause.message.clone());
    }
    if let Some(cause) = causes.into_iter().find(|says| says.status == ConditionStatus::Unknown) {
        return no(cause.reason, cause.message.clone());
    }
    let count = observed.record.output.as_ref().map_or(0, |output| output.events);
    yes("Ready", format!("{}, kept current by push", events(count)))
}

fn cannot(reason: Reason) -> String {
    match reason {
        Reason::NoCallbackUrl => {
            "spec.mode is Push, but the operator runs without --webhook-base-url: set it to the public URL of the webhook"
        }
        Reason::CallbackUrlTooLong => {
            "--webhook-base-url is too long: with the path the callback URL must not exceed 128 characters"
        }
        _ => "spec.mode Poll is not acted on by this version of the operator: use Push",
    }
    .to_owned()
}

fn disconnected(profile: &Profile) -> String {
    let Profile { id, provider, .. } = profile;
    let provider = provider.as_deref().unwrap_or("unknown provider");
    format!(
        "profile {id} ({provider}) is disconnected, so its events are as of then: the account's owner must open the \
         relinkURL in status.account.profiles"
    )
}

fn initial_sync(account: &Account) -> String {
    let pending = account.profiles.iter().filter(|profile| profile.initial_sync_required).count();
    format!(
        "Cronofy still reads {pending} of {} profiles for the first time: the copy is not complete yet",
        account.profiles.len()
    )
}

fn events(count: usize) -> String {
    if count == 1 { "1 event".to_owned() } else { format!("{count} events") }
}

fn yes(reason: &'static str, message: impl Into<String>) -> Says {
    Says { status: ConditionStatus::True, reason, message: message.into() }
}

fn no(reason: &'static str, message: impl Into<String>) -> Says {
    Says { status: ConditionStatus::False, reason, message: message.into() }
}

fn unknown(reason: &'static str, message: impl Into<String>) -> Says {
    Says { status: ConditionStatus::Unknown, reason, message: message.into() }
}
