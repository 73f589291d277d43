use jiff::civil::date;
use proptest::prelude::*;

use super::*;

const ROOM: Limits = Limits { columns: 4, blocks: 50, bars: 3 };

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn timed(start: &str, end: &str) -> Span {
    Span { start: start.parse().unwrap(), end: end.parse().unwrap(), all_day: false }
}

fn whole(first: Date, after: Date, zone: &TimeZone) -> Span {
    let start = |date: Date| date.to_zoned(zone.clone()).unwrap().timestamp();
    Span { start: start(first), end: start(after), all_day: true }
}

/// A day of hours: event, from, to, column and columns of each block. Places are counted from midnight.
fn day(spans: &[Span], date: Date, zone: &TimeZone) -> Vec<(usize, usize, usize, usize, usize)> {
    let grid = grid(spans, &[date], zone, ROOM, Timestamp::MIN);
    let first = grid.hours.first().map_or(0, |hour| usize::try_from(hour.hour).unwrap() * 4);
    let blocks = &grid.days[0].blocks;
    blocks
        .iter()
        .map(|block| (block.event, block.from + first, block.to + first, block.column, block.columns))
        .collect()
}

type Expected = (usize, usize, usize, usize, usize);

#[test]
fn events_that_overlap_share_the_width_and_others_have_it_all() {
    let utc = TimeZone::UTC;
    let at = |from: &str, to: &str| timed(&format!("2026-12-02T{from}:00Z"), &format!("2026-12-02T{to}:00Z"));
    let table: [(&str, &[Span], &[Expected]); 7] = [
        ("one", &[at("09:00", "10:00")], &[(0, 36, 40, 0, 1)]),
        ("one after the other", &[at("09:00", "10:00"), at("10:00", "11:00")], &[(0, 36, 40, 0, 1), (1, 40, 44, 0, 1)]),
        ("two at a time", &[at("09:00", "10:00"), at("09:30", "11:00")], &[(0, 36, 40, 0, 2), (1, 38, 44, 1, 2)]),
        (
            "a chain needs no third column",
            &[at("09:00", "10:00"), at("09:30", "11:00"), at("10:00", "12:00")],
            &[(0, 36, 40, 0, 2), (1, 38, 44, 1, 2), (2, 40, 48, 0, 2)],
        ),
        (
            "the longer one is at the left",
            &[at("09:00", "09:15"), at("09:00", "12:00")],
            &[(1, 36, 48, 0, 2), (0, 36, 37, 1, 2)],
        ),
        ("without duration", &[at("09:00", "09:00"), at("09:05", "09:05")], &[(0, 36, 37, 0, 2), (1, 36, 37, 1, 2)]),
        ("parts of a quarter take all of it", &[at("09:07", "09:16")], &[(0, 36, 38, 0, 1)]),
    ];
    for (what, spans, expected) in table {
        assert_eq!(day(spans, date(2026, 12, 2), &utc), expected, "{what}");
    }
}

#[test]
fn an_event_across_midnight_stands_in_both_days_and_says_that_it_goes_on() {
    let days = [date(2026, 12, 2), date(2026, 12, 3)];
    let span = timed("2026-12-02T22:00:00Z", "2026-12-03T02:00:00Z");
    let grid = grid(&[span], &days, &TimeZone::UTC, ROOM, Timestamp::MIN);
    assert_eq!((grid.height, grid.hours.len(), grid.bars.len()), (96, 24, 0), "all hours are shown");
    let parts =
        grid.days.iter().map(|day| day.blocks[0]).map(|block| (block.from, block.to, block.continues, block.goes_on));
    assert_eq!(parts.collect::<Vec<_>>(), [(88, 96, false, true), (0, 8, true, false)]);
    // One that ends at midnight is not in the day after.
    let span = timed("2026-12-02T22:00:00Z", "2026-12-03T00:00:00Z");
    let grid = super::grid(&[span], &days, &TimeZone::UTC, ROOM, Timestamp::MIN);
    assert_eq!(grid.days.iter().map(|day| day.blocks.len()).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn only_hours_in_which_something_is_are_added_to_the_usual_ones() {
    let table = [
        ("nothing", timed("2026-11-02T09:00:00Z", "2026-11-02T10:00:00Z"), 7, 13),
        ("early", timed("2026-12-02T05:40:00Z", "2026-12-02T06:10:00Z"), 5, 15),
        ("late", timed("2026-12-02T20:10:00Z", "2026-12-02T20:20:00Z"), 7, 14),
        ("to the end", timed("2026-12-02T23:50:00Z", "2026-12-02T23:50:00Z"), 7, 17),
    ];
    for (what, span, first, hours) in table {
        let grid = grid(&[span], &[date(2026, 12, 2)], &TimeZone::UTC, ROOM, Timestamp::MIN);
        assert_eq!((grid.hours[0].hour, grid.hours.len(), grid.height), (first, hours, hours * 4), "{what}");
    }
}

#[test]
fn a_day_has_as_many_hours_as_its_clock_shows() {
    // In Berlin they go at 1:00 UTC, at Lord Howe by half an hour, in Apia a day was left out.
    let table = [
        ("Europe/Berlin", date(2026, 10, 25), 60, 100),
        ("Europe/Berlin", date(2026, 3, 29), -60, 92),
        ("Europe/Berlin", date(2026, 12, 2), 0, 96),
        ("Australia/Lord_Howe", date(2026, 4, 5), 30, 98),
        ("Australia/Lord_Howe", date(2026, 10, 4), -30, 94),
        ("America/Sao_Paulo", date(2018, 11, 4), -60, 92),
        ("Pacific/Apia", date(2011, 12, 30), -24 * 60, 96),
    ];
    for (name, date, extra, height) in table {
        let zone = zone(name);
        let start = date.to_zoned(zone.clone()).unwrap().timestamp();
        let all = Span { start, end: start + jiff::SignedDuration::from_hours(23), all_day: false };
        let grid = grid(&[all], &[date], &zone, ROOM, Timestamp::MIN);
        assert_eq!(grid.days[0].extra, extra, "{name} {date}");
        if extra > -24 * 60 {
            let ruler = Ruler::of(&[Clock::of(date, &zone)]);
            assert_eq!(ruler.after(&Clock::of(date, &zone), Timestamp::MAX), height, "{name} {date}");
        }
    }
}

#[test]
fn the_hour_that_comes_twice_has_two_places_and_the_one_that_is_left_out_none() {
    let berlin = zone("Europe/Berlin");
    let first = timed("2026-10-25T00:15:00Z", "2026-10-25T00:45:00Z");
    let second = timed("2026-10-25T01:15:00Z", "2026-10-25T01:45:00Z");
    let after = timed("2026-10-25T02:00:00Z", "2026-10-25T03:00:00Z");
    let saturday = timed("2026-10-24T00:00:00Z", "2026-10-24T02:00:00Z");
    let days = [date(2026, 10, 24), date(2026, 10, 25)];
    let grid = grid(&[first, second, after, saturday], &days, &berlin, ROOM, Timestamp::MIN);
    // From 2:00 on.
    let places: Vec<_> =
        grid.days[1].blocks.iter().map(|block| (block.event, block.from, block.to, block.columns)).collect();
    assert_eq!(places, [(0, 1, 3, 1), (1, 5, 7, 1), (2, 8, 12, 1)]);
    assert_eq!(
        grid.hours[..4].iter().map(|hour| (hour.at, hour.hour, hour.again)).collect::<Vec<_>>(),
        [(0, 2, false), (4, 2, true), (8, 3, false), (12, 4, false)]
    );
    assert_eq!((&grid.days[0].missing, &grid.days[1].missing), (&vec![(4, 4)], &vec![]));
    // From 2:00 to 4:00 on Saturday, over the place of the second hour.
    let block = grid.days[0].blocks[0];
    assert_eq!((block.from, block.to), (0, 12));

    let early = timed("2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z");
    let days = [date(2026, 3, 29), date(2026, 3, 30)];
    let grid = super::grid(&[early], &days, &berlin, ROOM, Timestamp::MIN);
    let block = grid.days[0].blocks[0];
    assert_eq!((block.from, block.to, grid.hours[0].hour), (2, 10, 1), "from 1:30 to 3:30");
    assert_eq!(grid.days[0].missing, [(4, 4)]);
}

#[test]
fn what_takes_whole_days_stands_in_rows_above_as_far_as_there_is_room() {
    let utc = TimeZone::UTC;
    let week: Vec<Date> = (0..7).map(|day| date(2026, 11, 30).saturating_add(jiff::Span::new().days(day))).collect();
    let at = |day: i8| if day > 0 { date(2026, 12, day) } else { date(2026, 11, 30 + day) };
    let days = |first: i8, after: i8| whole(at(first), at(after), &utc);
    let bars = |spans: &[Span]| {
        let grid = grid(spans, &week, &utc, ROOM, Timestamp::MIN);
        let bars: Vec<_> = grid.bars.iter().map(|bar| (bar.event, bar.day, bar.days, bar.row)).collect();
        (bars, grid.more_bars)
    };
    assert_eq!(bars(&[days(1, 2), days(2, 4), days(1, 3)]), (vec![(2, 1, 2, 0), (0, 1, 1, 1), (1, 2, 2, 1)], 0));
    assert_eq!(bars(&[days(-5, 1), days(6, 20), days(-5, 20)]), (vec![(2, 0, 7, 0), (0, 0, 1, 1), (1, 6, 1, 1)], 0));
    assert_eq!(bars(&[days(7, 8), days(-5, -3)]), (vec![], 0), "before and after");
    assert_eq!(bars(&[days(1, 1)]).0, [(0, 1, 1, 0)], "without duration: its date");
    let (placed, more) = bars(&[days(1, 2); 9]);
    assert_eq!((placed.len(), more), (3, 6));
    // Times of a day or more are no blocks.
    let shift = timed("2026-12-01T08:00:00Z", "2026-12-02T08:00:00Z");
    assert_eq!(bars(&[shift]).0, [(0, 1, 2, 0)]);
    let ends = grid(&[days(-5, 20)], &week, &utc, ROOM, Timestamp::MIN).bars[0];
    assert!(ends.continues && ends.goes_on);
}

#[test]
fn the_present_is_marked_where_it_is_shown() {
    let days = [date(2026, 12, 1), date(2026, 12, 2)];
    for (now, expected) in [
        ("2026-12-02T09:20:00Z", Some((1, 9))),
        ("2026-12-01T07:00:00Z", Some((0, 0))),
        ("2026-12-02T06:59:00Z", None),
        ("2026-12-03T09:20:00Z", None),
    ] {
        assert_eq!(grid(&[], &days, &TimeZone::UTC, ROOM, now.parse().unwrap()).now, expected, "{now}");
    }
}

#[test]
fn a_list_has_each_event_under_each_of_its_days() {
    let berlin = zone("Europe/Berlin");
    let days = [date(2026, 12, 2), date(2026, 12, 3), date(2026, 12, 4), date(2026, 12, 5)];
    let spans = [
        timed("2026-12-02T22:00:00Z", "2026-12-04T23:00:00Z"),
        whole(date(2026, 12, 1), date(2026, 12, 3), &berlin),
        timed("2026-12-02T08:00:00Z", "2026-12-02T08:00:00Z"),
        timed("2026-12-02T22:30:00Z", "2026-12-03T01:00:00Z"),
    ];
    let agenda = agenda(&spans, &days, &berlin, 100);
    let listed: Vec<(i8, Vec<(usize, Part)>)> = agenda
        .days
        .iter()
        .map(|(date, lines)| (date.day(), lines.iter().map(|line| (line.event, line.part)).collect()))
        .collect();
    let expected = [
        (
            2,
            vec![
                (1, Part::Whole),
                (2, Part::Within(spans[2].start, spans[2].end)),
                (0, Part::From(spans[0].start)),
                (3, Part::From(spans[3].start)),
            ],
        ),
        (3, vec![(0, Part::Whole), (3, Part::Until(spans[3].end))]),
        (4, vec![(0, Part::Whole)]),
    ];
    assert_eq!(listed, expected);
    let cut = super::agenda(&spans, &days, &berlin, 5);
    assert_eq!((cut.days.len(), cut.rest), (1, Some(days[1])), "days are complete");
    let first = super::agenda(&spans, &days, &berlin, 1);
    assert_eq!((first.days[0].1.len(), first.rest), (4, Some(days[1])), "and there is at least one");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// Whatever there is: nothing that is shown overlaps, stands outside its column, or is not counted.
    #[test]
    fn nothing_is_placed_on_another_or_forgotten(
        times in prop::collection::vec((0_i64..8 * 96, 0_i64..200, any::<bool>()), 0..80),
        name in prop::sample::select(vec!["Etc/UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"]),
        first in prop::sample::select(vec![date(2026, 10, 24), date(2026, 3, 28), date(2026, 4, 4), date(2026, 12, 1)]),
    ) {
        let zone = zone(name);
        let origin = first.to_zoned(zone.clone()).unwrap().timestamp();
        let spans: Vec<Span> = times.iter().map(|(start, length, all_day)| {
            let at = |quarters: i64| origin + jiff::SignedDuration::from_mins(15 * (quarters - 96) + 5);
            Span { start: at(*start), end: at(start + length), all_day: *all_day }
        }).collect();
        let days: Vec<Date> = (0..7).map(|day| first.saturating_add(jiff::Span::new().days(day))).collect();
        let grid = grid(&spans, &days, &zone, ROOM, origin);
        for day in &grid.days {
            let clock = Clock::of(day.date, &zone);
            let on = spans.iter().filter(|span| !span.whole_days() && span.on(&clock)).count();
            prop_assert_eq!(day.blocks.len() + day.more, on);
            for (number, block) in day.blocks.iter().enumerate() {
                prop_assert!(block.from < block.to && block.to <= grid.height && block.column < block.columns && block.columns <= ROOM.columns);
                for other in &day.blocks[number + 1..] {
                    let apart = block.to <= other.from || other.to <= block.from;
                    prop_assert!(apart || (block.column != other.column && block.columns == other.columns), "{:?} {:?}", block, other);
                }
            }
        }
        for (number, bar) in grid.bars.iter().enumerate() {
            prop_assert!(bar.row < ROOM.bars && bar.day + bar.days <= 7);
            for other in &grid.bars[number + 1..] {
                prop_assert!(bar.row != other.row || bar.day + bar.days <= other.day || other.day + other.days <= bar.day);
            }
        }
    }
}
