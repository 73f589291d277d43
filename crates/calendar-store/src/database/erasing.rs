//! The steps by which something goes: an erasure, a release, and deletions that are old enough to be forgotten.

use jiff::Timestamp;

use super::{Database, Error};

/// Deletions that are forgotten in one transaction, which locks one subscription.
const AT_A_TIME: i64 = 1000;

impl Database {
    /// Removes all that is stored of a subscription. What is absent counts as removed.
    ///
    /// SQLite overwrites it in its file, and this empties the log beside it, too, unless somebody reads what was there before:
    /// then [`Database::keep_log_empty`] does, once they have ended. PostgreSQL keeps it in its files until they are vacuumed, and
    /// in its log and backups as long as those are.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn erase(&self, uid: &str) -> Result<(), Error> {
        let mut transaction = self.change().await?;
        self.alone(uid, &mut transaction).await?;
        self.steps.next("erase");
        sqlx::query("DELETE FROM subscriptions WHERE uid = $1").bind(uid).execute(&mut *transaction).await?;
        transaction.commit().await?;
        self.empty_log().await
    }

    /// Notes that a subscription's events outlive it: another one of its name takes their place. What is absent needs nothing.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn release(&self, uid: &str) -> Result<(), Error> {
        self.steps.next("release");
        sqlx::query("UPDATE subscriptions SET released = 1 WHERE uid = $1").bind(uid).execute(&self.writes).await?;
        Ok(())
    }

    /// Forgets the deletions from before `time`, and gives how many there were. Whoever has not read up to them is told to read
    /// anew. It is done in portions, each of one subscription, so that commits pass in between.
    ///
    /// # Errors
    /// If the database does not answer. What was forgotten before stays so.
    pub async fn forget_deletions(&self, time: Timestamp) -> Result<u64, Error> {
        let mut forgotten = 0;
        loop {
            self.steps.next("look for old deletions");
            let next: Option<String> =
                sqlx::query_scalar("SELECT subscription FROM tombstones WHERE deleted < $1 ORDER BY deleted LIMIT 1")
                    .bind(time.as_second())
                    .fetch_optional(&self.writes)
                    .await?;
            let Some(uid) = next else { return Ok(forgotten) };
            forgotten += self.forget_some(&uid, time.as_second()).await?;
        }
    }

    /// The first ones of a subscription, in the order of their sequences: the mark rises no further than what is gone.
    async fn forget_some(&self, uid: &str, time: i64) -> Result<u64, Error> {
        let mut transaction = self.change().await?;
        self.steps.next("raise the mark");
        let mark: Option<i64> = sqlx::query_scalar(
            "SELECT MAX(sequence) FROM (SELECT sequence FROM tombstones WHERE subscription = $1 AND deleted < $2 \
             ORDER BY sequence LIMIT $3) AS oldest",
        )
        .bind(uid)
        .bind(time)
        .bind(AT_A_TIME)
        .fetch_one(&mut *transaction)
        .await?;
        // Somebody else was faster.
        let Some(mark) = mark else { return Ok(0) };
        // Clocks may have jumped: of two deletions the later one may look older.
        sqlx::query("UPDATE subscriptions SET pruned = $1 WHERE uid = $2 AND pruned < $1")
            .bind(mark)
            .bind(uid)
            .execute(&mut *transaction)
            .await?;
        self.steps.next("remove the deletions");
        let gone = sqlx::query("DELETE FROM tombstones WHERE subscription = $1 AND deleted < $2 AND sequence <= $3")
            .bind(uid)
            .bind(time)
            .bind(mark)
            .execute(&mut *transaction)
            .await?;
        self.steps.next("end");
        transaction.commit().await?;
        Ok(gone.rows_affected())
    }
}
