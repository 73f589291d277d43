//! What is read when, and what a read changes.

use super::*;

/// A delta read on top of `before`, with these pages: what becomes of the copy.
fn after_delta(before: &[Event], pages: Vec<Vec<RemoteEvent>>) -> Vec<String> {
    let mut case = Case::settled().marked(&[NotificationType::Change]);
    case.load(stored(before));
    let count = pages.len();
    for (number, events) in pages.into_iter().enumerate() {
        case.page(events, number + 1 < count);
    }
    case.commits().events.into_keys().collect()
}

fn deleted(id: &str, calendar_id: &str) -> RemoteEvent {
    RemoteEvent::Deleted { id: id.to_owned(), calendar_id: calendar_id.to_owned() }
}

fn moved(id: &str, calendar_id: &str) -> RemoteEvent {
    present(Event { calendar_id: calendar_id.to_owned(), ..soon(id) })
}

#[test]
fn an_event_that_moved_to_another_calendar_is_kept_in_whatever_order_that_is_shown() {
    for pages in [
        vec![vec![deleted("a", "cal_1"), moved("a", "cal_2")]],
        vec![vec![moved("a", "cal_2"), deleted("a", "cal_1")]],
        vec![vec![moved("a", "cal_2")], vec![deleted("a", "cal_1")]],
    ] {
        assert_eq!(after_delta(&[soon("a")], pages), ["a"]);
    }
}

#[test]
fn an_event_that_is_deleted_while_it_is_read_is_gone() {
    assert!(after_delta(&[soon("a")], vec![vec![moved("a", "cal_1")], vec![deleted("a", "cal_1")]]).is_empty());
    assert!(after_delta(&[soon("a")], vec![vec![deleted("a", "cal_2")]]).is_empty(), "wherever it stood last");
}
