//! What is planted, and how it comes in.

use cronofy_sim::{AccountDraft, Answer, Endpoint, EventDraft, Fault};
use serde_json::{Value, json};

use crate::support::{condition, on};
use crate::trouble::bench::Trial;

/// The planted values. All letters and unlike each other, so that no rule about what looks like a credential catches them.
pub const CLIENT_ID: &str = "kanaryclientid";
pub const CLIENT_SECRET: &str = "kanaryclientsecret";
pub const PREVIOUS_SECRET: &str = "kanaryprevioussecret";
pub const WRONG_SECRET: &str = "kanarywrongsecret";
pub const ACCESS_TOKEN: &str = "kanaryaccesstoken";
pub const RETURNED_TOKEN: &str = "kanaryreturnedtoken";
pub const BROKEN_TOKEN: &str = "kanarybrokentoken";
pub const OWNER: &str = "kanaryowner";
pub const OWNER_MAIL: &str = "kanaryowner@kanary-owner.example.org";
pub const CALENDAR: &str = "kanarycalendarname";
pub const TITLE: &str = "kanarytitle";
pub const DESCRIPTION: &str = "kanarydescription";
pub const PLACE: &str = "kanaryplace";
pub const ORGANIZER: &str = "kanaryorganizer";
pub const ORGANIZER_MAIL: &str = "kanaryorganizer@kanary-mail.example.org";
pub const ATTENDEE: &str = "kanaryattendee";
pub const ATTENDEE_MAIL: &str = "kanaryattendee@kanary-mail.example.org";
pub const MEETING: &str = "https://meet.example.org/kanarymeeting";
pub const CATEGORY: &str = "kanarycategory";
pub const BODY: &str = "kanaryrefusalbody";
pub const HEADER: &str = "kanaryheadervalue";
pub const NOTIFIED: &str = "kanarynotified";

/// What they all have in common: whatever else comes of a planted value is found by it.
pub const MARK: &str = "kanary";

/// Puts marked values in the place of a trial's usual application, account and Secrets.
pub async fn plant(trial: &mut Trial<'_>) {
    let sim = trial.sim.clone();
    sim.add_application(CLIENT_ID, &[CLIENT_SECRET, PREVIOUS_SECRET]);
    let draft = AccountDraft { id: None, email: OWNER_MAIL.to_owned(), name: OWNER.to_owned() };
    trial.account = sim.add_account(draft);
    let _id = sim.add_calendar(&trial.account, CALENDAR);
    let token = sim.issue_refresh_token(&trial.account, CLIENT_ID);
    trial.put_values(&trial.name, &[("refresh_token", token.as_bytes())]).await;
    let credentials: [(&str, &[u8]); 3] = [
        ("client_id", CLIENT_ID.as_bytes()),
        ("client_secret", CLIENT_SECRET.as_bytes()),
        ("client_secret_previous", PREVIOUS_SECRET.as_bytes()),
    ];
    trial.put_values(&trial.credentials(), &credentials).await;
    for (uid, day) in [("one", 1), ("two", 2)] {
        let draft = EventDraft::new(TITLE, on(day, 0), on(day, 1)).uid(uid).more(more());
        sim.put_event(&trial.account, draft).unwrap();
    }
    sim.settings(|settings| settings.page_size = 1);
}

/// All that an event has beside its title and times.
pub fn more() -> Value {
    json!({
        "description": DESCRIPTION,
        "location": { "description": PLACE, "lat": "51.5", "long": "-0.12" },
        "organizer": { "email": ORGANIZER_MAIL, "display_name": ORGANIZER },
        "attendees": [{ "email": ATTENDEE_MAIL, "display_name": ATTENDEE, "status": "accepted" }],
        "meeting_url": MEETING,
        "conferencing": { "provider_name": "zoom", "join_url": MEETING },
        "categories": [CATEGORY],
    })
}

/// Failures whose answers carry marked values. The last field is the reason that is told.
pub fn failures() -> Vec<(&'static str, Endpoint, Answer, &'static str)> {
    use Endpoint::{CreateChannel, Events, EventsPage, ListChannels, Token, UserInfo};
    let refusal = || json!({ "error": "invalid_grant", "error_description": BODY, "email": OWNER_MAIL }).to_string();
    let fields = json!({ "errors": { "tzid": [{ "key": "errors.bad", "description": BODY }] } }).to_string();
    let text = |status, retry_after: Option<&str>| Answer::Status {
        status,
        content_type: "text/plain; charset=kanaryheadervalue",
        body: format!("{BODY} of {OWNER_MAIL}: {TITLE}, Bearer {ACCESS_TOKEN}"),
        retry_after: retry_after.map(ToOwned::to_owned),
    };
    let tokens = |expires_in: Value| {
        json!({ "token_type": "bearer", "access_token": ACCESS_TOKEN, "refresh_token": RETURNED_TOKEN,
            "expires_in": expires_in, "sub": OWNER, "scope": BODY })
    };
    let broken = json!({ "access_token": [ACCESS_TOKEN], "refresh_token": RETURNED_TOKEN }).to_string();
    let page = json!({ "pages": { "next_page": format!("https://elsewhere.invalid/{BODY}?token={ACCESS_TOKEN}") },
        "events": [{ "event_uid": "one", "summary": TITLE }] });
    let half =
        json!({ "pages": { "current": 1, "total": 1 }, "events": [{ "summary": TITLE, "start": [BODY] }] }).to_string();
    vec![
        ("token-grant", Token, Answer::body(400, refusal()), "AuthorizationRevoked"),
        ("token-client", Token, Answer::body(401, BODY), "ClientCredentialsInvalid"),
        ("token-status", Token, Answer::body(400, json!({ "error": BODY }).to_string()), "MalformedAnswer"),
        ("token-broken", Token, Answer::body(200, broken), "MalformedAnswer"),
        ("token-half", Token, Answer::body(200, tokens(json!(3600)).to_string().replace('}', "")), "MalformedAnswer"),
        // These tokens are nobody's: the returned refresh token is stored, the calls are refused.
        ("token-other", Token, Answer::body(200, tokens(json!(3600)).to_string()), "Unauthorized"),
        ("userinfo-text", UserInfo, text(500, None), "CronofyUnavailable"),
        ("userinfo-html", UserInfo, text(200, None), "MalformedAnswer"),
        ("list-forbidden", ListChannels, text(403, None), "InsufficientScope"),
        ("list-locked", ListChannels, text(423, Some(HEADER)), "Locked"),
        ("create-plan", CreateChannel, text(402, None), "PlanRequired"),
        ("create-fields", CreateChannel, Answer::body(422, fields.clone()), "InvalidRequest"),
        ("create-teapot", CreateChannel, text(418, None), "MalformedAnswer"),
        ("events-limit", Events, text(429, Some(HEADER)), "RateLimited"),
        ("events-fields", Events, Answer::body(422, fields), "InvalidRequest"),
        ("events-text", Events, text(422, None), "InvalidRequest"),
        ("events-foreign", Events, Answer::body(200, page.to_string()), "ForeignPage"),
        ("events-odd", Events, Answer::body(200, json!({ "events": TITLE }).to_string()), "MalformedAnswer"),
        // An event that cannot be understood is skipped.
        ("events-half", Events, Answer::body(200, half), "Ready"),
        ("events-cut", Events, Answer::Truncated, "CronofyUnreachable"),
        ("page-gone", EventsPage, text(404, None), "NotFound"),
        ("page-text", EventsPage, text(503, Some(HEADER)), "CronofyUnavailable"),
    ]
}

pub async fn fails(trial: &mut Trial<'_>, endpoint: Endpoint, answer: Answer, reason: &str) {
    plant(trial).await;
    trial.sim.inject(Fault::next(usize::MAX, endpoint, answer));
    trial.subscribe(json!({ "visibility": "Full" })).await;
    trial.until(reason, |found| condition(found, "Ready").1 == reason).await;
}
