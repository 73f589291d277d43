//! What becomes of old slices, and of those that a crash leaves.

use serde_json::{Value, json};

use super::*;

/// Every title that any object holds.
fn holds_titles(server: &FakeApiServer) -> bool {
    let objects = server.paths().into_iter().map(|path| server.value(&path).unwrap());
    objects.into_iter().any(|object| texts_of(&object).values().any(|text| text.contains("Secret plan")))
}

#[tokio::test]
async fn a_replaced_slice_stays_for_the_grace_period_and_then_goes_also_after_a_restart() {
    for (kind, resource) in KINDS {
        let server = FakeApiServer::default();
        let process = Process::start(&server, kind);
        process.commit(&many(1_000)).await.unwrap();
        let before = slice_paths(&server);
        let committed = process.commit(&renamed(&many(1_000), "evt_00500")).await.unwrap();
        assert_eq!(slice_paths(&server).len(), before.len() + 1);
        assert!(committed.tidy.unwrap() > Timestamp::now());

        let restarted = Process::start(&server, kind);
        assert_eq!(restarted.store.head(&target()).await.unwrap().tidy, committed.tidy);
        assert_eq!(restarted.store.tidy(&target()).await.unwrap(), committed.tidy, "not yet");
        assert_eq!(slice_paths(&server).len(), before.len() + 1);

        let later = Process::hasty(&server, kind);
        assert_eq!(later.store.tidy(&target()).await.unwrap(), None);
        assert_nothing_left_over(&server, resource);
        let head = later.store.head(&target()).await.unwrap();
        assert_eq!((head.stored, head.tidy), (present(&renamed(&many(1_000), "evt_00500")), None));
        server.take_requests();
        later.store.tidy(&target()).await.unwrap();
        assert!(server.take_requests().iter().all(|request| request.starts_with("GET")), "nothing more to do");
    }
}

#[tokio::test]
async fn a_slice_that_is_wanted_again_is_taken_back() {
    for (kind, resource) in KINDS {
        let server = FakeApiServer::default();
        let process = Process::start(&server, kind);
        for _ in 0..3 {
            process.commit(&many(1_000)).await.unwrap();
            process.commit(&renamed(&many(1_000), "evt_00500")).await.unwrap();
        }
        assert_eq!(slice_paths(&server).len(), listed(&server, resource).len() + 1);
        Process::hasty(&server, kind).store.tidy(&target()).await.unwrap();
        assert_nothing_left_over(&server, resource);
        assert_eq!(Process::start(&server, kind).stored().await, present(&renamed(&many(1_000), "evt_00500")));
    }
}

#[tokio::test]
async fn what_no_index_names_goes_once_it_is_older_than_the_grace_period() {
    let server = FakeApiServer::default();
    let process = Process::start(&server, StoreKind::ConfigMap);
    process.commit(&many(1_000)).await.unwrap();
    let orphan = target().slice_of_digest("0123456789abcdef0123").unwrap();
    let path = format!("/api/v1/namespaces/rota/configmaps/{orphan}");
    let mut object = server.value(&slice_paths(&server)[0]).unwrap();
    object["metadata"]["name"] = json!(orphan);
    object["metadata"]["uid"] = Value::Null;
    object["metadata"]["creationTimestamp"] = json!(Timestamp::now());
    server.create(&path, object);

    process.memory.doubt(&owner().uid); // as the watch would
    let head = process.store.head(&target()).await.unwrap();
    assert_eq!(head.stored, present(&many(1_000)), "one in excess harms no reader");
    assert!(head.tidy.unwrap() > Timestamp::now());
    assert!(process.store.tidy(&target()).await.unwrap().is_some());
    assert!(server.value(&path).is_some(), "a commit may be about to list it");

    server.edit_value(&path, |object| object["metadata"]["creationTimestamp"] = json!("2020-01-01T00:00:00Z"));
    assert_eq!(process.store.tidy(&target()).await.unwrap(), None);
    assert_nothing_left_over(&server, "configmaps");
}

#[tokio::test]
async fn the_slices_of_another_output_of_the_subscription_stay() {
    let server = FakeApiServer::default();
    let process = Process::hasty(&server, StoreKind::ConfigMap);
    let other = Target::new("rota", "other", owner()).unwrap();
    process.store.commit(&other, None, &many(1_000)).await.unwrap();
    process.commit(&many(500)).await.unwrap();
    process.store.tidy(&target()).await.unwrap();
    process.store.erase(&target()).await.unwrap();
    let elsewhere = Process::start(&server, StoreKind::ConfigMap);
    assert_eq!(elsewhere.store.head(&other).await.unwrap().stored, present(&many(1_000)));
}

#[tokio::test]
async fn what_stands_under_another_name_goes_with_its_slices_and_the_output_itself_stays() {
    let server = FakeApiServer::default();
    let process = Process::start(&server, StoreKind::ConfigMap);
    let other = Target::new("rota", "other", owner()).unwrap();
    let theirs = Target::new("rota", "theirs", Owner { uid: "another".to_owned(), ..owner() }).unwrap();
    process.store.commit(&other, None, &many(1_000)).await.unwrap();
    process.store.commit(&theirs, None, &many(300)).await.unwrap();
    let theirs_before = server.paths().into_iter().filter(|path| path.contains("/theirs")).count();
    process.commit(&many(500)).await.unwrap();
    // A crash before the index of a third one.
    let third = Target::new("rota", "third", owner()).unwrap();
    server.fail_at(5, Fault::Break);
    assert!(process.store.commit(&third, None, &many(1_000)).await.is_err());

    process.store.erase_others(&target()).await.unwrap();
    let left = server.paths();
    assert!(!left.iter().any(|path| path.contains("/other") || path.contains("/third")), "{left:?}");
    assert_eq!(left.iter().filter(|path| path.contains("/theirs")).count(), theirs_before);
    assert_eq!(Process::start(&server, StoreKind::ConfigMap).stored().await, present(&many(500)));
}

#[test]
fn an_index_names_no_more_retired_slices_than_it_has_room_for() {
    use super::super::content::Content;
    use super::super::index::SliceEntry;
    use super::super::tidy::retired;

    let next = Content::encode(&two_events(), &target()).unwrap().index;
    let hash = |number: usize| format!("{number:064x}");
    let slices = (0..3_000).map(|number| SliceEntry {
        name: target().slice_name(&hash(number)),
        events: 1,
        bytes: 1,
        hash: hash(number),
    });
    let before = super::super::index::Index { slices: slices.collect(), ..next.clone() };
    let version = version::ObjectVersion::written(&target(), &kube::api::ObjectMeta::default(), &before);
    let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    let retired = retired(Some(&version), &[], &next, now);
    assert_eq!(retired.len(), 3_000, "none is forgotten");
    let due_at_once = retired.iter().filter(|slice| slice.since == Timestamp::UNIX_EPOCH).count();
    assert_eq!(due_at_once, 1_000);
}

#[tokio::test]
async fn a_slice_that_a_finalizer_holds_is_asked_for_again_and_never_counts_as_erased() {
    let server = FakeApiServer::default();
    let process = Process::hasty(&server, StoreKind::ConfigMap);
    process.commit(&many(1_000)).await.unwrap();
    let before = slice_paths(&server);
    for path in &before {
        server.edit_value(path, |object| object["metadata"]["finalizers"] = json!(["backup.example/wait"]));
    }
    process.memory.doubt(&owner().uid);
    process.commit(&renamed(&many(1_000), "evt_00500")).await.unwrap();
    assert!(process.store.tidy(&target()).await.unwrap().unwrap() > Timestamp::now());
    assert_eq!(slice_paths(&server).len(), before.len() + 1);
    let error = process.commit(&busy(&many(1_000))).await.unwrap_err();
    assert_eq!(error.category(), "BeingDeleted", "{error}");
    let error = process.store.erase(&target()).await.unwrap_err();
    assert_eq!(error.category(), "BeingDeleted", "{error}");
    assert_eq!(server.object(PATH), None);
}

#[tokio::test]
async fn a_narrower_visibility_leaves_nothing_of_what_it_does_not_allow() {
    for (kind, resource) in KINDS {
        for (before, after) in [(1_000, 1_000), (1_000, 3), (3, 3), (3, 1_000)] {
            let server = FakeApiServer::default();
            let process = Process::start(&server, kind);
            process.commit(&many(before)).await.unwrap();
            if before > 3 {
                process.commit(&renamed(&many(before), "evt_00500")).await.unwrap();
            }
            assert!(holds_titles(&server));
            let committed = process.commit(&busy(&many(after))).await.unwrap();
            assert!(!holds_titles(&server), "{kind:?}, {before} and {after} events");
            assert_nothing_left_over(&server, resource);
            let head = process.store.head(&target()).await.unwrap();
            assert_eq!((head.stored, head.version), (present(&busy(&many(after))), Some(committed.version)));
        }
    }
}

#[tokio::test]
async fn a_damaged_index_may_have_allowed_more() {
    let server = FakeApiServer::default();
    let process = Process::start(&server, StoreKind::ConfigMap);
    process.commit(&many(1_000)).await.unwrap();
    server.edit(PATH, |object| drop(object.data.as_mut().unwrap().remove("index.json")));
    process.commit(&busy(&many(1_000))).await.unwrap();
    assert!(!holds_titles(&server));
    assert_nothing_left_over(&server, "configmaps");
}

/// What a request comes to that the process did not live to see answered.
fn lost(after_effect: bool) -> Fault {
    let answer = status(504, "Timeout", "request did not complete");
    if after_effect { Fault::AnswerAfterEffect(504, answer) } else { Fault::Break }
}

/// Commits `to` on top of `from` with a crash at the request of that number, starts anew, and commits `then`. Gives false if
/// there are not so many requests.
async fn crashes_at(
    (kind, resource): (StoreKind, &str),
    (from, to, then): (Option<&Snapshot>, &Snapshot, &Snapshot),
    (at, after_effect): (usize, bool),
) -> bool {
    let server = FakeApiServer::default();
    let process = Process::start(&server, kind);
    if let Some(from) = from {
        process.commit(from).await.unwrap();
    }
    server.fail_at(at, lost(after_effect));
    let outcome = process.commit(to).await;
    if server.fails_still() {
        return false;
    }
    let context = format!("{kind:?}, request {at}, after effect: {after_effect}, {outcome:?}");
    let restarted = Process::hasty(&server, kind);
    let head = restarted.store.head(&target()).await.unwrap();
    let nothing_yet = from.is_none() && matches!(head.stored, Stored::Absent | Stored::Damaged);
    let known = from.is_some_and(|from| head.stored == present(from)) || head.stored == present(to);
    assert!(known || nothing_yet, "{context}: {head:?}");
    restarted.store.commit(&target(), head.version.as_ref(), then).await.unwrap();
    restarted.store.tidy(&target()).await.unwrap();
    assert_eq!(restarted.stored().await, present(then), "{context}");
    assert_nothing_left_over(&server, resource);
    assert_eq!(holds_titles(&server), then.visibility != Visibility::Busy, "{context}");
    true
}

#[tokio::test]
async fn a_crash_at_any_request_leaves_the_old_or_the_new_calendar_and_nothing_for_ever() {
    let (old, small, elsewhere) = (many(300), many(2), many(250));
    let changed = renamed(&old, "evt_00150");
    let busy = busy(&old);
    let ways = [(None, &old), (Some(&old), &changed), (Some(&old), &small), (Some(&small), &old), (Some(&old), &busy)];
    for kind in KINDS {
        let mut runs = 0;
        for (from, to) in ways {
            // What comes next may be the same, what was there before, or something else.
            for then in [to, from.unwrap_or(&small), &elsewhere] {
                for after_effect in [false, true] {
                    let mut at = 0;
                    while crashes_at(kind, (from, to, then), (at, after_effect)).await {
                        at += 1;
                    }
                    runs += at;
                }
            }
        }
        assert!(runs > 120, "{runs}");
    }
}

#[tokio::test]
async fn an_erasure_that_is_cut_off_is_completed_by_the_next() {
    for (kind, _) in KINDS {
        for after_effect in [false, true] {
            for at in 0.. {
                let server = FakeApiServer::default();
                let process = Process::start(&server, kind);
                process.commit(&many(300)).await.unwrap();
                process.commit(&renamed(&many(300), "evt_00150")).await.unwrap();
                server.fail_at(at, lost(after_effect));
                let _cut_off = process.store.erase(&target()).await;
                if server.fails_still() {
                    break;
                }
                Process::start(&server, kind).store.erase(&target()).await.unwrap();
                assert_eq!(server.paths(), [""; 0], "{kind:?}, request {at}, after effect: {after_effect}");
            }
        }
    }
}
