//! Refusals that are not the store's own: of the router, of extractors, of limits, and of a defect. They get the form of all others.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use calendar_store_client::Reason;
use http::{HeaderMap, Method, StatusCode, header};

use crate::Problem;

/// What such a refusal says is one sentence.
const LONGEST: usize = 1024;

/// Makes a document of a refusal that is none. Those of the agenda page are pages.
pub(super) async fn documented(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let response = next.run(request).await;
    let refused = response.status().is_client_error() || response.status().is_server_error();
    if refused && !is_document(response.headers()) { document(&method, response).await } else { response }
}

fn is_document(headers: &HeaderMap) -> bool {
    let kinds = ["application/problem+json", "text/html; charset=utf-8"];
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kinds.iter().any(|known| kind == known))
}

async fn document(method: &Method, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let said = match parts.headers.remove(header::CONTENT_ENCODING) {
        Some(_) => String::new(),
        None => said(body).await,
    };
    let status = parts.status;
    let (reason, usual) = match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            (Reason::MethodNotAllowed, format!("{method} is not allowed here: Allow says what is"))
        }
        StatusCode::PAYLOAD_TOO_LARGE => (Reason::TooLarge, "the body is larger than this path takes".to_owned()),
        StatusCode::NOT_FOUND => (Reason::NotFound, "the store has no such path".to_owned()),
        StatusCode::REQUEST_TIMEOUT => {
            (Reason::Invalid, "the request did not come in time: send it without a pause".to_owned())
        }
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            (Reason::Unavailable, "there was no answer in time: try again in a moment, or ask for less".to_owned())
        }
        status if status.is_server_error() => {
            (Reason::Defect, "the store failed at this request: please report it".to_owned())
        }
        _ => (Reason::Invalid, "the request is not as the store takes it".to_owned()),
    };
    let detail = if said.is_empty() { usual } else { said };
    let mut document = Problem::new(reason, detail).with_status(status).into_response();
    for kept in [header::ALLOW, header::RETRY_AFTER, header::CONNECTION] {
        if let Some(value) = parts.headers.remove(&kept) {
            document.headers_mut().insert(kept, value);
        }
    }
    document
}

/// What the refusal says, if that is a text.
async fn said(body: Body) -> String {
    let text = to_bytes(body, LONGEST).await.ok().and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
    text.map(|text| text.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::Router;
    use axum::body::Bytes;
    use axum::extract::{DefaultBodyLimit, Path};
    use axum::middleware::from_fn;
    use axum::routing::{get, post};
    use tower::ServiceExt as _;
    use tower_http::catch_panic::CatchPanicLayer;
    use tower_http::timeout::TimeoutLayer;

    use super::*;

    fn app() -> Router {
        let late = TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, Duration::from_millis(10));
        Router::new()
            .route("/of/{name}", get(async |Path(name): Path<String>| name))
            .route("/body", post(async |body: Bytes| body).layer(DefaultBodyLimit::max(10)))
            .route("/never", get(std::future::pending::<()>).layer(late))
            .route("/panic", get(async || -> StatusCode { panic!("canary") }))
            .route("/page", get(async || (StatusCode::FORBIDDEN, axum::response::Html("not you"))))
            .route("/own", get(async || Problem::new(Reason::Conflict, "canary").of("label")))
            .layer(CatchPanicLayer::custom(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response()))
            .layer(from_fn(documented))
    }

    #[tokio::test]
    async fn every_refusal_is_a_document() {
        let table = [
            ("GET", "/of/%FF", 400, Reason::Invalid, "Invalid UTF-8"),
            ("PUT", "/of/a", 405, Reason::MethodNotAllowed, "PUT is not allowed here"),
            ("POST", "/body", 413, Reason::TooLarge, "length limit"),
            ("GET", "/never", 503, Reason::Unavailable, "no answer in time"),
            ("GET", "/panic", 500, Reason::Defect, "please report it"),
            ("GET", "/nowhere", 404, Reason::NotFound, "no such path"),
            ("GET", "/own", 409, Reason::Conflict, "canary"),
        ];
        for (method, path, status, reason, said) in table {
            let request = Request::builder().method(method).uri(path).body(Body::from("more than ten bytes")).unwrap();
            let response = app().oneshot(request).await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{path}");
            assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
            assert_eq!(response.headers().contains_key("retry-after"), status == 503, "{path}");
            assert_eq!(response.headers().contains_key("allow"), status == 405, "{path}");
            let body = to_bytes(response.into_body(), 4096).await.unwrap();
            let problem: calendar_store_client::Problem = serde_json::from_slice(&body).unwrap();
            assert_eq!((problem.status, problem.reason), (status, reason), "{path}");
            assert!(problem.detail.contains(said), "{path}: {}", problem.detail);
        }
    }

    #[tokio::test]
    async fn a_refusal_that_is_a_page_stays_one() {
        let request = Request::builder().uri("/page").body(Body::empty()).unwrap();
        let response = app().oneshot(request).await.unwrap();
        assert_eq!(
            (response.status(), &response.headers()["content-type"]),
            (StatusCode::FORBIDDEN, &"text/html; charset=utf-8".parse().unwrap())
        );
        assert_eq!(to_bytes(response.into_body(), 64).await.unwrap(), "not you");
    }

    #[tokio::test]
    async fn an_answer_is_left_as_it_is() {
        let request = Request::builder().uri("/of/somebody").body(Body::empty()).unwrap();
        let response = app().oneshot(request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
        assert_eq!(to_bytes(response.into_body(), 64).await.unwrap(), "somebody");
    }
}
