//! Which calendars there are in a namespace.

use axum::Json;
use axum::extract::{RawQuery, State};

use super::Reading;
use super::documents::{Named, Subscriptions};
use super::query::Query;
use super::subject::{Namespace, checked_name};
use crate::database::{Error, Page};
use crate::{Credentials, Problem};

/// Names of a page if it is not said how many.
const USUAL: usize = 100;
/// The most names of a page.
const MOST: usize = 1000;

/// Lists subscriptions.
///
/// The names of those in the namespace that something is stored of, in order, for whoever may `list`
/// `calendarsubscriptions/events` there. Who may read one of them by its name alone may not list them.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/calendarsubscriptions",
    tag = "subscriptions",
    params(
        ("namespace" = String, Path, description = "Namespace of the subscriptions", max_length = 63, pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"),
        ("limit" = Option<i32>, Query, description = "The most names of a page, by default 100", minimum = 1, maximum = 1000),
        ("after" = Option<super::openapi::SubscriptionName>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "A page", body = Subscriptions), super::openapi::Refusals),
    security(("token" = []))
)]
pub async fn subscriptions(
    State(reading): State<Reading>,
    Namespace(namespace): Namespace,
    credentials: Credentials,
    RawQuery(query): RawQuery,
) -> Result<Json<Subscriptions>, Problem> {
    reading.access.may_list(&credentials, &namespace).await?;
    let query = Query::parse(query.as_deref(), &["limit", "after"], &[])?;
    let limit = query.limit(USUAL, MOST)?;
    let after = query.get("after");
    after.map(|name| checked_name("after", name)).transpose()?;
    let Page { rows, more } = names(&reading, &namespace, after.unwrap_or_default(), limit).await?;
    let next = rows.last().filter(|_| more).cloned();
    Ok(Json(Subscriptions { items: rows.into_iter().map(|name| Named { name }).collect(), next }))
}

/// Names of a namespace after one of them. Who asks is known to be allowed that.
pub async fn names(reading: &Reading, namespace: &str, after: &str, limit: usize) -> Result<Page<String>, Error> {
    reading.database.now().await?.names(namespace, after, limit).await
}
