//! Step 2 of a reconcile: the spec becomes one typed value, the only input of what follows. Pure.

use calendar_sync::{Deletion, Desired, Filter, Intervals, Mode, TimeZone, UnknownTimeZone, Visibility, Window};
use kube::ResourceExt as _;

use super::verdict::{About, Refusal};
use crate::api::{self, CalendarSubscription, REQUESTED_AT};

/// A spec that cannot be acted on although the schema accepts it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The time zone does not exist.
    #[error("spec.timeZone: {0}")]
    TimeZone(#[from] UnknownTimeZone),
    /// The object has no uid: it does not come from an API server.
    #[error("the subscription has no uid")]
    NoUid,
}

impl Invalid {
    /// One word for the cause.
    pub fn reason(&self) -> &'static str {
        match self {
            Invalid::TimeZone(_) => "UnknownTimeZone",
            Invalid::NoUid => "Invalid",
        }
    }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Refusal { reason: invalid.reason(), message: invalid.to_string(), about: About::Spec, stalled: true }
    }
}

/// What a subscription asks for that is being deleted: whatever is wrong with its spec must not hold the deletion up.
pub fn farewell(subscription: &CalendarSubscription, callback_base: Option<&str>, deletion: Deletion) -> Desired {
    Desired {
        uid: subscription.uid().unwrap_or_default(),
        filter: Filter::default(),
        time_zone: TimeZone::utc(),
        window: Window::default(),
        mode: Mode::Push,
        intervals: Intervals::default(),
        visibility: Visibility::Busy,
        suspended: false,
        callback_base: callback_base.map(ToOwned::to_owned),
        request: None,
        inputs: String::new(),
        deletion: Some(deletion),
    }
}

/// What the subscription asks for. `inputs` stands for all that a person can mend; see [`Desired::inputs`].
pub fn validate(
    subscription: &CalendarSubscription,
    callback_base: Option<&str>,
    inputs: String,
) -> Result<Desired, Invalid> {
    let spec = &subscription.spec;
    let (past_days, future_days) = spec.window_days();
    Ok(Desired {
        uid: subscription.uid().ok_or(Invalid::NoUid)?,
        filter: Filter {
            calendar_ids: spec.calendar_ids.as_ref().map(|ids| ids.iter().cloned().collect()),
            only_managed: spec.only_managed(),
            include_managed: spec.include_managed(),
        },
        time_zone: TimeZone::parse(spec.time_zone())?,
        window: Window::new(past_days, future_days),
        mode: match spec.mode() {
            api::Mode::Push => Mode::Push,
            api::Mode::Poll => Mode::Poll,
        },
        intervals: intervals(spec),
        visibility: visibility(spec),
        suspended: spec.suspended(),
        callback_base: callback_base.map(ToOwned::to_owned),
        request: subscription.annotations().get(REQUESTED_AT).cloned(),
        inputs,
        deletion: None,
    })
}

/// How much of an event may be stored.
pub fn visibility(spec: &api::CalendarSubscriptionSpec) -> Visibility {
    match spec.visibility() {
        api::Visibility::Busy => Visibility::Busy,
        api::Visibility::Titles => Visibility::Titles,
        api::Visibility::Full => Visibility::Full,
    }
}

fn intervals(spec: &api::CalendarSubscriptionSpec) -> Intervals {
    Intervals {
        full_sync: spec.full_sync_interval(),
        horizon_sweep: spec.horizon_sweep_interval(),
        channel_check: spec.channel_check_interval(),
        poll: spec.poll_interval(),
        fallback_poll: spec.fallback_poll_interval(),
        channel_renewal: spec.channel_renewal_interval(),
    }
}
