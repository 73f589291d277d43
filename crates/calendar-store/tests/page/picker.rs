//! Which calendar.

use crate::site::{Site, between};

#[tokio::test]
async fn names_are_listed_for_whoever_may_list_them_page_by_page() {
    let site = Site::new().await;
    for number in 0..250 {
        site.store.commit(&format!("room-{number:03}"), [], &[]).await;
    }
    let empty = site.get("/calendars").await.text();
    assert!(!empty.contains("room-"), "nothing is listed before a namespace is given");
    let (mut address, mut names) = ("/calendars?namespace=rooms".to_owned(), Vec::new());
    for _page in 0..3 {
        let text = site.get(&address).await.text();
        names.extend(between(&text, "<li><a href=\"", "\"").into_iter().map(str::to_owned));
        let more = between(&text, "<p class=\"more\"><a href=\"", "\"").first().map(|link| link.replace("&amp;", "&"));
        match more {
            Some(more) => address = more,
            None => break,
        }
    }
    let expected: Vec<String> = (0..250).map(|number| format!("/calendars/rooms/room-{number:03}")).collect();
    assert_eq!(names, expected);
    assert!(site.get("/calendars?namespace=rooms&after=zzz").await.text().contains("None is kept here"));
}

#[tokio::test]
async fn who_may_not_list_can_give_the_name() {
    let site = Site::new().await;
    let text = site.get("/calendars?namespace=elsewhere").await.text();
    assert!(text.contains("grant list in that namespace") && text.contains("If you know the name"), "{text}");
    let led = site.get("/calendars?namespace=elsewhere&name=team").await;
    assert_eq!((led.status.as_u16(), led.header("location")), (303, "/calendars/elsewhere/team"));
    for (query, field) in [
        ("namespace=A", "namespace"),
        ("namespace=..", "namespace"),
        ("namespace=rooms&name=a/b", "name"),
        ("namespace=rooms&name=%0D%0ALocation:x", "name"),
        ("namespace=rooms&after=%27", "after"),
        ("other=1", "other"),
    ] {
        let refused = site.get(&format!("/calendars?{query}")).await;
        assert_eq!(refused.status, 400, "{query}");
        assert!(refused.text().contains(&format!("<code>{field}</code>")), "{query}: {}", refused.text());
    }
    // Whether there is such a calendar is told to nobody who is not known.
    let stranger = site.get_with("/calendars?namespace=elsewhere&name=team", &[]).await;
    assert_eq!(stranger.status, 401);
}
