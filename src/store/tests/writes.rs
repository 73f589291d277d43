//! What is written when, and on which condition.

use k8s_openapi::api::core::v1::ConfigMap;

use super::*;

#[tokio::test]
async fn nothing_is_absent_and_then_created() {
    let server = FakeApiServer::default();
    let store = open(&server);
    let head = store.head(&target()).await.unwrap();
    assert_eq!((head.stored, &head.version), (Stored::Absent, &None));

    let committed = store.commit(&target(), None, &two_events()).await.unwrap();
    assert!(committed.changed && committed.written > 0);
    assert_eq!((committed.output.kind.as_str(), committed.output.name.as_str()), ("ConfigMap", "primary-events"));
    assert_eq!((committed.output.events, committed.output.slices), (2, 1));
    assert_eq!(committed.output.bytes, server.object(PATH).unwrap().data.unwrap()["events.json"].len());
    assert_eq!(server.take_requests(), [GET, POST]);

    let head = store.head(&target()).await.unwrap();
    assert_eq!(head.stored, Stored::Present(Box::new(two_events())));
    assert_eq!(head.output, Some(committed.output));
    assert_eq!(head.version, Some(committed.version));
}

#[tokio::test]
async fn an_update_is_conditional_on_the_version_and_the_uid_that_were_read() {
    let (server, store, version) = stored(&two_events()).await;
    let before = server.object(PATH).unwrap();
    let committed = store.commit(&target(), Some(&version), &snapshot([])).await.unwrap();
    assert!(committed.changed && committed.written > 0);
    let (request, body) = server.take_bodies().remove(0);
    assert_eq!(request, PUT);
    assert_eq!(body["metadata"]["resourceVersion"].as_str(), before.metadata.resource_version.as_deref());
    assert_eq!(body["metadata"]["uid"].as_str(), before.metadata.uid.as_deref());
}

#[tokio::test]
async fn an_equal_snapshot_costs_no_request() {
    let (server, store, version) = stored(&two_events()).await;
    let head = store.head(&target()).await.unwrap();
    server.take_requests();
    for version in [&version, &head.version.unwrap()] {
        let committed = store.commit(&target(), Some(version), &two_events()).await.unwrap();
        assert!(!committed.changed && committed.written == 0);
        assert_eq!(&committed.version, version);
    }
    assert_eq!(server.take_requests(), [""; 0]);
}

#[tokio::test]
async fn a_cursor_that_moved_is_written_but_is_no_change() {
    let (server, store, version) = stored(&two_events()).await;
    let moved = Snapshot { cursor: "2030-05-01T11:00:00Z".parse().unwrap(), ..two_events() };
    let committed = store.commit(&target(), Some(&version), &moved).await.unwrap();
    assert!(!committed.changed && committed.written > 0);
    assert_eq!(server.take_requests(), [PUT]);
    assert_eq!(store.head(&target()).await.unwrap().stored, Stored::Present(Box::new(moved)));
}

#[tokio::test]
async fn of_two_writers_on_one_head_the_second_is_refused() {
    let (_server, store, version) = stored(&two_events()).await;
    let newer = snapshot([event("evt_new", "2030-05-05")]);
    store.commit(&target(), Some(&version), &newer).await.unwrap();
    let error = store.commit(&target(), Some(&version), &snapshot([])).await.unwrap_err();
    assert_eq!(error, StoreError::HeadMoved);
    assert_eq!(store.head(&target()).await.unwrap().stored, Stored::Present(Box::new(newer)));
}

#[tokio::test]
async fn of_two_first_writers_the_second_is_refused() {
    let (_server, store, _) = stored(&two_events()).await;
    assert_eq!(store.commit(&target(), None, &snapshot([])).await.unwrap_err(), StoreError::HeadMoved);
    assert_eq!(store.head(&target()).await.unwrap().stored, Stored::Present(Box::new(two_events())));
}

#[tokio::test]
async fn an_output_deleted_and_made_anew_is_another_head() {
    let (server, store, version) = stored(&two_events()).await;
    store.erase(&target()).await.unwrap();
    assert_eq!(store.commit(&target(), Some(&version), &snapshot([])).await.unwrap_err(), StoreError::HeadMoved);
    assert_eq!(server.object(PATH), None);
    store.commit(&target(), None, &two_events()).await.unwrap();
    assert_eq!(store.commit(&target(), Some(&version), &snapshot([])).await.unwrap_err(), StoreError::HeadMoved);
}

fn foreign(object: &mut ConfigMap) {
    object.data = Some(BTreeMap::from([("settings".to_owned(), "theirs".to_owned())]));
}

#[tokio::test]
async fn what_belongs_to_others_is_a_conflict_and_stays() {
    let server = FakeApiServer::default();
    let store = open(&server);
    server.edit(PATH, foreign);
    let before = server.object(PATH);

    let error = store.head(&target()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ConfigMap rota/primary-events belongs to somebody else: delete it, or set another spec.store.name"
    );
    assert_eq!(store.commit(&target(), None, &two_events()).await.unwrap_err(), StoreError::HeadMoved);
    store.erase(&target()).await.unwrap();
    store.release(&target()).await.unwrap();
    assert_eq!(server.object(PATH), before);
}

#[tokio::test]
async fn the_output_of_an_earlier_subscription_of_the_same_name_is_not_taken_over() {
    let (server, store, _) = stored(&two_events()).await;
    let before = server.object(PATH);
    let owner = Owner { uid: "another".to_owned(), ..owner() };
    let anew = Target::new("rota", "primary-events", owner).unwrap();
    let error = store.head(&anew).await.unwrap_err();
    assert_eq!(error.category(), "Conflict");
    store.erase(&anew).await.unwrap();
    assert_eq!(server.object(PATH), before);
}

#[tokio::test]
async fn an_event_as_large_as_an_object_is_written_and_a_larger_one_named() {
    let (server, store, version) = stored(&snapshot([])).await;
    let giant = |count: usize| {
        let mut event = event("evt_giant", "2030-05-05");
        event.summary = Some("x".repeat(count));
        snapshot([event])
    };
    let around = store.commit(&target(), Some(&version), &giant(0)).await.unwrap();
    let committed = store.commit(&target(), Some(&around.version), &giant(LARGEST_EVENTS - around.output.bytes)).await;
    let committed = committed.unwrap();
    assert_eq!((committed.output.bytes, committed.output.slices), (LARGEST_EVENTS, 1));
    server.take_requests();
    let over = giant(LARGEST_EVENTS - around.output.bytes + 1);
    let error = store.commit(&target(), Some(&committed.version), &over).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "event evt_giant takes 900001 bytes, and one 900000 at most: shorten its description, or copy with a lower \
         visibility; the last complete copy stays"
    );
    assert_eq!(server.take_requests(), [""; 0], "refused before anything is sent");
}

#[tokio::test]
async fn more_events_or_bytes_than_an_output_holds_are_refused_before_they_are_sent_and_the_last_copy_stays() {
    let (server, store, version) = stored(&two_events()).await;
    let many = snapshot((0..=MOST_EVENTS).map(|number| event(&format!("evt_{number}"), "2030-05-05")));
    let large = snapshot((0..40).map(|number| {
        let mut event = event(&format!("evt_{number}"), "2030-05-05");
        event.description = Some("x".repeat(MOST_BYTES / 40));
        event
    }));
    for (snapshot, says) in [(many, "there are 100001 events"), (large, "an output holds at most 32000000")] {
        let error = store.commit(&target(), Some(&version), &snapshot).await.unwrap_err();
        assert_eq!(error.category(), "TooLarge");
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(server.take_requests(), [""; 0]);
    }
    assert_eq!(store.head(&target()).await.unwrap().stored, Stored::Present(Box::new(two_events())));
}

#[tokio::test]
async fn erasing_deletes_exactly_what_was_looked_at() {
    let (server, store, _) = stored(&two_events()).await;
    let metadata = server.object(PATH).unwrap().metadata;
    store.erase(&target()).await.unwrap();
    let requests = server.take_bodies();
    assert_eq!(requests.iter().map(|(request, _)| request.as_str()).collect::<Vec<_>>(), [GET, LIST, DELETE]);
    let conditions = &requests[2].1["preconditions"];
    assert_eq!(conditions["uid"].as_str(), metadata.uid.as_deref());
    assert_eq!(conditions["resourceVersion"].as_str(), metadata.resource_version.as_deref());
    assert_eq!(server.object(PATH), None);
    store.erase(&target()).await.unwrap();
}

#[tokio::test]
async fn erasing_looks_again_when_the_output_moved_and_gives_up_when_it_keeps_moving() {
    let conflict = || Fault::Answer(409, status(409, "Conflict", "moved"));
    let no_slices = || Fault::Answer(200, serde_json::json!({ "metadata": {}, "items": [] }));
    let (server, store, _) = stored(&two_events()).await;
    let get_fails_not = || Fault::Answer(200, serde_json::json!(server.object(PATH).unwrap()));
    server.fail([get_fails_not(), no_slices(), conflict()]);
    store.erase(&target()).await.unwrap();
    assert_eq!(server.take_requests(), [GET, LIST, DELETE, GET, DELETE]);

    let (server, store, _) = stored(&two_events()).await;
    let get_fails_not = || Fault::Answer(200, serde_json::json!(server.object(PATH).unwrap()));
    server.fail([get_fails_not(), no_slices(), conflict(), get_fails_not(), conflict(), get_fails_not(), conflict()]);
    assert_eq!(store.erase(&target()).await.unwrap_err(), StoreError::HeadMoved);
}

#[tokio::test]
async fn the_events_are_gone_even_if_a_finalizer_holds_the_object() {
    let (server, store, _) = stored(&two_events()).await;
    server.edit(PATH, |object| object.metadata.finalizers = Some(vec!["backup.example/wait".to_owned()]));
    store.erase(&target()).await.unwrap();
    let held = server.object(PATH).unwrap();
    assert_eq!(held.data, None);
    assert!(held.metadata.deletion_timestamp.is_some());
    assert_eq!(held.metadata.finalizers.as_deref(), Some(["backup.example/wait".to_owned()].as_slice()));

    server.take_requests();
    store.erase(&target()).await.unwrap();
    assert_eq!(server.take_requests(), [GET, LIST], "it is being deleted already");
    let error = store.head(&target()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ConfigMap rota/primary-events is being deleted and waits for its finalizers (backup.example/wait): let their owner \
         finish, or remove them"
    );
}

#[tokio::test]
async fn an_immutable_object_held_by_a_finalizer_does_not_count_as_erased() {
    let (server, store, _) = stored(&two_events()).await;
    server.edit(PATH, |object| {
        object.metadata.finalizers = Some(vec!["backup.example/wait".to_owned()]);
        object.immutable = Some(true);
    });
    assert_eq!(store.erase(&target()).await.unwrap_err().category(), "BeingDeleted");
    assert!(server.object(PATH).unwrap().metadata.deletion_timestamp.is_some());
}

#[tokio::test]
async fn a_released_output_has_no_owner_and_keeps_everything_else() {
    let (server, store, _) = stored(&two_events()).await;
    let before = server.object(PATH).unwrap();
    store.release(&target()).await.unwrap();
    let after = server.object(PATH).unwrap();
    assert_eq!(after.metadata.owner_references, None);
    assert_eq!((after.data, after.metadata.labels), (before.data, before.metadata.labels));
    server.take_requests();
    store.release(&target()).await.unwrap();
    assert_eq!(server.take_requests(), [GET]);
    // Still the subscription's: one that is deleted later under another policy can erase it.
    store.erase(&target()).await.unwrap();
    assert_eq!(server.object(PATH), None);
}

#[tokio::test]
async fn a_retained_output_never_gets_an_owner() {
    let server = FakeApiServer::default();
    let store = open(&server);
    let retained = target().retained(true);
    store.commit(&retained, None, &two_events()).await.unwrap();
    assert_eq!(server.object(PATH).unwrap().metadata.owner_references, None);
    assert_eq!(store.head(&retained).await.unwrap().damage, None);
    // Another policy asks for another owner reference: the next commit sees to it.
    assert_eq!(store.head(&target()).await.unwrap().damage, Some(Damage::Metadata));
}

#[test]
fn kinds_that_are_not_written_are_refused_for_good() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _guard = runtime.enter();
    let client = FakeApiServer::default().client();
    let Err(unsupported) = Store::open(StoreKind::Remote, client, StoreMemory::default()) else { panic!("it opened") };
    let failure = unsupported.failure();
    assert_eq!(failure.reason, calendar_sync::Reason::NotSupported);
    assert_eq!(failure.retry, calendar_sync::Retry::Never);
}
