//! [`Access`] by Kubernetes' own word: a `TokenReview` says who asks, a `SubjectAccessReview` what they may. Only a feed's token
//! is looked up in the database, each time.
//!
//! How long a right outlives its end: an answer is remembered for [`REMEMBERED`], or until the token expires if that is sooner,
//! counted from before it was asked for. So a right that is taken away, or a token that is revoked, ends within that time after
//! the API server knows; the API server itself may take a deleted `ServiceAccount`'s token for another 10 s. A revoked feed ends
//! at once.
//!
//! What must hold: whatever is shown to the store, the API server is asked a bounded number of questions at a time, and whoever was
//! let in lately does not wait behind those who were not.

mod answers;
mod reviews;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use calendar_store_client::Reason;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::UserInfo;
use kube::Client;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::database::Database;
use crate::{Access, Credentials, FeedVerb, Problem, feeds};
use answers::{Answer, Answers};
use reviews::{Right, Said};

pub(crate) use reviews::expires;
pub use reviews::{REVIEW_LIMIT, ReviewError};

/// How long a yes is remembered at most.
pub const REMEMBERED: Duration = Duration::from_secs(10);
/// How long a no is remembered.
pub const REFUSED: Duration = Duration::from_secs(2);
/// Most answers of each sort that are remembered.
const MOST: usize = 4096;
/// Questions to the API server at a time: about tokens of whom nothing is known, about tokens that were good lately, and about rights.
const AT_A_TIME: usize = 32;
/// Who waits longer for the turn of their question is told to come again.
const TURN: Duration = Duration::from_secs(1);

/// Whom to ask, and for what.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The audience that tokens have to be for.
    pub audience: String,
    /// Users that may write.
    pub writers: BTreeSet<String>,
}

/// A hash of all that a review depends on.
type Key = [u8; 32];

/// Asks Kubernetes.
pub struct Authority {
    client: Client,
    settings: Settings,
    database: Database,
    tokens: Answers<Key, Option<Arc<UserInfo>>, ReviewError>,
    rights: Answers<Key, bool, ReviewError>,
    turns: Turns,
}

/// Whose turn it is to be asked for.
struct Turns {
    strangers: Arc<Semaphore>,
    known: Arc<Semaphore>,
    rights: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        let turns = || Arc::new(Semaphore::new(AT_A_TIME));
        Self { strangers: turns(), known: turns(), rights: turns() }
    }
}

async fn turn(of: &Semaphore) -> Result<SemaphorePermit<'_>, ReviewError> {
    timeout(TURN, of.acquire()).await.ok().and_then(Result::ok).ok_or(ReviewError::Busy)
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Authority {
    /// Asks by this client. Feeds are looked up in `database`.
    #[must_use]
    pub fn new(client: Client, settings: Settings, database: Database) -> Self {
        let (tokens, rights) = (Answers::new(MOST, REVIEW_LIMIT), Answers::new(MOST, REVIEW_LIMIT));
        Self { client, settings, database, tokens, rights, turns: Turns::default() }
    }

    /// Whether the API server answers the store's questions.
    ///
    /// # Errors
    /// If not, and what helps.
    pub async fn check(&self) -> Result<(), ReviewError> {
        let nobody = UserInfo { username: Some("system:anonymous".to_owned()), ..UserInfo::default() };
        let right = Right { verb: "get", subresource: "events", namespace: "default", name: "none" };
        reviews::token(self.client.clone(), &self.settings.audience, "none".to_owned()).await?;
        reviews::access(self.client.clone(), &nobody, right).await?;
        Ok(())
    }

    /// Who asks.
    async fn user(&self, credentials: &Credentials) -> Result<(Key, Arc<UserInfo>), Problem> {
        let audience = &self.settings.audience;
        let Some(token) = &credentials.bearer else {
            let detail = format!("send a token for the audience {audience} as Authorization: Bearer");
            return Err(Problem::new(Reason::Unauthorized, detail).of("Authorization"));
        };
        let left = match reviews::said(token, Timestamp::now()) {
            Said::Perhaps(left) => left.unwrap_or(REMEMBERED),
            Said::Never => return Err(self.unknown()),
        };
        let key: Key = Sha256::digest(token).into();
        let ask = |lately: bool| {
            let (client, audience, token) = (self.client.clone(), audience.clone(), token.clone());
            let turns = Arc::clone(if lately { &self.turns.known } else { &self.turns.strangers });
            async move {
                let _turn = turn(&turns).await?;
                let user = reviews::token(client, &audience, token).await?;
                let admits = user.is_some();
                let good_for = if admits { REMEMBERED.min(left) } else { REFUSED };
                Ok(Answer { value: user.map(Arc::new), good_for, admits })
            }
            .boxed()
        };
        let user = self.tokens.get(key, ask).await.map_err(|error| unanswered(&error))?;
        let user = user.ok_or_else(|| self.unknown())?;
        Ok((key, user))
    }

    /// The refusal of a token.
    fn unknown(&self) -> Problem {
        let audience = &self.settings.audience;
        let detail = format!("the token is not valid, or is for another audience than {audience}: request a new one");
        Problem::new(Reason::Unauthorized, detail).of("Authorization")
    }

    /// Who asks, if they may do this.
    async fn allowed(&self, credentials: &Credentials, right: Right<'_>) -> Result<Arc<UserInfo>, Problem> {
        named("name", right.name, 253)?;
        self.allowed_for_all(credentials, right).await
    }

    /// The same for a right that may be without a name: then one by a name of its own is not enough.
    async fn allowed_for_all(&self, credentials: &Credentials, right: Right<'_>) -> Result<Arc<UserInfo>, Problem> {
        named("namespace", right.namespace, 63)?;
        let (token, user) = self.user(credentials).await?;
        let Right { verb, subresource, namespace, name } = right;
        let mut key = Sha256::new_with_prefix(token);
        for part in [verb, subresource, namespace, name] {
            key.update(part);
            // Stands in none of them.
            key.update([0]);
        }
        let ask = |_| {
            let (client, user) = (self.client.clone(), Arc::clone(&user));
            let (namespace, name, turns) = (namespace.to_owned(), name.to_owned(), Arc::clone(&self.turns.rights));
            async move {
                let _turn = turn(&turns).await?;
                let right = Right { verb, subresource, namespace: &namespace, name: &name };
                let value = reviews::access(client, &user, right).await?;
                Ok(Answer { value, good_for: if value { REMEMBERED } else { REFUSED }, admits: value })
            }
            .boxed()
        };
        if self.rights.get(key.finalize().into(), ask).await.map_err(|error| unanswered(&error))? {
            Ok(user)
        } else {
            Err(Problem::new(Reason::Forbidden, right.missing(username(&user))))
        }
    }
}

impl Access for Authority {
    fn may_read<'a>(
        &'a self,
        credentials: &'a Credentials,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<(), Problem>> {
        let right = Right { verb: "get", subresource: "events", namespace, name };
        async move { self.allowed(credentials, right).await.map(drop) }.boxed()
    }

    fn who<'a>(&'a self, credentials: &'a Credentials) -> BoxFuture<'a, Result<String, Problem>> {
        async move {
            let (_, user) = self.user(credentials).await?;
            Ok(username(&user).to_owned())
        }
        .boxed()
    }

    fn may_list<'a>(&'a self, credentials: &'a Credentials, namespace: &'a str) -> BoxFuture<'a, Result<(), Problem>> {
        let right = Right { verb: "list", subresource: "events", namespace, name: "" };
        async move { self.allowed_for_all(credentials, right).await.map(drop) }.boxed()
    }

    fn audience(&self) -> &str {
        &self.settings.audience
    }

    fn may_subscribe<'a>(
        &'a self,
        credentials: &'a Credentials,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<(), Problem>> {
        async move {
            let Some(token) = &credentials.feed else { return self.may_read(credentials, namespace, name).await };
            if self.database.feed_opens(&feeds::hash(token), namespace, name).await? {
                return Ok(());
            }
            let detail = "the token is of no feed of this calendar: it was revoked, or is another calendar's";
            Err(Problem::new(Reason::Forbidden, detail).of("token"))
        }
        .boxed()
    }

    fn may_use_feeds<'a>(
        &'a self,
        credentials: &'a Credentials,
        verb: FeedVerb,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<String, Problem>> {
        let right = Right { verb: verb.as_str(), subresource: "feeds", namespace, name };
        async move { Ok(username(&*self.allowed(credentials, right).await?).to_owned()) }.boxed()
    }

    fn may_write<'a>(&'a self, credentials: &'a Credentials) -> BoxFuture<'a, Result<(), Problem>> {
        async move {
            let (_, user) = self.user(credentials).await?;
            let user = username(&user);
            if self.settings.writers.contains(user) {
                return Ok(());
            }
            Err(Problem::new(Reason::Forbidden, format!("{user} may not write: start the store with --writer {user}")))
        }
        .boxed()
    }
}

fn username(user: &UserInfo) -> &str {
    user.username.as_deref().unwrap_or_default()
}

/// A failed review is no answer, least of all a no.
fn unanswered(error: &ReviewError) -> Problem {
    if *error == ReviewError::Busy {
        // Not for the log: there may be thousands.
        return Problem::new(Reason::Unavailable, "too many others ask at the moment: try again");
    }
    tracing::warn!(%error, "who asks, or what they may, was not found out");
    Problem::new(Reason::Unavailable, "who asks, or what they may, is not found out for the moment: try again")
}

/// A word that can be the name of an object. Reviews take a few others, an empty one above all, for every name.
fn named(field: &str, word: &str, longest: usize) -> Result<(), Problem> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |label: &str| {
        let ends = [label.bytes().next(), label.bytes().last()];
        ends.iter().all(|end| end.is_some_and(plain)) && label.bytes().all(|byte| plain(byte) || byte == b'-')
    };
    if word.len() <= longest && word.split('.').all(label) {
        return Ok(());
    }
    let detail = format!(
        "a {field} has 1 to {longest} lower case letters, digits, '-' and '.', and begins and ends, as each part between dots, with \
         a letter or digit"
    );
    Err(Problem::new(Reason::Invalid, detail).of(field))
}
