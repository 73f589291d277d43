//! What Cronofy does not document is a switch here. The first value of each is the default.

use std::time::Duration;

/// All switches.
#[derive(Clone, Debug)]
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
    /// Whether closed channels are still listed.
    pub list_closed_channels: bool,
    /// What closing an unknown channel answers.
    pub close_unknown_status: u16,
    /// When the verification is sent.
    pub verification: Verification,
    /// How long a delivery may take.
    pub delivery_timeout: Duration,
    /// When failed deliveries are tried again.
    pub retries: Retries,
    /// After how long of failed deliveries a channel is closed; `None` never.
    pub auto_close: Option<Duration>,
    /// Whether a 410 closes the channel at once.
    pub close_on_gone: bool,
    /// How `changes_since` relates to the change.
    pub changes_since: ChangesSince,
    /// What becomes of the refresh token when it is used.
    pub rotation: Rotation,
    /// What a refresh gives while the access token is still valid.
    pub refresh_while_valid: RefreshWhileValid,
    /// `expires_in`; `None` leaves it out and tokens live for half an hour.
    pub expires_in: Option<Duration>,
    /// What wrong client credentials answer.
    pub wrong_client: WrongClient,
    /// Requests of an application in a second and a minute; `None` counts nothing.
    pub rate_limit: Option<(usize, usize)>,
    /// Whether token requests count.
    pub rate_limit_tokens: bool,
    /// How a 429 says when to come again.
    pub retry_after: RetryAfter,
    /// Days before and after today that are kept.
    pub window: (i32, i32),
    /// What dates outside the window answer.
    pub outside_window: OutsideWindow,
    /// Events on a page.
    pub page_size: usize,
    /// How deleted events are shown.
    pub tombstones: Tombstones,
    /// Whether `created` and `updated` lie in the year 0.
    pub year_zero: bool,
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
            list_closed_channels: false,
            close_unknown_status: 404,
            verification: Verification::AfterCreate,
            delivery_timeout: Duration::from_secs(5),
            retries: Retries::Exponential,
            auto_close: Some(Duration::from_hours(24)),
            close_on_gone: false,
            changes_since: ChangesSince::Exact,
            rotation: Rotation::Rotates,
            refresh_while_valid: RefreshWhileValid::NewToken,
            expires_in: Some(Duration::from_hours(1)),
            wrong_client: WrongClient::Unauthorized,
            rate_limit: Some((50, 500)),
            rate_limit_tokens: true,
            retry_after: RetryAfter::Seconds,
            window: (42, 201),
            outside_window: OutsideWindow::Clamp,
            page_size: 100,
            tombstones: Tombstones::Full,
            year_zero: false,
        }
    }
}

macro_rules! switches {
    ($($(#[$meta:meta])* $name:ident { $($(#[$value_meta:meta])* $value:ident,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$value_meta])* $value,)+ }
    )+};
}

switches! {
    /// What an identical create answers.
    DuplicateCreate {
        /// The channel that exists.
        Existing,
        /// A second one.
        Second,
    }
    /// When the verification is sent.
    Verification {
        /// After the create was answered.
        AfterCreate,
        /// Before the create is answered.
        BeforeAnswer,
        /// Never.
        Never,
    }
    /// When failed deliveries are tried again.
    Retries {
        /// After 10 s, doubling up to an hour.
        Exponential,
        /// Every minute.
        Fixed,
        /// Never.
        None,
    }
    /// How `changes_since` relates to the change.
    ChangesSince {
        /// The second of the change.
        Exact,
        /// A minute earlier.
        Earlier,
        /// A minute later.
        Later,
    }
    /// What becomes of the refresh token when it is used.
    Rotation {
        /// A new one is given, the old one dies.
        Rotates,
        /// A new one is given, the old one lives on.
        WithGrace,
        /// It stays.
        Stays,
        /// The answer has none.
        Absent,
    }
    /// What a refresh gives while the access token is still valid.
    RefreshWhileValid {
        /// A new access token.
        NewToken,
        /// The same one, with the rest of its time.
        SameToken,
    }
    /// What wrong client credentials answer.
    WrongClient {
        /// 401 without a body.
        Unauthorized,
        /// 400 `invalid_client`.
        InvalidClient,
    }
    /// How a 429 says when to come again.
    RetryAfter {
        /// In seconds.
        Seconds,
        /// As an HTTP date.
        Date,
        /// Not at all.
        Absent,
    }
    /// What dates outside the window answer.
    OutsideWindow {
        /// What is inside.
        Clamp,
        /// 422.
        Refuse,
    }
    /// How deleted events are shown.
    Tombstones {
        /// As they were, with `deleted: true`.
        Full,
        /// Ids and `deleted: true`.
        IdsOnly,
        /// Not at all.
        Never,
    }
}
