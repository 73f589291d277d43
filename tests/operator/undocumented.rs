//! Where Cronofy's documentation is silent, anything may hold. Each row is one value of one switch of the simulator: a subscription
//! lives with it from its first read to its deletion, all on one operator, each with a Cronofy of its own.

use std::time::Duration;

use cronofy_operator::api::CalendarSubscription;
use cronofy_sim::{
    Answer, CalendarMove, ChangesSince, ConcurrentRefresh, DuplicateCreate, Endpoint, EventDraft, EventTimes, Fault,
    Gdpr, NotificationForm, Notifications, OutsideWindow, Paging, RefreshWhileValid, Retries, RetryAfter, Rotation,
    Scope, Settings, Signature, Tombstones, Verification, When,
};
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use kube::api::DeleteParams;
use serde_json::{Value, json};
use testenv::eventually;

use crate::support::past::age_field;
use crate::support::world::CLIENT_ID;
use crate::support::{PATIENCE, condition, on};
use crate::trouble::bench::{Bench, Told, Trial};

const SECOND: Duration = Duration::from_secs(1);

/// What else a life needs so that the switch matters in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Twist {
    None,
    /// It asks for two calendars by name, in another order than they are sent in, and the answer to the create is lost.
    Calendars,
    /// The answer to the create is lost.
    LostCreate,
    /// The channel is given up and made anew, so that there is a closed one.
    Remade,
    /// Deletions are found by full reads only.
    NoTombstones,
    /// No change is told.
    Untold,
    /// Events have no titles.
    Untitled,
    /// Nothing but a change proves that the channel is reached.
    Unverified,
    /// The first try of a delivery is refused.
    RefusedOnce,
    /// A token lives for so short that a 401 may come for a fresh one, which is told.
    ShortLived,
    /// A page is gone when it is asked for.
    PageGone,
}

struct Row {
    name: &'static str,
    set: fn(&mut Settings),
    twist: Twist,
}

fn row(name: &'static str, set: fn(&mut Settings)) -> Row {
    Row { name, set, twist: Twist::None }
}

impl Row {
    fn with(self, twist: Twist) -> Self {
        Self { twist, ..self }
    }
}

fn about_channels() -> Vec<Row> {
    vec![
        row("defaults", |_| {}),
        row("create-second", |it| it.duplicate_create = DuplicateCreate::Second).with(Twist::LostCreate),
        row("create-existing", |it| it.duplicate_create = DuplicateCreate::Existing).with(Twist::LostCreate),
        row("order-matters", |it| it.calendar_order_matters = true).with(Twist::Calendars),
        row("order-ignored", |it| it.calendar_order_matters = false).with(Twist::Calendars),
        row("filters-echoed", |it| it.echo_default_filters = true).with(Twist::Calendars),
        row("closed-absent", |it| it.list_closed_channels = false).with(Twist::Remade),
        row("closed-listed", |it| it.list_closed_channels = true).with(Twist::Remade),
        row("closed-listed-202", |it| (it.list_closed_channels, it.close_unknown_status) = (true, 202))
            .with(Twist::Remade),
        row("close-on-gone", |it| it.close_on_gone = true),
        row("verified-first", |it| it.verification = Verification::BeforeAnswer),
        row("verified-late", |it| (it.verification, it.verification_delay) = (Verification::Delayed, SECOND)),
        row("verified-never", |it| it.verification = Verification::Never).with(Twist::Unverified),
    ]
}

fn about_notifications() -> Vec<Row> {
    vec![
        row("doubled", |it| it.notifications = Notifications::Duplicated),
        row("late", |it| (it.notifications, it.notification_delay) = (Notifications::Delayed, SECOND)),
        row("reordered", |it| (it.notifications, it.notification_delay) = (Notifications::Reordered, SECOND)),
        row("coalesced", |it| (it.notifications, it.notification_delay) = (Notifications::Coalesced, SECOND)),
        row("replayed", |it| (it.notifications, it.replay_after) = (Notifications::Replayed, SECOND)),
        row("lost", |it| it.notifications = Notifications::Lost).with(Twist::Untold),
        row("since-earlier", |it| it.changes_since = ChangesSince::Earlier),
        row("since-later", |it| it.changes_since = ChangesSince::Later),
        row("since-future", |it| it.changes_since = ChangesSince::Future),
        row("unknown-fields", |it| it.notification_form = NotificationForm::UnknownFields),
        row("retries-exponential", |it| it.retries = Retries::Exponential).with(Twist::RefusedOnce),
        row("retries-fixed", |it| it.retries = Retries::Fixed).with(Twist::RefusedOnce),
        row("retries-none", |it| it.retries = Retries::None).with(Twist::RefusedOnce),
        row("4xx-not-retried", |it| it.retry_client_errors = false).with(Twist::RefusedOnce),
    ]
}

fn about_tokens() -> Vec<Row> {
    vec![
        row("token-rotates", |it| it.rotation = Rotation::Rotates),
        row("token-with-grace", |it| it.rotation = Rotation::WithGrace),
        row("token-stays", |it| it.rotation = Rotation::Stays),
        row("token-absent", |it| it.rotation = Rotation::Absent),
        row("same-access-token", |it| it.refresh_while_valid = RefreshWhileValid::SameToken),
        row("second-refresh-refused", |it| it.concurrent_refresh = ConcurrentRefresh::SecondRefused),
        row("expires-in-1", |it| it.expires_in = Some(SECOND)).with(Twist::ShortLived),
        row("expires-in-1-same", |it| {
            (it.expires_in, it.refresh_while_valid) = (Some(SECOND), RefreshWhileValid::SameToken);
        })
        .with(Twist::ShortLived),
        row("expires-in-absent", |it| it.expires_in = None),
        row("uncounted", |it| {
            (it.rate_limit_tokens, it.rate_limit_pages, it.retry_after) = (false, false, RetryAfter::Absent);
        }),
    ]
}

fn about_reads() -> Vec<Row> {
    vec![
        row("outside-refused", |it| it.outside_window = OutsideWindow::Refuse),
        row("paging-live", |it| it.paging = Paging::Live),
        row("page-lifetime", |it| it.page_lifetime = Some(2 * SECOND)),
        row("page-gone", |_| {}).with(Twist::PageGone),
        row("pages-repeat", |it| it.repeat_across_pages = true),
        row("pages-repeat-live", |it| (it.repeat_across_pages, it.paging) = (true, Paging::Live)),
        row("next-page-null", |it| it.next_page_null = true),
        row("times-plain", |it| it.event_times = EventTimes::Plain),
        row("times-localized", |it| it.event_times = EventTimes::Localized),
        row("times-zone-unknown", |it| it.event_times = EventTimes::ZoneUnknown),
        row("times-mixed", |it| it.event_times = EventTimes::Mixed),
        row("year-zero", |it| it.year_zero = true),
        row("bare-events", |it| it.optional_fields = false).with(Twist::Untitled),
        row("odd-events", |it| (it.unknown_event_fields, it.unknown_event_values) = (true, true)),
        row("long-descriptions", |it| it.description_bytes = Some(100_000)),
        row("tombstones-bare", |it| it.tombstones = Tombstones::IdsOnly),
        row("tombstones-never", |it| it.tombstones = Tombstones::Never).with(Twist::NoTombstones),
        row("tombstones-short", |it| it.tombstone_lifetime = Some(SECOND)).with(Twist::NoTombstones),
        row("moved-same-id", |it| it.calendar_move = CalendarMove::SameId),
        row("moved-new-id", |it| it.calendar_move = CalendarMove::NewId),
    ]
}

/// The owner of a calendar, who knows what must be in the copy.
struct Owner<'a> {
    bench: &'a Bench,
    trial: &'a Trial<'a>,
    twist: Twist,
    has: Vec<EventDraft>,
}

impl Owner<'_> {
    /// An event as it is compared: events have titles, if any, and starts of their own.
    fn key(&self, event: &EventDraft) -> (String, String) {
        let start = match event.start {
            When::At(time) => time.to_string(),
            When::On(date) => date.to_string(),
        };
        let title = if self.twist == Twist::Untitled { String::new() } else { event.summary.clone() };
        (title, start)
    }

    /// Changes the calendar, and waits until the copy is the same.
    async fn changes(&self, what: &str) {
        let name = &self.trial.name;
        match self.twist {
            Twist::Untold => self.trial.request().await,
            Twist::NoTombstones if what == "deleted" => self.trial.request().await,
            _ => {}
        }
        let mut wanted: Vec<_> = self.has.iter().map(|event| self.key(event)).collect();
        wanted.sort();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let same = |events: &[Value]| {
            let start = |event: &Value| {
                let start = text(&event["start"]);
                start.parse::<Timestamp>().map_or(start, |time| time.to_string())
            };
            let mut found: Vec<_> = events.iter().map(|event| (text(&event["summary"]), start(event))).collect();
            found.sort();
            found == wanted
        };
        self.bench.world.events_until(name, &format!("{what}: {wanted:?}"), same).await;
        self.trial.sim.settle().await;
        let open = self.trial.sim.open_channels(&self.trial.account);
        assert_eq!(open.len(), 1, "{name}: channels when it was {what}: {open:#?}");
    }

    async fn creates(&mut self, draft: EventDraft) {
        self.trial.sim.put_event(&self.trial.account, draft.clone()).unwrap();
        self.has.push(draft);
        self.changes("created").await;
    }
}

/// An event whose id and title are this, some days from now.
fn draft(title: &str, day: i64) -> EventDraft {
    EventDraft::new(title, on(day, 0), on(day, 1)).uid(title)
}

/// Subscribes in the way of the twist, and waits until the calendar is read and the channel is there.
async fn begins(trial: &Trial<'_>, twist: Twist, second: &str) {
    let first = trial.sim.calendars(&trial.account)[0].clone();
    let mut spec = json!({});
    match twist {
        Twist::Calendars => {
            let mut ids = [first.as_str(), second];
            ids.sort_unstable_by(|one, other| other.cmp(one));
            spec = json!({ "calendarIds": ids });
            trial.sim.inject(Fault::next(1, Endpoint::CreateChannel, Answer::LostAnswer));
        }
        Twist::LostCreate => trial.sim.inject(Fault::next(1, Endpoint::CreateChannel, Answer::LostAnswer)),
        Twist::PageGone => {
            let scope = Scope::next(1).endpoint(Endpoint::EventsPage);
            trial.sim.settings_for(scope, |settings| settings.page_gone = Some(2));
        }
        Twist::Remade => {
            trial.subscribe(json!({})).await;
            trial.ready().await;
            trial.subscribe(json!({ "mode": "Poll" })).await;
            let given_up = |found: &CalendarSubscription| {
                condition(found, "Ready").0 == "True" && condition(found, "ChannelActive").1 == "PollMode"
            };
            trial.until("has given up its channel", given_up).await;
            // It counts no more before it is closed.
            let closed = eventually("it is closed", PATIENCE, async || {
                trial.sim.open_channels(&trial.account).is_empty().then_some(())
            });
            closed.await.unwrap();
        }
        _ => {}
    }
    trial.subscribe(spec).await;
    if twist == Twist::Unverified {
        trial.until("is read", |found| condition(found, "Synced").0 == "True").await;
        let made = eventually("the channel is made", PATIENCE, async || {
            (!trial.sim.open_channels(&trial.account).is_empty()).then_some(())
        });
        made.await.unwrap();
    } else {
        let verified = |found: &CalendarSubscription| {
            condition(found, "Ready").0 == "True" && condition(found, "ChannelActive").1 == "Verified"
        };
        trial.until("is reached", verified).await;
    }
}

async fn lives(bench: &Bench, Row { name, set, twist }: Row) {
    let trial = Trial::prepare(bench, name).await;
    trial.sim.settings(|settings| {
        settings.page_size = 2;
        set(settings);
    });
    let second = trial.sim.add_calendar(&trial.account, "second");
    let holiday = on(5, 0).to_zoned(jiff::tz::TimeZone::UTC).date();
    let has = vec![
        draft("one", 1).zone("Europe/Berlin"),
        draft("two", 2),
        draft("three", 3),
        EventDraft::new("holiday", holiday, holiday.saturating_add(1.day())).uid("holiday"),
    ];
    trial.sim.put_events(&trial.account, has.clone()).unwrap();
    begins(&trial, twist, &second).await;
    let mut owner = Owner { bench, trial: &trial, twist, has };
    owner.changes("read").await;

    if twist == Twist::RefusedOnce {
        trial.sim.settings_for(Scope::next(1), |settings| settings.signature = Signature::Missing);
        let lost = draft("told late or never", 6);
        trial.sim.put_event(&trial.account, lost.clone()).unwrap();
        owner.has.push(lost);
        trial.sim.settle().await;
        assert_eq!(trial.sim.deliveries().last().unwrap().status, Some(401), "{name}");
        trial.sim.advance(61 * SECOND).await; // to the next try, if there is one
    }
    owner.creates(draft("four", 4)).await;
    trial.ready().await;
    trial.sim.rename_event("one", "renamed").unwrap();
    owner.has[0].summary = String::from("renamed");
    owner.changes("renamed").await;
    let (start, end) = (When::At(on(7, 0)), When::At(on(7, 1)));
    trial.sim.move_event("two", start, end).unwrap();
    (owner.has[1].start, owner.has[1].end) = (start, end);
    owner.changes("moved").await;
    trial.sim.move_to_calendar("three", &second).unwrap();
    owner.has[2].summary = String::from("three elsewhere");
    // Its id may be another one by now.
    let query = cronofy_sim::ReadQuery::default();
    let now = trial.sim.read(&trial.account, &query).into_iter().find(|event| event["calendar_id"] == second);
    trial.sim.rename_event(now.unwrap()["event_uid"].as_str().unwrap(), "three elsewhere").unwrap();
    if twist == Twist::NoTombstones {
        trial.request().await;
    }
    owner.changes("put into another calendar").await;
    trial.sim.delete_event("four").unwrap();
    owner.has.retain(|event| event.summary != "four");
    owner.changes("deleted").await;

    // A renewal brings the token with which the next one is asked for.
    for (title, day) in [("five", 8), ("six", 9)] {
        let before = trial.sim.count(Endpoint::Token);
        trial.sim.inject(Fault::next(1, Endpoint::Events, Answer::status(401)));
        owner.creates(draft(title, day)).await;
        assert!(trial.sim.count(Endpoint::Token) > before, "{name}: no renewal for {title}");
    }
    let tokens = trial.sim.requests().into_iter().filter(|request| request.endpoint == Endpoint::Token);
    assert!(tokens.into_iter().all(|request| request.status == 200), "{name}");
    trial.ready().await;
    if twist != Twist::ShortLived {
        let lost = matches!(twist, Twist::Calendars | Twist::LostCreate);
        assert_eq!(trial.warnings().await, usize::from(lost), "{name}: told of trouble where there is none");
    }
    ends(bench, &trial).await;
}

/// Deletes the subscription: nothing of it stays, here and there.
async fn ends(bench: &Bench, trial: &Trial<'_>) {
    bench.world.subscriptions().delete(&trial.name, &DeleteParams::default()).await.unwrap();
    bench.world.gone(&trial.name).await;
    assert!(trial.sim.open_channels(&trial.account).is_empty(), "{}", trial.name);
    assert_eq!(trial.output_version().await, None, "{}", trial.name);
}

#[tokio::test]
async fn a_subscription_lives_whatever_cronofy_does_about_channels() {
    let bench = Bench::start("unknown-channels", &[]).await;
    join_all(about_channels().into_iter().map(|row| lives(&bench, row))).await;
}

#[tokio::test]
async fn a_subscription_lives_whatever_cronofy_does_about_notifications() {
    let bench = Bench::start("unknown-told", &[]).await;
    join_all(about_notifications().into_iter().map(|row| lives(&bench, row))).await;
}

#[tokio::test]
async fn a_subscription_lives_whatever_cronofy_does_about_tokens() {
    let bench = Bench::start("unknown-tokens", &[]).await;
    join_all(about_tokens().into_iter().map(|row| lives(&bench, row))).await;
}

#[tokio::test]
async fn a_subscription_lives_whatever_cronofy_does_about_reads() {
    let bench = Bench::start("unknown-reads", &[]).await;
    join_all(about_reads().into_iter().map(|row| lives(&bench, row))).await;
}

/// What answers a create above the limit is not documented. One that looks like the end of the application's requests, or like
/// a lack of rights, is neither.
#[tokio::test]
async fn a_full_account_is_told_as_one_whatever_the_create_answers_and_holds_up_nobody() {
    let bench = Bench::start("full", &[]).await;
    let answers = [
        ("full-422", 422, None),
        ("full-403", 403, None),
        ("full-429", 429, None),
        ("full-429-asking", 429, Some(Answer::rate_limited(Some("600")))),
    ];
    join_all(answers.into_iter().map(async |(name, status, answer)| {
        let trial = Trial::prepare(&bench, name).await;
        trial.sim.settings(|settings| settings.over_limit_status = status);
        for number in 0..128 {
            trial.sim.add_channel(&trial.account, CLIENT_ID, &format!("https://somebody.invalid/{number}"));
        }
        if let Some(answer) = answer {
            trial.sim.inject(Fault::next(usize::MAX, Endpoint::CreateChannel, answer));
        }
        trial.sim.put_event(&trial.account, draft("one", 1)).unwrap();
        trial.subscribe(json!({})).await;
        let message = "the account has 128 channels, as many as Cronofy allows: close some that are not used any more";
        let told =
            Told { reason: "ChannelLimitReached", message: message.to_owned(), on: &["ChannelActive"], stalled: false };
        trial.explained(&told).await;
        trial.titles(&["one"]).await;

        // Another account of the application has room, and its requests go on.
        let other = trial.beside(&format!("{name}-other")).await;
        other.sim.clear_faults();
        other.subscribe(json!({ "applicationRef": { "name": name } })).await;
        other.ready().await;
        other.sim.put_event(&other.account, draft("another", 1)).unwrap();
        other.titles(&["another"]).await;

        let somebodys = trial.sim.open_channels(&trial.account)[0].id.clone();
        trial.sim.close_channel_by_hand(&somebodys);
        trial.ready().await;
        trial.sim.put_event(&trial.account, draft("two", 2)).unwrap();
        trial.titles(&["one", "two"]).await;
        assert_eq!(trial.sim.open_channels(&trial.account).len(), 128, "{name}");
    }))
    .await;
}

/// What becomes of channels when a grant ends is not documented.
#[tokio::test]
async fn after_a_new_authorization_changes_are_told_whatever_became_of_the_channel() {
    let bench = Bench::start("revoked", &[]).await;
    let rows = [("closed", true, true), ("closed-hidden", true, false), ("open", false, false)];
    join_all(rows.into_iter().map(async |(name, close, listed)| {
        let trial = Trial::prepare(&bench, name).await;
        trial.sim.settings(|settings| {
            settings.close_on_revoke = close;
            settings.list_closed_channels = listed;
        });
        trial.subscribe(json!({})).await;
        bench.world.at_rest(name).await;
        // A listing may lag behind a create for some minutes: this channel is older.
        age_field(&bench.world, name, "/channel/createdTime", SignedDuration::from_mins(11)).await;
        trial.sim.revoke(&trial.account);
        trial.request().await;
        trial.until("is revoked", |found| condition(found, "Ready").1 == "AuthorizationRevoked").await;
        trial.sim.put_event(&trial.account, draft("meanwhile", 1)).unwrap();
        trial.authorize().await;
        trial.request().await;
        trial.titles(&["meanwhile"]).await;
        trial.ready().await;
        trial.sim.settle().await;
        trial.sim.put_event(&trial.account, draft("after", 2)).unwrap();
        trial.titles(&["meanwhile", "after"]).await;
        let open = trial.sim.open_channels(&trial.account);
        assert_eq!(open.len(), 1, "{name}: {open:#?}");
        ends(&bench, &trial).await;
    }))
    .await;
}

/// Which channels are told of a demand for erasure is not documented, nor whether the grant ends with it. Two subscriptions share
/// the account.
#[tokio::test]
async fn a_demand_for_erasure_is_met_by_whoever_is_told_of_it() {
    let bench = Bench::start("erasure", &[]).await;
    let rows = [
        ("one", Gdpr::OneChannel, false),
        ("one-ends", Gdpr::OneChannel, true),
        ("every", Gdpr::EveryChannel, false),
        ("every-ends", Gdpr::EveryChannel, true),
    ];
    join_all(rows.into_iter().map(async |(name, gdpr, ends_grant)| {
        let world = &bench.world;
        let trial = Trial::prepare(&bench, name).await;
        trial.sim.settings(|settings| (settings.gdpr, settings.gdpr_ends_grant) = (gdpr, ends_grant));
        trial.sim.put_event(&trial.account, draft("private", 1)).unwrap();
        trial.subscribe(json!({})).await;
        trial.ready().await;
        let younger = format!("{name}-younger");
        let spec = json!({ "applicationRef": { "name": name }, "account": { "secretRef": { "name": name } } });
        world.subscribe(&younger, spec).await;
        world.ready(&younger).await;
        world.titles(&younger, &["private"]).await;
        trial.sim.settle().await;

        trial.sim.request_gdpr(&trial.account);
        let erased = |found: &CalendarSubscription| condition(found, "Ready").1 == "Erased";
        trial.until("is erased", erased).await;
        assert_eq!(trial.output_version().await, None, "{name}");
        if gdpr == Gdpr::EveryChannel {
            world.until(&younger, "is erased", erased).await;
            assert!(world.output(&format!("{younger}-events")).await.is_none(), "{name}");
        } else if ends_grant {
            world.annotate(&younger, "cronofy-operator.dev/requestedAt", "now").await;
            world.refused(&younger, "AuthorizationRevoked").await;
        } else {
            trial.sim.put_event(&trial.account, draft("more", 2)).unwrap();
            world.titles(&younger, &["private", "more"]).await;
        }
        for name in [name, &younger] {
            world.subscriptions().delete(name, &DeleteParams::default()).await.unwrap();
            world.gone(name).await;
            assert!(world.output(&format!("{name}-events")).await.is_none(), "{name}");
        }
        if !ends_grant {
            assert!(trial.sim.open_channels(&trial.account).is_empty(), "{name}");
        }
    }))
    .await;
}
