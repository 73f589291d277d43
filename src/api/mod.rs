//! What users write: the two kinds of group `cronofy-operator.dev/v1alpha1`, their rules and their conditions.
//!
//! Nothing here talks to a cluster. The texts of the fields are what `kubectl explain` shows, so they are written for the
//! person who runs it. All validation lives in the schema as CEL; there is no admission webhook.

mod calendar_subscription;
mod conditions;
mod cronofy_application;
mod defaults;
mod duration;
mod foreign;
mod rules;
mod subscription_status;
mod time;

pub use calendar_subscription::*;
pub use conditions::*;
pub use cronofy_application::*;
pub use duration::*;
pub use subscription_status::*;
pub use time::*;

/// The API group of both kinds.
pub const GROUP: &str = "cronofy-operator.dev";
/// Annotation by which a person asks for a full sync now: any new value does it.
pub const REQUESTED_AT: &str = "cronofy-operator.dev/requestedAt";
/// Annotation by which a person lets a deletion go on although the channel could not be closed: `"true"`.
pub const ABANDON_CHANNEL: &str = "cronofy-operator.dev/abandonChannel";
/// Annotation by which a person gives up what stands in a calendar store that is gone for good: its URL.
pub const ABANDON_STORE: &str = "cronofy-operator.dev/abandonStore";
/// The finalizer that holds a subscription until its channel is closed.
pub const FINALIZER: &str = "cronofy-operator.dev/channel";
