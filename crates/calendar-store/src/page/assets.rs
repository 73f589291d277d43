//! Style, script and icon: files of this folder, and the places in a grid as classes, since the policy allows no style in a page.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::response::{IntoResponse as _, Response};
use calendar_sync::hex;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

/// Quarters of an hour that a grid has at most, and columns, days and rows.
const QUARTERS: usize = 112;
const COLUMNS: usize = 8;

static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("text/css; charset=utf-8", include_str!("assets/page.css").to_owned() + &places()));
static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("text/javascript; charset=utf-8", include_str!("assets/page.js").to_owned()));
static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("image/svg+xml", include_str!("assets/icon.svg").to_owned()));

struct Asset {
    media_type: &'static str,
    text: String,
    /// From the text: a browser that has it is told so.
    tag: String,
}

impl Asset {
    fn new(media_type: &'static str, text: String) -> Self {
        let tag = format!("W/\"{}\"", hex(&Sha256::digest(&text)).chars().take(32).collect::<String>());
        Self { media_type, text, tag }
    }

    fn answer(&'static self, headers: &HeaderMap) -> Response {
        let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
        let known = known.is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == self.tag));
        let mut response =
            if known { StatusCode::NOT_MODIFIED.into_response() } else { self.text.as_str().into_response() };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
        if let Ok(tag) = HeaderValue::from_str(&self.tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }
}

/// `t` from the top and `h` high in quarters of an hour, `c` from the left of `o` columns, `d` days from the left and `s` days wide.
fn places() -> String {
    let mut text = String::new();
    for number in 0..=QUARTERS {
        let _infallible = writeln!(text, ".t{number}{{--t:{number}}}.h{number}{{--h:{number}}}");
    }
    for number in 0..=COLUMNS {
        let _infallible = writeln!(
            text,
            ".c{number}{{--c:{number}}}.o{number}{{--o:{number}}}.d{number}{{--d:{number}}}.s{number}{{--s:{number}}}.r{number}{{--r:{number}}}"
        );
    }
    text
}

pub async fn style(headers: HeaderMap) -> Response {
    STYLE.answer(&headers)
}

pub async fn script(headers: HeaderMap) -> Response {
    SCRIPT.answer(&headers)
}

pub async fn icon(headers: HeaderMap) -> Response {
    ICON.answer(&headers)
}
