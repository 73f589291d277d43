//! What `Debug` shows of the types that hold planted values on their way through the operator.
//!
//! Three things are no secret and are shown: a client id, which Cronofy calls public; a channel's callback URL, whose path is
//! an address and no credential, in the types that describe channels; and in an error the beginning of what Cronofy refused
//! with, cleaned of credentials and addresses.

use calendar_sync::{Account, Mark, Memory, Observed, Outcome, Profile, Record, RemoteEvent, Snapshot, Step, Stored};
use cronofy::notification::Notification;
use cronofy::secrecy::{ExposeSecret as _, SecretString};
use cronofy::{Client, Credentials, EventsQuery, LinkingProfile, Options};
use cronofy_sim::{AccountDraft, Answer, Endpoint, EventDraft, Fault, Simulator};
use jiff::Timestamp;
use serde_json::json;

use super::planted::{
    ACCESS_TOKEN, ATTENDEE_MAIL, BODY, CALENDAR, CLIENT_SECRET, DESCRIPTION, MEETING, NOTIFIED, ORGANIZER_MAIL, OWNER,
    OWNER_MAIL, PLACE, TITLE, more,
};
use crate::support::on;

/// What is shown, and of what.
pub async fn shown() -> Vec<(&'static str, String)> {
    let mut all = of_the_client().await;
    all.extend(of_the_engine());
    all
}

/// The types of the client, as its calls answer them.
async fn of_the_client() -> Vec<(&'static str, String)> {
    let sim = Simulator::start(cronofy_sim::Options::default()).await.unwrap();
    sim.add_application("public", &[CLIENT_SECRET]);
    let account = sim.add_account(AccountDraft { id: None, email: OWNER_MAIL.to_owned(), name: OWNER.to_owned() });
    let _id = sim.add_calendar(&account, CALENDAR);
    for uid in ["one", "two"] {
        sim.put_event(&account, EventDraft::new(TITLE, on(1, 0), on(1, 1)).uid(uid).more(more())).unwrap();
    }
    sim.connect_profile(&account, false);
    sim.settings(|settings| settings.page_size = 1);

    let client = Client::new(Options::new(sim.api_url().parse().unwrap())).unwrap();
    let secret = |text: &str| SecretString::from(text.to_owned());
    let application = Credentials { client_id: "public".to_owned(), client_secret: secret(CLIENT_SECRET) };
    let refresh = secret(&sim.issue_refresh_token(&account, "public"));
    let token = client.refresh_token(&application, &refresh).await.unwrap();
    let access = &token.value.access_token;
    let userinfo = client.userinfo(access).await.unwrap();
    assert!(userinfo.value.email.as_deref() == Some(OWNER_MAIL), "what is searched for is there");
    let calendars = client.calendars(access).await.unwrap();
    let page = client.events(access, &EventsQuery::default()).await.unwrap();
    assert!(page.value.events[0].summary.as_deref() == Some(TITLE) && page.value.next.is_some());
    // What was sent comes back, and a token of the usual length that belongs to another call.
    let echo = format!("{} {CLIENT_SECRET} kanary4f1c9a7be2d8065f31ca9e7b20 {OWNER_MAIL}", refresh.expose_secret());
    let refused = async |answer| {
        sim.inject(Fault::next(2, Endpoint::Token, answer));
        let token = client.refresh_token(&application, &refresh).await.unwrap_err();
        format!("{token:?} {token}")
    };
    let refusals = [
        refused(Answer::body(400, &echo)).await,
        refused(Answer::body(422, json!({ "errors": { "x": [{ "key": "y", "description": echo }] } }).to_string()))
            .await,
        refused(Answer::body(200, format!("{{\"access_token\": [\"{ACCESS_TOKEN}\"]}}"))).await,
    ];
    let linking: LinkingProfile = serde_json::from_value(json!({
        "profile_id": "pro_1", "provider_name": "google", "provider_service": "gsuite", "profile_name": OWNER_MAIL,
    }))
    .unwrap();
    let notification = json!({ "notification": { "type": "change", "note": NOTIFIED }, "event": TITLE }).to_string();
    let notification = Notification::parse(notification.as_bytes()).unwrap();
    let garbage = Notification::parse(format!("{{\"{NOTIFIED}").as_bytes()).unwrap_err();
    vec![
        ("credentials", format!("{application:?}")),
        ("a token answer", format!("{token:?}")),
        ("an account", format!("{userinfo:?}")),
        ("calendars", format!("{calendars:?}")),
        ("a page of events", format!("{page:?} {:?}", page.value.events)),
        ("refusals", refusals.join(" ")),
        ("a profile", format!("{linking:?}")),
        ("a notification", format!("{notification:?}")),
        ("a body that does not parse", format!("{garbage:?} {garbage}")),
    ]
}

/// The types of the engine, full of what a read brings.
fn of_the_engine() -> Vec<(&'static str, String)> {
    let person = |mail: &str| json!({ "email": mail, "name": OWNER, "status": "accepted" });
    let event: calendar_sync::Event = serde_json::from_value(json!({
        "id": "one", "calendarId": "cal_1", "start": "2026-11-23T09:00:00Z", "end": "2026-11-23T10:00:00Z",
        "allDay": false, "summary": TITLE, "description": DESCRIPTION, "location": PLACE, "meetingUrl": MEETING,
        "organizer": person(ORGANIZER_MAIL), "attendees": [person(ATTENDEE_MAIL)], "series": BODY,
    }))
    .unwrap();
    let snapshot = Box::new(Snapshot {
        cursor: Timestamp::UNIX_EPOCH,
        fingerprint: String::new(),
        visibility: calendar_sync::Visibility::Full,
        last_full_sync: Timestamp::UNIX_EPOCH,
        complete: true,
        swept_through: jiff::civil::date(2026, 11, 23),
        events: [("one".to_owned(), event.clone())].into(),
    });
    let profile = Profile {
        id: "pro_1".to_owned(),
        relink_url: Some(format!("https://app.example.org/relink?email={OWNER_MAIL}")),
        ..Profile::default()
    };
    let account = Account { id: Some("acc_1".to_owned()), profiles: vec![profile] };
    let record = Record { account: Some(account.clone()), ..Record::default() };
    let mut observed = Observed::new(record, Mark::default(), Memory::default(), true);
    observed.stored = Stored::Present(snapshot.clone());
    let page = Outcome::Page {
        events: vec![RemoteEvent::Present(Box::new(event))],
        managed: ["one".to_owned()].into(),
        more: false,
        server_time: None,
    };
    vec![
        ("what is known", format!("{observed:?}")),
        ("a page", format!("{page:?}")),
        ("an account", format!("{:?}", Outcome::Account(account))),
        ("a commit", format!("{:?}", Step::Commit(snapshot))),
    ]
}
