//! `CalendarSubscription`: one calendar account, filtered, kept as a copy in the cluster. Its spec; the status has its own file.

use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CalendarSubscriptionStatus, Interval, rules};

/// A live copy of a calendar account's events in the cluster.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "cronofy-operator.dev",
    version = "v1alpha1",
    kind = "CalendarSubscription",
    plural = "calendarsubscriptions",
    shortname = "calsub",
    category = "cronofy",
    namespaced,
    status = "CalendarSubscriptionStatus",
    derive = "PartialEq",
    cel,
    doc = "A live copy of a calendar account's events in the cluster: it says which calendars are copied, and where to.",
    validation = rules::SUBSCRIPTION_NAME,
    selectable = ".spec.applicationRef.name",
    printcolumn(
        name = "Ready",
        type_ = "string",
        description = "Whether the copy is complete and current",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        description = "Why, and what to do about it",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    printcolumn(
        name = "Events",
        type_ = "integer",
        description = "Number of events in the output",
        json_path = ".status.output.events"
    ),
    printcolumn(
        name = "Changed",
        type_ = "date",
        description = "How long ago the output last changed",
        json_path = ".status.sync.lastChangeTime"
    ),
    // No date: kubectl shows how long ago a date is, and one to come as `<invalid>`.
    printcolumn(
        name = "Next",
        type_ = "string",
        description = "When the next regular work is due",
        json_path = ".status.sync.next.time"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Mode",
        type_ = "string",
        priority = 1,
        description = "How changes are learned; empty stands for Push",
        json_path = ".spec.mode"
    ),
    printcolumn(
        name = "Push",
        type_ = "string",
        priority = 1,
        description = "Whether Cronofy delivers notifications",
        json_path = ".status.conditions[?(@.type==\"ChannelActive\")].status"
    ),
    printcolumn(
        name = "Channel",
        type_ = "string",
        priority = 1,
        description = "Cronofy's id of the push channel",
        json_path = ".status.channel.id"
    )
)]
#[x_kube(validation = rules::FILTERS_AGREE)]
#[serde(rename_all = "camelCase")]
pub struct CalendarSubscriptionSpec {
    /// The `CronofyApplication` whose credentials and request budget are used.
    pub application_ref: ApplicationRef,
    /// Whose calendars are copied: exactly one of `secretRef` and `applicationCalendarId`. With another account all that was
    /// copied of the one before goes first, and its push channel is closed.
    pub account: AccountSource,
    /// Cronofy's ids of the calendars to copy, 1 to 100, each once, in any order. Default: all calendars of the account.
    #[schemars(length(max = 100), transform = rules::list_of_ids)]
    #[x_kube(validation = rules::SOME_CALENDARS, merge_strategy = ListMerge::Set)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar_ids: Option<Vec<String>>,
    /// Whether only events are copied that the application itself made. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_managed: Option<bool>,
    /// Whether events are copied, too, that the application itself made. Cronofy announces no change that the application makes
    /// itself: it is copied with the next read. Default: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_managed: Option<bool>,
    /// IANA time zone, such as `Europe/Berlin`, in which the days of the window begin and all-day events are meant.
    /// Default: `Etc/UTC`.
    #[schemars(length(max = 64))]
    #[x_kube(validation = rules::TIME_ZONE)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// How many days before and after today are copied. It moves on by itself as days pass. Default: as far as Cronofy goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// How changes are learned. `Push`: by Cronofy's notifications, within seconds; Cronofy must reach the operator's webhook
    /// from the internet. `Poll`: by reading every `intervals.poll`, for clusters without ingress. Default: `Push`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// How often the regular work is done that notifications cannot replace. Durations are one to four whole numbers with units
    /// `h`, `m`, `s` or `ms`, such as `90m` or `1h30m`, and at most `8760h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intervals: Option<Intervals>,
    /// How much of an event is copied. `Busy`: when, and whether it blocks the time. `Titles`: summary and status, too. `Full`:
    /// everything that Cronofy tells, including places, descriptions and people. What is not allowed is never written or
    /// logged. Default: `Titles`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// Where the events are written: in the subscription's namespace, or in a calendar store. Changing it moves them: the old output goes once the new
    /// one is complete. Default: a `ConfigMap` named `<name>-events`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreSpec>,
    /// What becomes of the output when the subscription is deleted. `Delete`: it goes, too. `Retain`: it stays as it is, without
    /// an owner. The push channel is closed in any case. Default: `Delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Whether to stop reading: the output and the push channel stay as they are, and notifications are answered and noted
    /// until it goes on. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// Which `CronofyApplication`.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationRef {
    /// Name of the `CronofyApplication`, at most 253 characters.
    #[schemars(length(max = 253))]
    #[x_kube(validation = rules::OBJECT_NAME)]
    pub name: String,
    /// Its namespace, at most 63 characters. An application in another namespace must allow it in its
    /// `spec.allowedNamespaces`. Default: the subscription's own namespace.
    #[schemars(length(max = 63))]
    #[x_kube(validation = rules::NAMESPACE)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Whose calendars are copied: exactly one of the two.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[x_kube(validation = rules::ONE_ACCOUNT)]
#[serde(rename_all = "camelCase")]
pub struct AccountSource {
    /// Secret in the subscription's namespace with the account's refresh token in its key `refresh_token`. The operator puts
    /// a new one there when Cronofy gives one out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// Id of an application calendar, 1 to 255 ASCII characters without blanks. It is made up by you: Cronofy makes the
    /// account on first use, and nobody has to log in.
    #[schemars(length(max = 255))]
    #[x_kube(validation = rules::APPLICATION_CALENDAR_ID)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_calendar_id: Option<String>,
}

/// A Secret in the same namespace.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret, at most 253 characters.
    #[schemars(length(max = 253))]
    #[x_kube(validation = rules::OBJECT_NAME)]
    pub name: String,
}

/// The days copied, counted from today in the subscription's time zone.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Days before today, 0 to 42. Default: `42`.
    #[schemars(range(min = 0, max = 42))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past_days: Option<i32>,
    /// Days after today, 1 to 201. Default: `201`.
    #[schemars(range(min = 1, max = 201))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub future_days: Option<i32>,
}

/// How changes are learned.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[schemars(description = "")] // the field says it
pub enum Mode {
    /// By Cronofy's notifications.
    #[default]
    Push,
    /// By reading on a schedule, for clusters without ingress.
    Poll,
}

/// How often the regular work is done, as Gateway API durations such as `90m` or `1h30m`.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Intervals {
    /// Time between two reads of the whole window, at least `1h`. They repair what notifications missed. Default: `168h`.
    #[x_kube(validation = rules::at_least("1h"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_sync: Option<Interval>,
    /// Time between two reads of the days that enter the window, at least `1h`. Cronofy announces none of their events.
    /// Default: `24h`.
    #[x_kube(validation = rules::at_least("1h"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon_sweep: Option<Interval>,
    /// Time between two looks whether Cronofy still has the push channel, at least `10m`. It closes one silently after a day
    /// of failed deliveries. Default: `12h`.
    #[x_kube(validation = rules::at_least("10m"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_check: Option<Interval>,
    /// Time between two reads of what changed in mode `Poll`, at least `1m`. Default: `15m`.
    #[x_kube(validation = rules::at_least("1m"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<Interval>,
    /// Time between two reads of what changed while push does not work, at least `1m`. Default: `5m`.
    #[x_kube(validation = rules::at_least("1m"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_poll: Option<Interval>,
    /// Age at which the push channel is replaced by a new one, at least `24h`. Default: `720h`.
    #[x_kube(validation = rules::at_least("24h"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_renewal: Option<Interval>,
}

/// How much of an event is copied.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[schemars(description = "")] // the field says it
pub enum Visibility {
    /// Times only.
    Busy,
    /// Times, summary and status.
    #[default]
    Titles,
    /// Everything Cronofy tells.
    Full,
}

/// Where the events are written.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[x_kube(validation = rules::REMOTE_WITH_TYPE)]
#[serde(rename_all = "camelCase")]
pub struct StoreSpec {
    /// Kind of the output. `ConfigMap`: whoever may read a `ConfigMap` of the namespace can read it. `Secret`: whoever may read
    /// a Secret of the namespace; the operator needs rights of its own for it. `Remote`: a calendar store,
    /// from which programs and people read it with rights of their own; the operator must know of one. Default: `ConfigMap`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<StoreKind>,
    /// Name of the output, at most 253 characters. An object of that name that belongs to somebody else is left alone.
    /// With type `Remote` it has no effect: there an output has the subscription's name. Default: `<name>-events`.
    #[schemars(length(max = 253))]
    #[x_kube(validation = rules::OBJECT_NAME)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which calendar store, with type `Remote`. Default: the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<RemoteSpec>,
}

/// Which calendar store.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RemoteSpec {
    /// Base URL of the calendar store, at most 512 characters: https, or http on the operator's own machine. It is followed only
    /// if who runs the operator has allowed that URL. Default: the operator's own store.
    #[schemars(length(max = 512))]
    #[x_kube(validation = rules::STORE_URL)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Kinds of output.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[schemars(description = "")] // the field says it
pub enum StoreKind {
    /// A `ConfigMap` in the subscription's namespace, and more of them for a large calendar.
    #[default]
    ConfigMap,
    /// A Secret in the subscription's namespace, and more of them for a large calendar. The operator needs rights of its own
    /// for that.
    Secret,
    /// A calendar store.
    Remote,
}

impl StoreKind {
    /// The word, as in the spec.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            StoreKind::ConfigMap => "ConfigMap",
            StoreKind::Secret => "Secret",
            StoreKind::Remote => "Remote",
        }
    }
}

/// What becomes of the output when the subscription is deleted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[schemars(description = "")] // the field says it
pub enum DeletionPolicy {
    /// The output is deleted too.
    #[default]
    Delete,
    /// The output stays as it is.
    Retain,
}
