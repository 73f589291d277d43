//! What answers hold while their readers take them, all of them together: readers may be slow, and there may be many.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use calendar_store_client::Reason;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::Problem;

/// Bytes that answers being taken hold altogether.
const MEMORY: usize = 256 * 1024 * 1024;
/// An answer of less is not counted: there cannot be enough of them.
const SMALL: u64 = 16 * 1024;
/// Bytes that are counted as one.
const UNIT: usize = 1024;
/// Bytes that are given to a connection at a time.
const PIECE: usize = 64 * 1024;
/// Calendars that are sent at a time, each from a file.
const CALENDARS: usize = 32;
/// Calendars that are written to their file at a time. Each holds a connection to the database.
const WRITTEN: usize = 3;
/// Whoever takes longer for an answer is cut off: for one in memory, and for a calendar, which lies on the disk.
const LONGEST: (Duration, Duration) = (Duration::from_secs(120), Duration::from_secs(900));

/// Places for answers. Clones share them.
#[derive(Clone, Debug)]
pub struct Places {
    memory: Arc<Semaphore>,
    calendars: Arc<Semaphore>,
    written: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        Self::of(MEMORY)
    }
}

/// An answer's place, for as long as it is taken.
#[derive(Debug)]
pub struct Place {
    until: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    fn of(memory: usize) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { memory: places(memory / UNIT), calendars: places(CALENDARS), written: places(WRITTEN) }
    }

    /// A place for a calendar that is to be sent, if there is one.
    pub fn calendar(&self) -> Result<Place, Problem> {
        let permit = Arc::clone(&self.calendars).try_acquire_owned().map_err(|_| {
            Problem::new(Reason::Busy, format!("{CALENDARS} calendars are being sent: try again in a moment"))
        })?;
        Ok(Place { until: Instant::now() + LONGEST.1, _permit: permit })
    }

    /// Waits until a calendar may be written to its file.
    pub async fn writing(&self) -> Result<OwnedSemaphorePermit, Problem> {
        // Fails only if the semaphore is closed, which nobody does.
        let ended = |_| Problem::new(Reason::Unavailable, "this process ends: try again");
        Arc::clone(&self.written).acquire_owned().await.map_err(ended)
    }
}

impl Place {
    /// Whether its reader has had time enough.
    pub fn over(&self) -> io::Result<()> {
        if Instant::now() < self.until { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
    }
}

/// Sends an answer that is in memory only if there is a place for it, piece by piece, and for a bounded time.
pub async fn bounded(State(places): State<Places>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let size = response.body().size_hint();
    let Some(size) = size.exact().filter(|size| *size >= SMALL) else { return response };
    let units = u32::try_from(size.div_ceil(UNIT as u64)).unwrap_or(u32::MAX);
    let Ok(place) = Arc::clone(&places.memory).try_acquire_many_owned(units) else {
        let detail = "too many large answers are being sent: try again in a moment, or ask for less at a time";
        return Problem::new(Reason::Busy, detail).into_response();
    };
    let (parts, body) = response.into_parts();
    // It is there already.
    let rest = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let place = Place { until: Instant::now() + LONGEST.0, _permit: place };
    Response::from_parts(parts, Body::new(Taken { rest, place }))
}

/// An answer that holds its place until its last piece is given.
struct Taken {
    rest: Bytes,
    place: Place,
}

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(self.place.over().map(|()| Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tokio::time::advance;
    use tower::ServiceExt as _;

    use super::*;

    fn app(memory: usize) -> Router {
        let places = Places::of(memory);
        Router::new()
            .route("/large", get(async || vec![b'x'; 200_000]))
            .route("/small", get(async || "small"))
            .layer(from_fn_with_state(places, bounded))
    }

    async fn ask(app: &Router, path: &str) -> Response {
        app.clone().oneshot(Request::builder().uri(path).body(Body::empty()).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn large_answers_are_sent_within_a_bound_and_the_next_one_is_refused() {
        let app = app(500_000);
        let one = ask(&app, "/large").await;
        assert_eq!(one.body().size_hint().exact(), Some(200_000), "its length is told");
        let two = ask(&app, "/large").await;
        assert_eq!(ask(&app, "/large").await.status(), 429);
        assert_eq!(ask(&app, "/small").await.status(), 200);
        let mut body = one.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first.len(), PIECE, "piece by piece");
        assert_eq!(ask(&app, "/large").await.status(), 429);
        drop(body);
        assert_eq!(ask(&app, "/large").await.status(), 200);
        assert_eq!(two.into_body().collect().await.unwrap().to_bytes().len(), 200_000);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_an_answer_for_too_long_is_cut_off() {
        let app = app(500_000);
        let mut body = ask(&app, "/large").await.into_body();
        body.frame().await.unwrap().unwrap();
        advance(LONGEST.0).await;
        body.frame().await.unwrap().unwrap_err();
    }
}
