//! Changes come to the page without loading it anew.

use calendar_sync::Event;
use serde_json::json;

use crate::site::Site;
use crate::store::event;

fn review(start: &str, end: &str) -> Event {
    Event { summary: Some("Review".to_owned()), ..event("review", start, end) }
}

#[tokio::test]
async fn a_change_comes_to_each_view_is_announced_and_leaves_the_focus_where_it_is() {
    let site = Site::start().await;
    let other =
        Event { summary: Some("Lunch".to_owned()), ..event("lunch", "2026-12-02T12:00:00Z", "2026-12-02T13:00:00Z") };
    site.store.commit("team", [other], &[]).await;
    let view = site.open(&site.calendar("team", "view=agenda&date=2026-12-02&timeZone=Etc%2FUTC")).await;
    for (kind, all) in [("agenda", ".line"), ("day", ".block"), ("week", ".block")] {
        site.store.commit("team", [review("2026-12-02T09:00:00Z", "2026-12-02T10:00:00Z")], &[]).await;
        view.goto(&site.calendar("team", &format!("view={kind}&date=2026-12-02&timeZone=Etc%2FUTC"))).await;
        view.has("#live.on").await;
        let before = view.texts(all).await;
        assert!(before.len() == 2 && before[0].contains("Review"), "{kind}: {before:?}");
        // Is gone if the page is loaded anew.
        view.value("(window.stays = true)").await;
        let focused = if kind == "agenda" { ".line + .line" } else { ".block:last-of-type a" };
        view.value(&format!("document.querySelector('{focused}').focus()")).await;
        let focused = view.value("document.activeElement.id").await;
        assert!(focused.as_str().is_some_and(|id| id.contains("e-")), "{kind}: {focused}");

        site.store.commit("team", [review("2026-12-02T14:30:00Z", "2026-12-02T15:00:00Z")], &[]).await;
        view.until("document.querySelector('#events').textContent.includes('14:30')").await;
        let after = view.texts(all).await;
        assert!(after.len() == 2 && after[1].contains("Review"), "{kind}: {after:?}");
        view.until("document.querySelector('#news').textContent.startsWith('Changed: ')").await;
        assert_eq!(view.value("document.activeElement.id").await, focused, "{kind}");
        assert_eq!(view.value("window.stays").await, json!(true), "{kind}");

        site.store.commit("team", [], &["review"]).await;
        view.until("!document.querySelector('#events').textContent.includes('Review')").await;
        view.until("document.querySelector('#news').textContent.startsWith('Gone: ')").await;
        assert_eq!(view.value("window.stays").await, json!(true), "{kind}");
    }
    view.ends_quietly().await;
}

#[tokio::test]
async fn what_is_open_stays_open_and_what_has_the_focus_and_goes_leaves_it_to_the_heading() {
    let site = Site::start().await;
    let text = |text: &str| Event {
        description: Some(text.to_owned()),
        ..review("2026-12-02T09:00:00Z", "2026-12-02T10:00:00Z")
    };
    site.store.commit("team", [text("first")], &[]).await;
    let view = site.open(&site.calendar("team", "timeZone=Etc%2FUTC")).await;
    view.has("#live.on").await;
    view.has(".line summary").await.click().await.unwrap();
    assert_eq!(view.text(".text").await, "first");
    site.store.commit("team", [text("second")], &[]).await;
    view.until("document.querySelector('.text').textContent === 'second'").await;
    assert_eq!(view.value("document.querySelector('.line details').open").await, json!(true));
    view.value("document.querySelector('.line').focus()").await;
    site.store.commit("team", [], &["review"]).await;
    view.until("document.activeElement.id === 'range'").await;
    view.ends_quietly().await;
}

#[tokio::test]
async fn whose_right_ends_is_told_so_at_the_next_change() {
    let site = Site::start().await;
    site.store.commit("team", [review("2026-12-02T09:00:00Z", "2026-12-02T10:00:00Z")], &[]).await;
    let view = site.open(&site.calendar("team", "timeZone=Etc%2FUTC")).await;
    view.has("#live.on").await;
    site.store.doorkeeper.refuses.store(true, std::sync::atomic::Ordering::SeqCst);
    site.store.commit("team", [review("2026-12-02T11:00:00Z", "2026-12-02T12:00:00Z")], &[]).await;
    view.until("document.querySelector('h1').textContent === 'Who asks may not do that'").await;
    assert!(!view.tab.source().await.unwrap().contains("Review"));
    view.tab.close().await;
}

#[tokio::test]
async fn what_is_erased_goes_from_the_page() {
    let site = Site::start().await;
    site.store.commit("team", [review("2026-12-02T09:00:00Z", "2026-12-02T10:00:00Z")], &[]).await;
    let view = site.open(&site.calendar("team", "timeZone=Etc%2FUTC")).await;
    view.has("#live.on").await;
    site.store.erase("team").await;
    view.until("document.querySelector('h1').textContent === 'There is nothing of that name'").await;
    assert!(!view.tab.source().await.unwrap().contains("Review"));
    view.tab.close().await;
}
