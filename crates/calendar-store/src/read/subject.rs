//! Whom a request is about.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use calendar_store_client::Reason;
use http::request::Parts;

use super::Reading;
use crate::database::{Moment, Subscription};
use crate::{Access, Credentials, Problem};

/// The longest name of a namespace: a DNS label.
const LONGEST_LABEL: usize = 63;
/// The longest name of a subscription: a DNS subdomain.
const LONGEST_NAME: usize = 253;

/// A subscription that may be read by who asks, and how that was shown.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Of who asks.
    pub credentials: Credentials,
}

/// The same for the calendar that programs subscribe to: the token of a feed is enough.
#[derive(Clone, Debug)]
pub struct Feed(pub Subject);

/// A namespace. Who asks is not known to be allowed anything in it.
#[derive(Clone, Debug)]
pub struct Namespace(pub String);

impl Subject {
    /// What is stored of it at this moment.
    pub async fn at(&self, moment: &mut Moment) -> Result<Subscription, Problem> {
        found(moment, &self.namespace, &self.name).await
    }

    /// One by a path and credentials, whichever way these came in.
    pub async fn admitted(
        path: Result<Path<(String, String)>, PathRejection>,
        credentials: Credentials,
        access: &dyn Access,
    ) -> Result<Self, Problem> {
        let subject = Self::named(path, credentials)?;
        access.may_read(&subject.credentials, &subject.namespace, &subject.name).await?;
        Ok(subject)
    }

    async fn of(parts: &mut Parts, state: &Reading) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Ok(credentials) = Credentials::from_request_parts(parts, state).await;
        Self::named(path, credentials)
    }

    fn named(path: Result<Path<(String, String)>, PathRejection>, credentials: Credentials) -> Result<Self, Problem> {
        let Path((namespace, name)) = path.map_err(|rejection| malformed(&rejection))?;
        checked_namespace(&namespace)?;
        checked_name("name", &name)?;
        Ok(Self { namespace, name, credentials })
    }
}

impl FromRequestParts<Reading> for Subject {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Reading) -> Result<Self, Problem> {
        let subject = Self::of(parts, state).await?;
        state.access.may_read(&subject.credentials, &subject.namespace, &subject.name).await?;
        Ok(subject)
    }
}

impl FromRequestParts<Reading> for Feed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Reading) -> Result<Self, Problem> {
        let subject = Subject::of(parts, state).await?;
        state.access.may_subscribe(&subject.credentials, &subject.namespace, &subject.name).await?;
        Ok(Self(subject))
    }
}

impl FromRequestParts<Reading> for Namespace {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Reading) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(namespace) = path.map_err(|rejection| malformed(&rejection))?;
        checked_namespace(&namespace)?;
        Ok(Self(namespace))
    }
}

/// What is stored of a subscription at this moment.
pub async fn found(moment: &mut Moment, namespace: &str, name: &str) -> Result<Subscription, Problem> {
    moment.subscription(namespace, name).await?.ok_or_else(|| {
        let detail =
            format!("nothing is stored of {namespace}/{name}: check the name, and that its events are kept here");
        Problem::new(Reason::NotFound, detail)
    })
}

/// Whether a word can be the name of a subscription.
pub fn checked_name(field: &str, name: &str) -> Result<(), Problem> {
    if name.len() <= LONGEST_NAME && name.split('.').all(is_label) {
        return Ok(());
    }
    let detail = format!(
        "a subscription's name has 1 to {LONGEST_NAME} lower case letters, digits, '-' and '.', and begins and ends, as each \
         part between dots, with a letter or digit"
    );
    Err(Problem::new(Reason::Invalid, detail).of(field))
}

/// Whether a word can be the name of a namespace.
pub fn checked_namespace(namespace: &str) -> Result<(), Problem> {
    if namespace.len() <= LONGEST_LABEL && is_label(namespace) {
        return Ok(());
    }
    let detail = format!(
        "a namespace's name has 1 to {LONGEST_LABEL} lower case letters, digits and '-', and begins and ends with a letter or \
         digit"
    );
    Err(Problem::new(Reason::Invalid, detail).of("namespace"))
}

fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().copied().is_some_and(plain)
        && bytes.last().copied().is_some_and(plain)
        && bytes.iter().all(|byte| plain(*byte) || *byte == b'-')
}

fn malformed(_: &PathRejection) -> Problem {
    Problem::new(Reason::Invalid, "the path is not UTF-8: names have letters, digits, '-' and '.' only").of("path")
}
