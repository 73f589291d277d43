//! The API for writers, called.

use std::fmt;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use calendar_sync::Event;
use futures::future::{self, Either};
use futures::stream;
use reqwest::header::{CONTENT_TYPE, HeaderValue, IF_NONE_MATCH, RETRY_AFTER};
use reqwest::{Body, Certificate, Method, RequestBuilder, Response, StatusCode, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::answer::Lines;
use crate::{
    Address, CommitHeader, Committed, Error, Head, HeadHeader, LINES, Line, Reason, SUBSCRIPTIONS, Scope, StoredPage,
};

/// A connection is made within this time, or not at all.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// What a commit is given more time for.
const LEAST_BYTES_A_SECOND: u64 = 256 * 1024;
/// Bytes of a piece of a body.
const PIECE: usize = 64 * 1024;
/// Pieces that wait to be sent.
const AHEAD: usize = 4;
/// Bytes of an answer that holds no events.
const SHORT_ANSWER: usize = 64 * 1024;
/// Bytes of a file with a token or certificates.
const LARGEST_FILE: u64 = 1024 * 1024;

/// How a store is called.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it is.
    pub address: Address,
    /// What proves who calls.
    pub token: Token,
    /// A PEM file with the authorities that alone may vouch for the store; read again when it changes. Without: those of the
    /// system.
    pub authorities: Option<PathBuf>,
    /// How long one call may take; a commit of everything a second more for each 256 KiB.
    pub limit: Duration,
    /// What the client calls itself.
    pub user_agent: String,
}

/// Where the token comes from; asked before each call, since tokens of Kubernetes are replaced in their last hour.
#[derive(Clone)]
pub enum Token {
    /// This file.
    File(PathBuf),
    /// Whatever this gives.
    Given(Arc<dyn Fn() -> SecretString + Send + Sync>),
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Given(_) => f.debug_tuple("Given").finish_non_exhaustive(),
        }
    }
}

/// What is stored of a subscription.
#[derive(Clone, PartialEq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// The head that is known.
    Unchanged,
    /// This.
    Contents(Contents),
}

/// The events and what belongs to them.
#[derive(Clone, PartialEq)]
pub struct Contents {
    /// The head and its state.
    pub header: HeadHeader,
    /// The events; `None` if one of the lines is not one that a writer could have sent.
    pub events: Option<Vec<Event>>,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Unchanged => f.write_str("Unchanged"),
            Self::Contents(contents) => contents.fmt(f),
        }
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { header, events } = self;
        let events = events.as_ref().map(Vec::len);
        f.debug_struct("Contents").field("head", &header.head).field("events", &events).finish()
    }
}

/// What a commit came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What the store says.
    pub committed: Committed,
    /// Bytes of the lines that were sent.
    pub bytes: usize,
}

/// Calls one store. Clones share its connections.
#[derive(Clone)]
pub struct Client {
    options: Arc<Options>,
    connections: Arc<Mutex<Option<Connections>>>,
}

/// Connections, and the authorities that vouched for them.
struct Connections {
    authorities: Option<Vec<u8>>,
    client: reqwest::Client,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Client {
    /// A client with these options. Nothing is called yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options: Arc::new(options), connections: Arc::default() }
    }

    /// Where the store is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.options.address
    }

    /// What is stored of the subscription `uid`, unless it still is the head that is `known`.
    ///
    /// # Errors
    /// If the store does not answer, or not with a whole answer.
    pub async fn head(&self, uid: &str, known: Option<&Head>) -> Result<Found, Error> {
        self.in_time(async {
            let mut request = self.request(Method::GET, uid, "").await?;
            if let Some(known) = known {
                request = request.header(IF_NONE_MATCH, format!("\"{known}\""));
            }
            let answer = self.send(request).await?;
            match answer.status() {
                StatusCode::NOT_MODIFIED if known.is_some() => return Ok(Found::Unchanged),
                StatusCode::OK => {}
                _ => {
                    return match self.refusal(answer).await {
                        Refusal::NotFound => Ok(Found::Nothing),
                        Refusal::Error(error) => Err(error),
                    };
                }
            }
            let mut lines = Lines::of(answer, self.options.limit);
            let header: HeadHeader = lines.next().await?.ok_or(Error::Unreadable)?.ok_or(Error::Unreadable)?;
            let mut events = Some(Vec::new());
            let mut count = 0;
            loop {
                match lines.next().await?.ok_or(Error::Unreadable)? {
                    // One that cannot be read may have been more than one line.
                    Some(Line::End(sent)) if sent == count || events.is_none() => break,
                    Some(Line::Put(event)) => {
                        count += 1;
                        if let Some(events) = &mut events {
                            events.push(*event);
                        }
                    }
                    Some(Line::End(_)) => return Err(Error::Unreadable),
                    Some(Line::Delete(_)) | None => events = None,
                }
            }
            Ok(Found::Contents(Contents { header, events }))
        })
        .await
    }

    /// Commits these lines, all but the last, which is added. A commit that is repeated under the same head is done once.
    ///
    /// # Errors
    /// [`Error::HeadMoved`], [`Error::Conflict`], [`Error::Inconsistent`] and [`Error::TooLarge`] leave all as it was. After
    /// others it is open whether it was done: the next [`head`](Self::head) tells.
    pub async fn commit(
        &self,
        uid: &str,
        header: &CommitHeader,
        lines: impl Iterator<Item = Line> + Send,
    ) -> Result<Sent, Error> {
        self.in_time_of(self.commit_limit(header), async {
            let (send, receive) = mpsc::channel::<Result<Bytes, Error>>(AHEAD);
            let pieces =
                stream::unfold(
                    receive,
                    |mut receive| async move { receive.recv().await.map(|piece| (piece, receive)) },
                );
            let request = self.request(Method::PUT, uid, "").await?.header(CONTENT_TYPE, LINES);
            let answer = pin!(self.send(request.body(Body::wrap_stream(pieces))));
            let feed = pin!(feed(header, lines, send));
            // Whoever answers before the end has read enough.
            let (answer, bytes) = match future::select(answer, feed).await {
                Either::Left((answer, _)) => (answer?, 0),
                Either::Right((bytes, answer)) => {
                    let bytes = bytes?;
                    (answer.await?, bytes)
                }
            };
            if answer.status() != StatusCode::OK {
                return Err(self.refusal(answer).await.into());
            }
            let committed: Committed = self.short(answer).await?.ok_or(Error::Unreadable)?;
            if committed.head != header.head {
                return Err(Error::Unreadable);
            }
            Ok(Sent { committed, bytes })
        })
        .await
    }

    /// Removes all that is stored of a subscription. What is absent counts as removed.
    ///
    /// # Errors
    /// If it is open whether that was done.
    pub async fn erase(&self, uid: &str) -> Result<(), Error> {
        self.end(Method::DELETE, uid, "").await
    }

    /// Lets what is stored outlive its subscription. What is absent needs nothing.
    ///
    /// # Errors
    /// If it is open whether that was done.
    pub async fn release(&self, uid: &str) -> Result<(), Error> {
        self.end(Method::POST, uid, "/release").await
    }

    /// Some of the subscriptions of which something is stored: those whose uids come after this one, which may be empty.
    ///
    /// # Errors
    /// If the store does not answer, or not as it should.
    pub async fn stored(&self, after: &str) -> Result<StoredPage, Error> {
        self.in_time(async {
            let url = format!("{}{}", self.options.address, SUBSCRIPTIONS.trim_end_matches('/'));
            let request = self.request_to(Method::GET, &url).await?.query(&[("after", after)]);
            let answer = self.send(request).await?;
            if answer.status() != StatusCode::OK {
                return Err(self.refusal(answer).await.into());
            }
            self.short(answer).await?.ok_or(Error::Unreadable)
        })
        .await
    }

    async fn end(&self, method: Method, uid: &str, action: &str) -> Result<(), Error> {
        self.in_time(async {
            let answer = self.send(self.request(method, uid, action).await?).await?;
            if answer.status().is_success() {
                return Ok(());
            }
            match self.refusal(answer).await {
                Refusal::NotFound => Ok(()),
                Refusal::Error(error) => Err(error),
            }
        })
        .await
    }

    /// A large calendar takes its time, and a store that does not answer is not to be waited for as long when little is sent.
    fn commit_limit(&self, header: &CommitHeader) -> Duration {
        let bytes = match header.scope {
            Scope::Everything => header.state.bytes,
            Scope::Changes => 0,
        };
        self.options.limit.saturating_add(Duration::from_secs(bytes / LEAST_BYTES_A_SECOND))
    }

    async fn in_time<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.in_time_of(self.options.limit, call).await
    }

    async fn in_time_of<T>(&self, limit: Duration, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::time::timeout(limit, call).await.unwrap_or(Err(Error::TimedOut { limit }))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        request.send().await.map_err(|error| Error::of(error, self.options.limit))
    }

    async fn request(&self, method: Method, uid: &str, action: &str) -> Result<RequestBuilder, Error> {
        // It becomes part of a path.
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if uid.is_empty() || !uid.bytes().all(is_word) {
            return Err(Error::Refused { status: 400 });
        }
        self.request_to(method, &format!("{}{SUBSCRIPTIONS}{uid}{action}", self.options.address)).await
    }

    async fn request_to(&self, method: Method, url: &str) -> Result<RequestBuilder, Error> {
        let token = match &self.options.token {
            Token::File(path) => SecretString::from(text(path).await?.trim().to_owned()),
            Token::Given(give) => give(),
        };
        let bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
        let mut bearer = bearer.map_err(|_| Error::Unauthorized)?;
        bearer.set_sensitive(true);
        Ok(self.connections().await?.request(method, url).header(reqwest::header::AUTHORIZATION, bearer))
    }

    async fn connections(&self) -> Result<reqwest::Client, Error> {
        let authorities = match &self.options.authorities {
            Some(path) => Some(text(path).await?.into_bytes()),
            None => None,
        };
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(present) = connections.as_ref().filter(|present| present.authorities == authorities) {
            return Ok(present.client.clone());
        }
        let client = self.connect(authorities.as_deref())?;
        *connections = Some(Connections { authorities, client: client.clone() });
        Ok(client)
    }

    fn connect(&self, authorities: Option<&[u8]>) -> Result<reqwest::Client, Error> {
        let Options { address, user_agent, .. } = &*self.options;
        let mut builder = reqwest::Client::builder()
            .user_agent(user_agent.clone())
            .connect_timeout(CONNECT_LIMIT)
            // The token is for this store alone.
            .redirect(redirect::Policy::none());
        if address.is_loopback() {
            builder = builder.no_proxy();
        } else {
            builder = builder.https_only(true);
        }
        if let (Some(pem), Some(path)) = (authorities, &self.options.authorities) {
            let unusable = |cause: &str| Error::File { path: path.clone(), cause: cause.to_owned() };
            let certificates = Certificate::from_pem_bundle(pem).map_err(|_| unusable("it is no PEM file"))?;
            if certificates.is_empty() {
                return Err(unusable("it has no certificate"));
            }
            builder = builder.tls_certs_only(certificates);
        }
        builder.build().map_err(|error| Error::of(error, self.options.limit))
    }

    /// A document of a short answer; `None` if it is not that.
    async fn short<T: for<'d> Deserialize<'d>>(&self, mut answer: Response) -> Result<Option<T>, Error> {
        let mut text = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| Error::of(error, self.options.limit))? {
            if text.len() + piece.len() > SHORT_ANSWER {
                return Ok(None);
            }
            text.extend_from_slice(&piece);
        }
        Ok(serde_json::from_slice(&text).ok())
    }

    async fn refusal(&self, answer: Response) -> Refusal {
        let status = answer.status();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let problem = match self.short::<Said>(answer).await {
            Ok(said) => said.unwrap_or_default(),
            Err(error) => return Refusal::Error(error),
        };
        let reason = problem.reason.and_then(|word| serde_json::from_value(word).ok());
        let status = status.as_u16();
        Refusal::Error(match (reason, status) {
            (Some(Reason::NotFound), 404) => return Refusal::NotFound,
            (Some(Reason::HeadMoved), _) => Error::HeadMoved,
            (Some(Reason::Conflict), _) => Error::Conflict { uid: uid_in(&problem.detail) },
            (Some(Reason::Inconsistent), _) => Error::Inconsistent,
            (Some(Reason::TooLarge), _) | (_, 413) => Error::TooLarge,
            (Some(Reason::Unauthorized), _) | (_, 401) => Error::Unauthorized,
            (Some(Reason::Forbidden), _) | (_, 403) => Error::Forbidden,
            (Some(Reason::Busy), _) | (_, 429) => Error::Busy { retry_after },
            (Some(Reason::Unavailable | Reason::Defect), _) | (_, 500..=599) => {
                Error::Unavailable { status, retry_after }
            }
            (Some(Reason::Invalid | Reason::NotFound | Reason::MethodNotAllowed | Reason::Gone) | None, _) => {
                Error::Refused { status }
            }
        })
    }
}

/// Why there is no answer of the kind that was asked for.
enum Refusal {
    /// There is nothing of that name, and it is a store that says so.
    NotFound,
    /// Anything else.
    Error(Error),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound => Self::Refused { status: 404 },
            Refusal::Error(error) => error,
        }
    }
}

/// As much of a problem as is looked at, whatever release sends it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    reason: Option<serde_json::Value>,
    detail: String,
}

/// The uid that a conflict is about: all of its text that is safe to repeat.
fn uid_in(detail: &str) -> Option<String> {
    let (_, rest) = detail.split_once("uid ")?;
    let end = rest.find(|character: char| !character.is_ascii_alphanumeric() && character != '-');
    let uid = rest.get(..end.unwrap_or(rest.len()))?;
    (!uid.is_empty() && uid.len() <= 128).then(|| uid.to_owned())
}

/// Gives the lines to the body, and how many bytes they were. Ends early if nobody takes them.
async fn feed(
    header: &CommitHeader,
    lines: impl Iterator<Item = Line> + Send,
    send: mpsc::Sender<Result<Bytes, Error>>,
) -> Result<usize, Error> {
    let mut piece = Piece::default();
    piece.add(header)?;
    let mut count = 0;
    for line in lines {
        count += 1;
        if let Err(error) = piece.add(&line) {
            // Without its end the body is of no effect.
            let _nobody = send.send(Err(error.clone())).await;
            return Err(error);
        }
        if piece.text.len() >= PIECE && send.send(Ok(piece.take())).await.is_err() {
            return Ok(piece.bytes);
        }
    }
    piece.add(&Line::End(count))?;
    let _nobody = send.send(Ok(piece.take())).await;
    Ok(piece.bytes)
}

/// Lines that are not sent yet.
#[derive(Default)]
struct Piece {
    text: Vec<u8>,
    bytes: usize,
}

impl Piece {
    fn add(&mut self, line: &impl Serialize) -> Result<(), Error> {
        serde_json::to_writer(&mut self.text, line).map_err(|_| Error::Unencodable)?;
        self.text.push(b'\n');
        Ok(())
    }

    fn take(&mut self) -> Bytes {
        let text = std::mem::take(&mut self.text);
        self.bytes += text.len();
        text.into()
    }
}

/// The text of a small file.
async fn text(path: &PathBuf) -> Result<String, Error> {
    let read = async {
        let size = tokio::fs::metadata(path).await?.len();
        if size == 0 || size > LARGEST_FILE {
            return Err(std::io::Error::other("it is empty, or far too large"));
        }
        tokio::fs::read_to_string(path).await
    };
    read.await.map_err(|error| Error::File { path: path.clone(), cause: error.to_string() })
}
