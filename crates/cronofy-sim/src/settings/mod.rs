//! What Cronofy does not document is a switch here, and so is what it documents as going wrong. One definition serves Rust and
//! the control API. A [`Scope`] makes a switch differ for an account, a channel, an endpoint or the next few uses.

mod scope;
mod values;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::scope::Scope;
pub(crate) use self::scope::{Override, Use};
pub use self::values::*;

/// All switches. As JSON, spans of time are numbers of seconds, and the values of a switch are written in snake case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "these are independent switches")]
pub struct Settings {
    /// What a create answers that is identical to an existing channel.
    pub duplicate_create: DuplicateCreate,
    /// Whether the order of `calendar_ids` makes channels different.
    pub calendar_order_matters: bool,
    /// Whether channels are shown with filters that are the default.
    pub echo_default_filters: bool,
    /// Channels that an account may have.
    pub channel_limit: usize,
    /// What a create above the limit answers.
    pub over_limit_status: u16,
    /// Longest callback URL; longer ones are refused with 422. `None` takes any.
    pub longest_callback_url: Option<usize>,
    /// Whether an empty list of `calendar_ids` is taken, as no filter, rather than refused with 422.
    pub accept_empty_calendar_ids: bool,
    /// Whether closed channels are still listed.
    pub list_closed_channels: bool,
    /// What closing an unknown channel answers.
    pub close_unknown_status: u16,
    /// When the verification is sent.
    pub verification: Verification,
    /// How long a delayed verification takes.
    #[serde(with = "seconds")]
    pub verification_delay: Duration,
    /// What becomes of notifications on their way.
    pub notifications: Notifications,
    /// How long a delayed notification takes, and at most a reordered or coalesced one.
    #[serde(with = "seconds")]
    pub notification_delay: Duration,
    /// How long after the first a replayed notification comes again.
    #[serde(with = "seconds")]
    pub replay_after: Duration,
    /// How `changes_since` relates to the change.
    pub changes_since: ChangesSince,
    /// What the body of a notification looks like.
    pub notification_form: NotificationForm,
    /// How deliveries are signed.
    pub signature: Signature,
    /// In which order the signatures of several active secrets stand.
    pub signature_order: SignatureOrder,
    /// Whether a space follows the comma between signatures.
    pub signature_space: bool,
    /// What a delivery looks like on the wire.
    pub delivery_shape: DeliveryShape,
    /// How long a slow delivery takes to send. More than `delivery_timeout` makes it fail.
    #[serde(with = "seconds")]
    pub slow_delivery: Duration,
    /// How long a delivery may take.
    #[serde(with = "seconds")]
    pub delivery_timeout: Duration,
    /// When failed deliveries are tried again.
    pub retries: Retries,
    /// Whether a delivery that was answered with 4xx is tried again.
    pub retry_client_errors: bool,
    /// Whether a redirect is followed rather than taken for a failure.
    pub follow_redirects: bool,
    /// After how long of failed deliveries a channel is closed; `None` never.
    #[serde(with = "optional_seconds")]
    pub auto_close: Option<Duration>,
    /// Whether a 410 closes the channel at once.
    pub close_on_gone: bool,
    /// Whether the end of a grant closes the account's channels.
    pub close_on_revoke: bool,
    /// What becomes of the refresh token when it is used.
    pub rotation: Rotation,
    /// What a refresh gives while the access token is still valid.
    pub refresh_while_valid: RefreshWhileValid,
    /// What two refreshes at the same time give.
    pub concurrent_refresh: ConcurrentRefresh,
    /// `expires_in`; `None` leaves it out and tokens live for half an hour.
    #[serde(with = "optional_seconds")]
    pub expires_in: Option<Duration>,
    /// Whether calls with a good access token are answered.
    pub access_tokens: AccessTokens,
    /// Which token requests answer `invalid_grant` though the grant is in force.
    pub refuse_grant: RefuseGrant,
    /// What wrong client credentials answer.
    pub wrong_client: WrongClient,
    /// Requests of an application in a second and a minute; `None` counts nothing.
    pub rate_limit: Option<(usize, usize)>,
    /// Whether token requests count.
    pub rate_limit_tokens: bool,
    /// Whether further pages count.
    pub rate_limit_pages: bool,
    /// How a 429 says when to come again.
    pub retry_after: RetryAfter,
    /// By how many seconds `Date` is ahead of the clock; negative: behind.
    pub date_skew: i64,
    /// Days before and after today that are kept.
    pub window: (i32, i32),
    /// What dates outside the window answer.
    pub outside_window: OutsideWindow,
    /// Events on a page.
    pub page_size: usize,
    /// How long the URL of a further page can be read; then it is 404. `None`: for ever.
    #[serde(with = "optional_seconds")]
    pub page_lifetime: Option<Duration>,
    /// The page with this number, from 2, is 404.
    pub page_gone: Option<usize>,
    /// What further pages show.
    pub paging: Paging,
    /// Whether each further page begins with the last event of the one before.
    pub repeat_across_pages: bool,
    /// Whether the last page says `next_page: null`, rather than nothing.
    pub next_page_null: bool,
    /// Whether every next page is on another host.
    pub foreign_next_page: bool,
    /// Whether the second page is followed by itself, for ever.
    pub circular_next_page: bool,
    /// In which form times stand.
    pub event_times: EventTimes,
    /// Whether `created` and `updated` lie in the year 0.
    pub year_zero: bool,
    /// Whether events have more than ids, start, end and `deleted`.
    pub optional_fields: bool,
    /// Whether events have fields that nobody knows.
    pub unknown_event_fields: bool,
    /// Whether enumerations of events have values that nobody knows.
    pub unknown_event_values: bool,
    /// Makes every description this many bytes long.
    pub description_bytes: Option<usize>,
    /// How deleted events are shown.
    pub tombstones: Tombstones,
    /// How long deleted events are shown; `None`: for ever.
    #[serde(with = "optional_seconds")]
    pub tombstone_lifetime: Option<Duration>,
    /// What an event that is put into another calendar becomes.
    pub calendar_move: CalendarMove,
    /// How long after a profile broke `profile_disconnected` is sent; `None`: never.
    #[serde(with = "optional_seconds")]
    pub disconnect_notice: Option<Duration>,
    /// Whether what changes in a disconnected profile is seen only once it is connected again.
    pub stale_while_disconnected: bool,
    /// Whether only the first half of the events, rounded up, is shown until the initial sync is complete.
    pub partial_initial_sync: bool,
    /// Which channels are told of a demand for erasure.
    pub gdpr: Gdpr,
    /// Whether a demand for erasure also ends the grant.
    pub gdpr_ends_grant: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            duplicate_create: DuplicateCreate::Existing,
            calendar_order_matters: false,
            echo_default_filters: false,
            channel_limit: 128,
            over_limit_status: 422,
            longest_callback_url: Some(128),
            accept_empty_calendar_ids: false,
            list_closed_channels: false,
            close_unknown_status: 404,
            verification: Verification::AfterCreate,
            verification_delay: Duration::from_secs(30),
            notifications: Notifications::Normal,
            notification_delay: Duration::from_mins(10),
            replay_after: Duration::from_hours(7 * 24),
            changes_since: ChangesSince::Exact,
            notification_form: NotificationForm::Documented,
            signature: Signature::Valid,
            signature_order: SignatureOrder::AsGiven,
            signature_space: false,
            delivery_shape: DeliveryShape::Normal,
            slow_delivery: Duration::from_secs(2),
            delivery_timeout: Duration::from_secs(5),
            retries: Retries::Exponential,
            retry_client_errors: true,
            follow_redirects: true,
            auto_close: Some(Duration::from_hours(24)),
            close_on_gone: false,
            close_on_revoke: false,
            rotation: Rotation::Rotates,
            refresh_while_valid: RefreshWhileValid::NewToken,
            concurrent_refresh: ConcurrentRefresh::BothSucceed,
            expires_in: Some(Duration::from_hours(1)),
            access_tokens: AccessTokens::Honoured,
            refuse_grant: RefuseGrant::Never,
            wrong_client: WrongClient::Unauthorized,
            rate_limit: Some((50, 500)),
            rate_limit_tokens: true,
            rate_limit_pages: true,
            retry_after: RetryAfter::Seconds,
            date_skew: 0,
            window: (42, 201),
            outside_window: OutsideWindow::Clamp,
            page_size: 100,
            page_lifetime: None,
            page_gone: None,
            paging: Paging::Snapshot,
            repeat_across_pages: false,
            next_page_null: false,
            foreign_next_page: false,
            circular_next_page: false,
            event_times: EventTimes::AsAsked,
            year_zero: false,
            optional_fields: true,
            unknown_event_fields: false,
            unknown_event_values: false,
            description_bytes: None,
            tombstones: Tombstones::Full,
            tombstone_lifetime: None,
            calendar_move: CalendarMove::SameId,
            disconnect_notice: Some(Duration::ZERO),
            stale_while_disconnected: true,
            partial_initial_sync: true,
            gdpr: Gdpr::OneChannel,
            gdpr_ends_grant: false,
        }
    }
}

/// A switch that was set to what it cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {remedy}")]
pub struct WrongSetting {
    /// Which.
    pub field: String,
    /// What to do.
    pub remedy: String,
}

impl Settings {
    /// These with some of them changed: `patch` has their names and new values.
    ///
    /// # Errors
    /// Names the first switch that does not exist, or cannot have that value.
    pub fn patched(&self, patch: &Map<String, Value>) -> Result<Self, WrongSetting> {
        let wrong = |field: &str, remedy: String| WrongSetting { field: field.to_owned(), remedy };
        let mut settings = self.clone();
        for (field, value) in patch {
            let mut known = settings.to_map();
            if known.insert(field.clone(), value.clone()).is_none() {
                return Err(wrong(field, "there is no such switch; GET /settings shows all".to_owned()));
            }
            settings = serde_json::from_value(Value::Object(known)).map_err(|error| wrong(field, error.to_string()))?;
        }
        Ok(settings)
    }

    /// What makes `other` of these.
    pub(crate) fn difference(&self, other: &Self) -> Map<String, Value> {
        let before = self.to_map();
        other.to_map().into_iter().filter(|(field, value)| before.get(field) != Some(value)).collect()
    }

    fn to_map(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) | Err(_) => Map::new(), // a struct of plain values is an object
        }
    }
}

/// Spans of time as numbers of seconds.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        if span.subsec_nanos() == 0 {
            serializer.serialize_u64(span.as_secs())
        } else {
            serializer.serialize_f64(span.as_secs_f64())
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds)
            .map_err(|_| D::Error::custom("expected a number of seconds that is not negative"))
    }
}

/// The same, or `null`.
pub(crate) mod optional_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    struct Seconds(#[serde(with = "super::seconds")] Duration);

    #[expect(clippy::ref_option, reason = "as serde wants it")]
    pub fn serialize<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => super::seconds::serialize(span, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Seconds>::deserialize(deserializer)?.map(|Seconds(span)| span))
    }
}
