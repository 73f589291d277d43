//! iCalendar files: series are expanded into their occurrences, and what is wrong with a file is said.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use reqwest::Method;

use crate::support::{World, answer};

fn calendar(components: &str) -> String {
    format!("BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//example.org//test//EN\n{components}\nEND:VCALENDAR\n")
        .replace('\n', "\r\n")
}

fn series(rest: &str) -> String {
    calendar(&format!("BEGIN:VEVENT\nUID:series@example.org\nSUMMARY:Stand-up\n{rest}\nEND:VEVENT"))
}

/// Starts and summaries of all events of a file, as a read shows them.
async fn starts(text: &str) -> Vec<(String, String)> {
    let world = World::start().await;
    world.sim.import_ics(&world.calendar, text).unwrap();
    let events = world.read(&[]).await.json()["events"].clone();
    let text = |event: &serde_json::Value, field: &str| event[field].as_str().unwrap().to_owned();
    events.as_array().unwrap().iter().map(|event| (text(event, "start"), text(event, "summary"))).collect()
}

async fn only_starts(text: &str) -> Vec<String> {
    starts(text).await.into_iter().map(|(start, _)| start).collect()
}

#[tokio::test]
async fn a_weekly_series_keeps_its_local_time_over_the_change_of_clocks() {
    // Berlin leaves summer time on 25 October 2026 and comes back to it on 28 March 2027.
    let autumn = series(
        "DTSTART;TZID=Europe/Berlin:20261016T090000\nDTEND;TZID=Europe/Berlin:20261016T093000\nRRULE:FREQ=WEEKLY;COUNT=3",
    );
    let expected = ["2026-10-16T07:00:00Z", "2026-10-23T07:00:00Z", "2026-10-30T08:00:00Z"];
    assert_eq!(only_starts(&autumn).await, expected);
    let spring =
        series("DTSTART;TZID=Europe/Berlin:20270320T090000\nDURATION:PT30M\nRRULE:FREQ=WEEKLY;UNTIL=20270403T235959Z");
    let expected = ["2027-03-20T08:00:00Z", "2027-03-27T08:00:00Z", "2027-04-03T07:00:00Z"];
    assert_eq!(only_starts(&spring).await, expected);
}

/// A zone as Outlook writes it, and one that a file makes up.
const ZONES: &str = "BEGIN:VTIMEZONE\nTZID:W. Europe Standard Time\n\
    BEGIN:STANDARD\nDTSTART:16010101T030000\nTZOFFSETFROM:+0200\nTZOFFSETTO:+0100\n\
    RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\nEND:STANDARD\n\
    BEGIN:DAYLIGHT\nDTSTART:16010101T020000\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0200\n\
    RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3\nEND:DAYLIGHT\nEND:VTIMEZONE\n\
    BEGIN:VTIMEZONE\nTZID:Here\nBEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:-0330\nTZOFFSETTO:-0330\n\
    END:STANDARD\nEND:VTIMEZONE\n";

#[tokio::test]
async fn zones_are_those_that_the_file_defines_or_that_their_names_end_in() {
    let weekly = |zone: &str| {
        calendar(&format!(
            "{ZONES}BEGIN:VEVENT\nUID:a\nSUMMARY:Stand-up\nDTSTART;TZID=\"{zone}\":20261016T090000\nDURATION:PT30M\n\
             RRULE:FREQ=WEEKLY;COUNT=3\nEXDATE:20261023T070000Z\nEND:VEVENT"
        ))
    };
    let berlin = ["2026-10-16T07:00:00Z", "2026-10-30T08:00:00Z"];
    for zone in ["Europe/Berlin", "W. Europe Standard Time", "/example.org/20260101_1/Europe/Berlin"] {
        assert_eq!(only_starts(&weekly(zone)).await, berlin, "{zone}");
    }
    let here = ["2026-10-16T12:30:00Z", "2026-10-23T12:30:00Z", "2026-10-30T12:30:00Z"];
    assert_eq!(only_starts(&weekly("Here")).await, here);
}

#[tokio::test]
async fn excluded_dates_are_left_out_and_added_ones_come_in() {
    let file = series(
        "DTSTART;TZID=Europe/Berlin:20261019T090000\nDTEND;TZID=Europe/Berlin:20261019T093000\nRRULE:FREQ=DAILY;COUNT=10\n\
         EXDATE;TZID=Europe/Berlin:20261021T090000,20261022T090000\nEXDATE;TZID=Europe/Berlin:20261026T090000\n\
         RDATE;TZID=Europe/Berlin:20261120T090000",
    );
    let days: Vec<String> = only_starts(&file).await.iter().map(|start| start[5..13].to_owned()).collect();
    let expected = ["10-19T07", "10-20T07", "10-23T07", "10-24T07", "10-25T08", "10-27T08", "10-28T08", "11-20T08"];
    assert_eq!(days, expected);
}

#[tokio::test]
async fn an_overridden_occurrence_stands_where_it_was_put_and_a_cancelled_one_is_gone() {
    let text = calendar(
        "BEGIN:VEVENT\nUID:s@example.org\nSUMMARY:Stand-up\nDTSTART;TZID=Europe/Berlin:20261130T090000\n\
         DTEND;TZID=Europe/Berlin:20261130T093000\nRRULE:FREQ=DAILY;COUNT=4\nEND:VEVENT\n\
         BEGIN:VEVENT\nUID:s@example.org\nSUMMARY:Later\nRECURRENCE-ID;TZID=Europe/Berlin:20261201T090000\n\
         DTSTART;TZID=Europe/Berlin:20261201T150000\nDTEND;TZID=Europe/Berlin:20261201T153000\nEND:VEVENT\n\
         BEGIN:VEVENT\nUID:s@example.org\nSTATUS:CANCELLED\nRECURRENCE-ID;TZID=Europe/Berlin:20261202T090000\n\
         DTSTART;TZID=Europe/Berlin:20261202T090000\nDTEND;TZID=Europe/Berlin:20261202T093000\nEND:VEVENT",
    );
    let expected =
        [("2026-11-30T08:00:00Z", "Stand-up"), ("2026-12-01T14:00:00Z", "Later"), ("2026-12-03T08:00:00Z", "Stand-up")];
    let expected = expected.map(|(start, summary)| (start.to_owned(), summary.to_owned()));
    assert_eq!(starts(&text).await, expected);
}

#[tokio::test]
async fn all_day_series_floating_times_and_single_events_are_read() {
    let all_day = series(
        "DTSTART;VALUE=DATE:20261205\nDTEND;VALUE=DATE:20261207\nRRULE:FREQ=WEEKLY;COUNT=2\nEXDATE;VALUE=DATE:20261219",
    );
    assert_eq!(only_starts(&all_day).await, ["2026-12-05", "2026-12-12"]);
    let until = series("DTSTART;VALUE=DATE:20261205\nRRULE:FREQ=DAILY;UNTIL=20261207");
    assert_eq!(only_starts(&until).await, ["2026-12-05", "2026-12-06", "2026-12-07"]);
    let floating = series("DTSTART:20261205T090000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=2");
    assert_eq!(only_starts(&floating).await, ["2026-12-05T09:00:00Z", "2026-12-06T09:00:00Z"], "taken for UTC");
    let single = series(
        "DTSTART:20261205T090000Z\nDURATION:PT1H\nDESCRIPTION:Bring\\, please\\nall\nLOCATION:Room 7\nTRANSP:TRANSPARENT\nSTATUS:TENTATIVE",
    );
    let world = World::start().await;
    assert_eq!(world.sim.import_ics(&world.account, &single).unwrap(), 1);
    let shown = world.read(&[]).await.json()["events"][0].clone();
    assert_eq!(shown["description"], "Bring, please\nall");
    assert_eq!(shown["location"]["description"], "Room 7");
    assert_eq!((shown["transparency"].as_str(), shown["status"].as_str()), (Some("transparent"), Some("tentative")));
    assert_eq!(shown["end"], "2026-12-05T10:00:00Z");
}

#[tokio::test]
async fn a_text_is_freed_of_its_escapes_once() {
    let text = series(&format!("DTSTART:20261205T090000Z\nDESCRIPTION:{}", r"C:\\new\\N\; \\\, \n\x\"));
    let world = World::start().await;
    world.sim.import_ics(&world.account, &text).unwrap();
    assert_eq!(world.read(&[]).await.json()["events"][0]["description"], "C:\\new\\N; \\, \n\\x\\");
}

#[tokio::test]
async fn events_whose_uids_are_much_alike_stay_apart() {
    let outlook = "040000008200E00074C5B7101A82E00800000000D0C1B2A3E4F5DA01000000000000000010000000";
    let uids = ["a@example.org", "a-example.org", "\u{65e5}\u{672c}", "\u{4e2d}\u{56fd}"].map(str::to_owned);
    let uids = uids.into_iter().chain([format!("{outlook}AAAA"), format!("{outlook}BBBB")]);
    let event = |uid| format!("BEGIN:VEVENT\nUID:{uid}\nDTSTART:20261205T090000Z\nSUMMARY:x\nEND:VEVENT");
    assert_eq!(starts(&calendar(&uids.map(event).collect::<Vec<_>>().join("\n"))).await.len(), 6);
}

#[tokio::test]
async fn the_same_file_read_again_changes_no_id() {
    let world = World::start().await;
    let file = series("DTSTART:20261205T090000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=5");
    let mut ids = BTreeMap::new();
    for _ in 0..2 {
        assert_eq!(world.sim.import_ics(&world.calendar, &file).unwrap(), 5);
        for uid in world.read(&[]).await.uids() {
            *ids.entry(uid).or_insert(0) += 1;
        }
    }
    assert_eq!(ids.len(), 5);
    assert!(ids.values().all(|times| *times == 2));
}

#[tokio::test]
async fn a_series_without_end_is_read_as_far_as_it_may_ever_be_seen() {
    let world = World::start().await;
    let endless = series("DTSTART:20200101T090000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY");
    let count = world.sim.import_ics(&world.calendar, &endless).unwrap();
    assert!((490..=510).contains(&count), "{count}: 100 days back, 400 ahead");
}

#[tokio::test]
async fn a_rule_that_never_comes_true_has_no_occurrences_but_its_first() {
    let never = series("DTSTART:20261205T090000Z\nDURATION:PT1H\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30");
    assert!(only_starts(&never).await.is_empty());
}

/// Lines of a calendar file, some of them broken.
fn line() -> impl Strategy<Value = String> {
    let words = ["BEGIN:VEVENT", "END:VEVENT", "BEGIN:VTIMEZONE", "END:VTIMEZONE", "UID:a", "SUMMARY:\\,", ""];
    let name = ["DTSTART", "DTEND", "DURATION", "RRULE", "RDATE", "EXDATE", "RECURRENCE-ID", "STATUS"];
    let zone = ["", ";TZID=Europe/Berlin", ";TZID=Nowhere", ";VALUE=DATE"];
    let value = [
        "20261205T090000Z",
        "20261205T090000",
        "20261205",
        "99999999T999999Z",
        "PT1H",
        "-P5W",
        "FREQ=DAILY;COUNT=3",
        "FREQ=WEEKLY;UNTIL=20270101;BYDAY=MO,-1FR",
        "FREQ=MONTHLY;BYSETPOS=-1;INTERVAL=0",
        "CANCELLED",
        "\u{fe0f}",
    ];
    prop_oneof![
        2 => select(words.to_vec()).prop_map(ToOwned::to_owned),
        6 => (select(name.to_vec()), select(zone.to_vec()), select(value.to_vec()))
            .prop_map(|(name, zone, value)| format!("{name}{zone}:{value}")),
        1 => "\\PC{0,20}",
    ]
}

#[test]
fn any_file_is_read_or_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::start());
    let (read, refused) = (Cell::new(0), Cell::new(0));
    TestRunner::default()
        .run(&(vec(line(), 0..8), any::<bool>()), |(lines, whole)| {
            let lines = lines.join("\n");
            let text = if whole { series(&lines) } else { calendar(&lines) };
            let count = if world.sim.import_ics(&world.calendar, &text).is_ok() { &read } else { &refused };
            count.set(count.get() + 1);
            Ok(())
        })
        .unwrap();
    assert!(read.get() > 0 && refused.get() > 0, "{read:?} {refused:?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_said() {
    let world = World::start().await;
    for (text, said) in [
        ("hello".to_owned(), "not an iCalendar file"),
        (String::new(), "not an iCalendar file"),
        ("BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:a\n".to_owned(), "it is broken or cut off at line 2"),
        (calendar("") + &calendar(""), "at line 6: one VCALENDAR is expected"),
        (series("DTEND:20261205T090000Z"), "VEVENT 1 has no DTSTART"),
        (series("DTSTART:tomorrow"), "VEVENT 1: DTSTART \"tomorrow\" is not understood"),
        (series("DTSTART;TZID=Mars/Base:20261205T090000"), "Mars/Base"),
        (series("DTSTART:20261205T090000Z\nDTEND:soon"), "VEVENT 1: DTEND \"soon\""),
        (series("DTSTART:20261205T090000Z\nDURATION:a while"), "VEVENT 1: DURATION \"a while\""),
        (series("DTSTART:20261205T090000Z\nRRULE:FREQ=SOMETIMES"), "VEVENT 1: RRULE"),
        (series("DTSTART:20000101T090000Z\nRRULE:FREQ=MINUTELY"), "with more than 20000 occurrences"),
    ] {
        let error = world.sim.import_ics(&world.calendar, &text).unwrap_err().to_string();
        assert!(error.contains(said), "{said}: {error}");
        let url = format!("{}/calendars/{}/ics", world.sim.control_url(), world.calendar);
        let refused = answer(world.http.request(Method::POST, url).body(text)).await.unwrap();
        assert_eq!((refused.status, refused.json()["remedy"].as_str().unwrap()), (400, error.as_str()));
    }
    let good = series("DTSTART:20261205T090000Z");
    let error = world.sim.import_ics("cal_unknown", &good).unwrap_err().to_string();
    assert!(error.contains("there is no calendar cal_unknown"), "{error}");
    assert!(world.read(&[]).await.uids().is_empty(), "nothing of a bad file is kept");
}
