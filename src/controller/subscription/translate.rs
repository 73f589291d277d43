//! Between Cronofy's types and the engine's: nothing is decided here, and nothing is lost but what is never stored.

use std::collections::BTreeSet;

use calendar_sync::{
    Account, ChannelFilter, Event, EventTime, EventsRequest, Person, Profile, RemoteChannel, RemoteEvent,
};
use cronofy::{Attendee, EventsQuery, Filters, Organizer, TzIdError, UserInfo};

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

/// The account without names and addresses.
pub fn account(info: UserInfo) -> Account {
    let profile = |profile: cronofy::Profile| Profile {
        id: profile.profile_id,
        provider: profile.provider_name,
        connected: profile.profile_connected,
        initial_sync_required: profile.profile_initial_sync_required,
        relink_url: profile.profile_relink_url,
    };
    Account { id: Some(info.sub), profiles: info.profiles.into_iter().map(profile).collect() }
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
