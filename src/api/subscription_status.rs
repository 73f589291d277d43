//! The status of a `CalendarSubscription`.
//!
//! What comes from outside has generous bounds: a status that the API server refuses could never be written.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{Time, foreign};

/// What the operator knows about the subscription.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CalendarSubscriptionStatus {
    /// The generation of the spec that this status describes; -1 before the first visit.
    #[schemars(range(min = -1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` sums up. `CredentialsValid`: application and account can be used. `ChannelActive`: the push channel exists and
    /// Cronofy has reached it. `Synced`: the output equals the last complete read. `Reconciling`: the operator is at work or tries
    /// again by itself. `Stalled`: nothing goes on until a person acts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "foreign::conditions")]
    pub conditions: Vec<Condition>,
    /// The value of the annotation `cronofy-operator.dev/requestedAt` that was acted on last.
    #[schemars(length(max = 262_144))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_request: Option<String>,
    /// Hash of whose account the output and the channel are of. Another `spec.account` ends both and begins anew.
    #[schemars(length(max = 128))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_source: Option<String>,
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
    /// URLs of calendar stores, other than the output's, in which events may stand: each is noted before the first events go
    /// there, and taken off once it is known to have none. One that is out of reach is tried again every five minutes. The
    /// annotation `cronofy-operator.dev/abandonStore` with its URL gives up what stands there.
    #[schemars(length(max = CalendarSubscriptionStatus::MOST_STORES), inner(length(max = 2048)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_stores: Vec<String>,
    /// The failure that is being retried; absent when healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureStatus>,
}

impl CalendarSubscriptionStatus {
    /// More calendar stores than anybody allows the operator to call.
    pub const MOST_STORES: usize = 1000;
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
    #[schemars(length(max = AccountStatus::MOST_PROFILES))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<ProfileStatus>,
}

impl AccountStatus {
    /// The most profiles that are kept.
    pub const MOST_PROFILES: usize = 1000;
}

/// One calendar service of the account.
#[derive(KubeSchema, Clone, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ProfileStatus {
    /// Cronofy's id of the profile.
    #[schemars(length(max = 1024))]
    pub id: String,
    /// The calendar service, for example `google`.
    #[schemars(length(max = ProfileStatus::LONGEST_PROVIDER))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Whether Cronofy can read from it.
    pub connected: bool,
    /// Whether Cronofy has not yet read all of its events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_sync_required: Option<bool>,
    /// Page where the account's owner connects the service again; only while it is not connected.
    #[schemars(length(max = ProfileStatus::LONGEST_RELINK_URL))]
    #[serde(default, rename = "relinkURL", skip_serializing_if = "Option::is_none")]
    pub relink_url: Option<String>,
}

impl ProfileStatus {
    /// Characters of a calendar service's name.
    pub const LONGEST_PROVIDER: usize = 1024;
    /// Characters of a page's address.
    pub const LONGEST_RELINK_URL: usize = 8192;
}

/// The page may hold the owner's e-mail address: `Debug` tells no more than that there is one.
impl std::fmt::Debug for ProfileStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, provider, connected, initial_sync_required, relink_url } = self;
        f.debug_struct("ProfileStatus")
            .field("id", id)
            .field("provider", provider)
            .field("connected", connected)
            .field("initial_sync_required", initial_sync_required)
            .field("relink_url", &relink_url.as_ref().map(|_| "…"))
            .finish()
    }
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
    #[schemars(range(min = 0, max = 1_000_000))] // each of them is looked for at Cronofy
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
    /// Since when changes come that Cronofy did not announce; absent while push works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect_time: Option<Time>,
    /// When the channel is to be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<Time>,
}

/// A channel that is being made.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NextChannel {
    /// Its number.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub generation: i64,
    /// When Cronofy first reached the callback URL through it; it may do so before the channel's id is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_time: Option<Time>,
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
    /// The newest channel that one of the pending notifications came through, by its `generation`.
    #[schemars(range(min = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// The span of the notification that came last, by which its trace goes on where it is acted on: W3C Trace Context. Absent
    /// unless traces are exported.
    #[schemars(length(max = 55))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
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
    /// Events that a full read did not show, so many at once that they are kept until a second read agrees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_deletions: Option<HeldDeletions>,
    /// When the stored events were erased because the account's owner asked Cronofy for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased_time: Option<Time>,
    /// What comes next and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextWork>,
}

/// Deletions that are held back.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HeldDeletions {
    /// How many events were missing.
    #[schemars(range(min = 0))]
    pub missing: i64,
    /// Of how many.
    #[schemars(range(min = 0))]
    pub of: i64,
    /// When they were missing first.
    pub time: Time,
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
    /// The calendar store that it is in. Absent for objects of the cluster.
    #[schemars(length(max = 512))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
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
    /// Whether only the push channel failed: events are read meanwhile. Absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_only: Option<bool>,
}
