//! All that is stored of a subscription, for its writer.

use calendar_store_client::{HeadHeader, State, Stored, StoredPage};
use futures::TryStreamExt as _;
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use super::{Database, Error, Kind};

/// Begins a transaction of SQLite that writes.
pub(super) const SQLITE_CHANGE: &str = "BEGIN IMMEDIATE";

/// What is stored of a subscription, as of one moment.
#[derive(Debug)]
pub struct Contents {
    /// The head and its state.
    pub header: HeadHeader,
    uid: String,
    transaction: Transaction<'static, Any>,
}

impl Database {
    /// What is stored of the subscription `uid`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn contents(&self, uid: &str) -> Result<Option<Contents>, Error> {
        let mut transaction = self.moment().await?;
        let found = sqlx::query("SELECT head, state FROM subscriptions WHERE uid = $1")
            .bind(uid)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = found else { return Ok(None) };
        let (head, state): (String, String) = (row.try_get("head")?, row.try_get("state")?);
        let state: Option<State> = serde_json::from_str(&state).ok();
        let head = serde_json::from_value(head.into()).map_err(Error::Damaged)?;
        Ok(Some(Contents { header: HeadHeader { head, state }, uid: uid.to_owned(), transaction }))
    }

    /// At most so many of the subscriptions of which something is stored, after this uid in their order.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn stored(&self, after: &str, most: usize) -> Result<StoredPage, Error> {
        let limit = i64::try_from(most.saturating_add(1)).unwrap_or(i64::MAX);
        let sql =
            "SELECT uid, namespace, name, released, state FROM subscriptions WHERE uid > $1 ORDER BY uid LIMIT $2";
        let rows = sqlx::query(sql).bind(after).bind(limit).fetch_all(&self.reads).await?;
        let item = |row: &AnyRow| {
            let released = row.try_get::<i64, _>("released")? != 0;
            let state = serde_json::from_str::<State>(row.try_get("state")?);
            let kept = released || state.map_or(true, |state| state.retain);
            let (uid, namespace, name) = (row.try_get("uid")?, row.try_get("namespace")?, row.try_get("name")?);
            Ok::<_, Error>(Stored { uid, namespace, name, kept })
        };
        let items = rows.iter().take(most).map(item).collect::<Result<_, _>>()?;
        Ok(StoredPage { items, more: rows.len() > most })
    }

    /// A transaction that writes. SQLite waits for the right to do so at its begin alone: one that has read would fail at once if
    /// somebody else were writing, or emptying the log, just then.
    pub(super) async fn change(&self) -> Result<Transaction<'static, Any>, Error> {
        Ok(match self.kind {
            Kind::Sqlite => self.writes.begin_with(SQLITE_CHANGE).await?,
            Kind::Postgres => self.writes.begin().await?,
        })
    }

    /// A transaction that reads all as of one moment.
    pub(super) async fn moment(&self) -> Result<Transaction<'static, Any>, Error> {
        Ok(match self.kind {
            Kind::Sqlite => self.reads.begin().await?,
            Kind::Postgres => self.reads.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?,
        })
    }
}

impl Contents {
    /// Gives the events, each as its line of JSON, to `take` until it wants no more. Tells whether it took all.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn events<F>(&mut self, mut take: impl FnMut(String) -> F) -> Result<bool, Error>
    where
        F: Future<Output = bool>,
    {
        let mut rows = sqlx::query("SELECT body FROM events WHERE subscription = $1 ORDER BY starts, id")
            .bind(&self.uid)
            .fetch(&mut *self.transaction);
        while let Some(row) = rows.try_next().await? {
            if !take(row.try_get("body")?).await {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
