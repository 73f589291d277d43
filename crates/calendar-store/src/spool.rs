//! A body of lines, received as a whole before anything is done with it: a slow or broken sender must not hold a transaction.
//! What is larger than a little goes to a file without a name, so that memory stays flat.

use std::io::{self, BufRead as _, Seek as _, SeekFrom, Write as _};

use bytes::Bytes;
use calendar_store_client::{CommitHeader, Line};
use futures::{Stream, StreamExt as _};
use serde::de::DeserializeOwned;
use tempfile::SpooledTempFile;

/// What is larger than this goes to a file.
const IN_MEMORY: usize = 256 * 1024;
/// Lines that are decoded at a time: decoding may read a file.
const AT_A_TIME: usize = 256;

/// How large a body may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the whole.
    pub bytes: usize,
    /// Bytes of one line.
    pub line: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 256 * 1024 * 1024, line: 1024 * 1024 }
    }
}

/// A body, or a line of it, that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The sender stopped.
    #[error("the body was not received: {0}")]
    Broken(String),
    /// It is too large.
    #[error("the body has more than {limit} bytes")]
    TooLarge {
        /// The most it may have.
        limit: usize,
    },
    /// A line is too large.
    #[error("line {line} has more than {limit} bytes")]
    LineTooLarge {
        /// Its number, from 1.
        line: u64,
        /// The most it may have.
        limit: usize,
    },
    /// A line is not what it should be.
    #[error("line {line} is not as documented: {cause}")]
    Malformed {
        /// Its number, from 1.
        line: u64,
        /// What the parser says, without any of the text.
        cause: String,
    },
    /// The last line is missing, or counts wrongly.
    #[error("the body ends after line {line} without an end that counts its lines: it was cut off")]
    CutOff {
        /// The last line that came.
        line: u64,
    },
    /// The file cannot be used.
    #[error("the body cannot be kept for the moment: {0}")]
    Disk(#[from] io::Error),
}

/// A body that was received.
#[derive(Debug)]
pub struct Spooled {
    reader: Option<Reader>,
    decoded: std::vec::IntoIter<Line>,
}

#[derive(Debug)]
struct Reader {
    lines: io::BufReader<SpooledTempFile>,
    limits: Limits,
    number: u64,
    ended: bool,
}

impl Spooled {
    /// Receives a body up to its end, and reads its first line.
    ///
    /// # Errors
    /// If it is too large, breaks off, or has no proper first line.
    pub async fn receive<E: std::fmt::Display>(
        body: impl Stream<Item = Result<Bytes, E>>,
        limits: Limits,
    ) -> Result<(CommitHeader, Self), LineError> {
        let mut body = std::pin::pin!(body);
        let (mut file, mut size) = (SpooledTempFile::new(IN_MEMORY), 0_usize);
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| LineError::Broken(error.to_string()))?;
            size = size.saturating_add(chunk.len());
            if size > limits.bytes {
                return Err(LineError::TooLarge { limit: limits.bytes });
            }
            file = blocking(move || file.write_all(&chunk).map(|()| file)).await?;
        }
        let (header, reader) = blocking(move || {
            file.seek(SeekFrom::Start(0))?;
            let mut reader = Reader { lines: io::BufReader::new(file), limits, number: 0, ended: false };
            let header = reader.line()?.ok_or(LineError::CutOff { line: 0 })?;
            Ok::<_, LineError>((header, reader))
        })
        .await?;
        Ok((header, Self { reader: Some(reader), decoded: Vec::new().into_iter() }))
    }

    /// The next line; `None` after the last one.
    ///
    /// # Errors
    /// If it is not as it should be, or missing.
    pub async fn next(&mut self) -> Result<Option<Line>, LineError> {
        if self.decoded.len() == 0
            && let Some(mut reader) = self.reader.take()
        {
            let (lines, reader) = blocking(move || reader.lines(AT_A_TIME).map(|lines| (lines, reader))).await?;
            self.decoded = lines.into_iter();
            self.reader = Some(reader);
        }
        Ok(self.decoded.next())
    }
}

impl Reader {
    /// Up to so many lines; none after the last one.
    fn lines(&mut self, at_most: usize) -> Result<Vec<Line>, LineError> {
        let mut lines = Vec::new();
        while lines.len() < at_most && !self.ended {
            match self.line()? {
                Some(Line::End(count)) if count.checked_add(2) == Some(self.number) => self.ended = true,
                Some(Line::End(_)) | None => return Err(LineError::CutOff { line: self.number }),
                Some(line) => lines.push(line),
            }
        }
        Ok(lines)
    }

    fn line<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LineError> {
        let limit = self.limits.line;
        let mut line = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        io::Read::take(&mut self.lines, most).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        if line.len() > limit {
            return Err(LineError::LineTooLarge { line: self.number, limit });
        }
        let malformed = |error: &serde_json::Error| LineError::Malformed { line: self.number, cause: told(error) };
        serde_json::from_slice(&line).map(Some).map_err(|error| malformed(&error))
    }
}

/// What a parser says, by the place alone: its words may show the text.
fn told(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Data => "a field is missing, unknown or of another type",
        _ => "it is no JSON",
    };
    format!("{what}, at column {}", error.column())
}

/// Does what may read or write a file.
async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, LineError>
where
    T: Send + 'static,
    E: Into<LineError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Into::into),
        Err(error) => Err(LineError::Disk(io::Error::other(error))),
    }
}
