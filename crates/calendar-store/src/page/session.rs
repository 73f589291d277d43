//! Signing in with a token, and out. Nothing is kept here: the token is in the browser's cookie, and each page asks anew what it
//! may show.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use calendar_store_client::Reason;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use jiff::Timestamp;

use super::visit::{LONGEST_TOKEN, PLAIN_COOKIE, SECURE_COOKIE, Visit, html, is_token};
use super::{CALENDARS, Page, markup};
use crate::authority::expires;
use crate::read::Query;
use crate::{Credentials, Problem};

/// Keeps a token in a cookie, if it is valid, and leads to where it was asked for.
pub async fn sign_in(State(page): State<Page>, visit: Visit, headers: HeaderMap, body: Bytes) -> Response {
    let origin = match own_origin(&headers) {
        Ok(origin) => origin,
        Err(problem) => return visit.answer(&*page.access, Err(problem)),
    };
    let form = std::str::from_utf8(&body).ok();
    let form =
        form.ok_or_else(|| Problem::new(Reason::Invalid, "the form is not UTF-8: send it from the page").of("token"));
    let form = match form.and_then(|text| Query::parse(Some(text), &["token", "then"], &[])) {
        Ok(form) => form,
        Err(problem) => return visit.answer(&*page.access, Err(problem)),
    };
    let then = form.get("then").filter(|address| is_page(address)).unwrap_or(CALENDARS);
    // Pasted ones have a line's end, and some the whole header.
    let token = form.get("token").unwrap_or_default().trim();
    let token = token.strip_prefix("Bearer ").unwrap_or(token).trim();
    if !is_token(token) {
        let why = format!(
            "that is no token: paste what kubectl create token prints, at most {LONGEST_TOKEN} characters of letters, digits and -._~+/="
        );
        return html(StatusCode::BAD_REQUEST, &markup::sign_in(page.access.audience(), then, Some(&why)));
    }
    let credentials = Credentials { bearer: Some(token.to_owned()), feed: None };
    match page.access.who(&credentials).await {
        Ok(_) => moved(then, [set(&origin, token), None]),
        Err(problem) if problem.reason() == Reason::Unauthorized => {
            let why = problem.document().detail.as_str();
            html(StatusCode::UNAUTHORIZED, &markup::sign_in(page.access.audience(), then, Some(why)))
        }
        Err(problem) => visit.answer(&*page.access, Err(problem)),
    }
}

/// Takes the cookie away.
pub async fn sign_out(State(page): State<Page>, visit: Visit, headers: HeaderMap) -> Response {
    match own_origin(&headers) {
        Ok(_) => {
            let gone = |name, path, more| {
                HeaderValue::from_str(&format!("{name}=; Path={path}; Max-Age=0; HttpOnly; SameSite=Strict{more}")).ok()
            };
            moved(CALENDARS, [gone(SECURE_COOKIE, "/", "; Secure"), gone(PLAIN_COOKIE, CALENDARS, "")])
        }
        Err(problem) => visit.answer(&*page.access, Err(problem)),
    }
}

/// The cookie with this token. Where the page came over TLS it is one that only this host can set, which has to be for all paths;
/// elsewhere it is for the pages only. It ends with the token, or with the browser if the token does not say when it ends.
fn set(origin: &Uri, token: &str) -> Option<HeaderValue> {
    let (name, path, secure) = match origin.scheme_str() {
        Some("https") => (SECURE_COOKIE, "/", "; Secure"),
        _ => (PLAIN_COOKIE, CALENDARS, ""),
    };
    let left = expires(token).map(|ends| ends.saturating_sub(Timestamp::now().as_second()).max(0));
    let ends = left.map(|left| format!("; Max-Age={left}"));
    let text = format!("{name}={token}; Path={path}; HttpOnly; SameSite=Strict{secure}{}", ends.unwrap_or_default());
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Leads to a page.
fn moved(to: &str, cookies: [Option<HeaderValue>; 2]) -> Response {
    let headers = [(header::LOCATION, to), (header::CACHE_CONTROL, "no-store")];
    let mut response = (StatusCode::SEE_OTHER, headers).into_response();
    for cookie in cookies.into_iter().flatten() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Whether an address is one of ours to lead to: a path of the pages, so no other host's.
fn is_page(address: &str) -> bool {
    let below = address.strip_prefix(CALENDARS).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    below
        && !address.starts_with("/calendars/-/")
        && address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

/// The origin of the page that a form was sent from, if it is this one. Browsers say so with each form and let no page choose it.
/// By `Sec-Fetch-Site` where there is one, so that a proxy may call us by another name than the browser does.
fn own_origin(headers: &HeaderMap) -> Result<Uri, Problem> {
    const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    let foreign = || {
        let detail = "the form was not sent from a page of this address: open the page itself, and send it from there";
        Problem::new(Reason::Forbidden, detail).of("Origin")
    };
    let said = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let origin: Uri = said(header::ORIGIN).and_then(|origin| origin.parse().ok()).ok_or_else(foreign)?;
    let own = match said(SITE) {
        Some(site) => site == "same-origin",
        None => origin.authority().map(http::uri::Authority::as_str) == said(header::HOST),
    };
    if own && origin.scheme().is_some() && origin.authority().is_some() { Ok(origin) } else { Err(foreign()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_led_to_our_own_pages_only() {
        for (address, expected) in [
            ("/calendars", true),
            ("/calendars?namespace=team", true),
            ("/calendars/team/on-call?view=week&date=2026-12-01", true),
            ("/calendarsx", false),
            ("//evil.example/calendars", false),
            ("https://evil.example/calendars", false),
            ("/calendars\\@evil.example", false),
            ("/calendars/\r\nSet-Cookie: a=b", false),
            ("/calendars/-/sign-out", false),
            ("/v1/openapi.json", false),
            ("", false),
        ] {
            assert_eq!(is_page(address), expected, "{address:?}");
        }
    }

    #[test]
    fn a_form_counts_only_if_it_was_sent_from_this_origin() {
        let table: [(&[(&str, &str)], bool); 10] = [
            (&[("host", "store:8080"), ("origin", "http://store:8080")], true),
            (&[("host", "upstream"), ("origin", "https://store.example"), ("sec-fetch-site", "same-origin")], true),
            (&[("host", "store:8080"), ("origin", "http://store:8080"), ("sec-fetch-site", "cross-site")], false),
            (&[("host", "store:8080"), ("origin", "http://store:8080"), ("sec-fetch-site", "same-site")], false),
            (&[("host", "store:8080"), ("origin", "http://store:8080"), ("sec-fetch-site", "none")], false),
            (&[("host", "store:8080"), ("origin", "http://store:9090")], false),
            (&[("host", "store:8080"), ("origin", "http://evil.example")], false),
            (&[("host", "store:8080"), ("origin", "null")], false),
            (&[("host", "store:8080")], false),
            (&[("origin", "http://store:8080")], false),
        ];
        for (headers, expected) in table {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(own_origin(&map).is_ok(), expected, "{headers:?}");
        }
    }
}
