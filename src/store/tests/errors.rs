//! What failures of the API server are to a person and to the engine.

use calendar_sync::{Reason, Retry};
use serde_json::{Value, json};

use super::*;

const QUOTING: &str = "admission webhook \"policy.example\" denied the request: Secret plan evt_a is not allowed";

fn with_details(mut status: Value, details: Value) -> Value {
    status["details"] = details;
    status
}

/// Answer, category and message.
fn answers() -> Vec<(u16, Value, &'static str, &'static str)> {
    let forbidden = "configmaps \"primary-events\" is forbidden: ";
    let too_large = "the API server finds a ConfigMap with 785 bytes of the output too large: see whether others have put \
                     large labels or annotations on it; the last complete copy stays";
    vec![
        (422, status(422, "Invalid", "[]: Too long: may not be more than 1048576 bytes"), "TooLarge", too_large),
        (413, status(413, "RequestEntityTooLarge", "limit is 3145728"), "TooLarge", too_large),
        (500, status(500, "", "etcdserver: request is too large"), "TooLarge", too_large),
        (
            403,
            status(
                403,
                "Forbidden",
                &format!("{forbidden}User \"x\" cannot update resource \"configmaps\" in API group"),
            ),
            "Forbidden",
            "the operator may not update configmaps in namespace rota: grant its service account the verb \"update\" there",
        ),
        (
            403,
            with_details(
                status(403, "Forbidden", &format!("{forbidden}unable to create new content")),
                json!({ "causes": [{ "reason": "NamespaceTerminating", "field": "metadata.namespace" }] }),
            ),
            "NamespaceTerminating",
            "namespace rota is being deleted: nothing can be written there any more",
        ),
        (
            404,
            with_details(status(404, "NotFound", "namespaces \"rota\" not found"), json!({ "kind": "namespaces" })),
            "NamespaceTerminating",
            "namespace rota is being deleted: nothing can be written there any more",
        ),
        (
            403,
            status(403, "Forbidden", &format!("{forbidden}exceeded quota: small, requested: count/configmaps=1")),
            "QuotaExceeded",
            "a ResourceQuota of namespace rota leaves no room for the output: raise it, or remove what is not needed",
        ),
        (
            403,
            status(403, "Forbidden", QUOTING),
            "Refused",
            "the API server does not update the output (403 Forbidden): admission webhook policy.example does not let it pass",
        ),
        (
            400,
            status(400, "Secret plan evt_a", "Secret plan evt_a"),
            "Refused",
            "the API server does not update the output (400 ): its audit log tells why",
        ),
        (
            503,
            status(503, "ServiceUnavailable", "later"),
            "Unavailable",
            "the API server cannot update the output at the moment (503): it is tried again",
        ),
        (
            409,
            status(409, "Conflict", "moved"),
            "HeadMoved",
            "the output was changed by somebody else meanwhile: it is read and written again",
        ),
        (
            404,
            status(404, "NotFound", "gone"),
            "HeadMoved",
            "the output was changed by somebody else meanwhile: it is read and written again",
        ),
    ]
}

#[tokio::test]
async fn each_refusal_is_told_with_its_cause_and_remedy_and_leaves_the_last_copy() {
    for (code, answer, category, message) in answers() {
        let (server, store, version) = stored(&two_events()).await;
        server.fail([Fault::Answer(code, answer)]);
        let moved = Snapshot { complete: false, ..two_events() };
        let error = store.commit(&target(), Some(&version), &moved).await.unwrap_err();
        assert_eq!(error.category(), category, "{error}");
        assert_eq!(error.to_string(), message);
        assert_eq!(error.failure().message, message);
        assert_ne!(error.retry(), Retry::Never);
        assert!(!format!("{error:?}").contains("evt_a"), "{error:?}");
        assert_eq!(store.head(&target()).await.unwrap().stored, Stored::Present(Box::new(two_events())));
    }
}

/// The store, with a shorter limit where the limit is what will end the call.
fn limited(store: &ObjectStore<ConfigMap>, fault: &Fault) -> ObjectStore<ConfigMap> {
    match fault {
        Fault::Hang | Fault::HangAfterEffect => store.clone().with_time_limit(Duration::from_secs(1)),
        Fault::Answer(..) | Fault::AnswerAfterEffect(..) | Fault::Break | Fault::Gibberish => store.clone(),
    }
}

#[tokio::test]
async fn every_call_ends_and_the_next_head_tells_whether_a_write_was_done() {
    let gateway_timeout = || status(504, "Timeout", "request did not complete");
    for (fault, category, done) in [
        (Fault::Hang, "TimedOut", false),
        (Fault::HangAfterEffect, "TimedOut", true),
        (Fault::Answer(504, gateway_timeout()), "Unavailable", false),
        (Fault::AnswerAfterEffect(504, gateway_timeout()), "Unavailable", true),
        (Fault::Break, "Unreachable", false),
        (Fault::Gibberish, "Unreadable", false),
    ] {
        let server = FakeApiServer::default();
        let store = ObjectStore::<ConfigMap>::new(server.client(), StoreMemory::default());
        server.fail([fault.clone()]);
        let error = limited(&store, &fault).commit(&target(), None, &two_events()).await.unwrap_err();
        assert_eq!(error.category(), category, "{fault:?}");
        assert!(!format!("{error:?} {error}").contains("Board meeting"), "{error:?}");

        let head = store.head(&target()).await.unwrap();
        let expected = if done { Stored::Present(Box::new(two_events())) } else { Stored::Absent };
        assert_eq!(head.stored, expected, "{fault:?}");
        // What was computed on the head before is refused, what is computed on this one is taken.
        let again = store.commit(&target(), None, &two_events()).await;
        assert_eq!(again.is_ok(), !done, "{fault:?}");
    }
}

#[tokio::test]
async fn reading_fails_as_writing_does() {
    for (fault, category) in [
        (Fault::Hang, "TimedOut"),
        (Fault::Answer(403, status(403, "Forbidden", "x cannot get resource \"configmaps\"")), "Forbidden"),
        (Fault::Gibberish, "Unreadable"),
    ] {
        let server = FakeApiServer::default();
        let store = limited(&ObjectStore::<ConfigMap>::new(server.client(), StoreMemory::default()), &fault);
        server.fail([fault.clone(), fault.clone(), fault]);
        assert_eq!(store.head(&target()).await.unwrap_err().category(), category);
        assert_eq!(store.erase(&target()).await.unwrap_err().category(), category);
        assert_eq!(store.release(&target()).await.unwrap_err().category(), category);
    }
}

#[test]
fn the_engine_hears_of_three_reasons() {
    let conflict = StoreError::Conflict { object: "ConfigMap a/b".to_owned(), owner: "Deployment web".to_owned() };
    assert_eq!(conflict.failure().reason, Reason::Conflict);
    assert!(matches!(conflict.failure().retry, Retry::After(_)));
    let too_large = StoreError::TooLarge { bytes: 2, limit: 1 };
    assert_eq!(too_large.failure().reason, Reason::TooLarge);
    assert_eq!(StoreError::Unreadable.failure().reason, Reason::StoreUnavailable);
}
