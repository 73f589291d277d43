//! `CalendarSubscription`: one calendar account, filtered, kept as a copy in the cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Interval;

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
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct CalendarSubscriptionSpec {
    /// The Cronofy application whose credentials and request budget are used.
    pub application_ref: ApplicationRef,
    /// Whose calendars: exactly one of `secretRef` and `applicationCalendarId`.
    pub account: AccountSource,
    /// The calendars to copy; absent means all calendars of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar_ids: Option<Vec<String>>,
    /// Copy only events that this application itself manages. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_managed: Option<bool>,
    /// Also copy events that this application manages. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_managed: Option<bool>,
    /// IANA time zone in which dates and the edges of the window are meant. Default: `Etc/UTC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// How many days before and after today are copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// How changes are learned: `Push` (default) by Cronofy's notifications, `Poll` by reading on a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// How often the regular work is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intervals: Option<Intervals>,
    /// How much of an event is copied. What is not allowed is never written, logged or cached on disk. Default: `Titles`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// Where the events are written. Default: a `ConfigMap` named `<name>-events`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreSpec>,
    /// What becomes of the output when the subscription is deleted; the channel is always closed. Default: `Delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Stop reading and leave the channel as it is; notifications are still answered and noted. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// Which `CronofyApplication`.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationRef {
    /// Name of the `CronofyApplication`.
    pub name: String,
    /// Its namespace; absent means the subscription's own. Another one must allow it by `spec.allowedNamespaces`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Whose calendars are copied: exactly one of the two.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AccountSource {
    /// Secret in the subscription's namespace that holds the account's `refresh_token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// Id of an application calendar: an account that Cronofy makes on first use, without a browser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_calendar_id: Option<String>,
}

/// A Secret in the same namespace.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    pub name: String,
}

/// The days copied, counted from today in the subscription's time zone.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Days before today, 0 to 42. Default: 42.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past_days: Option<i32>,
    /// Days after today, 1 to 201. Default: 201.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub future_days: Option<i32>,
}

/// How changes are learned.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
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
    /// Between two reads of everything. Default: 168h, at least 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_sync: Option<Interval>,
    /// Between two reads of what enters the far edge of the window. Default: 24h, at least 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon_sweep: Option<Interval>,
    /// Between two looks at whether Cronofy still has the channel. Default: 12h, at least 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_check: Option<Interval>,
    /// Between two reads in mode `Poll`. Default: 15m, at least 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<Interval>,
    /// Between two reads while push is not known to work. Default: 5m, at least 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_poll: Option<Interval>,
    /// Age at which a channel is replaced by a new one. Default: 720h, at least 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_renewal: Option<Interval>,
}

/// How much of an event is copied.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
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
    /// Kind of the output. Default: `ConfigMap`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<StoreKind>,
    /// Name of the output. Default: `<name>-events`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Kinds of output.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` sums up; `CredentialsValid`, `ChannelActive`, `Synced`, `Reconciling` and `Stalled` tell why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The value of the annotation `cronofy-operator.dev/requestedAt` that was acted on last.
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The calendar services that the account is connected to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<ProfileStatus>,
}

/// One calendar service of the account.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ProfileStatus {
    /// Cronofy's id of the profile.
    pub id: String,
    /// The calendar service, for example `google`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Whether Cronofy can read from it.
    pub connected: bool,
    /// Whether Cronofy has not yet read all of its events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_sync_required: Option<bool>,
    /// Page where the account's owner connects the service again; only while it is not connected.
    #[serde(default, rename = "relinkURL", skip_serializing_if = "Option::is_none")]
    pub relink_url: Option<String>,
}

/// The push channel.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ChannelStatus {
    /// Cronofy's id of the channel; absent until it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Counts the channels of this subscription: the present one has this number. 0 before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// The channel that is being made; written before it is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextChannel>,
    /// Hash of the callback URL and filters that the channel was made with.
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
    pub generation: i64,
}

/// The durable mark that notifications leave. Written by the webhook, cleared by the reconciler.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NotificationStatus {
    /// Grows with every mark and is never reset.
    pub sequence: i64,
    /// When the first of the pending notifications arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_time: Option<Time>,
    /// The smallest time from which the pending notifications ask to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes_since: Option<Time>,
    /// The types of the pending notifications, as Cronofy names them.
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
    pub what: String,
    /// Not before this time.
    pub time: Time,
}

/// What was written, and where.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OutputStatus {
    /// Kind of the output.
    pub kind: String,
    /// Name of the output.
    pub name: String,
    /// Number of events in it.
    pub events: i64,
    /// Number of slices the events are cut into; 1 while they stand in the output itself.
    pub slices: i64,
    /// Size of the events in bytes.
    pub bytes: i64,
    /// SHA-256 of the events as stored, in hexadecimal.
    pub content_hash: String,
}

/// The failure that is being retried.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FailureStatus {
    /// How many times in a row it failed.
    pub count: i32,
    /// When it failed last.
    pub last_time: Time,
    /// When it is tried again; absent when it waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_retry_time: Option<Time>,
    /// The reason, as in the condition.
    pub reason: String,
}
