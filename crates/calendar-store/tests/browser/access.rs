//! Signing in and out, and what the browser keeps.

use calendar_sync::Event;
use fantoccini::Locator;
use serde_json::json;

use crate::site::Site;
use crate::store::event;

#[tokio::test]
async fn the_token_is_kept_where_no_script_and_no_other_path_gets_it() {
    let site = Site::start().await;
    let titled = Event { summary: Some("Review".to_owned()), ..event("a", "2026-12-02", "2026-12-03") };
    site.store.commit("team", [titled], &[]).await;
    let address = site.calendar("team", "view=day&timeZone=Etc%2FUTC");
    let view = site.open(&address).await;
    view.has(".bar").await;
    assert_eq!(view.tab.current_url().await.unwrap().as_str(), address, "it is led to what was asked for");
    assert_eq!(view.value("document.cookie").await, json!(""));
    let kept = view.tab.command("Network.getAllCookies", json!({})).await;
    let cookies = kept["cookies"].as_array().unwrap();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    let known = ["name", "path", "httpOnly", "sameSite", "secure", "session"].map(|field| cookies[0][field].clone());
    assert_eq!(json!(known), json!(["calendar-store", "/calendars", true, "Strict", false, true]));
    assert!(!view.tab.source().await.unwrap().contains("Bearer"));
    let requested = view.tab.requested().await;
    assert!(
        !requested.iter().any(|address| address.contains("token=") || address.contains("=reader")),
        "{requested:?}"
    );

    view.tab.find(Locator::Css(".top button")).await.unwrap().click().await.unwrap();
    view.has("input[name=token]").await;
    let kept = view.tab.command("Network.getAllCookies", json!({})).await;
    assert_eq!(kept["cookies"], json!([]));
    view.goto(&address).await;
    assert_eq!(view.text("h1").await, "Sign in");
    view.tab.close().await;
}

#[tokio::test]
async fn who_comes_by_a_link_of_another_site_need_not_sign_in_anew() {
    let (site, other) = (Site::start().await, Site::start().await);
    site.store.commit("team", [event("a", "2026-12-02", "2026-12-03")], &[]).await;
    let address = site.calendar("team", "timeZone=Etc%2FUTC");
    let view = site.open(&address).await;
    // Ports make no other site, another name does.
    let elsewhere = other.url("/calendars").replace("127.0.0.1", "elsewhere.localhost");
    view.goto(&elsewhere).await;
    view.value(&format!("(document.querySelector('.brand').href = '{address}')")).await;
    view.tab.find(Locator::Css(".brand")).await.unwrap().click().await.unwrap();
    view.has("#events").await;
    view.tab.close().await;
}
