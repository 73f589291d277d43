//! What a reconcile found, as conditions: each message says the cause and, where a person can act, the remedy.

use calendar_sync::{Account, Desired, Failures, Held, Mode, Observed, Profile, Reason, Step, Stop};
use jiff::Timestamp;
use k8s_controller::conditions::ConditionStatus;

use super::status::{Says, stop_reason};
use crate::api::{Interval, condition};

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
        /// The time.
        now: Timestamp,
    },
}

impl Verdict<'_> {
    /// Every condition, with the summary first.
    ///
    /// `others` are the calendar stores in which events may stand although the output is elsewhere.
    pub fn conditions(&self, others: &[String]) -> [(&'static str, Says); 6] {
        match self {
            Verdict::Refused(refusal) => refused(refusal),
            Verdict::Engine { desired, observed, resting, now } => engine(desired, observed, *resting, *now, others),
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

fn engine(
    desired: &Desired,
    observed: &Observed,
    resting: Option<&Step>,
    now: Timestamp,
    others: &[String],
) -> [(&'static str, Says); 6] {
    let stop = match resting {
        Some(Step::Stop(stop)) => Some(*stop),
        _ => None,
    };
    let credentials = credentials(observed);
    let channel = channel(desired, observed, stop, now);
    let synced = synced(desired, observed, stop, others);
    let ready = ready(desired, observed, [&credentials, &synced, &channel]);
    let failures = observed.record.failures.as_ref();
    // Events are read although the channel waits for a person, and that it does is said while they are.
    let waiting = failures.filter(|failures| failures.about_channel && failures.next_retry.is_none());
    let stalled = match (stop, waiting) {
        (Some(stop), _) => yes(stop_reason(stop), ready.message.clone()),
        (None, Some(Failures { last, .. })) => yes(last.reason.as_str(), last.message.clone()),
        (None, None) => no("NotStalled", "it goes on by itself"),
    };
    let reconciling = if stalled.status == ConditionStatus::True {
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
    if observed.record.erased.is_some() {
        return unknown("Erased", "not used any more, since the account's owner had the data erased");
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

fn channel(desired: &Desired, observed: &Observed, stop: Option<Stop>, now: Timestamp) -> Says {
    let base = desired.callback_base.as_deref().unwrap_or("no URL");
    let record = &observed.record.channel;
    let meanwhile = format!("reading every {} meanwhile", Interval::from(desired.intervals.fallback_poll));
    if stop == Some(Stop::Erased) {
        return no("Erased", "closed, since the account's owner had the data erased");
    }
    if desired.mode == Mode::Poll {
        let message = format!("spec.mode is Poll: no channel, read every {}", Interval::from(desired.intervals.poll));
        return no("PollMode", message);
    }
    if let Some(cannot) = cannot(stop) {
        return cannot;
    }
    let failures = observed.record.failures.as_ref();
    if record.id.is_none() {
        return match failures {
            Some(Failures { last, about_channel: true, .. }) => {
                no(last.reason.as_str(), format!("{}; {meanwhile}", last.message))
            }
            Some(Failures { last, .. }) => no(last.reason.as_str(), last.message.clone()),
            None => no("Pending", "the push channel is being made"),
        };
    }
    if calendar_sync::is_unhealthy(desired, observed, now) {
        let check =
            "check that the URL leads from the internet to the webhook Service and that its certificate is valid";
        return match (record.suspect, record.created) {
            (Some(since), _) => no(
                "NotificationsMissing",
                format!(
                    "Cronofy has announced no change at {base} since {since:.0} although there were some: {check}; {meanwhile}"
                ),
            ),
            (None, Some(since)) => {
                no("NotReached", format!("Cronofy has not reached {base} since {since:.0}: {check}; {meanwhile}"))
            }
            (None, None) => no("NotReached", format!("Cronofy has not reached {base}: {check}; {meanwhile}")),
        };
    }
    if let Some(Failures { last, .. }) = failures.filter(|failures| failures.about_channel && record.verified.is_some())
    {
        return yes(last.reason.as_str(), format!("{}; the present channel delivers meanwhile", last.message));
    }
    match (record.verified, record.next) {
        (Some(_), None) => yes("Verified", format!("Cronofy delivers notifications to {base}")),
        (Some(_), Some(next)) if next > record.generation => {
            yes("Renewing", "a new channel is being made in place of the present one, which delivers meanwhile")
        }
        (Some(_), Some(_)) => {
            yes("Renewing", format!("Cronofy has reached the new channel at {base}: the one before it is being closed"))
        }
        (None, Some(_)) => {
            let since = record.created.map_or_else(String::new, |since| format!(" since {since:.0}"));
            yes(
                "Renewing",
                format!("a new channel waits{since} for Cronofy to reach {base}: the one before it delivers meanwhile"),
            )
        }
        (None, None) => {
            let made = record.created.map_or_else(String::new, |time| format!(" made at {time:.0}"));
            let limit = Interval::from(calendar_sync::VERIFICATION_LIMIT);
            let message = format!(
                "Cronofy has not yet reached {base} through the channel{made}: after {limit} changes are read meanwhile"
            );
            unknown("VerificationPending", message)
        }
    }
}

fn synced(desired: &Desired, observed: &Observed, stop: Option<Stop>, others: &[String]) -> Says {
    let record = &observed.record;
    if let Some(time) = record.erased {
        let message = format!(
            "the stored events were erased at {time:.0} on the demand of the account's owner: delete the subscription, or \
             set the annotation {} to a new value to copy the account again",
            crate::api::REQUESTED_AT
        );
        return no("Erased", message);
    }
    if let Some(cannot) = cannot(stop) {
        return cannot;
    }
    if let Some(Failures { last, .. }) = record.failures.as_ref().filter(|failures| !failures.about_channel) {
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
    if let Some(Held { missing, of, time }) = &record.held {
        return no("DeletionsHeld", held(*missing, *of, *time));
    }
    let range = record.swept_through.map_or_else(String::new, |to| format!(", read up to {to}"));
    let place = match &output.url {
        Some(url) => format!("the calendar store at {url}"),
        None => format!("{} {}", output.kind, output.name),
    };
    let left = if others.is_empty() { String::new() } else { left_elsewhere(others) };
    yes("Synced", format!("{} in {place}{range} ({}){left}", events(output.events), desired.time_zone.name()))
}

fn ready(desired: &Desired, observed: &Observed, causes: [&Says; 3]) -> Says {
    if desired.suspended {
        return no(
            "Suspended",
            "spec.suspend is true: the copy stays as it is, notifications are noted; set it to false to go on",
        );
    }
    let [credentials, synced, channel] = causes;
    let channel = Some(channel).filter(|_| desired.mode == Mode::Push);
    let causes = || [credentials, synced].into_iter().chain(channel);
    if let Some(cause) = causes().find(|says| says.status == ConditionStatus::False) {
        return no(cause.reason, cause.message.clone());
    }
    if let Some(cause) = causes().find(|says| says.status == ConditionStatus::Unknown) {
        return no(cause.reason, cause.message.clone());
    }
    let count = observed.record.output.as_ref().map_or(0, |output| output.events);
    match desired.mode {
        Mode::Push => yes("Ready", format!("{}, kept current by push", events(count))),
        Mode::Poll => yes("Ready", format!("{}, read every {}", events(count), Interval::from(desired.intervals.poll))),
    }
}

/// What the operator lacks for the subscription's mode.
fn cannot(stop: Option<Stop>) -> Option<Says> {
    let message = match stop {
        Some(Stop::Failed(Reason::NoCallbackUrl)) => {
            "spec.mode is Push, but the operator runs without --webhook-base-url: set it to the public URL of the webhook, \
             or use Poll"
        }
        Some(Stop::Failed(Reason::CallbackUrlTooLong)) => {
            "--webhook-base-url is too long: with the path the callback URL must not exceed 128 characters"
        }
        Some(Stop::Failed(_) | Stop::Erased) | None => return None,
    };
    stop.map(|stop| no(stop_reason(stop), message))
}

fn held(missing: usize, of: usize, since: Timestamp) -> String {
    let again = since.checked_add(calendar_sync::CONFIRM_AFTER).unwrap_or(since);
    format!(
        "a full read at {since:.0} lacked {missing} of {of} events: what is stored of them stays until a second one after {again:.0} agrees; \
         if they were deleted on purpose, there is nothing to do, else look into the calendar"
    )
}

/// What is still to be removed from stores that are out of reach. While events are first written elsewhere, nobody sees this.
fn left_elsewhere(others: &[String]) -> String {
    format!(
        "; events may still stand in the calendar store at {}, which is tried again until they are removed: see that it answers \
         and may be called (--allow-remote-store), or, if it is gone for good, set the annotation {} to its URL",
        others.join(" and "),
        crate::api::ABANDON_STORE
    )
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
