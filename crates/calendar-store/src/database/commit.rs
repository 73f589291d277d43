//! A commit: the step that puts, changes and removes events.

use std::collections::HashSet;
use std::fmt::Write as _;

use calendar_store_client::{CommitHeader, Head, Line, Scope, State};
use calendar_sync::{Event, EventTime, TimeZone, hex};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};

use super::{Database, Error, Kind};
use crate::Spooled;

/// Rows of one statement. Each number has a statement of its own, so there are few.
const ROWS: [usize; 3] = [64, 8, 1];
/// Ids that are looked at together.
const AT_A_TIME: i64 = 1000;
/// The longest id that is its own key.
const LONGEST_KEY: usize = 512;

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How many events it changed.
    pub changes: u64,
    /// Whether it had been done before.
    pub repeated: bool,
}

/// What an event is found by: its id, in a form that every database takes.
#[must_use]
pub fn key(id: &str) -> String {
    if id.len() > LONGEST_KEY || id.contains('\0') || id.starts_with("sha256:") {
        format!("sha256:{}", hex(&Sha256::digest(id)))
    } else {
        id.to_owned()
    }
}

impl Database {
    /// Commits these lines for the subscription `uid`, on condition that what is stored is what they were computed from. A
    /// commit that has been done before is not done again.
    ///
    /// # Errors
    /// [`Error::HeadMoved`], [`Error::Conflict`], [`Error::Inconsistent`] and [`Error::Line`] leave all as it was; after others it
    /// is open whether it was done.
    pub async fn commit(&self, uid: &str, header: &CommitHeader, lines: &mut Spooled) -> Result<Outcome, Error> {
        let mut commit = Commit {
            database: self,
            uid,
            transaction: self.change().await?,
            sequence: 0,
            events: 0,
            changes: 0,
            narrows: false,
            fresh: false,
        };
        if !commit.begin(header).await? {
            return Ok(Outcome { changes: 0, repeated: true });
        }
        commit.apply(header.scope, lines).await?;
        if commit.events != header.state.events {
            return Err(Error::Inconsistent { said: header.state.events, found: commit.events });
        }
        let Commit { changes, narrows, .. } = commit;
        commit.end().await?;
        if narrows {
            self.empty_log().await?;
        }
        Ok(Outcome { changes, repeated: false })
    }

    /// Waits for a first commit or an erasure of the same subscription: there may be no row yet that one of them could wait for.
    /// SQLite has one writer anyway.
    pub(super) async fn alone(&self, uid: &str, transaction: &mut Transaction<'static, Any>) -> Result<(), Error> {
        if self.kind == Kind::Postgres {
            self.steps.next("be alone");
            sqlx::query("SELECT 1 FROM pg_advisory_xact_lock(hashtext($1))")
                .bind(uid)
                .execute(&mut **transaction)
                .await?;
        }
        Ok(())
    }
}

/// A commit under way. The subscription's row is locked from its first statement on.
struct Commit<'a> {
    database: &'a Database,
    uid: &'a str,
    transaction: Transaction<'static, Any>,
    sequence: i64,
    events: u64,
    changes: u64,
    /// Less of the events may be stored from now on.
    narrows: bool,
    /// Nothing was there before, and no line so far is about what another one was about.
    fresh: bool,
}

/// Which keys a commit has, by their hashes: a calendar's keys may be as large as the calendar.
#[derive(Default)]
struct Ids(HashSet<[u8; 16]>);

impl Ids {
    fn hash(key: &str) -> [u8; 16] {
        // Longer than what is taken, so the rest is never needed.
        Sha256::digest(key).first_chunk().copied().unwrap_or_default()
    }

    /// Gives whether it was not there.
    fn insert(&mut self, key: &str) -> bool {
        self.0.insert(Self::hash(key))
    }

    fn remove(&mut self, key: &str) {
        self.0.remove(&Self::hash(key));
    }

    fn contains(&self, key: &str) -> bool {
        self.0.contains(&Self::hash(key))
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// An event as a row.
struct Put {
    key: String,
    starts: i64,
    ends: i64,
    body: String,
}

impl Put {
    fn new(event: &Event) -> Result<Self, Error> {
        let at = |time: EventTime| time.instant(&TimeZone::utc()).as_second();
        let body = serde_json::to_string(event).map_err(Error::Damaged)?;
        Ok(Self { key: key(&event.id), starts: at(event.start), ends: at(event.end), body })
    }
}

impl Commit<'_> {
    /// Moves the head. Gives whether the rest is still to be done.
    async fn begin(&mut self, header: &CommitHeader) -> Result<bool, Error> {
        let state = serde_json::to_string(&header.state).map_err(Error::Damaged)?;
        let moved = if let Some(on) = &header.on {
            self.narrows = self.narrows(header).await?;
            self.database.steps.next("move the head");
            sqlx::query(
                "UPDATE subscriptions SET head = $1, state = $2, released = 0 WHERE uid = $3 AND head = $4 \
                     RETURNING sequence, events",
            )
            .bind(header.head.as_str())
            .bind(state)
            .bind(self.uid)
            .bind(on.as_str())
            .fetch_optional(&mut *self.transaction)
            .await?
        } else {
            self.database.alone(self.uid, &mut self.transaction).await?;
            self.database.steps.next("make room");
            let gone = sqlx::query(
                "DELETE FROM subscriptions WHERE namespace = $1 AND name = $2 AND uid <> $3 AND released = 1",
            )
            .bind(&header.namespace)
            .bind(&header.name)
            .bind(self.uid)
            .execute(&mut *self.transaction)
            .await?;
            // What has gone may have shown more than this may.
            self.narrows = gone.rows_affected() > 0;
            self.database.steps.next("set the head");
            let incarnation = format!("{:08x}", fastrand::u32(..));
            sqlx::query(
                "INSERT INTO subscriptions \
                     (uid, namespace, name, head, incarnation, sequence, pruned, events, released, state) \
                     VALUES ($1, $2, $3, $4, $5, 0, 0, 0, 0, $6) ON CONFLICT DO NOTHING RETURNING sequence, events",
            )
            .bind(self.uid)
            .bind(&header.namespace)
            .bind(&header.name)
            .bind(header.head.as_str())
            .bind(incarnation)
            .bind(state)
            .fetch_optional(&mut *self.transaction)
            .await?
        };
        let Some(row) = moved else { return self.refused(header).await };
        self.fresh = header.on.is_none();
        self.sequence = row.try_get("sequence")?;
        self.events = u64::try_from(row.try_get::<i64, _>("events")?).unwrap_or_default();
        Ok(true)
    }

    /// Whether the events are to show less than before, as far as it is known what that was.
    async fn narrows(&mut self, header: &CommitHeader) -> Result<bool, Error> {
        self.database.steps.next("see what may be shown");
        let before: Option<String> = sqlx::query_scalar("SELECT state FROM subscriptions WHERE uid = $1")
            .bind(self.uid)
            .fetch_optional(&mut *self.transaction)
            .await?;
        let before = before.map(|state| serde_json::from_str::<State>(&state));
        Ok(before.is_some_and(|state| state.map_or(true, |state| header.state.visibility < state.visibility)))
    }

    /// Why the head did not move; `false` if it had done so before.
    async fn refused(&mut self, header: &CommitHeader) -> Result<bool, Error> {
        self.database.steps.next("look at the head");
        let found = sqlx::query("SELECT uid, head FROM subscriptions WHERE uid = $1 OR (namespace = $2 AND name = $3)")
            .bind(self.uid)
            .bind(&header.namespace)
            .bind(&header.name)
            .fetch_all(&mut *self.transaction)
            .await?;
        let mut other = None;
        for row in found {
            let (uid, head): (String, String) = (row.try_get("uid")?, row.try_get("head")?);
            if uid != self.uid {
                other = Some(uid);
            } else if head == header.head.as_str() {
                return Ok(false);
            } else {
                return Err(Error::HeadMoved { head: head.parse().ok() });
            }
        }
        match other.filter(|_| header.on.is_none()) {
            Some(uid) => Err(Error::Conflict { uid }),
            None => Err(Error::HeadMoved { head: None::<Head> }),
        }
    }

    async fn apply(&mut self, scope: Scope, lines: &mut Spooled) -> Result<(), Error> {
        let (mut puts, mut gone): (Vec<Put>, Vec<String>) = (Vec::new(), Vec::new());
        let mut all = Ids::default();
        while let Some(line) = lines.next().await? {
            // An id comes at most once in a statement; if it comes twice in a commit, the later one counts.
            let key = match &line {
                Line::Put(event) => key(&event.id),
                Line::Delete(id) => key(id),
                Line::End(_) => break,
            };
            if puts.iter().any(|put| put.key == key) || gone.contains(&key) {
                self.flush(&mut puts, &mut gone).await?;
            }
            match line {
                Line::Put(event) => {
                    if (self.fresh || scope == Scope::Everything) && !all.insert(&key) {
                        self.fresh = false;
                    }
                    puts.push(Put::new(&event)?);
                }
                Line::Delete(_) => {
                    self.fresh = false;
                    all.remove(&key);
                    gone.push(key);
                }
                Line::End(_) => {}
            }
            if puts.len().max(gone.len()) >= ROWS[0] {
                self.flush(&mut puts, &mut gone).await?;
            }
        }
        self.flush(&mut puts, &mut gone).await?;
        if scope == Scope::Everything {
            self.remove_others(&all).await?;
            // Whatever was counted before: this is what there is.
            self.events = u64::try_from(all.len()).unwrap_or(u64::MAX);
        }
        Ok(())
    }

    /// Removes the events that are not among these.
    async fn remove_others(&mut self, keep: &Ids) -> Result<(), Error> {
        let mut after = String::new();
        loop {
            self.database.steps.next("look for others");
            let rows = sqlx::query("SELECT id FROM events WHERE subscription = $1 AND id > $2 ORDER BY id LIMIT $3")
                .bind(self.uid)
                .bind(&after)
                .bind(AT_A_TIME)
                .fetch_all(&mut *self.transaction)
                .await?;
            let keys = rows.iter().map(|row| row.try_get("id")).collect::<Result<Vec<String>, _>>()?;
            let Some(last) = keys.last() else { return Ok(()) };
            after.clone_from(last);
            let mut others = keys.into_iter().filter(|key| !keep.contains(key)).collect();
            self.flush(&mut Vec::new(), &mut others).await?;
        }
    }

    async fn flush(&mut self, puts: &mut Vec<Put>, gone: &mut Vec<String>) -> Result<(), Error> {
        for rows in portions(puts) {
            self.put(rows).await?;
        }
        for rows in portions(gone) {
            self.remove(rows).await?;
        }
        puts.clear();
        gone.clear();
        Ok(())
    }

    async fn put(&mut self, puts: &[Put]) -> Result<(), Error> {
        let present = if self.fresh { 0 } else { self.present(puts).await? };
        self.database.steps.next("put events");
        let sql = format!(
            "INSERT INTO events (subscription, id, starts, ends, sequence, body) VALUES {} \
             ON CONFLICT (subscription, id) DO UPDATE SET starts = excluded.starts, ends = excluded.ends, \
             sequence = excluded.sequence, body = excluded.body WHERE events.body <> excluded.body",
            places(1, 6, puts.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        let mut sequence = self.sequence;
        for Put { key, starts, ends, body } in puts {
            sequence += 1;
            query = query.bind(self.uid).bind(key).bind(starts).bind(ends).bind(sequence).bind(body);
        }
        let changed = query.execute(&mut *self.transaction).await?.rows_affected();
        if changed > 0 {
            self.sequence = sequence;
            self.changes += changed;
        }
        let new = puts.len().abs_diff(present);
        self.events += u64::try_from(new).unwrap_or_default();
        if new > 0 && !self.fresh {
            self.database.steps.next("lift tombstones");
            let sql =
                format!("DELETE FROM tombstones WHERE subscription = $1 AND id IN ({})", places(2, 1, puts.len()));
            let query = sqlx::query(AssertSqlSafe(sql)).bind(self.uid);
            puts.iter().fold(query, |query, put| query.bind(&put.key)).execute(&mut *self.transaction).await?;
        }
        Ok(())
    }

    /// How many of these are there.
    async fn present(&mut self, puts: &[Put]) -> Result<usize, Error> {
        self.database.steps.next("see what is there");
        let sql = format!("SELECT id FROM events WHERE subscription = $1 AND id IN ({})", places(2, 1, puts.len()));
        let query = sqlx::query(AssertSqlSafe(sql)).bind(self.uid);
        let query = puts.iter().fold(query, |query, put| query.bind(&put.key));
        Ok(query.fetch_all(&mut *self.transaction).await?.len())
    }

    async fn remove(&mut self, keys: &[String]) -> Result<(), Error> {
        self.database.steps.next("remove events");
        let sql =
            format!("DELETE FROM events WHERE subscription = $1 AND id IN ({}) RETURNING id", places(2, 1, keys.len()));
        let query = sqlx::query(AssertSqlSafe(sql)).bind(self.uid);
        let gone = keys.iter().fold(query, Query::bind).fetch_all(&mut *self.transaction).await?;
        let count = u64::try_from(gone.len()).unwrap_or_default();
        self.events = self.events.saturating_sub(count);
        self.changes += count;
        for rows in portions(&gone) {
            self.bury(rows).await?;
        }
        Ok(())
    }

    async fn bury(&mut self, gone: &[AnyRow]) -> Result<(), Error> {
        self.database.steps.next("set tombstones");
        let sql =
            format!("INSERT INTO tombstones (subscription, id, sequence, deleted) VALUES {}", places(1, 4, gone.len()));
        let mut query: Query<'_, Any, AnyArguments> = sqlx::query(AssertSqlSafe(sql));
        let now = Timestamp::now().as_second();
        for row in gone {
            self.sequence += 1;
            query = query.bind(self.uid).bind(row.try_get::<String, _>("id")?).bind(self.sequence).bind(now);
        }
        query.execute(&mut *self.transaction).await?;
        Ok(())
    }

    async fn end(mut self) -> Result<(), Error> {
        self.database.steps.next("note the sequence");
        sqlx::query("UPDATE subscriptions SET sequence = $1, events = $2 WHERE uid = $3")
            .bind(self.sequence)
            .bind(i64::try_from(self.events).unwrap_or(i64::MAX))
            .bind(self.uid)
            .execute(&mut *self.transaction)
            .await?;
        self.database.steps.next("end");
        self.transaction.commit().await?;
        Ok(())
    }
}

/// The rows, as many at a time as one statement takes.
fn portions<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = ROWS.into_iter().find(|size| *size <= rows.len())?;
        rows.split_off(..size)
    })
}

/// Placeholders of `rows` rows with `columns` columns, from `first` on; a single column goes without parentheses.
pub(super) fn places(first: usize, columns: usize, rows: usize) -> String {
    let mut places = String::new();
    for place in 0..columns * rows {
        let (column, number) = (place % columns, first + place);
        let before = match (column, place) {
            (_, 0) => "",
            (0, _) if columns > 1 => "), (",
            _ => ", ",
        };
        let _ = write!(places, "{before}${number}");
    }
    if columns > 1 { format!("({places})") } else { places }
}
