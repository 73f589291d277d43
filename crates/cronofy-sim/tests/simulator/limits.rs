//! Section 11 of the API: rate limits, per application, and how a refusal says when to come again.

use std::time::Duration;

use cronofy_sim::{RetryAfter, Settings};

use crate::support::{CLIENT_ID, World, event};

async fn limited(per_second: usize, per_minute: usize, change: impl FnOnce(&mut Settings)) -> World {
    let world = World::start().await;
    world.sim.settings(|settings| {
        settings.rate_limit = Some((per_second, per_minute));
        change(settings);
    });
    world
}

async fn statuses(world: &World, calls: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..calls {
        statuses.push(world.get("/v1/userinfo").await.status);
    }
    statuses
}

#[test]
fn the_documented_limits_are_the_default() {
    assert_eq!(Settings::default().rate_limit, Some((50, 500)));
}

#[tokio::test]
async fn requests_are_counted_by_the_second_and_by_the_minute() {
    let world = limited(3, 5, |_| {}).await;
    assert_eq!(statuses(&world, 4).await, [200, 200, 200, 429]);
    world.sim.advance(Duration::from_secs(1)).await;
    assert_eq!(statuses(&world, 3).await, [200, 200, 429], "five in the minute");
    let refused = world.get("/v1/userinfo").await;
    assert_eq!(refused.header("retry-after"), Some("60"));
    world.sim.advance(Duration::from_secs(59)).await;
    assert_eq!(statuses(&world, 4).await, [200, 200, 200, 429], "the first three are a minute old");
    world.sim.settings(|settings| settings.rate_limit = None);
    assert_eq!(statuses(&world, 20).await, [200; 20]);
}

#[tokio::test]
async fn the_limit_is_the_applications_not_the_accounts() {
    let mut world = limited(2, 100, |_| {}).await;
    let other = world.sim.add_account(cronofy_sim::AccountDraft::default());
    world.sim.add_application("second", &["CRN_second"]);
    let of_other = world.sim.issue_refresh_token(&other, CLIENT_ID);
    let of_second = world.sim.issue_refresh_token(&world.account, "second");
    world.sim.settings(|settings| settings.rate_limit_tokens = false);
    let mine = std::mem::take(&mut world.token);
    world.token = world.refresh(&of_other).await.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(statuses(&world, 2).await, [200, 200]);
    world.token = mine;
    assert_eq!(statuses(&world, 1).await, [429], "another account of the same application");
    let fields = serde_json::json!({
        "client_id": "second", "client_secret": "CRN_second", "grant_type": "refresh_token", "refresh_token": of_second,
    });
    let tokens = world.anonymous("/oauth/token", &fields).await.json();
    tokens["access_token"].as_str().unwrap().clone_into(&mut world.token);
    assert_eq!(statuses(&world, 1).await, [200], "the same account, another application");
}

#[tokio::test]
async fn a_refusal_says_when_to_come_again_as_the_switch_says() {
    for (switch, header) in [
        (RetryAfter::Seconds, Some("1")),
        (RetryAfter::Date, Some("Wed, 25 Nov 2026 12:00:01 GMT")),
        (RetryAfter::Absent, None),
    ] {
        let world = limited(0, 100, |settings| settings.retry_after = switch).await;
        let refused = world.get("/v1/userinfo").await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, header), "{switch:?}");
    }
}

#[tokio::test]
async fn whether_token_requests_and_pages_count_are_switches() {
    for (counted, status) in [(true, 429), (false, 200)] {
        let world = limited(1, 100, |settings| settings.rate_limit_tokens = counted).await;
        let tokens = [(), ()].map(|()| world.sim.issue_refresh_token(&world.account, CLIENT_ID));
        assert_eq!(world.refresh(&tokens[0]).await.status, 200);
        assert_eq!(world.refresh(&tokens[1]).await.status, status, "token requests count: {counted}");

        let world = limited(1, 100, |settings| {
            settings.rate_limit_pages = counted;
            settings.page_size = 1;
        })
        .await;
        for uid in ["one", "two"] {
            world.sim.put_event(&world.calendar, event(uid, "2026-12-01T09:00:00Z")).unwrap();
        }
        let next = world.read(&[]).await.next_page().unwrap();
        assert_eq!(world.get(&next).await.status, status, "pages count: {counted}");
    }
}
