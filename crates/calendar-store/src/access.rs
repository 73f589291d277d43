//! Who asks, and what they may. How that is found out is behind [`Access`].

use std::fmt;

use axum::extract::FromRequestParts;
use calendar_store_client::Reason;
use futures::future::BoxFuture;
use http::header;
use http::request::Parts;

use crate::Problem;

/// What a request shows to prove who sends it. Never logged, compared or shown.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The token of its `Authorization: Bearer` header.
    pub bearer: Option<String>,
    /// The token of a feed, for calendar programs that can send no header: parameter `token` of the query.
    pub feed: Option<String>,
}

/// What is done with the feeds of a subscription: the verb of the right on `calendarsubscriptions/feeds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedVerb {
    /// A new one is made.
    Create,
    /// They are listed, without their tokens.
    List,
    /// One is revoked.
    Delete,
}

impl FeedVerb {
    /// As Kubernetes writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FeedVerb::Create => "create",
            FeedVerb::List => "list",
            FeedVerb::Delete => "delete",
        }
    }
}

/// Decides what a request may. An answer may be remembered for as long as the implementation states.
pub trait Access: Send + Sync + 'static {
    /// Whether the events of this subscription may be read: whoever may `get` `calendarsubscriptions/events` of that name.
    fn may_read<'a>(
        &'a self,
        credentials: &'a Credentials,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<(), Problem>>;

    /// Who asks, by name, whatever they may. By default nobody is known.
    fn who<'a>(&'a self, credentials: &'a Credentials) -> BoxFuture<'a, Result<String, Problem>> {
        let _ = credentials;
        Box::pin(async { Err(Problem::new(Reason::Unauthorized, "nobody is known here")) })
    }

    /// Whether the names of a namespace's subscriptions may be listed: whoever may `list` `calendarsubscriptions/events` there,
    /// without a name. By default nobody may.
    fn may_list<'a>(&'a self, credentials: &'a Credentials, namespace: &'a str) -> BoxFuture<'a, Result<(), Problem>> {
        let (_, _) = (credentials, namespace);
        Box::pin(async { Err(Problem::new(Reason::Forbidden, "nobody may list subscriptions here")) })
    }

    /// The audience that a token has to be for, which people are told when they need one.
    #[allow(clippy::unnecessary_literal_bound, reason = "an implementation has it in its settings")]
    fn audience(&self) -> &str {
        "calendar-store"
    }

    /// Whether this subscription may be subscribed to as a calendar: with the token of one of its feeds, or by whoever may read.
    fn may_subscribe<'a>(
        &'a self,
        credentials: &'a Credentials,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<(), Problem>> {
        self.may_read(credentials, namespace, name)
    }

    /// Whether this may be done with the feeds of this subscription; gives the name of who asks. By default nobody may.
    fn may_use_feeds<'a>(
        &'a self,
        credentials: &'a Credentials,
        verb: FeedVerb,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<String, Problem>> {
        let (_, _, _) = (credentials, namespace, name);
        let detail = format!("nobody may {} feeds here", verb.as_str());
        Box::pin(async move { Err(Problem::new(Reason::Forbidden, detail)) })
    }

    /// Whether it may use the API of the writer.
    fn may_write<'a>(&'a self, credentials: &'a Credentials) -> BoxFuture<'a, Result<(), Problem>>;
}

impl<S: Sync> FromRequestParts<S> for Credentials {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = header.and_then(|value| value.split_once(' ')).and_then(|(scheme, token)| {
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned()).filter(|token| !token.is_empty())
        });
        let query = parts.uri.query().unwrap_or_default();
        let feed = query.split('&').find_map(|pair| pair.strip_prefix("token=")).filter(|token| !token.is_empty());
        Ok(Self { bearer, feed: feed.map(str::to_owned) })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bearer, feed } = self;
        f.debug_struct("Credentials").field("bearer", &bearer.is_some()).field("feed", &feed.is_some()).finish()
    }
}
