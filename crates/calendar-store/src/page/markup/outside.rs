//! Pages around the calendars: which one, signing in, and refusals.

use http::Method;
use maud::{DOCTYPE, Markup, html};

use super::page;
use crate::page::CALENDARS;
use crate::page::visit::{LONGEST_TOKEN, Visit};

/// What the picker offers.
#[derive(Debug, Default)]
pub struct Choice {
    /// The namespace that was asked for; empty before.
    pub namespace: String,
    /// Names in it.
    pub names: Vec<String>,
    /// Whether there are more.
    pub more: bool,
    /// Why names are not listed.
    pub refused: Option<String>,
}

/// The form for the name of a calendar, and the names that there are.
pub fn picker(visit: &Visit, user: &str, choice: &Choice) -> Markup {
    let Choice { namespace, names, more, refused } = choice;
    let main = html! {
        div .card {
            h1 { "Choose a calendar" }
            form method="get" action=(CALENDARS) {
                label { span { "Namespace" } input type="text" name="namespace" value=(namespace) required maxlength="63" autocomplete="off" autocapitalize="off" spellcheck="false"; }
                label {
                    span { "Subscription " small { "(leave it empty to list them)" } }
                    input type="text" name="name" maxlength="253" autocomplete="off" autocapitalize="off" spellcheck="false";
                }
                button type="submit" { "Show" }
            }
        }
        @if let Some(refused) = refused {
            div .card {
                h2 { "The calendars of " (namespace) " cannot be listed" }
                p { (refused) "." }
                p { "If you know the name of one that you may read, give it above." }
            }
        } @else if !namespace.is_empty() {
            div .card {
                h2 { "Calendars of " (namespace) }
                @if names.is_empty() { p { "None is kept here. A subscription has its calendar here if its " code { "spec.store.type" } " is " code { "Remote" } "." } }
                @else { ul .names role="list" { @for name in names { li { a href={ (CALENDARS) "/" (namespace) "/" (name) } { (name) } } } } }
                @if let Some(last) = names.last().filter(|_| *more) {
                    p .more { a href={ (CALENDARS) "?namespace=" (namespace) "&after=" (last) } { "More calendars" } }
                }
            }
        }
    };
    page("Calendars", Some((visit, user)), &main)
}

/// The form for a token, and why the last one was not taken.
pub fn sign_in(audience: &str, then: &str, why: Option<&str>) -> Markup {
    let main = html! {
        div .card {
            h1 { "Sign in" }
            @if let Some(why) = why { p #why .alert role="alert" { strong { "Not signed in. " } (why) "." } }
            p { "Calendars are shown to whoever may read them in the cluster. Make a token for this store and paste it:" }
            pre { code { "kubectl create token READER --audience " (audience) } }
            p { "READER is a ServiceAccount with the right to " code { "get" } " " code { "calendarsubscriptions/events" } "." }
            form method="post" action={ (CALENDARS) "/-/sign-in" } {
                input type="hidden" name="then" value=(then);
                label {
                    span { "Token" }
                    input type="password" name="token" required maxlength=(LONGEST_TOKEN) autocomplete="off"
                        aria-describedby=[why.map(|_| "why")] aria-invalid=[why.map(|_| "true")];
                }
                button type="submit" { "Sign in" }
            }
            p .quiet { "This browser keeps the token for these pages only, until it ends or you sign out." }
        }
    };
    page("Sign in · Calendars", None, &main)
}

/// Leads to the same page once more: a browser that another site has sent here keeps its cookie back the first time.
pub fn again(address: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="refresh" content={ "0; url=" (address) };
                title { "Calendars" }
                link rel="stylesheet" href={ (CALENDARS) "/-/page.css" };
            }
            body { main #main { p { a href=(address) { "Go on to the calendar" } } } }
        }
    }
}

/// Why there is no page, and what helps.
pub fn refusal(visit: &Visit, problem: &calendar_store_client::Problem) -> Markup {
    let main = html! {
        div .card {
            h1 { (problem.title) }
            p { (problem.detail) "." }
            @if let Some(field) = &problem.field { p .quiet { "This is about " code { (field) } "." } }
            @if problem.status == 503 || problem.status == 429 {
                p { a .button href=(visit.address) { "Try again" } }
            }
            p { a href=(CALENDARS) { "Choose a calendar" } }
        }
    };
    page(&format!("{} · Calendars", problem.title), None, &main)
}

/// A method that nothing is done by.
pub fn not_so(visit: &Visit, method: &Method) -> Markup {
    let main = html! {
        div .card {
            h1 { "Nothing is done in this way" }
            p { (method) " is not allowed at this address." }
            p { a href=(visit.address) { "Open it as a page" } }
        }
    };
    page("Calendars", None, &main)
}
