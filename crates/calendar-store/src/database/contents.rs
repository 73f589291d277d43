//! All that is stored of a subscription, for its writer.

use calendar_store_client::{HeadHeader, State};
use futures::TryStreamExt as _;
use sqlx::{Any, Row as _, Transaction};

use super::{Database, Error, Kind};

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
        let state: State = serde_json::from_str(&state).map_err(Error::Damaged)?;
        let head = serde_json::from_value(head.into()).map_err(Error::Damaged)?;
        Ok(Some(Contents { header: HeadHeader { head, state }, uid: uid.to_owned(), transaction }))
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
