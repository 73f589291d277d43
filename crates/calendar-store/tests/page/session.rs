//! Signing in, and what the cookie is good for.

use http::StatusCode;

use crate::site::{COOKIE, Site, titled};

const HERE: [(&str, &str); 2] = [("origin", "http://store.example"), ("sec-fetch-site", "same-origin")];
const SAFE: [(&str, &str); 2] = [("origin", "https://store.example"), ("sec-fetch-site", "same-origin")];
const THEN: &str = "then=%2Fcalendars%2Frooms%2Fteam%3Fview%3Dweek";

async fn site() -> Site {
    let site = Site::new().await;
    site.store.commit("team", [titled("a", "2026-12-02", "2026-12-03")], &[]).await;
    site
}

#[tokio::test]
async fn a_token_is_taken_into_a_cookie_for_pages_only() {
    let site = site().await;
    let plain = site.post("/calendars/-/sign-in", &format!("token=reader&{THEN}"), &HERE).await;
    assert_eq!((plain.status, plain.header("location")), (StatusCode::SEE_OTHER, "/calendars/rooms/team?view=week"));
    assert_eq!(plain.header("set-cookie"), "calendar-store=reader; Path=/calendars; HttpOnly; SameSite=Strict");
    let safe = site.post("/calendars/-/sign-in", "token=%20Bearer+reader%0A", &SAFE).await;
    assert_eq!((safe.status, safe.header("location")), (StatusCode::SEE_OTHER, "/calendars"));
    assert_eq!(safe.header("set-cookie"), "__Host-calendar-store=reader; Path=/; HttpOnly; SameSite=Strict; Secure");
    assert!(plain.body.is_empty() && safe.body.is_empty());

    for cookie in [
        "calendar-store=reader",
        "a=b; __Host-calendar-store=reader;c=d",
        "calendar-store=wrong; __Host-calendar-store=reader",
    ] {
        assert_eq!(site.get_with("/calendars/rooms/team", &[("cookie", cookie)]).await.status, 200, "{cookie}");
        // The API does not know it, so no other site can use it there.
        for path in
            ["/v1/namespaces/rooms/calendarsubscriptions", "/v1/namespaces/rooms/calendarsubscriptions/team/events"]
        {
            site.get_with(path, &[("cookie", cookie)]).await.refused(401, None);
        }
    }
    let gone = site.post("/calendars/-/sign-out", "", &HERE).await;
    assert_eq!((gone.status, gone.header("location")), (StatusCode::SEE_OTHER, "/calendars"));
    let taken: Vec<_> = gone.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(
        taken,
        [
            "__Host-calendar-store=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure",
            "calendar-store=; Path=/calendars; Max-Age=0; HttpOnly; SameSite=Strict",
        ]
    );
}

#[tokio::test]
async fn a_cookie_ends_with_its_token() {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    let site = site().await;
    let ends = jiff::Timestamp::now().as_second() + 3600;
    let token = format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{ends}}}")));
    site.store.doorkeeper.also_known(&token);
    let answer = site.post("/calendars/-/sign-in", &format!("token={token}"), &HERE).await;
    let cookie = answer.header("set-cookie");
    let age: i64 = cookie.rsplit_once("Max-Age=").unwrap().1.parse().unwrap();
    assert!((3500..=3600).contains(&age), "{cookie}");
}

#[tokio::test]
async fn no_other_site_signs_anybody_in_or_out() {
    let site = site().await;
    let table: [&[(&str, &str)]; 6] = [
        &[],
        &[("origin", "null")],
        &[("origin", "https://evil.example")],
        &[("origin", "http://store.example"), ("sec-fetch-site", "cross-site")],
        &[("origin", "http://store.example:9090")],
        &[("origin", "http://store.example"), ("sec-fetch-site", "same-site")],
    ];
    for headers in table {
        for (path, form) in [("/calendars/-/sign-in", "token=reader"), ("/calendars/-/sign-out", "")] {
            let answer = site.post(path, form, &[headers, &[COOKIE]].concat()).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {headers:?}");
            assert_eq!(answer.header("set-cookie"), "", "{path} {headers:?}");
        }
    }
    assert_eq!(
        site.post("/calendars/-/sign-in", "token=reader", &[("origin", "http://store.example")]).await.status,
        303
    );
}

#[tokio::test]
async fn what_is_no_token_or_not_valid_is_told_and_not_shown() {
    let site = site().await;
    let long = "a".repeat(3801);
    for (token, status) in [
        ("zqwrong", StatusCode::UNAUTHORIZED),
        ("", StatusCode::BAD_REQUEST),
        ("zq%0D%0ASet-Cookie:%20a=b", StatusCode::BAD_REQUEST),
        ("zq;%20Path=/", StatusCode::BAD_REQUEST),
        ("zq%22ret", StatusCode::BAD_REQUEST),
        ("zq%C3%A9t", StatusCode::BAD_REQUEST),
        (&long, StatusCode::BAD_REQUEST),
    ] {
        let answer = site.post("/calendars/-/sign-in", &format!("token={token}&{THEN}"), &HERE).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (status, ""), "{token}");
        let text = answer.text();
        assert!(text.contains("Not signed in.") && text.contains("role=\"alert\""), "{text}");
        assert!(text.contains("value=\"/calendars/rooms/team?view=week\""), "{text}");
        assert!(!text.contains("zq") && !text.contains("aaaa"), "{text}");
    }
    for form in [
        "token=reader&then=https%3A%2F%2Fevil.example",
        "token=reader&then=%2F%2Fevil.example",
        "token=reader&then=%2Fcalendars%5C..%2F",
    ] {
        assert_eq!(site.post("/calendars/-/sign-in", form, &HERE).await.header("location"), "/calendars", "{form}");
    }
    for (form, status) in [("token=reader&more=1", 400), ("token=reader&token=reader", 400), ("%FF", 400)] {
        assert_eq!(site.post("/calendars/-/sign-in", form, &HERE).await.status, status, "{form}");
    }
    let huge = site.post("/calendars/-/sign-in", &format!("token={}", "a".repeat(100_000)), &HERE).await;
    assert_eq!(huge.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn who_is_not_known_gets_the_form_and_nothing_else() {
    let site = site().await;
    for path in [
        "/calendars",
        "/calendars/rooms/team",
        "/calendars/rooms/none",
        "/calendars/rooms/team/live",
        "/calendars?namespace=rooms",
    ] {
        let answer = site.get_with(path, &[]).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (StatusCode::UNAUTHORIZED, "Bearer"), "{path}");
        let text = answer.text();
        assert!(text.contains("kubectl create token READER --audience calendar-store"), "{text}");
        assert!(!text.contains("Title of a") && !text.contains("Not signed in."), "{text}");
        assert!(text.contains(&format!("name=\"then\" value=\"{path}\"")), "{text}");
        let again = site.get_with(path, &[("cookie", "calendar-store=wrong")]).await;
        assert_eq!(again.status, StatusCode::UNAUTHORIZED);
        assert!(again.text().contains("Not signed in.") && !again.text().contains("wrong"));
    }
    // A strict cookie is kept back when another site leads here: the page leads to itself, once.
    let led = site
        .get_with(
            "/calendars/rooms/team?view=day&date=2026-12-02",
            &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
        )
        .await;
    assert_eq!(led.status, StatusCode::UNAUTHORIZED);
    assert!(
        led.text().contains("content=\"0; url=/calendars/rooms/team?view=day&amp;date=2026-12-02\""),
        "{}",
        led.text()
    );
}

#[tokio::test]
async fn a_proxy_that_sends_the_token_needs_no_cookie() {
    let site = site().await;
    let answer = site.get_with("/calendars/rooms/team", &[("authorization", "Bearer reader")]).await;
    let text = answer.text();
    assert!(
        answer.status == 200 && text.contains("system:serviceaccount:rooms:reader") && !text.contains("Sign out"),
        "{text}"
    );
    // The header counts, whatever an old cookie says.
    let both = site.get_with("/calendars/rooms/team", &[("authorization", "Bearer wrong"), COOKIE]).await;
    assert_eq!(both.status, StatusCode::UNAUTHORIZED);
    assert!(site.get("/calendars/rooms/team").await.text().contains("Sign out"));
    // A feed's token opens no page.
    assert_eq!(site.get_with("/calendars/rooms/team?token=feed", &[]).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(site.get_with("/calendars/rooms/secret", &[COOKIE]).await.status, StatusCode::FORBIDDEN);
}
