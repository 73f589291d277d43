//! Which calendar: the names of a namespace for those who may list them, and a form for all.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use calendar_store_client::Reason;

use super::markup::{self, Choice};
use super::visit::Visit;
use super::{CALENDARS, Page};
use crate::Problem;
use crate::read::{Query, checked_name, checked_namespace, names};

/// Names of a page.
const NAMES: usize = 100;

/// Offers calendars, or leads to the one that was chosen.
pub async fn picker(State(page): State<Page>, visit: Visit, RawQuery(query): RawQuery) -> Response {
    match picked(&page, &visit, query.as_deref()).await {
        Ok(Picked::Calendar { namespace, name }) => {
            Redirect::to(&format!("{CALENDARS}/{namespace}/{name}")).into_response()
        }
        Ok(Picked::Choice(choice, user)) => visit.answer(&*page.access, Ok(markup::picker(&visit, &user, &choice))),
        Err(problem) => visit.answer(&*page.access, Err(problem)),
    }
}

/// Where forms are sent to is no page: who comes back to it is led to one.
pub async fn back() -> Redirect {
    Redirect::to(CALENDARS)
}

enum Picked {
    Calendar { namespace: String, name: String },
    Choice(Choice, String),
}

async fn picked(page: &Page, visit: &Visit, query: Option<&str>) -> Result<Picked, Problem> {
    let user = page.access.who(&visit.credentials).await?;
    let query = Query::parse(query, &["namespace", "name", "after"], &[])?;
    let given = |field: &str| query.get(field).map(str::trim).filter(|value| !value.is_empty());
    let Some(namespace) = given("namespace") else { return Ok(Picked::Choice(Choice::default(), user)) };
    checked_namespace(namespace)?;
    if let Some(name) = given("name") {
        checked_name("name", name)?;
        // Whether they may see it is for that page to say.
        return Ok(Picked::Calendar { namespace: namespace.to_owned(), name: name.to_owned() });
    }
    let after = given("after").unwrap_or_default();
    if !after.is_empty() {
        checked_name("after", after)?;
    }
    let (names, refused) = match page.access.may_list(&visit.credentials, namespace).await {
        Ok(()) => (Some(names(&page.reading, namespace, after, NAMES).await?), None),
        Err(problem) if problem.reason() == Reason::Forbidden => (None, Some(problem.document().detail.clone())),
        Err(problem) => return Err(problem),
    };
    let (names, more) = names.map(|page| (page.rows, page.more)).unwrap_or_default();
    Ok(Picked::Choice(Choice { namespace: namespace.to_owned(), names, more, refused }, user))
}
