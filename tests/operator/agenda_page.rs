//! From Cronofy to somebody's browser: the operator, a calendar store, and its page.

use std::collections::BTreeSet;
use std::sync::Arc;

use calendar_store::authority::{Authority, Settings};
use calendar_store::page;
use calendar_store::read::Bell;
use cronofy_sim::EventDraft;
use fantoccini::Locator;
use jiff::ToSpan as _;
use jiff::civil::time;
use jiff::tz::TimeZone;
use serde_json::json;
use testenv::eventually;
use tokio::net::TcpListener;

use crate::browser_tab::Tab;
use crate::served::Served;
use crate::support::calendar_store::{AUDIENCE, reader_token};
use crate::support::{Operator, PATIENCE, World, on};

#[tokio::test]
async fn an_event_that_is_moved_in_cronofy_moves_on_the_page_without_a_reload() {
    let (world, served) = (World::start("page").await, Served::sqlite().await);
    // In the morning, so that it is moved within its day: another day would be another place on the page.
    let begins = on(1, 0).to_zoned(TimeZone::UTC).with().time(time(9, 0, 0, 0)).build().unwrap().timestamp();
    world.sim.put_event(&world.account, EventDraft::new("Dentist", begins, begins + 1.hour()).uid("Dentist")).unwrap();
    let mut options = world.operator_options().await;
    let token = served.token_file();
    options.arguments =
        ["--store-url", &served.url(), "--store-token", token.to_str().unwrap()].map(str::to_owned).to_vec();
    let _operator = Operator::start(&options).await;
    world.subscribe("all", json!({ "store": { "type": "Remote" } })).await;
    world.ready("all").await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let settings = Settings { audience: AUDIENCE.to_owned(), writers: BTreeSet::new() };
    let authority = Arc::new(Authority::new(world.client.clone(), settings, served.database()));
    let pages = page::routes(served.database(), authority, &Bell::new());
    let task = tokio::spawn(async move { axum::serve(listener, pages).await.unwrap() });

    let tab = Tab::open().await;
    let address = format!("{origin}/calendars/{}/all?timeZone=Etc%2FUTC", world.ns());
    tab.goto(&address).await.unwrap();
    sign_in(&tab, &reader_token(&world, "all").await).await;
    let start = begins.strftime("%H:%M").to_string();
    shows(&tab, &["Dentist", &format!("{start} – ")]).await;
    is(&tab, "document.querySelector('#live.on') !== null").await;
    // Is gone if the page is loaded anew.
    tab.execute("window.stays = true", Vec::new()).await.unwrap();

    let (from, to) = (begins + 5.hours(), begins + 7.hours());
    world.sim.move_event("Dentist", from, to).unwrap();
    let moved = from.strftime("%H:%M").to_string();
    shows(&tab, &["Dentist", &moved]).await;
    is(&tab, "document.querySelector('#news').textContent.startsWith('Changed: ')").await;
    world.sim.rename_event("Dentist", "Dentist <b>moved</b>").unwrap();
    shows(&tab, &["Dentist <b>moved</b>"]).await;
    world.sim.delete_event("Dentist").unwrap();
    is(&tab, "!document.querySelector('#events').textContent.includes('Dentist')").await;
    is(&tab, "window.stays === true").await;
    let requested = tab.requested().await;
    let elsewhere: Vec<_> =
        requested.iter().filter(|address| !address.starts_with(&origin) && !address.starts_with("data:")).collect();
    assert!(elsewhere.is_empty(), "nothing is asked of anybody else: {elsewhere:?}");
    tab.close().await;
    task.abort();
}

async fn sign_in(tab: &Tab, token: &str) {
    tab.find(Locator::Css("[name=token]")).await.unwrap().send_keys(token).await.unwrap();
    tab.find(Locator::Css("main button")).await.unwrap().click().await.unwrap();
}

async fn shows(tab: &Tab, texts: &[&str]) {
    for text in texts {
        is(tab, &format!("document.querySelector('#events')?.textContent.includes({})", json!(text))).await;
    }
}

/// Waits until this expression is true on the page.
async fn is(tab: &Tab, expression: &str) {
    let script = format!("return {expression}");
    let is_true = async || {
        let value = tab.execute(&script, Vec::new()).await.ok()?;
        (value == json!(true)).then_some(())
    };
    if let Err(error) = eventually(expression, PATIENCE, is_true).await {
        panic!("{error}: {}", tab.source().await.unwrap());
    }
}
