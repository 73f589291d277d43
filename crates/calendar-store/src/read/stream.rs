//! Changes as they come. The reader pulls: the next page is read from the database when the one before has been taken.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use calendar_store_client::Reason;
use tokio::time::{Instant, sleep_until};

use super::Reading;
use super::changes::{self, Told, is_gone};
use super::documents::Change;
use super::listeners::Listener;
use super::position::Position;
use super::subject::{Subject, found};
use crate::database::Database;
use crate::{Access, Problem};

/// Bytes of changes that are read ahead for one stream: their reader may take them as slowly as it likes, and there are many.
const AHEAD: usize = 64 * 1024;

/// How streams of changes are bounded.
#[derive(Clone, Copy, Debug)]
pub struct Streaming {
    /// The most that are open at a time.
    pub most: usize,
    /// How often it is looked for changes that others have committed.
    pub look: Duration,
    /// How often it is asked whether the reader may still read.
    pub check: Duration,
    /// A comment after so long without a change shows that the stream lives.
    pub alive: Duration,
}

impl Default for Streaming {
    fn default() -> Self {
        Self {
            most: 2000,
            look: Duration::from_secs(1),
            check: Duration::from_secs(60),
            alive: Duration::from_secs(15),
        }
    }
}

/// A stream that is open.
pub struct Stream {
    database: Database,
    access: Arc<dyn Access>,
    subject: Subject,
    listener: Listener,
    streaming: Streaming,
    limit: usize,
    since: Option<Position>,
    /// When it is asked again whether the reader may read.
    check: Instant,
    page: std::vec::IntoIter<Change>,
    /// Whether the database has more than the page.
    more: bool,
    ended: bool,
}

impl Stream {
    /// A stream of the changes after `since`.
    pub async fn open(
        reading: &Reading,
        subject: Subject,
        since: Option<Position>,
        limit: usize,
    ) -> Result<Self, Problem> {
        let Reading { database, access, listeners, places: _ } = reading.clone();
        let place = listeners.place()?;
        let mut moment = database.now().await?;
        let uid = found(&mut moment, &subject.namespace, &subject.name).await?.uid;
        drop(moment);
        let streaming = listeners.streaming;
        Ok(Self {
            database,
            access,
            subject,
            listener: listeners.listen(&uid, place),
            streaming,
            limit,
            since,
            check: Instant::now() + streaming.check,
            page: Vec::new().into_iter(),
            more: true,
            ended: false,
        })
    }

    /// What comes next; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        while !self.ended {
            if self.listener.ended() || !self.may_go_on().await {
                break;
            }
            if let Some(change) = self.page.next() {
                return Some(written(&change));
            }
            if !self.more {
                tokio::select! {
                    changed = self.listener.changed() => if !changed { break },
                    () = sleep_until(self.check) => continue,
                }
            }
            match changes::read(&self.database, &self.subject, self.since.as_ref(), (self.limit, AHEAD)).await {
                Ok(Told { items, position, more }) => {
                    self.page = items.into_iter();
                    self.since = Some(position);
                    self.more = more;
                }
                Err(problem) if is_gone(&problem) => {
                    self.ended = true;
                    return Some(gone());
                }
                // The reader connects again, and goes on.
                Err(_) => break,
            }
        }
        self.ended = true;
        None
    }

    /// Asks again whether the reader may read, if it is time. Who cannot be asked for may not.
    async fn may_go_on(&mut self) -> bool {
        if Instant::now() < self.check {
            return true;
        }
        self.check = Instant::now() + self.streaming.check;
        let Subject { namespace, name, credentials } = &self.subject;
        self.access.may_read(credentials, namespace, name).await.is_ok()
    }
}

/// The answer that is this stream.
pub fn answer(stream: Stream) -> Response {
    let alive = KeepAlive::new().interval(stream.streaming.alive);
    let events = futures::stream::unfold(stream, async |mut stream| {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    Sse::new(events).keep_alive(alive).into_response()
}

fn written(change: &Change) -> Event {
    let data = serde_json::to_string(change).unwrap_or_default();
    Event::default().id(&change.sequence).event("change").data(data)
}

fn gone() -> Event {
    let data = serde_json::json!({
        "reason": Reason::Gone,
        "detail": "what changed since then is no longer told: read the events anew, then go on from the sequence given there",
    });
    Event::default().event("gone").data(data.to_string())
}
