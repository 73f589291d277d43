//! The guard against mass deletion, and what a broken profile means for what is missing.

use calendar_sync::{CONFIRM_AFTER, Held};

use super::*;

fn many(count: usize) -> Vec<Event> {
    (0..count).map(|number| soon(&format!("event {number:02}"))).collect()
}

/// A full read over `before` events that shows only the first `shown`.
fn read(before: usize, shown: usize, record: impl FnOnce(&mut Record)) -> Case {
    let mut case = Case::settled().recorded(record).desiring(|desired| desired.request = Some("now".to_owned()));
    case.load(stored(&many(before)));
    if case.next() == Step::CheckAccount {
        case.answer(Outcome::Account(account(true, false)));
    }
    case.page(many(shown).into_iter().map(present).collect(), false);
    case
}

#[test]
fn the_account_is_looked_at_before_a_read_whose_gaps_delete() {
    let mut case = Case::settled().desiring(|desired| desired.request = Some("now".to_owned()));
    case.load(stored(&many(3)));
    assert_eq!(case.next(), Step::CheckAccount, "not every broken profile is announced");
    case.answer(Outcome::Account(account(false, false)));
    case.page(Vec::new(), false);
    assert_eq!(case.commits().events.len(), 3);
}

#[test]
fn more_than_half_of_more_than_twenty_are_held_and_all_else_is_deleted() {
    for (before, shown, held) in [(20, 0, false), (21, 0, true), (21, 10, true), (22, 11, false), (40, 21, false)] {
        let mut case = read(before, shown, |_| {});
        assert_eq!(case.commits().events.len(), if held { before } else { shown }, "{shown} of {before}");
        case.commit();
        let noted = case.observed.record.held.map(|held| (held.missing, held.of));
        assert_eq!(noted, held.then_some((before - shown, before)));
    }
}

#[test]
fn what_is_held_is_looked_at_again_and_goes_if_a_second_read_agrees() {
    let mut case = read(30, 0, |_| {});
    case.commit().write();
    case.read_nothing(); // a delta tells what was really deleted
    let Step::Wait { until: Some(until), why: Why::Confirmation } = case.next() else { panic!("{:?}", case.next()) };
    assert_eq!(until.duration_since(case.now), CONFIRM_AFTER.try_into().unwrap());
    let mut second = Case { now: until, ..case.again() };
    second.load(stored(&many(30)));
    assert_eq!(second.next(), Step::CheckAccount);
    second.answer(Outcome::Account(account(true, false)));
    assert_eq!(second.reads().purpose, Purpose::Full);
    second.page(Vec::new(), false);
    assert!(second.commits().events.is_empty(), "a calendar that is really empty gets through");
    second.commit();
    assert_eq!(second.observed.record.held, None);
}

#[test]
fn what_a_narrower_filter_leaves_out_goes_once_a_second_read_agrees_at_once() {
    let filters: [(bool, bool); 2] = [(true, true), (false, false)];
    for (only_managed, include_managed) in filters {
        let mut case = Case::settled().desiring(|desired| desired.filter.include_managed = true);
        let fingerprint = case.desired.content_fingerprint();
        (case.desired.filter.only_managed, case.desired.filter.include_managed) = (only_managed, include_managed);
        case.load(Stored::Present(Box::new(Snapshot { fingerprint, ..snapshot(&many(30)) }))).look();
        let mut case = announced(case);
        assert_eq!(case.reads().purpose, Purpose::Full);
        case.page(many(3).into_iter().map(present).collect(), false);
        assert_eq!(case.commits().events.len(), 30, "one look alone may be a hiccup");
        let kept = case.commits();
        case.commit().write();
        case.read_nothing(); // a delta tells what was really deleted
        let mut second = Case { now: at("2026-11-20T12:00:02Z"), ..case.again() };
        second.load(Stored::Present(Box::new(kept))).look();
        let mut second = announced(second);
        assert_eq!(second.reads().purpose, Purpose::Full, "no ten minutes");
        second.page(many(3).into_iter().map(present).collect(), false);
        assert_eq!(second.commits().events.len(), 3);
        second.commit();
        assert_eq!(second.observed.record.held, None);
        assert_eq!(second.observed.stored.snapshot().unwrap().fingerprint, second.desired.content_fingerprint());
    }
}

#[test]
fn a_wider_filter_does_not_explain_what_is_missing() {
    let mut case = Case::settled().desiring(|desired| desired.filter.include_managed = true);
    let managed = case.clone().desiring(|desired| desired.filter.only_managed = true).desired.content_fingerprint();
    case.load(Stored::Present(Box::new(Snapshot { fingerprint: managed, ..snapshot(&many(30)) }))).look();
    assert_eq!(case.reads().purpose, Purpose::Full);
    case.page(Vec::new(), false).commit().write().read_nothing();
    let Step::Wait { why: Why::Confirmation, .. } = case.next() else { panic!("{:?}", case.next()) };
}

#[test]
fn a_read_that_mends_a_lost_output_and_lacks_most_of_it_is_made_again() {
    for lost in [Stored::Absent, Stored::Damaged] {
        for (shown, again) in [(0, true), (10, true), (20, false), (40, false)] {
            let output = Output { events: 40, ..Output::default() };
            let mut case = Case::settled().recorded(|record| record.output = Some(output));
            case.load(lost.clone()).look();
            let events = many(shown);
            case.page(events.iter().cloned().map(present).collect(), false);
            assert_eq!(case.commits().events.len(), shown, "what there is is stored at once");
            case.commit().write();
            let until = match case.next() {
                Step::Wait { until: Some(until), why: Why::Confirmation } => Some(until),
                _ => None,
            };
            assert_eq!(until.is_some(), again, "{shown}: {:?}", case.next());
            let Some(until) = until else { continue };
            let mut second = Case { now: until, ..case.again() };
            second.load(stored(&events)).answer(Outcome::Account(account(true, false)));
            second.page(many(40).into_iter().map(present).collect(), false);
            assert_eq!(second.commits().events.len(), 40);
            second.commit();
            assert_eq!(second.observed.record.held, None);
        }
    }
}

#[test]
fn a_second_read_that_shows_them_again_ends_it_and_a_broken_profile_deletes_nothing() {
    let held = Held { missing: 30, of: 30, time: at("2026-11-20T11:00:00Z") };
    let mut back = read(30, 30, |record| record.held = Some(held.clone()));
    back.commit();
    assert_eq!((back.observed.record.held, back.observed.stored.snapshot().unwrap().events.len()), (None, 30));

    let mut broken = Case::settled().recorded(|record| record.held = Some(held));
    broken.load(stored(&many(30))).answer(Outcome::Account(account(false, false)));
    broken.page(Vec::new(), false);
    assert_eq!(broken.commits().events.len(), 30);
}

#[test]
fn a_commit_that_takes_long_is_judged_as_it_was_made() {
    let mut case = read(30, 0, |record| {
        record.held = Some(Held { missing: 30, of: 30, time: at("2026-11-20T11:59:00Z") });
    });
    assert_eq!(case.commits().events.len(), 30);
    let step = case.next();
    case.now = at("2026-11-20T12:30:00Z");
    case.observed.observe(
        &case.desired,
        &step,
        Outcome::Committed { output: Output::default(), changed: true },
        case.now,
    );
    assert!(case.observed.record.held.is_some(), "what was kept is still held");
}

#[test]
fn a_look_at_the_account_counts_for_a_read_that_waits_but_not_for_ever() {
    let mut case = Case::settled().desiring(|desired| desired.request = Some("now".to_owned()));
    case.load(stored(&many(3)));
    assert_eq!(case.next(), Step::CheckAccount);
    case.answer(Outcome::Account(account(true, false)));
    for (later, looks) in [("2026-11-20T12:04:59Z", false), ("2026-11-20T12:05:00Z", true)] {
        let mut again = Case { now: at(later), ..case.again() };
        again.load(stored(&many(3)));
        assert_eq!(again.next() == Step::CheckAccount, looks, "{later}: {:?}", again.next());
    }
}

#[test]
fn what_a_clock_noted_that_was_far_ahead_is_not_held_for_ever() {
    let held = Held { missing: 30, of: 30, time: at("2026-12-30T00:00:00Z") };
    let case = read(30, 0, |record| record.held = Some(held));
    assert!(case.commits().events.is_empty());
}

#[test]
fn narrowing_needs_no_read_and_comes_before_anything_else() {
    let narrowings: [fn(&mut Desired); 2] = [|_| {}, |desired| desired.suspended = true];
    for also in narrowings {
        let mut case = Case::settled().desiring(|desired| desired.visibility = Visibility::Busy).desiring(also);
        case.observed.record.failures = None;
        case.load(stored(&many(2)));
        let narrowed = case.commits();
        assert_eq!(narrowed.visibility, Visibility::Busy);
        assert!(narrowed.events.values().all(|event| event.summary.is_none()));
        assert_eq!(narrowed.cursor, snapshot(&[]).cursor, "nothing was read");
    }
}

#[test]
fn narrowing_and_widening_again_reads_everything_since_what_was_cut_is_gone() {
    let mut case = Case::settled().desiring(|desired| desired.visibility = Visibility::Busy);
    case.load(stored(&many(2)));
    let narrowed = case.commits();
    let mut wide = Case::settled();
    wide.load(Stored::Present(Box::new(narrowed))).look();
    assert_eq!(wide.reads().purpose, Purpose::Full);
}

#[test]
fn a_store_that_fails_to_be_narrowed_is_tried_again_later_also_while_suspended() {
    let mut case = Case::settled().desiring(|desired| {
        desired.visibility = Visibility::Busy;
        desired.suspended = true;
    });
    case.load(stored(&many(2))).fail(Reason::StoreUnavailable, Retry::Backoff);
    let Step::Wait { until: Some(until), why: Why::Retry } = case.next() else { panic!("{:?}", case.next()) };
    let mut again = Case { now: until, ..case.again() };
    again.load(stored(&many(2)));
    assert_eq!(again.commits().visibility, Visibility::Busy);
}
