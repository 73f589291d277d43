//! The values that switches can have. The first of each is the default.

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
        /// After `verification_delay`.
        Delayed,
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
    /// What becomes of a notification on its way. A verification is not touched.
    Notifications {
        /// It is sent once, at once.
        Normal,
        /// It is sent twice.
        Duplicated,
        /// It waits for the next one to the channel and comes after it, or after `notification_delay`.
        Reordered,
        /// It is sent after `notification_delay`.
        Delayed,
        /// It is never sent.
        Lost,
        /// A change waits for `notification_delay` and stands for those that follow meanwhile.
        Coalesced,
        /// It is sent at once, and the same body again after `replay_after`.
        Replayed,
    }
    /// How `changes_since` relates to the change.
    ChangesSince {
        /// The second of the change.
        Exact,
        /// A minute earlier.
        Earlier,
        /// A minute later.
        Later,
        /// A year later.
        Future,
    }
    /// What the body of a notification looks like.
    NotificationForm {
        /// As documented.
        Documented,
        /// With fields that nobody knows.
        UnknownFields,
        /// With a type that nobody knows.
        UnknownType,
        /// Without `channel`.
        NoChannel,
    }
    /// How deliveries are signed.
    Signature {
        /// With every active secret of the application.
        Valid,
        /// With a secret that is none of the application's.
        Wrong,
        /// Without the header.
        Missing,
        /// With an empty header.
        Empty,
        /// As lower-case hexadecimal digits.
        HexDigest,
        /// As base64 of the hexadecimal digits.
        EncodedHexDigest,
        /// Validly; then a byte of the body is changed.
        BodyChanged,
    }
    /// In which order the signatures of several active secrets stand.
    SignatureOrder {
        /// As the secrets were given.
        AsGiven,
        /// The other way round.
        Reversed,
    }
    /// What a delivery looks like on the wire. All but `get` are signed as they are sent.
    DeliveryShape {
        /// One POST with its length.
        Normal,
        /// In chunks, without its length.
        Chunked,
        /// In pieces, over `slow_delivery`.
        Slow,
        /// A mebibyte that means nothing.
        Junk,
        /// The first half of the body.
        InvalidJson,
        /// A GET without a body.
        Get,
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
    /// What two refreshes with one token give that are under way at the same time.
    ConcurrentRefresh {
        /// Each a token.
        BothSucceed,
        /// The one that came second, `invalid_grant`.
        SecondRefused,
    }
    /// Which token requests answer `invalid_grant` though the grant is in force.
    RefuseGrant {
        /// None.
        Never,
        /// Refreshes.
        Refresh,
        /// Exchanges of a code.
        Exchange,
    }
    /// Whether calls with a good access token are answered.
    AccessTokens {
        /// They are.
        Honoured,
        /// They get 401, also after a good refresh.
        Refused,
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
    /// What further pages show.
    Paging {
        /// The events as they were when the first page was read.
        Snapshot,
        /// The events as they are now: what changed meanwhile moves others across the edge of a page.
        Live,
    }
    /// In which form times stand.
    EventTimes {
        /// As `localized_times` asks for.
        AsAsked,
        /// Always as strings.
        Plain,
        /// Always with the event's zone.
        Localized,
        /// Always as UTC with `Etc/UTC`, as if the zone were not known.
        ZoneUnknown,
        /// One event so, the next otherwise.
        Mixed,
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
    /// What an event that is put into another calendar becomes.
    CalendarMove {
        /// It keeps its id. A read of the old calendar alone shows it as deleted.
        SameId,
        /// A deleted event in the old calendar, another one in the new.
        NewId,
    }
    /// Which channels are told of a demand for erasure.
    Gdpr {
        /// The account's oldest open one.
        OneChannel,
        /// All of the account.
        EveryChannel,
    }
}
