//! Section 8.1 of the API: pages, and all that can happen between them.

use std::time::Duration;

use cronofy_sim::{Answer as Faulty, Endpoint, Fault, Paging, Settings};

use crate::support::{Answer, World, event};

/// A calendar of seven events, three to a page.
async fn seven(change: impl FnOnce(&mut Settings)) -> World {
    let world = World::with(|settings| {
        settings.page_size = 3;
        change(settings);
    })
    .await;
    for day in 1..=7 {
        let start = format!("2026-12-{day:02}T09:00:00Z");
        world.sim.put_event(&world.calendar, event(&format!("e{day}"), &start)).unwrap();
    }
    world
}

/// All pages, until there is no next one.
async fn all(world: &World) -> Vec<Answer> {
    let mut pages = vec![world.read(&[]).await];
    while let Some(next) = pages.last().and_then(Answer::next_page) {
        pages.push(world.get(&next).await);
    }
    pages
}

#[tokio::test]
async fn pages_are_followed_by_absolute_urls_until_there_is_none() {
    for (size, pages) in [(1, 7), (3, 3), (7, 1), (100, 1)] {
        let world = seven(|settings| settings.page_size = size).await;
        let read = all(&world).await;
        assert_eq!(read.len(), pages);
        for (index, page) in read.iter().enumerate() {
            let about = page.json()["pages"].clone();
            assert_eq!(
                (about["current"].as_u64(), about["total"].as_u64()),
                (Some(index as u64 + 1), Some(pages as u64))
            );
            let last = index + 1 == pages;
            assert_eq!(about.get("next_page").is_none(), last, "absent on the last page only");
            assert!(last || page.next_page().unwrap().starts_with(&world.sim.api_url()));
        }
        let uids: Vec<String> = read.iter().flat_map(Answer::uids).collect();
        assert_eq!(uids, ["e1", "e2", "e3", "e4", "e5", "e6", "e7"]);
    }
}

#[tokio::test]
async fn a_page_can_be_read_again_but_not_by_another_account_or_without_a_token() {
    let mut world = seven(|_| {}).await;
    let next = world.read(&[]).await.next_page().unwrap();
    assert_eq!(world.get(&next).await.uids(), world.get(&next).await.uids());
    let other = world.sim.add_account(cronofy_sim::AccountDraft::default());
    world.token = world.token_of(&other).await;
    assert_eq!(world.get(&next).await.status, 404);
    world.token = String::new();
    assert_eq!(world.get(&next).await.status, 401);
    world.token = world.fresh_token().await;
    for unknown in ["abc", "abc-2", "", "abc-x"] {
        assert_eq!(world.get(&format!("/v1/events/pages/{unknown}")).await.status, 404, "{unknown:?}");
    }
}

#[tokio::test]
async fn the_last_page_says_null_or_nothing() {
    let world = seven(|settings| settings.next_page_null = true).await;
    let pages = all(&world).await;
    assert_eq!(pages.len(), 3);
    assert!(pages[2].json()["pages"].as_object().unwrap()["next_page"].is_null());
}

#[tokio::test]
async fn the_url_of_a_page_ends_when_the_switch_says() {
    let world = seven(|settings| settings.page_lifetime = Some(Duration::from_mins(5))).await;
    let next = world.read(&[]).await.next_page().unwrap();
    world.sim.advance(Duration::from_secs(299)).await;
    let third = world.get(&next).await.next_page().unwrap();
    world.sim.advance(Duration::from_mins(5)).await;
    assert_eq!(world.get(&third).await.status, 404);
    world.sim.settings(|settings| settings.page_lifetime = None);
    world.sim.advance(Duration::from_mins(10)).await;
    assert_eq!(world.get(&third).await.status, 200);
}

#[tokio::test]
async fn a_page_of_any_number_can_be_gone() {
    let world = seven(|settings| settings.page_gone = Some(3)).await;
    let second = world.read(&[]).await.next_page().unwrap();
    let third = world.get(&second).await.next_page().unwrap();
    assert_eq!(world.get(&third).await.status, 404);
    world.sim.settings(|settings| settings.page_gone = Some(2));
    assert_eq!(world.get(&third).await.status, 200);
}

#[tokio::test]
async fn what_changes_between_pages_is_seen_or_not() {
    for (switch, second_page) in [(Paging::Snapshot, ["e4", "e5", "e6"]), (Paging::Live, ["e5", "e6", "e7"])] {
        let world = seven(|settings| settings.paging = switch).await;
        let next = world.read(&[]).await.next_page().unwrap();
        world.sim.delete_event("e1").unwrap();
        assert_eq!(world.get(&next).await.uids(), second_page, "{switch:?}: e4 slipped over the edge");
    }
}

#[tokio::test]
async fn an_event_can_stand_on_two_pages() {
    let world = seven(|settings| settings.repeat_across_pages = true).await;
    let pages: Vec<Vec<String>> = all(&world).await.iter().map(Answer::uids).collect();
    assert_eq!(pages, [vec!["e1", "e2", "e3"], vec!["e3", "e4", "e5", "e6"], vec!["e6", "e7"]]);
}

#[tokio::test]
async fn the_second_page_can_be_followed_by_itself_for_ever() {
    for (size, uids) in [(3, ["e4", "e5", "e6"]), (4, ["e5", "e6", "e7"])] {
        let world = seven(|settings| (settings.page_size, settings.circular_next_page) = (size, true)).await;
        let second = world.read(&[]).await.next_page().unwrap();
        for _ in 0..5 {
            let page = world.get(&second).await;
            assert_eq!(page.uids(), uids, "{size} events to a page");
            assert_eq!(page.next_page().as_deref(), Some(second.as_str()), "{size} events to a page");
        }
    }
    let world = seven(|settings| (settings.page_size, settings.circular_next_page) = (7, true)).await;
    assert_eq!(world.read(&[]).await.next_page(), None, "what stands on one page has no second");
}

#[tokio::test]
async fn the_next_page_can_be_on_a_foreign_host() {
    let world = seven(|settings| settings.foreign_next_page = true).await;
    let next = world.read(&[]).await.next_page().unwrap();
    assert!(next.starts_with("https://elsewhere.invalid/"));
    world.sim.settings(|settings| settings.foreign_next_page = false);
    world.sim.inject(Fault::next(1, Endpoint::Events, Faulty::ForeignPage));
    assert_eq!(world.read(&[]).await.next_page(), Some(next));
    assert!(world.read(&[]).await.next_page().unwrap().starts_with(&world.sim.api_url()));
}
