//! However much there is, a page is bounded, and what it leaves out is reached from it.

use std::collections::BTreeSet;

use crate::site::{Site, between, titled};

/// A page may not be larger, whatever is asked.
const LARGEST: usize = 1 << 20;

fn many(count: usize, date: &str) -> Vec<calendar_sync::Event> {
    let at = |minute: usize| format!("{date}T{:02}:{:02}:00Z", minute / 60, minute % 60);
    (0..count)
        .map(|number| titled(&format!("{date} {number:04}"), &at(number % 1380), &at(number % 1380 + 45)))
        .collect()
}

#[tokio::test]
async fn a_crowded_day_says_how_many_are_left_out_and_leads_to_all_of_them() {
    let site = Site::new().await;
    site.store.commit("team", many(900, "2026-12-02"), &[]).await;
    site.store.commit("team", many(500, "2026-12-03"), &[]).await;
    for view in ["day", "week"] {
        let page = site.team(&format!("view={view}&date=2026-12-02")).await.text();
        assert!(page.len() < LARGEST, "{view} has {} bytes", page.len());
        let shown = page.matches("<li class=\"block").count();
        let left: usize = between(&page, "\">and ", " more").iter().map(|count| count.parse::<usize>().unwrap()).sum();
        let looked_at = if view == "day" { 900 } else { 1000 };
        assert!(shown > 20 && shown + left == looked_at, "{view}: {shown} and {left}");
        assert_eq!(page.contains("too many events for this view"), view == "week");
    }

    let mut address = "/calendars/rooms/team?view=agenda&date=2026-12-02".to_owned();
    let mut seen = BTreeSet::new();
    for _page in 0..12 {
        let page = site.get(&address).await.text();
        assert!(page.len() < LARGEST, "{} bytes", page.len());
        seen.extend(between(&page, "<bdi class=\"what\" dir=\"auto\">", "</bdi>").into_iter().map(str::to_owned));
        match between(&page, "<p class=\"more\"><a href=\"", "\"").first() {
            Some(more) => address = more.replace("&amp;", "&"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 1400, "every event is reached by the links");
}

#[tokio::test]
async fn long_texts_and_long_events_are_cut() {
    let site = Site::new().await;
    let text = "x".repeat(20_000);
    let events = (0..300).map(|number| calendar_sync::Event {
        summary: Some(text.clone()),
        location: Some(text.clone()),
        ..titled(&format!("{number}"), "2026-01-01", "2027-01-01")
    });
    site.store.commit("team", events, &[]).await;
    for view in ["agenda", "day", "week"] {
        let page = site.team(&format!("view={view}&date=2026-12-02")).await;
        assert!(page.status == 200 && page.body.len() < LARGEST, "{view}: {} bytes", page.body.len());
    }
}

#[tokio::test]
async fn a_list_that_ends_within_days_goes_on_where_it_ended() {
    let site = Site::new().await;
    // Each on all days: no two days are within the bound.
    let events: Vec<_> = (0..250).map(|number| titled(&format!("{number:03}"), "2026-11-01", "2027-02-01")).collect();
    site.store.commit("team", events, &[]).await;
    let page = site.team("date=2026-12-02").await.text();
    let days = between(&page, "<h3 id=\"d-", "\"");
    assert_eq!(days, ["2026-12-02", "2026-12-03"]);
    assert!(page.contains("view=agenda&amp;date=2026-12-04\">More events"), "{page}");
}
