//! What changes calendars from outside: their owners, other people, other programs. All of it is told to channels.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::model::{Change, ChangeRecord, EventDraft, ReadQuery, When};
use crate::{Error, IcsError, Simulator, clock, ics};

/// Events that repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Their `series_identifier`.
    pub id: String,
    /// Their ids, in order.
    pub uids: Vec<String>,
}

impl Simulator {
    /// Adds a calendar; gives its id, which is empty if there is no such account.
    #[must_use]
    pub fn add_calendar(&self, account: &str, name: &str) -> String {
        self.inner.state().model.add_calendar(account, name).unwrap_or_default()
    }

    /// The account's calendars, the first one first.
    #[must_use]
    pub fn calendars(&self, account: &str) -> Vec<String> {
        let state = self.inner.state();
        let account = state.model.accounts.get(account);
        account.into_iter().flat_map(|account| &account.calendars).map(|calendar| calendar.id.clone()).collect()
    }

    /// Creates or changes an event as its owner would. `calendar` may be an account: then it goes into its first calendar.
    ///
    /// # Errors
    /// If there is no such calendar.
    pub fn put_event(&self, calendar: &str, draft: EventDraft) -> Result<String, Error> {
        let uids = self.put_events(calendar, vec![draft])?;
        Ok(uids.into_iter().next().unwrap_or_default())
    }

    /// The same for several that are made at once: channels are told of them once.
    ///
    /// # Errors
    /// If there is no such calendar.
    pub fn put_events(&self, calendar: &str, drafts: Vec<EventDraft>) -> Result<Vec<String>, Error> {
        let uids = {
            let mut state = self.inner.state();
            let now = state.clock.now();
            state.model.put_events(calendar, drafts, now)
        };
        self.inner.wake.notify_one();
        uids.ok_or_else(|| Error::Unknown { kind: "calendar", id: calendar.to_owned() })
    }

    /// A series of `count` occurrences like `first`, one `every` so long.
    ///
    /// # Errors
    /// If there is no such calendar.
    pub fn put_series(&self, calendar: &str, first: &EventDraft, count: u32, every: Duration) -> Result<Series, Error> {
        let id = self.inner.state().model.id("series_");
        let occurrences = (0..count).map(|index| {
            let offset = every.saturating_mul(index);
            let later = |when: When| match when {
                When::At(time) => When::At(clock::add(time, offset)),
                When::On(date) => When::On(date.saturating_add(SignedDuration::try_from(offset).unwrap_or_default())),
            };
            let mut more = first.more.clone();
            if let Some(fields) = more.as_object_mut() {
                fields.insert("recurring".to_owned(), json!(true));
                fields.insert("series_identifier".to_owned(), json!(id));
            }
            let uid = first.uid.as_ref().map(|uid| format!("{uid}_{index}"));
            EventDraft { uid, start: later(first.start), end: later(first.end), more, ..first.clone() }
        });
        let uids = self.put_events(calendar, occurrences.collect())?;
        Ok(Series { id, uids })
    }

    /// Changes all occurrences of a series at once.
    ///
    /// # Errors
    /// If one of its events does not exist.
    pub fn edit_series(&self, series: &Series, edit: impl Fn(&mut EventDraft)) -> Result<(), Error> {
        self.edit_all(&series.uids, |change| {
            if let Some(draft) = &mut change.draft {
                edit(draft);
            }
        })
    }

    /// Deletes all occurrences of a series at once.
    ///
    /// # Errors
    /// If one of its events does not exist.
    pub fn delete_series(&self, series: &Series) -> Result<(), Error> {
        self.edit_all(&series.uids, |change| change.draft = None)
    }

    /// Moves an event.
    ///
    /// # Errors
    /// If there is no such event.
    pub fn move_event(&self, uid: &str, start: impl Into<When>, end: impl Into<When>) -> Result<(), Error> {
        let (start, end) = (start.into(), end.into());
        self.edit(uid, |change| {
            if let Some(draft) = &mut change.draft {
                (draft.start, draft.end) = (start, end);
            }
        })
    }

    /// Gives an event another title.
    ///
    /// # Errors
    /// If there is no such event.
    pub fn rename_event(&self, uid: &str, summary: &str) -> Result<(), Error> {
        self.edit(uid, |change| {
            if let Some(draft) = &mut change.draft {
                summary.clone_into(&mut draft.summary);
            }
        })
    }

    /// Puts an event into another calendar of the account.
    ///
    /// # Errors
    /// If there is no such event.
    pub fn move_to_calendar(&self, uid: &str, calendar: &str) -> Result<(), Error> {
        self.edit(uid, |change| calendar.clone_into(&mut change.calendar))
    }

    /// Deletes an event.
    ///
    /// # Errors
    /// If there is no such event.
    pub fn delete_event(&self, uid: &str) -> Result<(), Error> {
        self.edit(uid, |change| change.draft = None)
    }

    fn edit(&self, uid: &str, edit: impl Fn(&mut Change)) -> Result<(), Error> {
        self.edit_all(&[uid.to_owned()], edit)
    }

    fn edit_all(&self, uids: &[String], edit: impl Fn(&mut Change)) -> Result<(), Error> {
        let mut state = self.inner.state();
        let now = state.clock.now();
        let mut changes = Vec::with_capacity(uids.len());
        for uid in uids {
            let unknown = || Error::Unknown { kind: "event", id: uid.clone() };
            let mut change = state.model.as_it_is(uid).ok_or_else(unknown)?;
            edit(&mut change);
            changes.push(change);
        }
        state.model.change(changes, now);
        drop(state);
        self.inner.wake.notify_one();
        Ok(())
    }

    /// Deletes a calendar with its events. It stays listed, as deleted.
    ///
    /// # Errors
    /// If there is no such calendar.
    pub fn delete_calendar(&self, calendar: &str) -> Result<(), Error> {
        let mut state = self.inner.state();
        let now = state.clock.now();
        let known = state.model.delete_calendar(calendar, now);
        drop(state);
        self.inner.wake.notify_one();
        known.then_some(()).ok_or_else(|| Error::Unknown { kind: "calendar", id: calendar.to_owned() })
    }

    /// Makes a calendar read-only, so that the application's own writes are answered 403, or writable.
    ///
    /// # Errors
    /// If there is no such calendar.
    pub fn make_read_only(&self, calendar: &str, read_only: bool) -> Result<(), Error> {
        let mut state = self.inner.state();
        let known = state.model.calendar_mut(calendar);
        known.ok_or_else(|| Error::Unknown { kind: "calendar", id: calendar.to_owned() })?.read_only = read_only;
        Ok(())
    }

    /// Reads an iCalendar file into a calendar, of which channels are told once. Gives the number of events.
    ///
    /// # Errors
    /// Names the component and the property that is not understood.
    pub fn import_ics(&self, calendar: &str, text: &str) -> Result<usize, IcsError> {
        let now = self.now();
        let days = |count: i64| SignedDuration::from_hours(24 * count);
        let (from, to) = (now.checked_sub(days(100)).unwrap_or(now), now.checked_add(days(400)).unwrap_or(now));
        let drafts = ics::parse(text, from, to)?;
        let uids = self.put_events(calendar, drafts).map_err(|_| IcsError::NoCalendar(calendar.to_owned()))?;
        Ok(uids.len())
    }

    /// What a read shows now.
    #[must_use]
    pub fn read(&self, account: &str, query: &ReadQuery) -> Vec<Value> {
        let state = self.inner.state();
        state.model.read(account, query, state.clock.now())
    }

    /// All changes of calendars so far, also those that nobody was told of.
    #[must_use]
    pub fn changes(&self) -> Vec<ChangeRecord> {
        self.inner.state().model.changes.clone()
    }
}
