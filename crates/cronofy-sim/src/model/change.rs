//! How calendars change, and who is told.

use jiff::Timestamp;

use super::{Account, Event, EventDraft, Model, ReadQuery, Touched};
use crate::settings::{CalendarMove, Use};

/// A change of one event.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub uid: String,
    pub account: String,
    pub calendar: String,
    /// `None` deletes it.
    pub draft: Option<EventDraft>,
    /// Made by the application itself.
    pub own: bool,
    /// The application's own id.
    pub event_id: Option<String>,
}

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// There was no such event.
    Created,
    /// Something other than below.
    Updated,
    /// Its time.
    Moved,
    /// Its calendar.
    Rehomed,
    /// It is no more.
    Deleted,
}

/// A change that took place.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ChangeRecord {
    /// Of which event.
    pub uid: String,
    /// In which account.
    pub account: String,
    /// In which calendar the event is now.
    pub calendar: String,
    /// What it did.
    pub kind: ChangeKind,
    /// The application made it itself, so nobody was told.
    pub own: bool,
    /// When, on the simulator's clock.
    pub time: Timestamp,
}

impl Model {
    /// Creates or changes events as somebody outside would; gives their ids.
    pub fn put_events(&mut self, calendar: &str, drafts: Vec<EventDraft>, now: Timestamp) -> Option<Vec<String>> {
        let account = self.account_of(calendar)?;
        let calendar = self.calendar_or_first(calendar)?;
        let mut uids = Vec::with_capacity(drafts.len());
        let mut changes = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let uid = draft.uid.clone().unwrap_or_else(|| self.id("evt_external_"));
            let (account, calendar) = (account.clone(), calendar.clone());
            uids.push(uid.clone());
            changes.push(Change { uid, account, calendar, draft: Some(draft), own: false, event_id: None });
        }
        self.change(changes, now);
        Some(uids)
    }

    /// The account that a calendar belongs to; an account's id stands for itself.
    pub fn account_of(&self, calendar: &str) -> Option<String> {
        if self.accounts.contains_key(calendar) {
            return Some(calendar.to_owned());
        }
        let has = |account: &Account| account.calendars.iter().any(|known| known.id == calendar);
        self.accounts.iter().find(|(_, account)| has(account)).map(|(id, _)| id.clone())
    }

    fn calendar_or_first(&self, calendar: &str) -> Option<String> {
        match self.accounts.get(calendar) {
            Some(account) => account.calendars.first().map(|calendar| calendar.id.clone()),
            None => Some(calendar.to_owned()),
        }
    }

    /// The change that would leave an event as its owner sees it.
    pub fn as_it_is(&self, uid: &str) -> Option<Change> {
        let unseen = self.unseen.iter().rev().find(|change| change.uid == uid).cloned();
        unseen.or_else(|| {
            let event = self.events.get(uid)?;
            Some(Change {
                uid: event.uid.clone(),
                account: event.account.clone(),
                calendar: event.calendar.clone(),
                draft: Some(event.draft.clone()),
                own: false,
                event_id: None,
            })
        })
    }

    /// Applies changes of one account that are made together, and tells its channels once of those that the application did
    /// not make itself. What changes in a disconnected profile waits until it is connected again.
    pub fn change(&mut self, changes: Vec<Change>, now: Timestamp) {
        let Some(account) = changes.first().map(|change| change.account.clone()) else { return };
        let settings = self.settings_for(Use::change(&account));
        let mut told = Touched::default();
        for change in changes {
            if !change.own && settings.stale_while_disconnected && self.is_disconnected(&change) {
                self.unseen.push(change);
                continue;
            }
            for change in self.parts(change, settings.calendar_move) {
                let (uid, own) = (change.uid.clone(), change.own);
                let Some(mut touched) = self.apply(change, now) else { continue };
                if !own && self.is_in_window(&uid, now) {
                    told.calendars.append(&mut touched.calendars);
                    told.managed |= touched.managed;
                }
            }
        }
        if !told.calendars.is_empty() {
            self.notify_change(&account, &told, now);
        }
    }

    /// A change as it is, or a deletion and a creation if another calendar means another id.
    fn parts(&mut self, change: Change, calendar_move: CalendarMove) -> Vec<Change> {
        let before = self.events.get(&change.uid).map(|event| event.calendar.clone());
        match before {
            Some(before)
                if calendar_move == CalendarMove::NewId && before != change.calendar && change.draft.is_some() =>
            {
                let gone = Change { calendar: before, draft: None, ..change.clone() };
                vec![gone, Change { uid: self.id("evt_external_"), ..change }]
            }
            Some(_) | None => vec![change],
        }
    }

    /// Cronofy sees what changed while a profile was disconnected.
    pub fn catch_up(&mut self, account: &str, now: Timestamp) {
        let unseen = std::mem::take(&mut self.unseen);
        let (own, others) = unseen.into_iter().partition(|change| change.account == account);
        self.unseen = others;
        self.change(own, now);
    }

    fn is_disconnected(&self, change: &Change) -> bool {
        let Some(account) = self.accounts.get(&change.account) else { return false };
        let calendar = account.calendars.iter().find(|calendar| calendar.id == change.calendar);
        let profile = calendar.and_then(|calendar| account.profiles.iter().find(|known| known.id == calendar.profile));
        profile.is_some_and(|profile| !profile.connected)
    }

    /// Applies one change; tells which calendars it touched, if it did anything.
    fn apply(&mut self, change: Change, now: Timestamp) -> Option<Touched> {
        let Change { uid, account, calendar, draft, own, event_id } = change;
        let before = self.events.get(&uid).cloned();
        let mut calendars = vec![calendar.clone()];
        let managed = own || before.as_ref().is_some_and(|event| event.managed);
        let mut kind = ChangeKind::Created;
        if let Some(draft) = draft {
            let (mut former, mut former_calendars) = (Vec::new(), Vec::new());
            if let Some(before) = &before {
                kind = ChangeKind::Updated;
                (former, former_calendars) = (before.former.clone(), before.former_calendars.clone());
                if (before.draft.start, before.draft.end) != (draft.start, draft.end) {
                    former.push((before.draft.start, before.draft.end));
                    kind = ChangeKind::Moved;
                }
                if before.calendar != calendar {
                    calendars.push(before.calendar.clone());
                    former_calendars.push(before.calendar.clone());
                    former_calendars.retain(|former| *former != calendar);
                    kind = ChangeKind::Rehomed;
                }
            }
            let event = Event {
                uid: uid.clone(),
                account: account.clone(),
                calendar: calendar.clone(),
                draft,
                created: before.as_ref().map_or(now, |event| event.created),
                modified: now,
                deleted: None,
                managed,
                own_id: event_id.or_else(|| before.and_then(|event| event.own_id)),
                former,
                former_calendars,
            };
            self.events.insert(uid.clone(), event);
        } else {
            let event = self.events.get_mut(&uid).filter(|event| event.deleted.is_none())?;
            (event.deleted, event.modified) = (Some(now), now);
            kind = ChangeKind::Deleted;
        }
        self.changes.push(ChangeRecord { uid, account, calendar, kind, own, time: now });
        Some(Touched { calendars, managed })
    }

    /// Whether an event stands, or stood, within the sync window.
    fn is_in_window(&self, uid: &str, now: Timestamp) -> bool {
        let window = self.window(now);
        let query =
            ReadQuery { include_deleted: true, include_moved: true, include_managed: true, ..ReadQuery::default() };
        self.events.get(uid).is_some_and(|event| event.seen(&query, window).is_some())
    }
}
