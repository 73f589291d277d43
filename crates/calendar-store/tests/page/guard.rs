//! What goes with every answer.

use axum::body::Body;
use http::Request;

use crate::site::{COOKIE, Site, titled};

#[tokio::test]
async fn whatever_is_answered_nothing_of_it_may_be_framed_sniffed_or_run() {
    let site = Site::new().await;
    site.store.commit("team", [titled("a", "2026-12-02", "2026-12-03")], &[]).await;
    for (path, status) in [
        ("/", 303),
        ("/calendars", 200),
        ("/calendars?namespace=rooms", 200),
        ("/calendars/rooms/team", 200),
        ("/calendars/rooms/team?date=x", 400),
        ("/calendars/rooms/none", 404),
        ("/calendars/rooms/secret", 403),
        ("/calendars/rooms/A", 400),
        ("/calendars/rooms", 404),
        ("/calendars/rooms/team/more/of/it", 404),
        ("/calendars/-/sign-in", 303),
        ("/calendars/-/page.css", 200),
        ("/calendars/-/page.js", 200),
        ("/calendars/-/icon.svg", 200),
        // Nothing below `-` is a namespace.
        ("/calendars/-/none", 400),
    ] {
        let answer = site.get(path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        let policy = answer.header("content-security-policy");
        for word in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.contains(word), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        let kept = answer.header("cache-control");
        assert_eq!(
            kept,
            if path.contains("page.") || path.contains("icon") { "public, no-cache" } else { "no-store" },
            "{path}"
        );
        let text = answer.text();
        for forbidden in [" style=", "<style", " onload=", " onclick=", "javascript:", "http://", "https://"] {
            let allowed = path.ends_with("svg") || path.ends_with("js") || path.ends_with("css");
            assert!(allowed || !text.contains(forbidden), "{path} has {forbidden}");
        }
        assert_eq!(
            text.matches("<script").count(),
            text.matches("<script type=\"module\" src=\"/calendars/-/page.js\">").count()
        );
    }
}

#[tokio::test]
async fn a_browser_that_has_style_and_script_is_told_so() {
    let site = Site::new().await;
    for path in ["/calendars/-/page.css", "/calendars/-/page.js", "/calendars/-/icon.svg"] {
        // Without signing in: they hold nothing of anybody.
        let first = site.get_with(path, &[]).await;
        let tag = first.header("etag");
        assert!(tag.len() > 30, "{tag}");
        let again = site.get_with(path, &[("if-none-match", tag)]).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path}");
        let other = site.get_with(path, &[("if-none-match", "W/\"other\"")]).await;
        assert_eq!(other.body, first.body, "{path}");
    }
}

#[tokio::test]
async fn pages_are_only_looked_at() {
    let site = Site::new().await;
    site.store.commit("team", [titled("a", "2026-12-02", "2026-12-03")], &[]).await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for path in ["/calendars", "/calendars/rooms/team", "/calendars/-/page.js", "/calendars/rooms/team/live"] {
            let request = Request::builder().method(method).uri(path).header(COOKIE.0, COOKIE.1);
            let answer = site.send(request, Body::empty()).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert!(answer.header("allow").contains("GET"), "{method} {path}");
        }
    }
    let head = site.send(Request::head("/calendars/rooms/team").header(COOKIE.0, COOKIE.1), Body::empty()).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}
