//! `CalendarSubscription`: one calendar account, filtered, kept as a copy in the cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Interval, foreign, rules};

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
    /// Whose calendars are copied: exactly one of `secretRef` and `applicationCalendarId`.
    pub account: AccountSource,
    /// Cronofy's ids of the calendars to copy, 1 to 100, each once, in any order. Default: all calendars of the account.
    #[schemars(length(max = 100), transform = rules::list_of_ids)]
    #[x_kube(validation = rules::SOME_CALENDARS, merge_strategy = ListMerge::Set)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar_ids: Option<Vec<String>>,
    /// Whether only events are copied that the application itself made. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_managed: Option<bool>,
    /// Whether events are copied, too, that the application itself made. Cronofy announces no change of those in which the
    /// application had a hand: they come with the next read. Default: `true`.
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
    /// Where the events are written, in the subscription's namespace. Default: a `ConfigMap` named `<name>-events`.
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
#[serde(rename_all = "camelCase")]
pub struct StoreSpec {
    /// Kind of the output. `ConfigMap`: for whoever may read the namespace's ConfigMaps. `Secret` and `Remote`: reserved, this
    /// version does not write them and says so in the condition `Ready`. Default: `ConfigMap`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<StoreKind>,
    /// Name of the output, at most 253 characters. An object of that name that belongs to somebody else is left alone.
    /// Default: `<name>-events`.
    #[schemars(length(max = 253))]
    #[x_kube(validation = rules::OBJECT_NAME)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Kinds of output.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[schemars(description = "")] // the field says it
pub enum StoreKind {
    /// A ConfigMap in the subscription's namespace.
    #[default]
    ConfigMap,
    /// A Secret in the subscription's namespace.
    Secret,
    /// A store service.
    Remote,
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

/// What the operator knows about the subscription.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CalendarSubscriptionStatus {
    /// The generation of the spec that this status describes; -1 before the first visit.
    #[schemars(range(min = -1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` sums up; `CredentialsValid`, `ChannelActive`, `Synced`, `Reconciling` and `Stalled` tell why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "foreign::conditions")]
    pub conditions: Vec<Condition>,
    /// The value of the annotation `cronofy-operator.dev/requestedAt` that was acted on last.
    #[schemars(length(max = 262144))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_request: Option<String>,
    /// The account, as Cronofy describes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountStatus>,
    /// The push channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelStatus>,
    /// Notifications that arrived and are not yet acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notification: Option<NotificationStatus>,
    /// How far the copy is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncStatus>,
    /// What was written, and where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputStatus>,
    /// The failure that is being retried; absent when healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureStatus>,
}

/// The account, as Cronofy describes it. Never an e-mail address or a profile's name.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AccountStatus {
    /// Cronofy's id of the account.
    #[schemars(length(max = 1024))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The calendar services that the account is connected to.
    #[schemars(length(max = 1000))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<ProfileStatus>,
}

/// One calendar service of the account.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ProfileStatus {
    /// Cronofy's id of the profile.
    #[schemars(length(max = 1024))]
    pub id: String,
    /// The calendar service, for example `google`.
    #[schemars(length(max = 1024))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Whether Cronofy can read from it.
    pub connected: bool,
    /// Whether Cronofy has not yet read all of its events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_sync_required: Option<bool>,
    /// Page where the account's owner connects the service again; only while it is not connected.
    #[schemars(length(max = 8192))]
    #[serde(default, rename = "relinkURL", skip_serializing_if = "Option::is_none")]
    pub relink_url: Option<String>,
}

/// The push channel.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ChannelStatus {
    /// Cronofy's id of the channel; absent until it exists.
    #[schemars(length(max = 1024))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Counts the channels of this subscription: the present one has this number. 0 before the first.
    #[schemars(range(min = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// The channel that is being made; written before it is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextChannel>,
    /// Hash of the callback URL and filters that the channel was made with.
    #[schemars(length(max = 1024))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<String>,
    /// When the channel was made or adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_time: Option<Time>,
    /// When Cronofy first reached the callback URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_time: Option<Time>,
    /// When the last notification that was acted on arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_notification_time: Option<Time>,
    /// When the channel was last seen in Cronofy's list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check_time: Option<Time>,
    /// When the channel is to be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<Time>,
}

/// A channel that is being made.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NextChannel {
    /// Its number.
    #[schemars(range(min = 0))]
    pub generation: i64,
}

/// The durable mark that notifications leave. Written by the webhook, cleared by the reconciler.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NotificationStatus {
    /// Grows with every mark and is never reset.
    #[schemars(range(min = 0))]
    pub sequence: i64,
    /// When the first of the pending notifications arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_time: Option<Time>,
    /// The smallest time from which the pending notifications ask to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes_since: Option<Time>,
    /// The types of the pending notifications, as Cronofy names them.
    #[schemars(length(max = 16), inner(length(max = 64)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
}

/// How far the copy is.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SyncStatus {
    /// When everything was last read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_full_sync_time: Option<Time>,
    /// When the output last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change_time: Option<Time>,
    /// Date up to which the far edge of the window has been read.
    #[schemars(length(max = 32))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swept_through: Option<String>,
    /// When the stored events were erased because the account's owner asked Cronofy for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased_time: Option<Time>,
    /// What comes next and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextWork>,
}

/// What comes next and when.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NextWork {
    /// The work, for example `FullSync`.
    #[schemars(length(max = 64))]
    pub what: String,
    /// Not before this time.
    pub time: Time,
}

/// What was written, and where.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OutputStatus {
    /// Kind of the output.
    #[schemars(length(max = 64))]
    pub kind: String,
    /// Name of the output.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Number of events in it.
    #[schemars(range(min = 0))]
    pub events: i64,
    /// Number of slices the events are cut into; 1 while they stand in the output itself.
    #[schemars(range(min = 0))]
    pub slices: i64,
    /// Size of the events in bytes.
    #[schemars(range(min = 0))]
    pub bytes: i64,
    /// SHA-256 of the events as stored, in hexadecimal.
    #[schemars(length(max = 128))]
    pub content_hash: String,
}

/// The failure that is being retried.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FailureStatus {
    /// How many times in a row it failed.
    #[schemars(range(min = 0))]
    pub count: i32,
    /// When it failed last.
    pub last_time: Time,
    /// When it is tried again; absent when it waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_retry_time: Option<Time>,
    /// The reason, as in the condition.
    #[schemars(length(max = 1024))]
    pub reason: String,
}
