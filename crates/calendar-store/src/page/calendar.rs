//! One calendar in one of its views.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use jiff::civil::Date;
use maud::Markup;

use super::entry::Entry;
use super::layout::{self, Agenda, Grid, Limits, Span};
use super::markup::{self, Content, Shown};
use super::view::{Asked, View};
use super::visit::Visit;
use super::{CALENDARS, Page};
use crate::Problem;
use crate::read::{Position, Range, Subject, cursor, event, overlapping};

/// Events of a list.
const LISTED: usize = 300;
/// Lines of a list, after which a day is complete.
const LINES: usize = 600;
/// Events of a grid that are looked at.
const PLACED: usize = 1000;
const DAY: Limits = Limits { columns: 8, blocks: 100, bars: 8 };
const WEEK: Limits = Limits { columns: 4, blocks: 50, bars: 6 };

/// Shows a calendar.
pub async fn calendar(
    State(page): State<Page>,
    visit: Visit,
    path: Result<Path<(String, String)>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Response {
    visit.answer(&*page.access, shown(&page, &visit, path, query.as_deref()).await)
}

async fn shown(
    page: &Page,
    visit: &Visit,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Option<&str>,
) -> Result<Markup, Problem> {
    let subject = Subject::admitted(path, visit.credentials.clone(), &*page.access).await?;
    let user = page.access.who(&visit.credentials).await?;
    let now = (page.clock)();
    let path = format!("{CALENDARS}/{}/{}", subject.namespace, subject.name);
    let asked = Asked::parse(path, query, now)?;
    let dates = asked.dates();

    let moments = &asked.moments;
    let start = |date: Date| moments.start_of(date);
    let range = Range {
        from: dates.first().map(|date| start(*date)),
        to: dates.last().and_then(|date| date.tomorrow().ok()).map(start),
    };
    // A cursor is of use to the list of the same day only.
    let mark = cursor::mark(&(&subject.namespace, &subject.name, "page", asked.date, asked.zone_title()));
    let after = asked.after.as_deref().map(|text| cursor::parse(&mark, text)).transpose()?;
    let most = if asked.view == View::Agenda { LISTED } else { PLACED };

    let mut moment = page.reading.database.now().await?;
    let subscription = subject.at(&mut moment).await?;
    let rows = overlapping(&mut moment, &subscription.uid, range, moments, after, most).await?;
    drop(moment);
    let rest = rows.rows.last().filter(|_| rows.more).map(|row| cursor::written(&mark, &row.place));
    let events = rows.rows.iter().map(|row| event(&row.body)).collect::<Result<Vec<_>, _>>()?;
    let entries: Vec<Entry> = events.iter().map(|event| Entry::of(event, &asked.zone, moments)).collect();
    let spans: Vec<Span> = entries.iter().map(|entry| entry.span).collect();

    let content = match asked.view {
        View::Agenda => {
            let (agenda, more) = listed(&asked, &dates, &spans, rest);
            Content::Agenda(agenda, more)
        }
        View::Day | View::Week => {
            let limits = if asked.view == View::Day { DAY } else { WEEK };
            let grid: Grid = layout::grid(&spans, &dates, &asked.zone, limits, now);
            Content::Grid(grid, rows.more)
        }
    };
    let shown = Shown {
        namespace: &subject.namespace,
        name: &subject.name,
        user: &user,
        asked: &asked,
        dates: &dates,
        entries: &entries,
        sequence: Position::last(&subscription).to_string(),
        content,
    };
    Ok(markup::calendar(visit, &shown))
}

/// The list, and where it goes on. Only days whose events are all known are in it, unless not even the first one is: then its
/// events come page by page.
fn listed(asked: &Asked, dates: &[Date], spans: &[Span], rest: Option<String>) -> (Agenda, Option<String>) {
    let first = dates.first().copied().unwrap_or(asked.date);
    let Some(cursor) = rest else {
        let agenda = layout::agenda(spans, dates, &asked.zone, LINES);
        let more = match agenda.rest {
            Some(date) => Some(asked.link(View::Agenda, date)),
            // The last part of a day that has a page of its own.
            None if asked.after.is_some() => Some(asked.link(View::Agenda, asked.next_day())),
            None => None,
        };
        return (agenda, more);
    };
    // By their order in the database, no day before this one can have a further event.
    let last = spans.last().map(|span| span.start.to_zoned(asked.zone.clone()).date());
    let last = last.and_then(|date| date.yesterday().ok()).unwrap_or(first).max(first);
    let complete: Vec<Date> = dates.iter().copied().filter(|date| *date < last).collect();
    if complete.is_empty() {
        return (layout::agenda(spans, &[first], &asked.zone, LINES), Some(asked.rest(first, &cursor)));
    }
    let agenda = layout::agenda(spans, &complete, &asked.zone, LINES);
    let next = agenda.rest.unwrap_or(last);
    (agenda, Some(asked.link(View::Agenda, next)))
}
