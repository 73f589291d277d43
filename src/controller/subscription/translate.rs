//! Between Cronofy's types and the engine's: nothing is decided here, and nothing is lost but what is never stored.

use std::collections::BTreeSet;

use calendar_sync::{
    Account, ChannelFilter, Event, EventTime, EventsRequest, Person, Profile, RemoteChannel, RemoteEvent,
};
use cronofy::{Attendee, EventsQuery, Filters, Organizer, TzIdError, UserInfo};

use crate::api::{AccountStatus, ProfileStatus};

/// The query of a read's first page.
///
/// # Errors
/// If the zone's name cannot be sent; a validated one can.
pub fn query(request: &EventsRequest, time_zone: &calendar_sync::TimeZone) -> Result<EventsQuery, TzIdError> {
    let EventsRequest { range, modified_since, filter, page: _, purpose: _ } = request;
    let calendar_sync::Filter { calendar_ids, only_managed, include_managed } = filter;
    let changes = modified_since.is_some();
    Ok(EventsQuery {
        tzid: time_zone.name().parse()?,
        from: Some(range.from),
        to: Some(range.to),
        last_modified: *modified_since,
        // Without these a deletion, or a move out of the window, would go unnoticed.
        include_deleted: changes,
        include_moved: changes,
        include_managed: *include_managed,
        only_managed: *only_managed,
        localized_times: true, // the only way to learn an event's own zone
        include_geo: false,
        google_event_ids: false,
        calendar_ids: calendar_ids.clone().unwrap_or_default(),
    })
}

/// Ids of the events that the application manages itself: only those have an id of its own.
pub fn managed(events: &[cronofy::Event]) -> BTreeSet<String> {
    events.iter().filter(|event| event.event_id.is_some()).map(|event| event.event_uid.clone()).collect()
}

/// An event of a page; `None` if it is neither deleted nor has both of its times.
pub fn event(event: cronofy::Event) -> Option<RemoteEvent> {
    if event.deleted {
        return Some(RemoteEvent::Deleted { id: event.event_uid, calendar_id: event.calendar_id });
    }
    let (start, start_zone) = time(event.start?);
    let (end, _) = time(event.end?);
    Some(RemoteEvent::Present(Box::new(Event {
        id: event.event_uid,
        calendar_id: event.calendar_id,
        start,
        end,
        all_day: start.is_date(),
        time_zone: start_zone,
        summary: event.summary,
        status: event.status.map(|status| status.as_str().to_owned()),
        transparency: event.transparency.map(|transparency| transparency.as_str().to_owned()),
        participation: event.participation_status.map(|status| status.as_str().to_owned()),
        recurring: event.recurring,
        series: event.series_identifier,
        location: event.location.and_then(|location| location.description).filter(|text| !text.is_empty()),
        description: event.description.filter(|text| !text.is_empty()),
        organizer: event.organizer.map(organizer),
        attendees: event.attendees.into_iter().map(attendee).collect(),
        meeting_url: event.meeting_url,
        updated: event.updated,
    })))
}

fn time(time: cronofy::EventTime) -> (EventTime, Option<String>) {
    match time {
        cronofy::EventTime::Date { date, zone } => (EventTime::Date(date), zone),
        cronofy::EventTime::Instant { timestamp, zone } => (EventTime::Instant(timestamp), zone),
    }
}

fn organizer(Organizer { email, display_name }: Organizer) -> Person {
    Person { email, name: display_name, status: None }
}

fn attendee(Attendee { email, display_name, status }: Attendee) -> Person {
    Person { email, name: display_name, status: status.map(|status| status.as_str().to_owned()) }
}

/// The account without names and addresses, and without what is too much for a status: one that the API server refuses
/// could say nothing at all.
pub fn account(info: UserInfo) -> Account {
    let short = |text: Option<String>, longest| text.filter(|text| text.len() <= longest);
    let profile = |profile: cronofy::Profile| Profile {
        id: profile.profile_id,
        provider: short(profile.provider_name, ProfileStatus::LONGEST_PROVIDER),
        connected: profile.profile_connected,
        initial_sync_required: profile.profile_initial_sync_required,
        relink_url: short(profile.profile_relink_url, ProfileStatus::LONGEST_RELINK_URL),
    };
    Account {
        id: Some(info.sub),
        profiles: info.profiles.into_iter().take(AccountStatus::MOST_PROFILES).map(profile).collect(),
    }
}

/// A channel of the listing, with the filter's defaults filled in.
pub fn channel(channel: cronofy::Channel) -> RemoteChannel {
    let cronofy::Channel { channel_id, callback_url, filters } = channel;
    let Filters { calendar_ids, only_managed } = filters;
    let calendar_ids = calendar_ids.filter(|ids| !ids.is_empty()).map(|mut ids| {
        ids.sort();
        ids.dedup();
        ids
    });
    let filter = ChannelFilter { calendar_ids, only_managed: only_managed.unwrap_or_default() };
    RemoteChannel { id: channel_id, callback_url, filter }
}

/// The filters to create a channel with.
pub fn filters(filter: &ChannelFilter) -> Filters {
    let ChannelFilter { calendar_ids, only_managed } = filter;
    Filters { calendar_ids: calendar_ids.clone(), only_managed: only_managed.then_some(true) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_account_fits_into_the_status_however_much_cronofy_tells() {
        let profile = |number: usize| {
            json!({
                "profile_id": format!("pro_{number}"), "provider_name": "p".repeat(1_025), "profile_connected": false,
                "profile_relink_url": format!("https://example.org/{}", "x".repeat(8_192)),
            })
        };
        let profiles: Vec<_> = (0..1_001).map(profile).collect();
        let info = serde_json::from_value(json!({ "sub": "acc_1", "cronofy.data": { "profiles": profiles } })).unwrap();
        let Account { id, profiles } = account(info);
        assert_eq!((id.as_deref(), profiles.len()), (Some("acc_1"), 1_000));
        assert!(profiles.iter().all(|profile| profile.provider.is_none() && profile.relink_url.is_none()));
    }
}
