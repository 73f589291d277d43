//! Who looks at a page: by the header that an authenticating proxy sends, or by the cookie of the form. The cookie is taken by pages
//! only. The API under `/v1` never looks at it, so no other site can make a browser use it there.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use calendar_store_client::Reason;
use http::request::Parts;
use http::{HeaderMap, HeaderName, StatusCode, header};
use maud::Markup;

use super::markup;
use crate::{Access, Credentials, Problem};

/// Of the cookie where the browser speaks TLS: such a one no other site and no plain connection can set.
pub const SECURE_COOKIE: &str = "__Host-calendar-store";
/// Of the cookie elsewhere, for example through a forwarded port.
pub const PLAIN_COOKIE: &str = "calendar-store";
/// The longest token: browsers keep no larger cookie.
pub const LONGEST_TOKEN: usize = 3800;

/// How who looks has shown who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Not at all.
    None,
    /// By the header of each request, which something in front of the browser sends.
    Header,
    /// By the cookie.
    Cookie,
}

/// The path and the query of a request, as it came: further in, the router shows a part of the path only.
#[derive(Clone, Debug)]
pub struct Address(pub String);

/// One look at a page.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Of who looks.
    pub credentials: Credentials,
    /// How they came.
    pub proof: Proof,
    /// The address of the page, without its host.
    pub address: String,
    /// Whether another site has sent the browser here: a strict cookie does not come along then.
    from_elsewhere: bool,
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let Ok(Credentials { bearer, feed: _ }) = Credentials::from_request_parts(parts, state).await;
        let (bearer, proof) = match (bearer, cookie(&parts.headers)) {
            (Some(token), _) => (Some(token), Proof::Header),
            (None, Some(token)) => (Some(token), Proof::Cookie),
            (None, None) => (None, Proof::None),
        };
        let said = |name: &str, value: &str| parts.headers.get(name).is_some_and(|said| said == value);
        Ok(Self {
            credentials: Credentials { bearer, feed: None },
            proof,
            address: parts.extensions.get::<Address>().map(|Address(address)| address.clone()).unwrap_or_default(),
            from_elsewhere: said("sec-fetch-site", "cross-site") && said("sec-fetch-mode", "navigate"),
        })
    }
}

impl Visit {
    /// The answer: a page, or why there is none.
    pub fn answer(&self, access: &dyn Access, page: Result<Markup, Problem>) -> Response {
        match page {
            Ok(page) => html(StatusCode::OK, &page),
            Err(problem) if problem.reason() == Reason::Unauthorized => {
                let page = match self.proof {
                    Proof::None if self.from_elsewhere => markup::again(&self.address),
                    Proof::None => markup::sign_in(access.audience(), &self.address, None),
                    Proof::Cookie | Proof::Header => {
                        markup::sign_in(access.audience(), &self.address, Some(problem.document().detail.as_str()))
                    }
                };
                let known_by: [(HeaderName, &str); 1] = [(header::WWW_AUTHENTICATE, "Bearer")];
                (known_by, html(StatusCode::UNAUTHORIZED, &page)).into_response()
            }
            Err(problem) => {
                let status =
                    StatusCode::from_u16(problem.document().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                html(status, &markup::refusal(self, problem.document()))
            }
        }
    }
}

/// A page as an answer. It is kept nowhere.
pub fn html(status: StatusCode, page: &Markup) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, page.0.clone()).into_response()
}

/// Whether a text can be a token: what `Authorization: Bearer` may hold by RFC 6750, which a cookie may hold, too.
pub fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    !text.is_empty() && text.len() <= LONGEST_TOKEN && text.bytes().all(allowed)
}

/// The token of the cookie, of the more trustworthy one if there are both.
fn cookie(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs: Vec<(&str, &str)> =
        lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('=')).collect();
    let named = |name| pairs.iter().find(|(known, token)| *known == name && is_token(token));
    named(SECURE_COOKIE).or_else(|| named(PLAIN_COOKIE)).map(|(_, token)| (*token).to_owned())
}
