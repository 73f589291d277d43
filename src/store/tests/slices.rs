//! Calendars too large for one object.

use serde_json::{Value, json};

use super::super::content::sha256;
use super::*;

fn metadata(object: &Value) -> kube::api::ObjectMeta {
    serde_json::from_value(object["metadata"].clone()).unwrap()
}

#[tokio::test]
async fn a_large_calendar_is_an_index_of_immutable_slices_in_their_order() {
    for (kind, resource) in KINDS {
        let server = FakeApiServer::default();
        let process = Process::start(&server, kind);
        let committed = process.commit(&many(1_000)).await.unwrap();
        let index = server.value(&format!("/api/v1/namespaces/rota/{resource}/primary-events")).unwrap();
        let texts = texts_of(&index);
        assert_eq!(texts.keys().collect::<Vec<_>>(), ["index.json"], "the events stand in slices alone");
        let index: Value = serde_json::from_str(&texts["index.json"]).unwrap();

        let mut all = String::new();
        let mut events: Vec<Event> = Vec::new();
        for entry in index["slices"].as_array().unwrap() {
            let path = format!("/api/v1/namespaces/rota/{resource}/{}", entry["name"].as_str().unwrap());
            let slice = server.value(&path).unwrap();
            assert_eq!(slice["immutable"], true);
            assert_eq!(slice["metadata"]["labels"]["app.kubernetes.io/component"], "slice");
            assert_eq!(slice["metadata"]["labels"][SUBSCRIPTION_UID], owner().uid);
            assert_eq!(slice["metadata"]["ownerReferences"][0]["uid"], owner().uid);
            let text = texts_of(&slice).remove("events.json").unwrap();
            assert_eq!(
                (entry["hash"].as_str().unwrap(), entry["bytes"].as_u64()),
                (&*sha256(&text), Some(text.len() as u64))
            );
            events.extend(serde_json::from_str::<Vec<Event>>(&text).unwrap());
            all.push_str(&text);
        }
        assert!(events.iter().eq(many(1_000).events.values()), "sorted across slices");
        assert_eq!(index["contentHash"], sha256(&all));
        assert_eq!(index["visibility"], "Titles");
        assert_eq!(committed.output.slices, committed.slices.len());
        assert_eq!((committed.output.events, committed.output.bytes), (1_000, all.len()));
        assert!(committed.output.slices > 4, "{}", committed.output.slices);

        let head = Process::start(&server, kind).store.head(&target()).await.unwrap();
        assert_eq!((head.stored, head.output), (present(&many(1_000)), Some(committed.output)));
    }
}

#[tokio::test]
async fn a_changed_event_costs_one_slice_and_the_index_and_a_look_costs_the_index_alone() {
    let server = FakeApiServer::default();
    let process = Process::start(&server, StoreKind::ConfigMap);
    process.commit(&many(1_000)).await.unwrap();
    server.take_requests();

    assert_eq!(process.stored().await, present(&many(1_000)));
    assert_eq!(server.take_requests(), [GET]);

    let changed = renamed(&many(1_000), "evt_00500");
    let committed = process.commit(&changed).await.unwrap();
    assert_eq!(server.take_requests(), [GET, POST, PUT]);
    assert_eq!(committed.slices.len(), 1);
    assert_eq!(process.stored().await, present(&changed));
    assert_eq!(server.take_requests(), [GET]);

    assert_eq!(process.commit(&changed).await.unwrap().written, 0);
    assert_eq!(server.take_requests(), [GET], "what changes nothing writes nothing");
}

#[tokio::test]
async fn a_secret_announces_its_slices_since_it_is_never_listed() {
    let server = FakeApiServer::default();
    let process = Process::start(&server, StoreKind::Secret);
    process.commit(&many(1_000)).await.unwrap();
    let index = "/api/v1/namespaces/rota/secrets/primary-events";
    assert_eq!(server.value(index).unwrap()["type"], SECRET_TYPE);
    assert_eq!(server.value(index).unwrap()["metadata"]["annotations"], Value::Null, "announced, written, forgotten");
    server.take_requests();
    process.commit(&renamed(&many(1_000), "evt_00500")).await.unwrap();
    let requests = server.take_requests();
    let wanted = [
        format!("GET {index}"),
        format!("PATCH {index}"),
        "POST /api/v1/namespaces/rota/secrets".to_owned(),
        format!("PUT {index}"),
    ];
    assert_eq!(requests, wanted);
    let hasty = Process::hasty(&server, StoreKind::Secret);
    hasty.store.tidy(&target()).await.unwrap();
    hasty.store.erase(&target()).await.unwrap();
    assert_eq!(server.paths(), [""; 0]);
    assert!(!server.take_requests().iter().any(|request| request == "GET /api/v1/namespaces/rota/secrets"));
}

#[tokio::test]
async fn a_calendar_grows_into_slices_and_shrinks_back() {
    for (kind, resource) in KINDS {
        let server = FakeApiServer::default();
        let process = Process::hasty(&server, kind);
        for count in [2, 1_000, 3, 0, 400] {
            process.commit(&many(count)).await.unwrap();
            assert_eq!(process.stored().await, present(&many(count)));
            process.store.tidy(&target()).await.unwrap();
            assert_nothing_left_over(&server, resource);
            assert_eq!(listed(&server, resource).is_empty(), count < 100);
        }
    }
}

type Harm = (&'static str, fn(&FakeApiServer, &str));

/// What others may do to a slice.
const HARMS: &[Harm] = &[
    ("it is deleted", |server, path| drop(server.delete(path))),
    ("it is made anew with other events", |server, path| {
        let mut object = server.delete(path);
        object["data"]["events.json"] = json!("W10K");
        object["metadata"]["uid"] = Value::Null;
        server.create(path, object);
    }),
    ("it can be changed", |server, path| server.edit_value(path, |object| object["immutable"] = json!(false))),
    ("a key is added", |server, path| server.edit_value(path, |object| object["data"]["note"] = json!("bWluZQ=="))),
    ("it has no data", |server, path| server.edit_value(path, |object| object["data"] = Value::Null)),
    ("a label is another", |server, path| {
        server.edit_value(path, |object| object["metadata"]["labels"]["app.kubernetes.io/component"] = json!("events"));
    }),
    ("it has no labels", |server, path| server.edit_value(path, |object| object["metadata"]["labels"] = Value::Null)),
    ("it has no owner", |server, path| {
        server.edit_value(path, |object| object["metadata"]["ownerReferences"] = Value::Null);
    }),
    ("a copy stands in an annotation", |server, path| {
        server.edit_value(path, |object| {
            object["metadata"]["annotations"] = json!({ "kubectl.kubernetes.io/last-applied-configuration": "x" });
        });
    }),
];

#[tokio::test]
async fn whatever_is_done_to_a_slice_is_noticed_once_told_and_repaired_by_the_next_commit() {
    for (kind, resource) in KINDS {
        for (what, harm) in HARMS {
            let server = FakeApiServer::default();
            let process = Process::start(&server, kind);
            process.commit(&many(1_000)).await.unwrap();
            let name = listed(&server, resource)[2].clone();
            let path = format!("/api/v1/namespaces/rota/{resource}/{name}");
            let before = server.value(&path).unwrap();
            harm(&server, &path);
            // As the watch would; nobody watches Secrets, so these are in doubt after a while.
            let deleted = || {
                let mut last = before.clone();
                last["metadata"]["resourceVersion"] = json!("1000000");
                last
            };
            let mut shown = metadata(&server.value(&path).unwrap_or_else(deleted));
            shown.namespace = Some("rota".to_owned());
            match kind {
                StoreKind::ConfigMap => assert!(!process.memory.is_own(&shown), "{what}"),
                StoreKind::Secret | StoreKind::Remote => process.memory.doubt(&owner().uid),
            }
            assert_eq!(process.stored().await, Stored::Damaged, "{kind:?}: {what}");
            let elsewhere = Process::start(&server, kind).store.head(&target()).await.unwrap();
            assert_eq!(elsewhere.stored, Stored::Damaged, "{kind:?}: {what}");

            process.memory.doubt(&owner().uid);
            let committed = process.commit(&many(1_000)).await.unwrap();
            assert!(!committed.changed || what.contains("events") || committed.slices.len() == 1, "{kind:?}: {what}");
            let mut after = server.value(&path).unwrap();
            for key in ["uid", "resourceVersion"] {
                after["metadata"][key] = before["metadata"][key].clone();
            }
            assert_eq!(after, before, "{kind:?}: {what}");
            process.memory.doubt(&owner().uid);
            for process in [&process, &Process::start(&server, kind)] {
                assert_eq!(process.stored().await, present(&many(1_000)), "{kind:?}: {what}");
            }
        }
    }
}

#[tokio::test]
async fn an_object_of_somebody_else_under_the_name_of_a_slice_is_a_conflict_and_stays() {
    let server = FakeApiServer::default();
    let process = Process::start(&server, StoreKind::ConfigMap);
    process.commit(&many(1_000)).await.unwrap();
    let path = slice_paths(&server)[0].clone();
    process.store.erase(&target()).await.unwrap();
    let theirs = json!({ "metadata": { "name": "theirs" }, "data": { "settings": "theirs" } });
    server.create(&path, theirs);
    let before = server.value(&path);
    let error = process.commit(&many(1_000)).await.unwrap_err();
    assert_eq!(error.category(), "Conflict");
    assert!(error.to_string().contains(path.rsplit('/').next().unwrap()), "{error}");
    assert_eq!(server.value(&path), before);
    assert_eq!(server.object(PATH), None, "no index lists what is not there");
}

#[tokio::test]
async fn a_forged_index_makes_nobody_remove_or_read_what_is_not_ours() {
    use super::super::index::{Index, Retired};

    let server = FakeApiServer::default();
    let process = Process::hasty(&server, StoreKind::ConfigMap);
    process.commit(&many(1_000)).await.unwrap();
    let like_ours = target().slice_of_digest("0123456789abcdef0123").unwrap();
    for name in ["kube-root-ca.crt", &like_ours] {
        let path = format!("/api/v1/namespaces/rota/configmaps/{name}");
        server.create(&path, json!({ "metadata": { "name": name }, "data": { "ca.crt": "theirs" } }));
        server.edit(PATH, |object| {
            let data = object.data.as_mut().unwrap();
            let mut index: Index = serde_json::from_str(&data["index.json"]).unwrap();
            index.retired = vec![Retired { name: name.to_owned(), since: Timestamp::UNIX_EPOCH }];
            data.insert("index.json".to_owned(), index.sealed().encode().unwrap());
        });
        let head = process.store.head(&target()).await.unwrap();
        assert_eq!(head.damage.is_some(), name == "kube-root-ca.crt");
        process.store.tidy(&target()).await.unwrap();
        process.store.commit(&target(), head.version.as_ref(), &many(1_000)).await.ok();
        process.store.erase(&target()).await.unwrap();
        assert!(server.value(&path).is_some(), "{name} is not ours");
        process.commit(&many(1_000)).await.unwrap();
        server.delete(&path);
    }
}

#[tokio::test]
async fn a_process_that_remembers_no_text_still_reads_everything() {
    let server = FakeApiServer::default();
    let memory = StoreMemory::with_capacity(0);
    let store = Store::open(StoreKind::ConfigMap, server.client(), memory).unwrap();
    store.commit(&target(), None, &many(1_000)).await.unwrap();
    server.take_requests();
    assert_eq!(store.head(&target()).await.unwrap().stored, present(&many(1_000)));
    assert_eq!(server.take_requests().len(), 1 + slice_paths(&server).len());
}

#[tokio::test]
async fn released_slices_have_no_owner_and_old_ones_go_first() {
    for (kind, resource) in KINDS {
        let server = FakeApiServer::default();
        let process = Process::start(&server, kind);
        process.commit(&many(1_000)).await.unwrap();
        process.commit(&renamed(&many(1_000), "evt_00500")).await.unwrap();
        process.store.release(&target()).await.unwrap();
        assert_nothing_left_over(&server, resource);
        for path in server.paths() {
            assert_eq!(server.value(&path).unwrap()["metadata"]["ownerReferences"], Value::Null, "{path}");
        }
        let retained = target().retained(true);
        let head = Process::start(&server, kind).store.head(&retained).await.unwrap();
        assert_eq!(head.stored, present(&renamed(&many(1_000), "evt_00500")));
        server.take_requests();
        process.store.release(&target()).await.unwrap();
        let writes = server.take_requests().into_iter().filter(|request| !request.starts_with("GET"));
        assert_eq!(writes.count(), 0);
    }
}
