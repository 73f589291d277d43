//! The views, with and without scripts, by mouse and by keys.

use calendar_sync::Event;
use fantoccini::Locator;
use fantoccini::key::Key;
use serde_json::json;

use crate::site::Site;
use crate::store::event;

fn titled(id: &str, (start, end): (&str, &str)) -> Event {
    Event { summary: Some(format!("Title of {id}")), ..event(id, start, end) }
}

async fn site() -> Site {
    let site = Site::start().await;
    let events = [
        titled("whole", ("2026-12-01", "2026-12-04")),
        titled("early", ("2026-12-02T09:00:00Z", "2026-12-02T11:00:00Z")),
        titled("overlapping", ("2026-12-02T10:00:00Z", "2026-12-02T12:00:00Z")),
        titled("night", ("2026-12-02T22:00:00Z", "2026-12-03T02:00:00Z")),
    ];
    site.store.commit("team", events, &[]).await;
    site
}

#[tokio::test]
async fn all_views_and_forms_work_without_scripts() {
    let site = site().await;
    let view = site.stranger("about:blank").await;
    view.without_scripts().await;
    view.goto(&site.url("/")).await;
    view.tab.find(Locator::Css("[name=token]")).await.unwrap().send_keys("reader").await.unwrap();
    view.tab.find(Locator::Css("main button")).await.unwrap().click().await.unwrap();
    view.has("input[name=namespace]").await.send_keys("rooms").await.unwrap();
    view.tab.find(Locator::Css("main button")).await.unwrap().click().await.unwrap();
    view.has(".names a").await.click().await.unwrap();
    assert_eq!(view.text(".count").await, "4 events");
    assert_eq!(view.text(".line .what").await, "Title of whole");
    for (link, shown) in [("Week", ".block"), ("Day", ".block"), ("Agenda", ".line")] {
        view.tab.find(Locator::LinkText(link)).await.unwrap().click().await.unwrap();
        view.has(shown).await;
        assert_eq!(view.text(".views [aria-current]").await, link);
    }
    view.tab.find(Locator::LinkText("Day")).await.unwrap().click().await.unwrap();
    view.has(".block a").await.click().await.unwrap();
    assert!(view.has(".line:target").await.text().await.unwrap().contains("Title of early"));
    let zone = view.tab.find(Locator::Css("[name=timeZone]")).await.unwrap();
    zone.clear().await.unwrap();
    zone.send_keys("Asia/Tokyo").await.unwrap();
    view.tab.find(Locator::Css(".choices button")).await.unwrap().click().await.unwrap();
    let times = view.text(".foot").await;
    assert!(times.contains("Asia/Tokyo"), "{times}");
    view.tab.find(Locator::Css(".top button")).await.unwrap().click().await.unwrap();
    assert_eq!(view.text("h1").await, "Sign in");
    let complaints = view.tab.complaints().await;
    // That who is not known is refused, at the beginning and at the end.
    assert!(complaints.iter().all(|line| line.contains("401")), "{complaints:?}");
    view.ends_quietly().await;
}

#[tokio::test]
async fn events_that_overlap_stand_side_by_side_at_their_hours() {
    let site = site().await;
    let view = site.open(&site.calendar("team", "view=week&date=2026-12-02&timeZone=Etc%2FUTC")).await;
    view.looks("light", (1280, 900)).await;
    let boxes = "[...document.querySelectorAll('.block')].map((e) => { const r = e.getBoundingClientRect(); \
                 return [r.left, r.top, r.right, r.bottom].map(Math.round) })";
    let boxes: Vec<[i64; 4]> = serde_json::from_value(view.value(boxes).await).unwrap();
    let [early, overlapping, night, morning] = boxes[..] else { panic!("{boxes:?}") };
    assert!(early[2] <= overlapping[0] + 1, "side by side: {boxes:?}");
    let hour = (early[3] - early[1]) / 2;
    assert!(
        (overlapping[1] - early[1] - hour).abs() <= 1 && (night[1] - early[1] - 13 * hour).abs() <= 13,
        "{boxes:?}"
    );
    assert!(morning[0] > night[0] && morning[1] < early[1], "on the day after, at its top: {boxes:?}");
    let bar: [f64; 2] = serde_json::from_value(
        view.value(
            "(() => { const r = document.querySelector('.bar').getBoundingClientRect(); return [r.left, r.width] })()",
        )
        .await,
    )
    .unwrap();
    let day = view.value("document.querySelector('.day').getBoundingClientRect().width").await.as_f64().unwrap();
    assert!((bar[1] / day - 3.0).abs() < 0.1, "over three days: {bar:?} of {day}");
    let line = view
        .value("(() => { const now = document.querySelector('.now').getBoundingClientRect().top; return now })()")
        .await;
    // 9:20 is shown by its quarter of an hour.
    let expected = f64::from(i32::try_from(early[1]).unwrap()) + f64::from(i32::try_from(hour).unwrap()) / 4.0;
    assert!((line.as_f64().unwrap() - expected).abs() < 3.0, "{line} {boxes:?}");
    view.ends_quietly().await;
}

#[tokio::test]
async fn everything_is_reached_by_keys() {
    let site = site().await;
    let view = site.open(&site.calendar("team", "view=week&date=2026-12-02&timeZone=Etc%2FUTC")).await;
    view.has("#live.on").await;
    // The first thing that Tab reaches leads past what all pages have.
    view.press(Key::Tab).await;
    assert_eq!(view.value("document.activeElement.textContent").await, json!("Skip to the content"));
    view.press(Key::Enter).await;
    view.until("document.activeElement.id === 'main'").await;
    let mut reached = Vec::new();
    for _ in 0..40 {
        view.press(Key::Tab).await;
        let focused = "(() => { const e = document.activeElement; return [e.textContent.replace(/\\s+/g, ' ').trim(), \
                       getComputedStyle(e).outlineStyle, e.outerHTML.slice(0, 200), String(!!e.closest('main'))] })()";
        let [text, outline, html, inside]: [String; 4] = serde_json::from_value(view.value(focused).await).unwrap();
        if inside == "false" {
            break;
        }
        assert_ne!(outline, "none", "what has the focus is seen: {html}");
        reached.push(text);
    }
    for expected in [
        "Agenda",
        "Day",
        "Week",
        "Previous week",
        "Today",
        "Next week",
        "Show",
        "Title of whole",
        "Title of early",
        "Title of night",
    ] {
        assert!(reached.iter().any(|text| text.contains(expected)), "{expected} is not among {reached:?}");
    }
    let addresses = [
        ('n', "date=2026-12-09"),
        ('p', "date=2026-12-02"),
        ('d', "view=day"),
        ('a', "view=agenda"),
        ('w', "view=week"),
        ('n', "date=2026-12-09"),
        ('t', "date=2026-12-02"),
    ];
    for (key, expected) in addresses {
        view.press(key).await;
        view.until(&format!("location.search.includes('{expected}')")).await;
        view.has("#live.on").await;
    }
    // They do nothing in a field, and nothing once they are switched off.
    view.has("input[name=timeZone]").await.send_keys("n").await.unwrap();
    view.has("#keys summary").await.click().await.unwrap();
    view.has("#use-keys").await.click().await.unwrap();
    view.press('n').await;
    view.goto(&site.calendar("team", "view=day&date=2026-12-02&timeZone=Etc%2FUTC")).await;
    view.has("#live.on").await;
    view.press('n').await;
    view.until("location.search.includes('date=2026-12-02')").await;
    assert_eq!(view.value("document.getElementById('use-keys').checked").await, json!(false));
    view.ends_quietly().await;
}

#[tokio::test]
async fn the_zone_is_that_of_who_looks_unless_another_is_chosen() {
    let site = site().await;
    let view = site.open(&site.url("/calendars")).await;
    view.zone("America/New_York").await;
    view.goto(&site.calendar("team", "date=2026-12-02")).await;
    view.until("location.search.includes('timeZone=America%2FNew_York')").await;
    view.until("document.querySelector('#events')?.textContent.includes('04:00')").await;
    view.goto(&site.calendar("team", "date=2026-12-02&timeZone=Asia%2FKolkata")).await;
    view.has("#live.on").await;
    assert!(view.text("#events").await.contains("14:30"));
    view.ends_quietly().await;
}
