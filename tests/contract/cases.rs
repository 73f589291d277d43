//! What holds for every kind of store.

use calendar_sync::{Event, EventTime, Snapshot, Stored, Visibility};
use cronofy_operator::store::{EventStore as _, StoreError};

use crate::backend::Backend;
use crate::calendar::{event, snapshot};

pub fn two_events() -> Snapshot {
    let timed = EventTime::Instant("2030-05-02T00:00:00Z".parse().unwrap());
    let second = Event { start: timed, end: timed, all_day: false, ..event("evt_a", "Dentist") };
    snapshot([event("evt_b", "Board meeting"), second])
}

pub fn many(count: usize) -> Snapshot {
    snapshot((0..count).map(|number| event(&format!("evt_{number:05}"), &format!("Board meeting {number}"))))
}

fn with(snapshot: &Snapshot, event: Event) -> Snapshot {
    let mut snapshot = snapshot.clone();
    snapshot.events.insert(event.id.clone(), event);
    snapshot
}

fn present(snapshot: &Snapshot) -> Stored {
    Stored::Present(Box::new(snapshot.clone()))
}

pub async fn nothing_is_stored_at_first(backend: &Backend) {
    let head = backend.store().head(&backend.target()).await.unwrap();
    assert_eq!((head.stored, head.damage, head.output, head.tidy), (Stored::Absent, None, None, None));
    assert!(head.version.is_none());
}

pub async fn what_is_committed_is_read_back(backend: &Backend) {
    for snapshot in [two_events(), snapshot([]), many(300)] {
        let (store, target) = (backend.store(), backend.target());
        let head = store.head(&target).await.unwrap();
        let committed = store.commit(&target, head.version.as_ref(), &snapshot).await.unwrap();
        assert!(committed.changed && committed.written > 0);
        assert_eq!(committed.output.events, snapshot.events.len());
        // By the process that wrote it, which may remember it, and by one that knows nothing.
        for store in [store, backend.store()] {
            for _ in 0..2 {
                let head = store.head(&target).await.unwrap();
                assert_eq!((&head.stored, head.damage), (&present(&snapshot), None));
                assert_eq!(head.output.as_ref(), Some(&committed.output));
            }
        }
    }
}

pub async fn a_commit_is_refused_on_any_head_but_the_last(backend: &Backend) {
    let (leader, successor, target) = (backend.store(), backend.store(), backend.target());
    let first = leader.commit(&target, None, &two_events()).await.unwrap();
    let seen = successor.head(&target).await.unwrap();
    let later = with(&two_events(), event("evt_c", "Lunch"));
    let second = successor.commit(&target, seen.version.as_ref(), &later).await.unwrap();

    let overtaken = with(&two_events(), event("evt_d", "Never written"));
    for on in [Some(&first.version), None] {
        assert_eq!(leader.commit(&target, on, &overtaken).await.unwrap_err(), StoreError::HeadMoved);
        assert_eq!(backend.stored().await, present(&later), "a writer that is refused changes nothing");
    }
    assert!(!backend.text().await.contains("Never written"));
    successor.commit(&target, Some(&second.version), &two_events()).await.unwrap();
    assert_eq!(backend.stored().await, present(&two_events()));
}

pub async fn two_writers_who_begin_at_once_leave_one_calendar(backend: &Backend) {
    let (one, other, target) = (backend.store(), backend.store(), backend.target());
    let (first, second) = (many(300), with(&many(300), event("evt_00007", "Moved")));
    let results = tokio::join!(one.commit(&target, None, &first), other.commit(&target, None, &second));
    let stored = match results {
        (Ok(_), Err(StoreError::HeadMoved)) => first,
        (Err(StoreError::HeadMoved), Ok(_)) => second,
        results => panic!("one of them is refused: {results:?}"),
    };
    assert_eq!(backend.stored().await, present(&stored));
}

pub async fn an_equal_commit_writes_nothing(backend: &Backend) {
    let (store, target) = (backend.store(), backend.target());
    let committed = store.commit(&target, None, &many(300)).await.unwrap();
    let head = backend.store().head(&target).await.unwrap();
    for version in [Some(committed.version), head.version] {
        let again = backend.store().commit(&target, version.as_ref(), &many(300)).await.unwrap();
        assert_eq!((again.changed, again.written, again.slices.len()), (false, 0, 0));
        assert_eq!(again.output, committed.output);
        assert_eq!(Some(again.version), version);
    }
}

pub async fn a_cursor_that_moved_is_written_alone(backend: &Backend) {
    let (store, target) = (backend.store(), backend.target());
    let committed = store.commit(&target, None, &many(300)).await.unwrap();
    let moved = Snapshot { cursor: "2030-05-02T00:00:00Z".parse().unwrap(), ..many(300) };
    let again = store.commit(&target, Some(&committed.version), &moved).await.unwrap();
    assert!(!again.changed && again.written > 0 && again.written < 10_000, "{}", again.written);
    assert_eq!((again.output, again.slices.len()), (committed.output, 0));
    assert_eq!(backend.stored().await, present(&moved));
}

pub async fn what_is_erased_is_gone_and_may_be_erased_again(backend: &Backend) {
    let (store, target) = (backend.store(), backend.target());
    store.erase(&target).await.unwrap();
    store.commit(&target, None, &many(300)).await.unwrap();
    assert!(backend.text().await.contains("Board meeting"));
    for _ in 0..2 {
        backend.store().erase(&target).await.unwrap();
        assert_eq!(backend.text().await, "");
        assert_eq!(store.head(&target).await.unwrap().stored, Stored::Absent);
    }
    store.commit(&target, None, &two_events()).await.unwrap();
    assert_eq!(backend.stored().await, present(&two_events()));
}

pub async fn what_is_released_stays(backend: &Backend) {
    let (store, target) = (backend.store(), backend.target().retained(true));
    store.release(&target).await.unwrap();
    store.commit(&target, None, &many(300)).await.unwrap();
    for _ in 0..2 {
        store.release(&target).await.unwrap();
        assert!(backend.text().await.contains("Board meeting 299"));
    }
}

pub async fn a_commit_whose_answer_is_lost_is_told_by_the_next_head(backend: &Backend) {
    let (store, target) = (backend.store(), backend.target());
    let committed = store.commit(&target, None, &two_events()).await.unwrap();
    let later = with(&two_events(), event("evt_c", "Lunch"));
    backend.lose_answers(true);
    let open = store.commit(&target, Some(&committed.version), &later).await.unwrap_err();
    assert_eq!((open.category(), open.retry()), ("Unreachable", calendar_sync::Retry::Backoff));
    backend.lose_answers(false);
    let head = store.head(&target).await.unwrap();
    assert_eq!(head.stored, present(&later));
    let again = store.commit(&target, head.version.as_ref(), &later).await.unwrap();
    assert_eq!((again.changed, again.written), (false, 0));
}

pub async fn a_narrower_visibility_leaves_nothing_of_what_was_wider(backend: &Backend) {
    for count in [2, 400] {
        let (store, target) = (backend.store(), backend.target());
        let head = store.head(&target).await.unwrap();
        store.commit(&target, head.version.as_ref(), &many(count)).await.unwrap();
        assert!(backend.text().await.contains("Board meeting"));
        let head = store.head(&target).await.unwrap();
        let busy = many(count).narrowed(Visibility::Busy);
        store.commit(&target, head.version.as_ref(), &busy).await.unwrap();
        assert!(!backend.text().await.contains("Board meeting"));
        assert_eq!(backend.stored().await, present(&busy));
        assert_eq!(store.head(&target).await.unwrap().stored, present(&busy));
    }
}

pub async fn one_change_in_a_large_calendar_writes_little(backend: &Backend) {
    let (store, target) = (backend.store(), backend.target());
    let all = many(5_000);
    let committed = store.commit(&target, None, &all).await.unwrap();
    let changed = with(&all, event("evt_02500", "Renamed"));
    let again = store.commit(&target, Some(&committed.version), &changed).await.unwrap();
    let sent = again.written + again.slices.iter().sum::<usize>();
    assert!(again.changed && sent < 200_000 && sent < committed.output.bytes / 3, "{sent}");
    let mut fewer = changed.clone();
    fewer.events.remove("evt_00000");
    store.commit(&target, Some(&again.version), &fewer).await.unwrap();
    assert_eq!(backend.stored().await, present(&fewer));
}

pub async fn a_name_that_somebody_else_has_is_left_alone(backend: &Backend) {
    let (store, target) = (backend.store(), backend.target());
    store.commit(&target, None, &two_events()).await.unwrap();
    let other = backend.target_of("6f1c2f0e-0000-4000-8000-000000000002");
    // A calendar store finds events by the subscription's uid: it tells with the commit.
    let refused = async {
        let head = store.head(&other).await?;
        store.commit(&other, head.version.as_ref(), &snapshot([])).await
    };
    let refused = refused.await.unwrap_err();
    assert_eq!((refused.category(), refused.failure().reason), ("Conflict", calendar_sync::Reason::Conflict));
    store.erase(&other).await.unwrap();
    store.release(&other).await.unwrap();
    assert_eq!(backend.stored().await, present(&two_events()));
}

pub async fn hostile_events_are_read_back_as_they_are(backend: &Backend) {
    let texts = [
        "\0",
        "a\0b",
        "line\nline\r\n\u{2028}",
        "\"}\n{\"end\":0}\n",
        "\\u0000 \\\" '; DROP TABLE events; --",
        "🧨\u{202e}\u{feff}",
        "",
        "sha256:0000",
        "</script><img src=x>",
        "{{ .Values }} ${HOME} %00",
    ];
    let long = "x".repeat(10_000);
    let ids = texts.iter().map(|text| (*text).to_owned());
    let ids = ids.chain([long.clone(), format!("{long}\0"), format!("{long}\n\"")]);
    let events = ids.map(|id| Event {
        summary: Some(format!("{id} and {}", texts.concat())),
        description: Some(texts.concat().repeat(20)),
        ..event(&id, "")
    });
    let hostile = Snapshot { visibility: Visibility::Full, ..snapshot(events) };
    let (store, target) = (backend.store(), backend.target());
    let committed = store.commit(&target, None, &hostile).await.unwrap();
    assert_eq!(backend.stored().await, present(&hostile));
    let mut fewer = hostile.clone();
    fewer.events.remove(&long);
    fewer.events.remove("a\0b");
    fewer.events.entry("\0".to_owned()).and_modify(|event| event.summary = Some("\0\0".to_owned()));
    store.commit(&target, Some(&committed.version), &fewer).await.unwrap();
    assert_eq!(backend.stored().await, present(&fewer));
}
