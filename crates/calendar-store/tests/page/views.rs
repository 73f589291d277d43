//! What the views show.

use calendar_sync::Event;
use http::StatusCode;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::site::{COOKIE, Site, between, titled};
use crate::store::event;

const VIEWS: [&str; 3] = ["agenda", "day", "week"];

/// Titles in the order of the page.
fn titles(text: &str) -> Vec<&str> {
    between(text, "<bdi class=\"what\" dir=\"auto\">", "</bdi>")
}

#[tokio::test]
async fn text_of_a_calendar_is_text_in_every_view() {
    let site = Site::new().await;
    let hostile = "</title><script>alert(1)</script>\"'&<b>";
    let text = || Some(hostile.to_owned());
    let event = Event {
        summary: text(),
        location: text(),
        description: text(),
        meeting_url: Some("javascript:alert(1)".to_owned()),
        calendar_id: hostile.to_owned(),
        ..event(hostile, "2026-12-02T10:00:00Z", "2026-12-02T11:00:00Z")
    };
    site.store.commit("team", [event], &[]).await;
    for view in VIEWS {
        let page = site.team(&format!("view={view}")).await.text();
        assert_eq!(
            titles(&page).first(),
            Some(&"&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;'&amp;&lt;b&gt;"),
            "{page}"
        );
        assert!(!page.contains("<script>alert") && !page.contains("javascript:"), "{page}");
    }
}

#[tokio::test]
async fn what_may_not_be_known_is_busy_or_free() {
    let site = Site::new().await;
    let (start, end) = ("2026-12-02T10:00:00Z", "2026-12-02T11:00:00Z");
    let events = [
        event("busy", start, end),
        Event { transparency: Some("transparent".to_owned()), ..event("free", start, end) },
        Event { summary: Some("  ".to_owned()), ..event("untitled", start, end) },
        Event { status: Some("cancelled".to_owned()), ..titled("cancelled", start, end) },
        Event { participation: Some("declined".to_owned()), ..titled("declined", start, end) },
        Event { status: Some("tentative".to_owned()), ..titled("tentative", start, end) },
    ];
    site.store.commit("team", events, &[]).await;
    for view in VIEWS {
        let page = site.team(&format!("view={view}")).await.text();
        let shown = titles(&page);
        for title in ["Busy", "Free", "(no title)"] {
            assert!(view == "week" || shown.contains(&title), "{view}: {shown:?}");
        }
        if view != "week" {
            for word in ["cancelled", "declined", "tentative"] {
                assert!(page.contains(&format!("<span class=\"state\">{word}</span>")), "{view}: {word}");
            }
        }
    }
}

#[tokio::test]
async fn the_agenda_lists_each_day_that_an_event_takes() {
    let site = Site::new().await;
    let events = [
        titled("shift", "2026-11-30", "2026-12-04"),
        titled("night", "2026-12-02T22:30:00Z", "2026-12-03T05:00:00Z"),
        titled("moment", "2026-12-02T10:00:00Z", "2026-12-02T10:00:00Z"),
        titled("far", "2026-12-16", "2026-12-17"),
    ];
    site.store.commit("team", events, &[]).await;
    let page = site.team("timeZone=Europe%2FBerlin").await.text();
    let days = between(&page, "<h3 id=\"d-", "\"");
    assert_eq!(days, ["2026-12-02", "2026-12-03"], "from today on");
    assert_eq!(
        titles(&page),
        ["Title of shift", "Title of moment", "Title of night", "Title of shift", "Title of night"]
    );
    let parts = between(&page, "<span class=\"part\">", "</span>");
    assert_eq!(parts, ["day 3 of 4", "day 1 of 2", "day 4 of 4", "day 2 of 2"]);
    let whens: Vec<String> = between(&page, "<p class=\"when\">", "</p>").into_iter().map(plain).collect();
    assert_eq!(whens, ["All day", "11:00", "from 23:30", "All day", "until 06:00"]);
    assert!(page.contains("datetime=\"2026-12-02T23:30:00+01:00\""), "{page}");
    let next = site.team("timeZone=Europe%2FBerlin&date=2026-12-16").await.text();
    assert_eq!(titles(&next), ["Title of far"]);
    assert!(site.team("date=2027-12-16").await.text().contains("Nothing is on in these days."));
}

/// A text without its markup.
fn plain(markup: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for character in markup.chars() {
        match character {
            '<' => inside = true,
            '>' => inside = false,
            _ if !inside => text.push(character),
            _ => {}
        }
    }
    text
}

#[tokio::test]
async fn a_week_begins_on_monday_and_links_lead_to_those_around_it() {
    let site = Site::new().await;
    site.store.commit("team", [titled("sunday", "2026-12-06T22:00:00Z", "2026-12-06T23:00:00Z")], &[]).await;
    for date in ["2026-11-30", "2026-12-02", "2026-12-06"] {
        let page = site.team(&format!("view=week&date={date}")).await.text();
        assert!(page.contains("30 November – 6 December 2026"), "{page}");
        assert_eq!(titles(&page), ["Title of sunday"], "{date}");
    }
    // An hour later it is Monday in Berlin's summer, and in Tokyo it is Monday already.
    let tokyo = site.team("view=week&date=2026-12-06&timeZone=Asia%2FTokyo").await.text();
    assert!(titles(&tokyo).is_empty());
    let page = site.team("view=week&date=2026-12-06&timeZone=Asia%2FTokyo").await.text();
    for link in [
        "view=week&amp;date=2026-11-29&amp;timeZone=Asia%2FTokyo",
        "view=week&amp;date=2026-12-13",
        "view=week&amp;date=2026-12-02",
        "view=day&amp;date=2026-12-06",
        "view=agenda&amp;date=2026-12-06",
    ] {
        assert!(page.contains(link), "{link}: {page}");
    }
    for edge in ["1901-01-01", "2199-12-31"] {
        for view in VIEWS {
            assert_eq!(site.team(&format!("view={view}&date={edge}")).await.status, 200, "{view} {edge}");
        }
    }
}

#[tokio::test]
async fn days_on_which_clocks_change_say_so_and_have_their_hours() {
    let site = Site::new().await;
    site.store.commit("team", [titled("late", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z")], &[]).await;
    let hours = |page: &str| between(page, "<span class=\"t", "</span>").len();
    let day = site.team("view=day&date=2026-10-25&timeZone=Europe%2FBerlin").await.text();
    assert!(day.contains("Clocks go back an hour"), "{day}");
    // From 2:00 to 20:00 with one hour twice, of which the event takes half each.
    assert_eq!(hours(&day), 19, "{day}");
    assert!(day.contains("again") && day.contains("<time datetime=\"2026-10-25T02:30:00+02:00\">02:30</time>–<time datetime=\"2026-10-25T02:30:00+01:00\">02:30</time>"), "{day}");
    let spring = site.team("view=day&date=2026-03-29&timeZone=Europe%2FBerlin").await.text();
    assert!(spring.contains("Clocks go forward an hour"));
    assert_eq!(hours(&spring), 13);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_field_and_a_remedy() {
    let site = Site::new().await;
    site.store.commit("team", [], &[]).await;
    for (query, field) in [
        ("view=month", "view"),
        ("date=2026-02-30", "date"),
        ("date=tomorrow", "date"),
        ("date=1900-12-31", "date"),
        ("date=2200-01-01", "date"),
        ("date=%2B002026-01-01", "date"),
        ("timeZone=Berlin", "timeZone"),
        ("timeZone=..%2F..%2Fetc%2Fpasswd", "timeZone"),
        ("timeZone=%3Cscript%3E", "timeZone"),
        ("after=x", "after"),
        ("date=2026-12-01&date=2026-12-02", "date"),
        ("q=1", "q"),
        ("date=%FF", "date"),
    ] {
        let refused = site.team(query).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{query}");
        let text = refused.text();
        assert!(text.contains(&format!("This is about <code>{field}</code>")), "{query}: {text}");
        assert!(!text.contains("<script>"), "{text}");
    }
    // What a form sends empty is as if it were not sent.
    assert_eq!(site.team("view=&date=&timeZone=").await.status, 200);
}

#[tokio::test]
async fn refusals_are_pages() {
    let site = Site::new().await;
    site.store.commit("team", [titled("a", "2026-12-02", "2026-12-03")], &[]).await;
    for (path, status, title) in [
        ("/calendars/rooms/secret", 403, "Who asks may not do that"),
        ("/calendars/rooms/none", 404, "There is nothing of that name"),
        ("/calendars/rooms/team/", 404, "There is nothing of that name"),
    ] {
        let refused = site.get(path).await;
        assert_eq!(
            (refused.status.as_u16(), refused.header("content-type")),
            (status, "text/html; charset=utf-8"),
            "{path}"
        );
        let text = refused.text();
        assert!(text.contains(&format!("<h1>{title}</h1>")) && text.contains("<html lang=\"en\">"), "{text}");
    }
    site.store.database.close().await;
    let refused = site.get("/calendars/rooms/team").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        refused.text().contains("try again in a moment") && refused.text().contains("Try again</a>"),
        "{}",
        refused.text()
    );
}

#[tokio::test]
async fn the_stream_of_a_page_is_that_of_the_api_by_the_cookie() {
    let site = Site::new().await;
    site.store.commit("team", [titled("a", "2026-12-02", "2026-12-03")], &[]).await;
    let page = site.team("").await.text();
    let sequence = between(&page, "data-sequence=\"", "\"")[0];
    let path = format!("/calendars/rooms/team/live?since={sequence}");
    let request = http::Request::get(&path).header(COOKIE.0, COOKIE.1).body(axum::body::Body::empty()).unwrap();
    let mut stream = site.router.clone().oneshot(request).await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    site.store.commit("team", [titled("b", "2026-12-02", "2026-12-03")], &[]).await;
    let told = stream.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    let told = String::from_utf8(told.to_vec()).unwrap();
    assert!(told.contains("event: change") && told.contains("Title of b") && !told.contains("Title of a"), "{told}");

    for (path, status) in [
        ("/calendars/rooms/team/live?since=x", 400),
        ("/calendars/rooms/none/live", 404),
        ("/calendars/rooms/secret/live", 403),
        ("/calendars/rooms/team/live?token=feed", 400),
    ] {
        assert_eq!(site.get(path).await.status, status, "{path}");
    }
}
