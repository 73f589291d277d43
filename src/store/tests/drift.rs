//! What others do to an output is noticed, and put right by the next commit, all of it.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;

use super::*;

type Edit = (&'static str, Damage, fn(&mut ConfigMap));

fn data(object: &mut ConfigMap) -> &mut BTreeMap<String, String> {
    object.data.as_mut().unwrap()
}

fn replace(object: &mut ConfigMap, key: &str, from: &str, to: &str) {
    let text = data(object).get_mut(key).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    *text = text.replacen(from, to, 1);
}

fn label(object: &mut ConfigMap, key: &str, value: &str) {
    object.metadata.labels.as_mut().unwrap().insert(key.to_owned(), value.to_owned());
}

fn reference(object: &mut ConfigMap) -> &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
    &mut object.metadata.owner_references.as_mut().unwrap()[0]
}

/// Each field of each part.
const EDITS: &[Edit] = &[
    ("an event is edited", Damage::Content, |o| replace(o, "events.json", "Secret plan", "Other plan")),
    ("an event is removed", Damage::Content, |o| {
        let text = data(o)["events.json"].lines().filter(|line| !line.contains("evt_a")).collect::<Vec<_>>().join("\n");
        data(o).insert("events.json".to_owned(), text);
    }),
    ("events are formatted", Damage::Content, |o| replace(o, "events.json", ",", ", ")),
    ("events are no JSON", Damage::Content, |o| replace(o, "events.json", "[", "")),
    ("events are empty", Damage::Content, |o| drop(data(o).insert("events.json".to_owned(), String::new()))),
    ("events are huge", Damage::Content, |o| drop(data(o).insert("events.json".to_owned(), "[".repeat(1_000_000)))),
    ("the index is no JSON", Damage::Unreadable, |o| replace(o, "index.json", "{", "")),
    ("the index is nested deeply", Damage::Unreadable, |o| {
        data(o).insert("index.json".to_owned(), "[".repeat(900_000));
    }),
    ("the format is another", Damage::Format, |o| {
        replace(o, "index.json", "\"formatVersion\": 1", "\"formatVersion\": 9");
    }),
    ("the cursor is moved", Damage::Content, |o| replace(o, "index.json", "2030-05-01T09:58", "2030-05-09T09:58")),
    ("the sweep is moved", Damage::Content, |o| replace(o, "index.json", "2030-11-18", "2031-11-18")),
    ("the full sync is moved", Damage::Content, |o| replace(o, "index.json", "2030-05-01T10:00", "2030-05-09T10:00")),
    ("completeness is denied", Damage::Content, |o| replace(o, "index.json", "true", "false")),
    ("the fingerprint is another", Damage::Content, |o| replace(o, "index.json", "ffff", "aaaa")),
    ("the count is another", Damage::Content, |o| replace(o, "index.json", "\"events\": 2", "\"events\": 3")),
    ("a field is added", Damage::Unreadable, |o| replace(o, "index.json", "{", "{ \"note\": 1,")),
    ("the subscription is another", Damage::OtherSubscription, |o| replace(o, "index.json", "6f1c2f0e", "aaaaaaaa")),
    ("the events are missing", Damage::Keys, |o| drop(data(o).remove("events.json"))),
    ("the index is missing", Damage::Keys, |o| drop(data(o).remove("index.json"))),
    ("there is no data", Damage::Keys, |o| o.data = None),
    ("a key is added", Damage::Keys, |o| drop(data(o).insert("note".to_owned(), "mine".to_owned()))),
    ("binary data are added", Damage::Keys, |o| {
        o.binary_data = Some(BTreeMap::from([("note".to_owned(), ByteString(vec![1]))]));
    }),
    ("it is made immutable", Damage::Immutable, |o| o.immutable = Some(true)),
    ("kubectl apply leaves its copy", Damage::Annotation, |o| {
        let key = "kubectl.kubernetes.io/last-applied-configuration".to_owned();
        o.metadata.annotations = Some(BTreeMap::from([(key, "Secret plan".to_owned())]));
    }),
    ("all labels are gone", Damage::Metadata, |o| o.metadata.labels = None),
    ("the uid label is gone", Damage::Metadata, |o| drop(o.metadata.labels.as_mut().unwrap().remove(SUBSCRIPTION_UID))),
    ("the uid label is another", Damage::Metadata, |o| label(o, SUBSCRIPTION_UID, "other")),
    ("the name label is another", Damage::Metadata, |o| label(o, SUBSCRIPTION, "other")),
    ("managed-by is another", Damage::Metadata, |o| label(o, "app.kubernetes.io/managed-by", "Helm")),
    ("component is another", Damage::Metadata, |o| label(o, "app.kubernetes.io/component", "other")),
    ("name is another", Damage::Metadata, |o| label(o, "app.kubernetes.io/name", "other")),
    ("instance is another", Damage::Metadata, |o| label(o, "app.kubernetes.io/instance", "other")),
    ("part-of is another", Damage::Metadata, |o| label(o, "app.kubernetes.io/part-of", "other")),
    ("the owner references are gone", Damage::Metadata, |o| o.metadata.owner_references = None),
    ("the owner's uid is another", Damage::Metadata, |o| reference(o).uid = "other".to_owned()),
    ("the owner's name is another", Damage::Metadata, |o| reference(o).name = "other".to_owned()),
    ("the owner's kind is another", Damage::Metadata, |o| reference(o).kind = "Other".to_owned()),
    ("the owner's version is another", Damage::Metadata, |o| reference(o).api_version = "other/v1".to_owned()),
    ("the owner is no controller", Damage::Metadata, |o| reference(o).controller = None),
    ("the owner blocks nothing", Damage::Metadata, |o| reference(o).block_owner_deletion = None),
    ("the owner stands there twice", Damage::Metadata, |o| {
        let again = reference(o).clone();
        o.metadata.owner_references.as_mut().unwrap().push(again);
    }),
];

#[tokio::test]
async fn every_edit_is_noticed_and_repaired_by_one_commit() {
    for (what, damage, edit) in EDITS {
        let (server, store, _) = stored(&two_events()).await;
        let before = server.object(PATH).unwrap();
        server.edit(PATH, edit);

        let head = store.head(&target()).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(head.stored, Stored::Damaged, "{what}");
        assert_eq!(head.damage, Some(*damage), "{what}");
        assert_eq!(head.output, None, "{what}");

        let committed = store.commit(&target(), head.version.as_ref(), &two_events()).await.unwrap();
        assert!(committed.written > 0, "{what}");
        let mut after = server.object(PATH).unwrap();
        assert_eq!(committed.changed, {
            let mut edited = before.clone();
            edit(&mut edited);
            edited.data.as_ref().and_then(|data| data.get("events.json"))
                != before.data.as_ref().and_then(|data| data.get("events.json"))
        });
        after.metadata.resource_version.clone_from(&before.metadata.resource_version);
        after.metadata.uid.clone_from(&before.metadata.uid);
        assert_eq!(after, before, "{what}");

        let head = store.head(&target()).await.unwrap();
        assert_eq!(head.stored, Stored::Present(Box::new(two_events())), "{what}");
        assert_eq!(head.version, Some(committed.version), "{what}");
    }
}

#[tokio::test]
async fn what_was_made_immutable_is_deleted_on_condition_and_made_anew() {
    let (server, store, _) = stored(&two_events()).await;
    server.edit(PATH, |object| object.immutable = Some(true));
    let head = store.head(&target()).await.unwrap();
    server.take_requests();
    store.commit(&target(), head.version.as_ref(), &two_events()).await.unwrap();
    assert_eq!(server.take_requests(), [DELETE, POST]);

    server.edit(PATH, |object| object.immutable = Some(true));
    let head = store.head(&target()).await.unwrap();
    server.edit(PATH, |_| {});
    let error = store.commit(&target(), head.version.as_ref(), &two_events()).await.unwrap_err();
    assert_eq!(error, StoreError::HeadMoved);
    assert!(server.object(PATH).is_some());
}

#[tokio::test]
async fn labels_annotations_finalizers_and_owners_of_others_stay() {
    let (server, store, _) = stored(&two_events()).await;
    let text = |text: &str| text.to_owned();
    server.edit(PATH, |object| {
        label(object, "team", "red");
        object.metadata.annotations = Some(BTreeMap::from([(text("backup.example/policy"), text("daily"))]));
        object.metadata.finalizers = Some(vec![text("backup.example/wait")]);
        let mut companion = reference(object).clone();
        companion.kind = text("Deployment");
        companion.api_version = text("apps/v1");
        companion.name = text("web");
        companion.uid = text("d");
        companion.controller = None;
        object.metadata.owner_references.as_mut().unwrap().insert(0, companion);
    });
    let before = server.object(PATH).unwrap();
    let head = store.head(&target()).await.unwrap();
    assert_eq!(head.damage, None);

    store.commit(&target(), head.version.as_ref(), &snapshot([])).await.unwrap();
    let after = server.object(PATH).unwrap();
    assert_eq!(after.metadata.labels, before.metadata.labels);
    assert_eq!(after.metadata.annotations, before.metadata.annotations);
    assert_eq!(after.metadata.finalizers, before.metadata.finalizers);
    assert_eq!(after.metadata.owner_references, before.metadata.owner_references);
}

#[tokio::test]
async fn a_restored_older_copy_is_taken_as_what_it_says() {
    let (server, store, version) = stored(&two_events()).await;
    let older = server.object(PATH).unwrap();
    let newer = Snapshot { cursor: "2030-06-01T00:00:00Z".parse().unwrap(), ..snapshot([]) };
    store.commit(&target(), Some(&version), &newer).await.unwrap();
    server.edit(PATH, |object| object.data = older.data);
    // Its cursor came with it, so the next read begins where this copy ends.
    assert_eq!(store.head(&target()).await.unwrap().stored, Stored::Present(Box::new(two_events())));
}
