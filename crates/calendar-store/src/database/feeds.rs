//! Tokens of feeds, by their hashes.

use jiff::Timestamp;
use sqlx::Row as _;

use super::{Database, Error};

/// Digits of a hash that name a feed to people.
const ID_DIGITS: usize = 12;

/// A feed, without its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// What it is revoked by: the first digits of its token's hash.
    pub id: String,
    /// What it is for, in its maker's words.
    pub label: String,
    /// When it was made.
    pub created: Timestamp,
    /// By whom, as Kubernetes calls them.
    pub created_by: String,
}

impl Feed {
    /// The id of the feed whose token has this hash.
    #[must_use]
    pub fn id(hash: &str) -> String {
        hash.chars().take(ID_DIGITS).collect()
    }
}

impl Database {
    /// Keeps a feed of a subscription, by the hash of its token. Gives whether the subscription is known.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn add_feed(&self, namespace: &str, name: &str, hash: &str, feed: &Feed) -> Result<bool, Error> {
        self.steps.next("add a feed");
        let added = sqlx::query(
            "INSERT INTO feeds (token, subscription, created, created_by, label) \
             SELECT $1, uid, $2, $3, $4 FROM subscriptions WHERE namespace = $5 AND name = $6",
        )
        .bind(hash)
        .bind(feed.created.as_second())
        .bind(&feed.created_by)
        .bind(&feed.label)
        .bind(namespace)
        .bind(name)
        .execute(&self.writes)
        .await?;
        Ok(added.rows_affected() > 0)
    }

    /// The feeds of a subscription, the oldest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn feeds(&self, namespace: &str, name: &str) -> Result<Vec<Feed>, Error> {
        let rows = sqlx::query(
            "SELECT token, created, created_by, label FROM feeds JOIN subscriptions ON uid = subscription \
             WHERE namespace = $1 AND name = $2 ORDER BY created, token",
        )
        .bind(namespace)
        .bind(name)
        .fetch_all(&self.reads)
        .await?;
        let feed = |row: sqlx::any::AnyRow| {
            let (hash, created): (String, i64) = (row.try_get("token")?, row.try_get("created")?);
            Ok(Feed {
                id: Feed::id(&hash),
                label: row.try_get("label")?,
                created: Timestamp::from_second(created).unwrap_or_default(),
                created_by: row.try_get("created_by")?,
            })
        };
        rows.into_iter().map(feed).collect()
    }

    /// Revokes a feed of a subscription. Gives whether there was one of that id.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn remove_feed(&self, namespace: &str, name: &str, id: &str) -> Result<bool, Error> {
        self.steps.next("remove a feed");
        let removed = sqlx::query(
            "DELETE FROM feeds WHERE SUBSTR(token, 1, 12) = $1 \
             AND subscription = (SELECT uid FROM subscriptions WHERE namespace = $2 AND name = $3)",
        )
        .bind(id)
        .bind(namespace)
        .bind(name)
        .execute(&self.writes)
        .await?;
        Ok(removed.rows_affected() > 0)
    }

    /// Whether the token of this hash is of a feed of this subscription.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn feed_opens(&self, hash: &str, namespace: &str, name: &str) -> Result<bool, Error> {
        let found = sqlx::query(
            "SELECT label FROM feeds JOIN subscriptions ON uid = subscription \
             WHERE token = $1 AND namespace = $2 AND name = $3",
        )
        .bind(hash)
        .bind(namespace)
        .bind(name)
        .fetch_optional(&self.reads)
        .await?;
        Ok(found.is_some())
    }
}
