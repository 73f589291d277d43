//! What readers look at: the events of subscriptions and their changes, all of one answer as of one moment.

use futures::TryStreamExt as _;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};

use super::commit::places;
use super::{Database, Error};

/// Bytes of events in one page; a page has at least one event.
pub const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// One moment of the database.
#[derive(Debug)]
pub struct Moment(Transaction<'static, Any>);

/// A subscription as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its uid.
    pub uid: String,
    /// The head.
    pub head: String,
    /// Of the row: a sequence of another incarnation is of no use.
    pub incarnation: String,
    /// Of the last change.
    pub sequence: i64,
    /// Deletions up to this sequence are no longer told.
    pub pruned: i64,
}

/// Where an event stands in the order of all events of its subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Seconds since 1970 of its start; an all-day event counts from midnight UTC.
    pub starts: i64,
    /// Its key.
    pub key: String,
}

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where it stands.
    pub place: Place,
    /// The event as JSON.
    pub body: String,
}

/// A change as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its sequence.
    pub sequence: i64,
    /// Key of the event.
    pub key: String,
    /// The event as JSON; `None` if it is gone.
    pub body: Option<String>,
}

/// Some rows, and whether more come after them.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Whether there are more.
    pub more: bool,
}

impl Database {
    /// All that is asked of the answer is as of the moment of its first question.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn now(&self) -> Result<Moment, Error> {
        Ok(Moment(self.moment().await?))
    }

    /// Incarnation and sequence of those of these subscriptions that there are, with their uids.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn sequences(&self, uids: &[String]) -> Result<Vec<(String, (String, i64))>, Error> {
        let Some(last) = uids.last() else { return Ok(Vec::new()) };
        // Few numbers of places, so that there are few statements.
        let count = uids.len().next_power_of_two();
        let sql =
            format!("SELECT uid, incarnation, sequence FROM subscriptions WHERE uid IN ({})", places(1, 1, count));
        let all = uids.iter().chain(std::iter::repeat(last)).take(count);
        let query = all.fold(sqlx::query(AssertSqlSafe(sql)), Query::bind);
        let rows = query.fetch_all(&self.reads).await?;
        rows.iter()
            .map(|row| Ok((row.try_get("uid")?, (row.try_get("incarnation")?, row.try_get("sequence")?))))
            .collect()
    }
}

impl Moment {
    /// The subscription of that name, if anything is stored of it.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn subscription(&mut self, namespace: &str, name: &str) -> Result<Option<Subscription>, Error> {
        let found = sqlx::query(
            "SELECT uid, head, incarnation, sequence, pruned FROM subscriptions WHERE namespace = $1 AND name = $2",
        )
        .bind(namespace)
        .bind(name)
        .fetch_optional(&mut *self.0)
        .await?;
        let Some(row) = found else { return Ok(None) };
        Ok(Some(Subscription {
            uid: row.try_get("uid")?,
            head: row.try_get("head")?,
            incarnation: row.try_get("incarnation")?,
            sequence: row.try_get("sequence")?,
            pruned: row.try_get("pruned")?,
        }))
    }

    /// Up to `limit` names of the subscriptions of a namespace, in order, after this one.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn names(&mut self, namespace: &str, after: &str, limit: usize) -> Result<Page<String>, Error> {
        let query =
            sqlx::query("SELECT name FROM subscriptions WHERE namespace = $1 AND name > $2 ORDER BY name LIMIT $3")
                .bind(namespace)
                .bind(after);
        self.page(query, (limit, PAGE_BYTES), |row| {
            let name: String = row.try_get("name")?;
            Ok((name.len(), name))
        })
        .await
    }

    /// Up to `limit` events that overlap `from` to `to`, in seconds, in order, after the one that stands at `after`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn events(
        &mut self,
        uid: &str,
        (from, to): (i64, i64),
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Page<Row>, Error> {
        let (starts, key) = after.map_or((i64::MIN, ""), |place| (place.starts, place.key.as_str()));
        let query = sqlx::query(
            "SELECT starts, id, body FROM events WHERE subscription = $1 AND starts < $2 \
             AND (ends > $3 OR starts >= $3) AND (starts, id) > ($4, $5) \
             ORDER BY starts, id LIMIT $6",
        )
        .bind(uid)
        .bind(to)
        .bind(from)
        .bind(starts)
        .bind(key);
        self.page(query, (limit, PAGE_BYTES), |row| {
            let place = Place { starts: row.try_get("starts")?, key: row.try_get("id")? };
            let body: String = row.try_get("body")?;
            Ok((body.len(), Row { place, body }))
        })
        .await
    }

    /// Up to `limit` changes after a sequence, and deletions after another one, in order, and not many more bytes than so many.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn changes(
        &mut self,
        uid: &str,
        after: i64,
        deletions_after: i64,
        (limit, bytes): (usize, usize),
    ) -> Result<Page<Change>, Error> {
        // Both in one list: a body is never empty.
        let query = sqlx::query(
            "SELECT sequence, id, body FROM events WHERE subscription = $1 AND sequence > $2 \
             UNION ALL SELECT sequence, id, '' AS body FROM tombstones WHERE subscription = $1 AND sequence > $3 \
             ORDER BY sequence LIMIT $4",
        )
        .bind(uid)
        .bind(after)
        .bind(deletions_after);
        self.page(query, (limit, bytes), |row| {
            let body: String = row.try_get("body")?;
            let (size, body) = (body.len(), Some(body).filter(|body| !body.is_empty()));
            Ok((size, Change { sequence: row.try_get("sequence")?, key: row.try_get("id")?, body }))
        })
        .await
    }

    /// What this query, whose last argument is a limit, gives within the bounds of a page.
    async fn page<T>(
        &mut self,
        query: Query<'_, Any, AnyArguments>,
        (limit, most): (usize, usize),
        mut decoded: impl FnMut(&AnyRow) -> Result<(usize, T), sqlx::Error>,
    ) -> Result<Page<T>, Error> {
        let one_more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let mut found = query.bind(one_more).fetch(&mut *self.0);
        let (mut rows, mut bytes) = (Vec::new(), 0_usize);
        while let Some(row) = found.try_next().await? {
            let (size, row) = decoded(&row)?;
            bytes = bytes.saturating_add(size);
            if rows.len() >= limit || (bytes > most && !rows.is_empty()) {
                return Ok(Page { rows, more: true });
            }
            rows.push(row);
        }
        Ok(Page { rows, more: false })
    }
}
