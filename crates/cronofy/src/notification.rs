//! Bodies of webhook requests.
//!
//! A notification is a hint that something happened; what it is, only a read tells. Check the
//! [`signature`](crate::signature) first, on the raw bytes.

use jiff::Timestamp;
use serde::Deserialize;

use crate::channels::Filters;
use crate::json::{self, JsonFault, JsonFaultKind};
use crate::lenient;

open_enum! {
    /// What a notification is about. Documented rule: ignore what you do not know.
    pub enum NotificationType else Unknown {
        /// Sent right after a channel was created. There is nothing to echo: a 2xx answer is all.
        Verification = "verification",
        /// Events changed: read those modified since [`Notification::changes_since`].
        Change = "change",
        /// A calendar service of the account is disconnected; the user must reconnect it.
        ProfileDisconnected = "profile_disconnected",
        /// The account's events are complete now. Not sent if they were before the channel existed.
        ProfileInitialSyncCompleted = "profile_initial_sync_completed",
        /// Not documented; seen in use by others.
        ProfileConnected = "profile_connected",
        /// A conferencing service of the account is disconnected.
        ConferencingProfileDisconnected = "conferencing_profile_disconnected",
        /// The user demands that all data about them is deleted.
        GdprRequested = "gdpr_requested",
        /// Alpha: somebody joined a scheduling conversation.
        SchedulingConversationJoined = "scheduling_conversation_joined",
        /// Alpha: a scheduling conversation changed.
        SchedulingConversationUpdated = "scheduling_conversation_updated",
    }
}

/// A webhook request's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What it is about; [`NotificationType::Unknown`] with an empty text if the body does not say, as bodies of other
    /// callbacks with the same signature do not.
    pub kind: NotificationType,
    /// With [`NotificationType::Change`]: from when on events changed, in whole seconds. Whose clock it is, is not documented.
    pub changes_since: Option<Timestamp>,
    /// The channel; `None` in notifications that belong to none, or if it cannot be told.
    pub channel: Option<NotifiedChannel>,
}

/// The channel that a notification came through.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NotifiedChannel {
    /// Identifier, opaque.
    #[serde(deserialize_with = "lenient::identifier")]
    pub channel_id: String,
    /// Where it was sent to.
    #[serde(default, deserialize_with = "lenient::option")]
    pub callback_url: Option<String>,
    /// What the channel notifies about.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub filters: Filters,
}

impl Notification {
    /// Reads a webhook request's body.
    ///
    /// ```
    /// use cronofy::notification::{Notification, NotificationType};
    ///
    /// let body = br#"{"notification":{"type":"change","changes_since":"2026-11-20T07:41:05Z"},
    ///                 "channel":{"channel_id":"chn_1","callback_url":"https://hooks.example.org/1","filters":{}}}"#;
    /// let notification = Notification::parse(body)?;
    /// assert_eq!(notification.kind, NotificationType::Change);
    /// assert_eq!(notification.channel.map(|channel| channel.channel_id).as_deref(), Some("chn_1"));
    /// # Ok::<(), cronofy::JsonFault>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the body is not a JSON object. Unknown types and fields, and missing ones, are no errors.
    pub fn parse(body: &[u8]) -> Result<Self, JsonFault> {
        // A derived decoder would accept an array as well, as the list of an object's values.
        if body.trim_ascii_start().starts_with(b"[") {
            return Err(JsonFault { kind: JsonFaultKind::Shape, line: 0, column: 0 });
        }
        let Wire { notification: WireNotification { kind, changes_since }, channel } = json::decode(body)?;
        let kind = kind.unwrap_or_else(|| NotificationType::Unknown(String::new()));
        Ok(Self { kind, changes_since, channel })
    }
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default, deserialize_with = "lenient::or_default")]
    notification: WireNotification,
    #[serde(default, deserialize_with = "lenient::option")]
    channel: Option<NotifiedChannel>,
}

#[derive(Default, Deserialize)]
struct WireNotification {
    #[serde(default, rename = "type", deserialize_with = "lenient::option")]
    kind: Option<NotificationType>,
    #[serde(default, deserialize_with = "lenient::option")]
    changes_since: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: &str = r#""channel":{"channel_id":"chn_1","callback_url":"https://h.example.org/1","filters":{"calendar_ids":["cal_1"]}}"#;

    fn parse(body: &str) -> Notification {
        Notification::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn each_known_type_is_read() {
        let table = [
            ("verification", NotificationType::Verification),
            ("change", NotificationType::Change),
            ("profile_disconnected", NotificationType::ProfileDisconnected),
            ("profile_initial_sync_completed", NotificationType::ProfileInitialSyncCompleted),
            ("profile_connected", NotificationType::ProfileConnected),
            ("conferencing_profile_disconnected", NotificationType::ConferencingProfileDisconnected),
            ("gdpr_requested", NotificationType::GdprRequested),
            ("scheduling_conversation_joined", NotificationType::SchedulingConversationJoined),
            ("scheduling_conversation_updated", NotificationType::SchedulingConversationUpdated),
            ("calendar_created", NotificationType::Unknown("calendar_created".to_owned())),
        ];
        for (text, kind) in table {
            let notification = parse(&format!(r#"{{"notification":{{"type":"{text}"}},{CHANNEL}}}"#));
            assert_eq!(notification.kind, kind);
            assert_eq!(notification.kind.as_str(), text);
            assert_eq!(notification.changes_since, None);
            let channel = notification.channel.unwrap();
            assert_eq!(channel.channel_id, "chn_1");
            assert_eq!(channel.callback_url.as_deref(), Some("https://h.example.org/1"));
            assert_eq!(channel.filters.calendar_ids, Some(vec!["cal_1".to_owned()]));
        }
    }

    #[test]
    fn a_change_says_since_when() {
        let since = |text: &str| {
            parse(&format!(r#"{{"notification":{{"type":"change","changes_since":{text}}},{CHANNEL}}}"#)).changes_since
        };
        assert_eq!(since(r#""2026-11-20T07:41:05Z""#), Some("2026-11-20T07:41:05Z".parse().unwrap()));
        for text in ["null", r#""""#, r#""recently""#, "5", "{}"] {
            assert_eq!(since(text), None, "{text}");
        }
    }

    #[test]
    fn bodies_of_other_callbacks_and_odd_ones_are_no_errors() {
        let unknown = NotificationType::Unknown(String::new());
        for body in [
            "{}",
            r#"{"notification":null,"channel":null}"#,
            r#"{"notification":{"type":7},"channel":{"callback_url":"u"}}"#,
            r#"{"notification":"change","channel":"chn_1"}"#,
            r#"{"authorization":{"code":"c0de","state":"room7"}}"#,
        ] {
            assert_eq!(
                parse(body),
                Notification { kind: unknown.clone(), changes_since: None, channel: None },
                "{body}"
            );
        }
        let scheduler = parse(
            r#"{"notification":{"type":"scheduling_request_time_chosen","triggered_at":"2026-11-20T08:00:00Z"},
                "scheduling_request":{}}"#,
        );
        assert_eq!(scheduler.kind.as_str(), "scheduling_request_time_chosen");
        let alpha = parse(
            r#"{"notification":{"type":"scheduling_conversation_joined","scheduling_conversation_id":"sc_1"},
                "channel":{"channel_id":"chn_1","callback_url":"u","scheduling_conversations":{"enabled":true}}}"#,
        );
        assert_eq!(alpha.channel.unwrap().filters, Filters::default());
    }

    #[test]
    fn what_is_not_a_json_object_is_an_error_without_content() {
        let deep = "[".repeat(100_000);
        let table = [
            ("", JsonFaultKind::EndOfInput),
            ("canary", JsonFaultKind::Syntax),
            (r#"{"notification":{"type":"canary"#, JsonFaultKind::EndOfInput),
            (r#""canary""#, JsonFaultKind::Shape),
            ("null", JsonFaultKind::Shape),
            ("5", JsonFaultKind::Shape),
            (r#"{"notification":{}} canary"#, JsonFaultKind::Syntax),
            (deep.as_str(), JsonFaultKind::Shape),
        ];
        for (body, kind) in table {
            let fault = Notification::parse(body.as_bytes()).unwrap_err();
            assert_eq!(fault.kind, kind, "{body:.40}");
            assert!(!format!("{fault} {fault:?}").contains("canary"));
        }
        assert!(Notification::parse(&[b'{', b'"', 0xff, b'"', b':', b'1', b'}']).is_err());
        let nested = |field: &str| format!(r#"{{"{field}":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
        assert!(Notification::parse(nested("unknown").as_bytes()).is_ok());
        assert_eq!(Notification::parse(nested("channel").as_bytes()).unwrap_err().kind, JsonFaultKind::Syntax);
    }
}
