mod bounds;

use std::sync::Mutex;

use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::context::Settings;
use super::events::Events;
use super::*;
use crate::admin::Health;
use crate::metrics::Metrics;
use crate::store::RemoteSettings;
use crate::webhook::routes::Routes;

fn list(kind: &str, items: &[Value]) -> Value {
    json!({ "apiVersion": "cronofy-operator.dev/v1alpha1", "kind": kind, "metadata": { "resourceVersion": "1" }, "items": items })
}

/// One that lists a subscription at once and applications only when it is told to, and whose watches show nothing.
fn api_server(applications: Arc<Notify>, asked: Arc<Mutex<Vec<String>>>) -> kube::Client {
    let subscription = json!({
        "apiVersion": "cronofy-operator.dev/v1alpha1", "kind": "CalendarSubscription",
        "metadata": { "name": "team", "namespace": "rooms", "uid": "1", "resourceVersion": "1", "generation": 1 },
        "spec": { "applicationRef": { "name": "app" }, "account": { "secretRef": { "name": "account" } } },
    });
    let service = tower::service_fn(move |request: Request<Body>| {
        let (applications, asked, subscription) = (applications.clone(), asked.clone(), subscription.clone());
        async move {
            let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
            asked.lock().unwrap().push(format!("{} {path}", request.method()));
            if query.contains("watch=true") {
                return future::pending().await;
            }
            let answer = match path.rsplit('/').next().unwrap() {
                "cronofyapplications" => {
                    applications.notified().await;
                    list("CronofyApplicationList", &[])
                }
                "calendarsubscriptions" => list("CalendarSubscriptionList", &[subscription]),
                "configmaps" => list("PartialObjectMetadataList", &[]),
                _ => return future::pending().await,
            };
            Ok::<_, std::convert::Infallible>(Response::new(Body::from(answer.to_string().into_bytes())))
        }
    });
    kube::Client::new(service, "default")
}

fn context(client: kube::Client) -> Arc<Context> {
    let settings = Settings {
        callback_base: None,
        allow_custom_endpoints: false,
        stores: RemoteSettings::default(),
        concurrency: 1,
    };
    let metrics = Metrics::new();
    let events = Events::new(client.clone(), "test".to_owned(), metrics.clone());
    Context::new(client, settings, metrics, Routes::new(""), watch::channel(true).1, events)
}

fn server() -> Info {
    Info { major: "1".to_owned(), minor: "33".to_owned(), ..Info::default() }
}

#[tokio::test(start_paused = true)]
async fn no_subscription_is_judged_before_all_applications_are_known() {
    let (applications, asked) = (Arc::new(Notify::new()), Arc::<Mutex<Vec<String>>>::default());
    let client = api_server(applications.clone(), asked.clone());
    let (_stop, stop) = watch::channel(false);
    let caches = Health::new().component("caches");
    let (server, scopes) = (server(), [Scope::Cluster]);
    let running = run(context(client), &server, &scopes, &caches, stop);
    let looked_at = || {
        asked.lock().unwrap().iter().any(|request| request.ends_with("/namespaces/rooms/calendarsubscriptions/team"))
    };
    let test = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(!looked_at(), "{:?}", asked.lock().unwrap());
        applications.notify_one();
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(looked_at(), "{:?}", asked.lock().unwrap());
    };
    tokio::select! {
        () = test => {}
        () = running => panic!("the controllers ended"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_all_applications_are_known_ends_the_controllers() {
    let client = api_server(Arc::default(), Arc::default());
    let (stop, stopped) = watch::channel(false);
    let caches = Health::new().component("caches");
    let (server, scopes) = (server(), [Scope::Cluster]);
    let mut running = Box::pin(run(context(client), &server, &scopes, &caches, stopped));
    assert!(tokio::time::timeout(Duration::from_secs(20), &mut running).await.is_err(), "they wait");
    stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(1), running).await.unwrap();
}
