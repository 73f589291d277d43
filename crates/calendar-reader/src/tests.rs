//! The reader against objects within the test. The operator's own tests read what the operator wrote, on a real API server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// Objects by path. A script changes them after so many requests.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

type Script = Box<dyn FnOnce(&mut BTreeMap<String, Value>) + Send>;

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    script: BTreeMap<usize, Script>,
    requests: usize,
}

impl Server {
    fn reader(&self, kind: Kind) -> Reader {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let answer = server.answer(request.uri().path());
            async move { Ok::<_, std::convert::Infallible>(answer) }
        });
        Reader::new(Client::new(service, "default"), "rota", "team", kind)
    }

    fn answer(&self, path: &str) -> Response<Body> {
        let mut state = self.0.lock().unwrap();
        state.requests += 1;
        let number = state.requests;
        if let Some(change) = state.script.remove(&number) {
            change(&mut state.objects);
        }
        let (code, body) = match state.objects.get(path) {
            Some(object) => (200, object.clone()),
            None => (
                404,
                json!({ "kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "" }),
            ),
        };
        Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap()
    }

    fn put(&self, objects: BTreeMap<String, Value>) {
        self.0.lock().unwrap().objects.extend(objects);
    }

    fn edit(&self, path: &str, edit: impl FnOnce(&mut Value)) {
        edit(self.0.lock().unwrap().objects.get_mut(path).unwrap());
    }

    /// Before the request of that number, objects change.
    fn before(&self, request: usize, change: impl FnOnce(&mut BTreeMap<String, Value>) + Send + 'static) {
        self.0.lock().unwrap().script.insert(request, Box::new(change));
    }
}

fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text))
}

fn document(ids: &[&str]) -> String {
    let event = |id: &&str| {
        format!(
            "{{\"id\":\"{id}\",\"calendarId\":\"cal\",\"start\":\"2030-05-01\",\"end\":\"2030-05-02\",\"allDay\":true}}"
        )
    };
    format!("[\n{}\n]\n", ids.iter().map(event).collect::<Vec<_>>().join(",\n"))
}

fn path(name: &str) -> String {
    format!("/api/v1/namespaces/rota/configmaps/{name}")
}

/// A calendar in the objects it takes: one for each slice, or a single one if there is one document.
fn calendar(documents: &[&[&str]], sliced: bool) -> BTreeMap<String, Value> {
    let texts: Vec<String> = documents.iter().map(|ids| document(ids)).collect();
    let all = texts.concat();
    let mut index = json!({
        "formatVersion": 1, "subscription": "uid", "visibility": "Busy",
        "events": documents.iter().map(|ids| ids.len()).sum::<usize>(), "bytes": all.len(),
        "cursor": "2030-05-01T09:58:00Z", "sweptThrough": "2030-11-18", "lastFullSync": "2030-05-01T10:00:00Z",
        "complete": true, "fingerprint": "f", "contentHash": sha256(&all), "seal": "s", "laterAddition": 1,
    });
    let mut objects = BTreeMap::new();
    if sliced {
        let name = |text: &str| format!("team-{}", &sha256(text)[..20]);
        index["slices"] = texts
            .iter()
            .map(|text| json!({ "name": name(text), "hash": sha256(text), "events": 0, "bytes": text.len() }))
            .collect();
        for text in &texts {
            objects.insert(
                path(&name(text)),
                json!({ "metadata": {}, "immutable": true, "data": { "events.json": text } }),
            );
        }
        objects.insert(path("team"), json!({ "metadata": {}, "data": { "index.json": index.to_string() } }));
    } else {
        let data = json!({ "index.json": index.to_string(), "events.json": all });
        objects.insert(path("team"), json!({ "metadata": {}, "data": data }));
    }
    objects
}

fn ids(calendar: &Calendar) -> Vec<&str> {
    calendar.events.iter().map(|event| event.id.as_str()).collect()
}

#[tokio::test]
async fn events_beside_the_index_and_events_in_slices_are_read_alike() {
    for (sliced, documents) in [(false, [["a", "b", "c"].as_slice()].as_slice()), (true, &[&["a", "b"], &["c"]])] {
        let server = Server::default();
        server.put(calendar(documents, sliced));
        let read = server.reader(Kind::ConfigMap).read().await.unwrap();
        assert_eq!(ids(&read), ["a", "b", "c"]);
        assert_eq!(read.slices, if sliced { 2 } else { 0 });
        assert_eq!((read.subscription.as_str(), read.visibility, read.complete), ("uid", Visibility::Busy, true));
        assert_eq!(read.cursor.to_string(), "2030-05-01T09:58:00Z");
    }
}

#[tokio::test]
async fn a_secret_is_read_like_a_config_map() {
    let server = Server::default();
    let mut objects = calendar(&[&["a"]], false);
    let mut object = objects.remove(&path("team")).unwrap();
    for value in object["data"].as_object_mut().unwrap().values_mut() {
        let text = value.as_str().unwrap().as_bytes().to_vec();
        *value = serde_json::to_value(k8s_openapi::ByteString(text)).unwrap();
    }
    server.put(BTreeMap::from([("/api/v1/namespaces/rota/secrets/team".to_owned(), object)]));
    assert_eq!(ids(&server.reader(Kind::Secret).read().await.unwrap()), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_slice_that_went_before_it_was_read_sends_the_reader_back_to_the_index() {
    let server = Server::default();
    let (old, new) = (calendar(&[&["a"], &["b"]], true), calendar(&[&["a"], &["changed"]], true));
    server.put(old.clone());
    server.before(2, move |objects| *objects = new);
    let read = server.reader(Kind::ConfigMap).read().await.unwrap();
    assert_eq!(ids(&read), ["a", "changed"]);
}

#[tokio::test(start_paused = true)]
async fn a_calendar_that_is_mended_meanwhile_is_read() {
    let server = Server::default();
    let whole = calendar(&[&["a"], &["b"]], true);
    let mut broken = whole.clone();
    broken.retain(|path, _| path.ends_with("/team"));
    server.put(broken);
    server.before(10, move |objects| *objects = whole);
    assert_eq!(ids(&server.reader(Kind::ConfigMap).read().await.unwrap()), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_what_was_written_is_never_given() {
    type Edit = fn(&Server, &[String]);
    let edits: [(Edit, Unsettled); 5] = [
        (|server, _| server.edit(&path("team"), |object| object["data"] = json!({})), Unsettled::NoIndex),
        (|server, _| server.edit(&path("team"), |object| object["data"]["index.json"] = json!("{}")), Unsettled::Index),
        (
            |server, slices| {
                server.edit(&slices[0], |object| object["data"]["events.json"] = json!(document(&["forged"])));
            },
            Unsettled::Hash,
        ),
        (|server, slices| server.edit(&slices[0], |object| object["data"] = Value::Null), Unsettled::SliceMissing),
        (|server, slices| drop(server.0.lock().unwrap().objects.remove(&slices[1])), Unsettled::SliceMissing),
    ];
    for (edit, reason) in edits {
        let server = Server::default();
        let objects = calendar(&[&["a"], &["b"]], true);
        let slices: Vec<String> = objects.keys().filter(|path| !path.ends_with("/team")).cloned().collect();
        server.put(objects);
        edit(&server, &slices);
        let error = server.reader(Kind::ConfigMap).read().await.unwrap_err();
        assert!(matches!(&error, Error::Unsettled(found) if *found == reason), "{error:?}, not {reason:?}");
    }
    let server = Server::default();
    let mut objects = calendar(&[&["a"]], false);
    objects.get_mut(&path("team")).unwrap()["data"]["events.json"] = json!(document(&["forged"]));
    server.put(objects);
    let error = server.reader(Kind::ConfigMap).read().await.unwrap_err();
    assert!(matches!(error, Error::Unsettled(Unsettled::Hash)), "{error:?}");
}

#[tokio::test]
async fn nothing_and_another_format_are_told_at_once() {
    let server = Server::default();
    let error = server.reader(Kind::ConfigMap).read().await.unwrap_err();
    assert_eq!(error.to_string(), "ConfigMap rota/team does not exist: see status.output of the subscription");
    assert_eq!(server.0.lock().unwrap().requests, 1);
    let index = json!({ "formatVersion": 7 }).to_string();
    server.put(BTreeMap::from([(path("team"), json!({ "metadata": {}, "data": { "index.json": index } }))]));
    assert!(matches!(server.reader(Kind::ConfigMap).read().await.unwrap_err(), Error::Format(7)));
}
