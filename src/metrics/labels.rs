//! The values that labels can have: closed sets, so that no label ever grows with the objects in the cluster.

use std::fmt;

use http::StatusCode;
use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// Defines closed sets of label values together with their spelling.
macro_rules! label_values {
    ($(
        $(#[$meta:meta])*
        $name:ident { $($(#[$value_meta:meta])* $value:ident = $text:literal,)+ }
    )+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$value_meta])* $value,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$value),+];

            /// The value as it stands in the exposition.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
                EncodeLabelValue::encode(&self.as_str(), encoder)
            }
        }
    )+};
}

label_values! {
    /// The operator's controllers.
    Controller {
        /// Of `CalendarSubscription`.
        CalendarSubscription = "calendarsubscription",
        /// Of `CronofyApplication`.
        CronofyApplication = "cronofyapplication",
    }

    /// The four results that dashboards for controllers know.
    ReconcileResult {
        /// Done; waits for a change.
        Success = "success",
        /// Failed.
        Error = "error",
        /// Comes again at once.
        Requeue = "requeue",
        /// Comes again at a set time.
        RequeueAfter = "requeue_after",
    }

    /// Answers of an HTTP API that are told apart.
    Code {
        /// 200.
        Ok = "200",
        /// 201.
        Created = "201",
        /// 202.
        Accepted = "202",
        /// 204.
        NoContent = "204",
        /// 400.
        BadRequest = "400",
        /// 401.
        Unauthorized = "401",
        /// 402.
        PaymentRequired = "402",
        /// 403.
        Forbidden = "403",
        /// 404.
        NotFound = "404",
        /// 409.
        Conflict = "409",
        /// 410.
        Gone = "410",
        /// 413.
        TooLarge = "413",
        /// 422.
        Unprocessable = "422",
        /// 423.
        Locked = "423",
        /// 429.
        TooManyRequests = "429",
        /// 500.
        Internal = "500",
        /// 502.
        BadGateway = "502",
        /// 503.
        Unavailable = "503",
        /// 504.
        GatewayTimeout = "504",
        /// Any other status.
        Other = "other",
        /// No answer.
        NoAnswer = "<error>",
    }

    /// HTTP methods of requests to the Kubernetes API.
    Method {
        /// GET.
        Get = "GET",
        /// POST.
        Post = "POST",
        /// PUT.
        Put = "PUT",
        /// PATCH.
        Patch = "PATCH",
        /// DELETE.
        Delete = "DELETE",
        /// Any other.
        Other = "other",
    }

    /// What a request to the Kubernetes API does.
    Verb {
        /// Reads one object or a document of the server.
        Get = "GET",
        /// Opens a watch; its duration ends with the answer's head.
        Watch = "WATCH",
        /// Creates.
        Post = "POST",
        /// Replaces.
        Put = "PUT",
        /// Patches.
        Patch = "PATCH",
        /// Deletes.
        Delete = "DELETE",
        /// Any other.
        Other = "other",
    }

    /// Kinds that the operator writes; `/status` is told apart.
    WrittenKind {
        /// `CalendarSubscription`, metadata only.
        CalendarSubscription = "calendarsubscription",
        /// The status of a `CalendarSubscription`.
        CalendarSubscriptionStatus = "calendarsubscription/status",
        /// The status of a `CronofyApplication`.
        CronofyApplicationStatus = "cronofyapplication/status",
        /// `ConfigMap`.
        ConfigMap = "configmap",
        /// Secret.
        Secret = "secret",
        /// Event.
        Event = "event",
        /// Lease.
        Lease = "lease",
        /// Any other.
        Other = "other",
    }

    /// How an object is written.
    WriteVerb {
        /// POST.
        Create = "create",
        /// PUT.
        Update = "update",
        /// PATCH.
        Patch = "patch",
        /// DELETE.
        Delete = "delete",
    }

    /// What became of a request to the webhook.
    WebhookResult {
        /// A durable mark was committed.
        Marked = "marked",
        /// Signed, and of a type that is not acted on.
        Ignored = "ignored",
        /// No subscription has this path, or none that may use its application.
        UnknownPath = "unknown_path",
        /// Signed, but for the channel of another subscription: a replay, or a channel that was replaced.
        OtherChannel = "other_channel",
        /// Not signed with an active secret.
        BadSignature = "bad_signature",
        /// Signed, but no JSON object; or a body that never came to its end.
        BadBody = "bad_body",
        /// Over the limit.
        TooLarge = "too_large",
        /// Not POST.
        WrongMethod = "wrong_method",
        /// Caches or the application's secret are not there yet.
        NotSynced = "not_synced",
        /// The mark could not be written in time.
        MarkFailed = "mark_failed",
    }

    /// Which of an application's client secrets a signature was made with.
    SecretSlot {
        /// `client_secret`.
        Current = "current",
        /// `client_secret_previous`.
        Previous = "previous",
    }

    /// What became of one attempt to write a mark.
    MarkOutcome {
        /// Committed.
        Written = "written",
        /// Somebody else wrote first; tried again.
        Conflict = "conflict",
        /// The object is gone.
        Gone = "gone",
        /// Refused, or no answer.
        Failed = "failed",
        /// No answer within the deadline.
        TimedOut = "timed_out",
    }

    /// Lanes of the request budget.
    Lane {
        /// First reads of new subscriptions.
        New = "new",
        /// Reads that a notification asked for.
        Notified = "notified",
        /// All that is due by time.
        Sweep = "sweep",
    }

    /// Windows of the request budget.
    BudgetWindow {
        /// Requests in a second.
        Second = "second",
        /// Requests in a minute.
        Minute = "minute",
    }

    /// States of a push channel.
    ChannelState {
        /// Made, and not yet reached by Cronofy.
        Pending = "pending",
        /// Reached by Cronofy.
        Verified = "verified",
        /// A read found a change that no notification had announced.
        Suspect = "suspect",
        /// Wanted, but not there.
        Missing = "missing",
    }

    /// What is done with channels.
    ChannelOperation {
        /// Made.
        Create = "create",
        /// Found in the list and taken over.
        Adopt = "adopt",
        /// Replaced by a new one.
        Renew = "renew",
        /// Closed.
        Close = "close",
        /// Listed.
        List = "list",
    }

    /// Whether something worked.
    Outcome {
        /// It did.
        Success = "success",
        /// It did not.
        Failure = "failure",
    }

    /// Types of conditions of a `CalendarSubscription`.
    ConditionType {
        /// `Ready`.
        Ready = "Ready",
        /// `CredentialsValid`.
        CredentialsValid = "CredentialsValid",
        /// `ChannelActive`.
        ChannelActive = "ChannelActive",
        /// `Synced`.
        Synced = "Synced",
        /// `Reconciling`.
        Reconciling = "Reconciling",
        /// `Stalled`.
        Stalled = "Stalled",
    }

    /// Status of a condition.
    ConditionStatus {
        /// `True`.
        True = "True",
        /// `False`.
        False = "False",
        /// `Unknown`, or the condition is absent.
        Unknown = "Unknown",
    }

    /// Ends of the fleet.
    FleetBound {
        /// The copy that was proven current the longest time ago.
        Oldest = "oldest",
        /// The copy that was proven current last.
        Newest = "newest",
    }

    /// Kinds of regular work.
    SweepKind {
        /// Everything is read.
        FullSync = "full_sync",
        /// What enters the far edge of the window is read.
        HorizonSweep = "horizon_sweep",
        /// Channels are compared with Cronofy's list.
        ChannelCheck = "channel_check",
        /// Reads while push is off or not known to work.
        Poll = "poll",
    }

    /// Where events are stored.
    StoreType {
        /// `ConfigMap`s.
        ConfigMap = "config_map",
        /// Secrets.
        Secret = "secret",
        /// The store service.
        Remote = "remote",
    }

    /// What is written to a store.
    StoredPart {
        /// The index, or the whole content of a store that has no slices.
        Index = "index",
        /// A slice.
        Slice = "slice",
    }

    /// Why an event of a read is not stored.
    SkipReason {
        /// Its form is not understood.
        Malformed = "malformed",
        /// It is larger than a slice may be.
        TooLarge = "too_large",
    }

    /// The operator's watches.
    Watch {
        /// `CalendarSubscription`.
        Subscriptions = "subscriptions",
        /// `CronofyApplication`.
        Applications = "applications",
        /// `ConfigMap`s that hold events.
        ConfigMaps = "config_maps",
        /// Secrets that hold events.
        Secrets = "secrets",
        /// Namespaces.
        Namespaces = "namespaces",
    }

    /// The operator's leases.
    LeaseName {
        /// The lease of the replica that reconciles.
        Operator = "cronofy-operator",
    }
}

impl From<StatusCode> for Code {
    fn from(status: StatusCode) -> Self {
        Self::ALL.iter().copied().find(|code| code.as_str() == status.as_str()).unwrap_or(Self::Other)
    }
}

impl From<&http::Method> for Method {
    fn from(method: &http::Method) -> Self {
        Self::ALL.iter().copied().find(|known| known.as_str() == method.as_str()).unwrap_or(Self::Other)
    }
}

impl From<Option<u16>> for Code {
    /// `None`: no answer came.
    fn from(status: Option<u16>) -> Self {
        status.map_or(Self::NoAnswer, |status| StatusCode::from_u16(status).map_or(Self::Other, Self::from))
    }
}
