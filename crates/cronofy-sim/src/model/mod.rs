//! The model: what Cronofy knows, and how it changes. No HTTP, no clock of its own, no randomness but a seeded one.

mod account;
mod channel;
mod event;

use std::collections::{BTreeMap, VecDeque};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;

pub use channel::{Channel, Delivery, Filters, Notification, Pending};
pub(crate) use event::{Event, utc};
pub use event::{EventDraft, ReadQuery, When};

use crate::settings::{Rotation, Settings};

/// An application.
#[derive(Clone, Debug)]
pub(crate) struct Application {
    pub secrets: Vec<String>,
    pub requests: VecDeque<Timestamp>,
}

/// A new account.
#[derive(Clone, Debug)]
pub struct AccountDraft {
    /// Its id; `None` makes one.
    pub id: Option<String>,
    /// E-mail address.
    pub email: String,
    /// Name of the owner.
    pub name: String,
}

impl Default for AccountDraft {
    fn default() -> Self {
        Self { id: None, email: "owner@example.org".to_owned(), name: "Owner".to_owned() }
    }
}

/// A calendar service of an account.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its id.
    pub id: String,
    /// The service.
    pub provider: String,
    /// Whether it can be read from.
    pub connected: bool,
    /// Whether it is still being read for the first time.
    pub initial_sync_required: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Calendar {
    pub id: String,
    pub name: String,
    pub profile: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub email: String,
    pub name: String,
    pub application_calendar: Option<String>,
    pub profiles: Vec<Profile>,
    pub calendars: Vec<Calendar>,
    /// The grant is in force.
    pub granted: bool,
    /// Status that calls with its tokens answer instead: 402 or 403.
    pub refused_with: Option<u16>,
}

#[derive(Clone, Debug)]
pub(crate) struct AccessToken {
    pub account: String,
    pub client_id: String,
    pub expires: Timestamp,
}

#[derive(Clone, Debug)]
pub(crate) struct RefreshToken {
    pub account: String,
    pub client_id: String,
    /// The access token it gave last.
    pub access: Option<String>,
}

/// Everything.
pub(crate) struct Model {
    pub settings: Settings,
    pub random: fastrand::Rng,
    pub applications: BTreeMap<String, Application>,
    pub accounts: BTreeMap<String, Account>,
    pub access_tokens: BTreeMap<String, AccessToken>,
    pub refresh_tokens: BTreeMap<String, RefreshToken>,
    pub events: BTreeMap<String, Event>,
    pub channels: BTreeMap<String, Channel>,
    pub pages: BTreeMap<String, Vec<Value>>,
    pub pending: Vec<Pending>,
}

/// A token answer.
pub(crate) struct Tokens {
    pub access: String,
    pub refresh: Option<String>,
    pub expires_in: Option<i64>,
    pub account: String,
}

impl Model {
    pub fn new(seed: u64, settings: Settings) -> Self {
        Self {
            settings,
            random: fastrand::Rng::with_seed(seed),
            applications: BTreeMap::new(),
            accounts: BTreeMap::new(),
            access_tokens: BTreeMap::new(),
            refresh_tokens: BTreeMap::new(),
            events: BTreeMap::new(),
            channels: BTreeMap::new(),
            pages: BTreeMap::new(),
            pending: Vec::new(),
        }
    }

    /// A new id of this kind.
    pub fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}{:016x}", self.random.u64(..))
    }

    pub fn add_account(&mut self, draft: AccountDraft, application_calendar: Option<String>) -> String {
        let prefix = if application_calendar.is_some() { "apc_" } else { "acc_" };
        let id = draft.id.unwrap_or_else(|| self.id(prefix));
        let (profile, calendar) = (self.id("pro_"), self.id("cal_"));
        let provider = if application_calendar.is_some() { "cronofy" } else { "google" };
        let account = Account {
            email: draft.email,
            name: draft.name,
            application_calendar,
            profiles: vec![Profile {
                id: profile.clone(),
                provider: provider.to_owned(),
                connected: true,
                initial_sync_required: false,
            }],
            calendars: vec![Calendar { id: calendar, name: "Home".to_owned(), profile }],
            granted: true,
            refused_with: None,
        };
        self.accounts.insert(id.clone(), account);
        id
    }

    pub fn add_calendar(&mut self, account: &str, name: &str) -> Option<String> {
        let id = self.id("cal_");
        let account = self.accounts.get_mut(account)?;
        let profile = account.profiles.first()?.id.clone();
        account.calendars.push(Calendar { id: id.clone(), name: name.to_owned(), profile });
        Some(id)
    }

    pub fn issue_refresh_token(&mut self, account: &str, client_id: &str) -> String {
        let token = self.id("rt_");
        let grant = RefreshToken { account: account.to_owned(), client_id: client_id.to_owned(), access: None };
        self.refresh_tokens.insert(token.clone(), grant);
        token
    }

    /// Uses a refresh token. `None`: the grant is not in force.
    pub fn refresh(&mut self, token: &str, client_id: &str, now: Timestamp) -> Option<Tokens> {
        let grant = self.refresh_tokens.get(token).filter(|grant| grant.client_id == client_id)?.clone();
        if !self.accounts.get(&grant.account)?.granted {
            return None;
        }
        let refresh = match self.settings.rotation {
            Rotation::Rotates => {
                self.refresh_tokens.remove(token);
                Some(self.issue_refresh_token(&grant.account, client_id))
            }
            Rotation::WithGrace => Some(self.issue_refresh_token(&grant.account, client_id)),
            Rotation::Stays => Some(token.to_owned()),
            Rotation::Absent => None,
        };
        let same =
            grant.access.filter(|_| self.settings.refresh_while_valid == crate::settings::RefreshWhileValid::SameToken);
        let known = same.and_then(|access| {
            let left = self.access_tokens.get(&access)?.expires.as_second() - now.as_second();
            (left > 0).then_some((access, left))
        });
        let (access, expires_in) = match known {
            Some((access, left)) => (access, Some(left)),
            None => self.access_token(&grant.account, client_id, now),
        };
        if let Some(grant) = self.refresh_tokens.get_mut(refresh.as_deref().unwrap_or(token)) {
            grant.access = Some(access.clone());
        }
        Some(Tokens { access, refresh, expires_in, account: grant.account })
    }

    /// A new access token, and for how many seconds it says it is valid.
    pub fn access_token(&mut self, account: &str, client_id: &str, now: Timestamp) -> (String, Option<i64>) {
        let token = self.id("at_");
        let said = self.settings.expires_in;
        let lifetime = said.unwrap_or(std::time::Duration::from_mins(30));
        let access = AccessToken {
            account: account.to_owned(),
            client_id: client_id.to_owned(),
            expires: crate::clock::add(now, lifetime),
        };
        self.access_tokens.insert(token.clone(), access);
        (token, said.map(|said| i64::try_from(said.as_secs()).unwrap_or(i64::MAX)))
    }

    /// First and last day (exclusive) of the sync window.
    pub fn window(&self, now: Timestamp) -> (Date, Date) {
        let today = now.to_zoned(TimeZone::UTC).date();
        let (past, future) = self.settings.window;
        (today.saturating_add((-past).days()), today.saturating_add(future.days()))
    }

    /// Creates or changes an event as somebody outside would; gives its id.
    pub fn put_event(&mut self, calendar: &str, draft: EventDraft, now: Timestamp) -> Option<String> {
        let account = self.account_of(calendar)?;
        let calendar = self.calendar_or_first(calendar)?;
        let uid = draft.uid.clone().unwrap_or_else(|| self.id("evt_external_"));
        self.change(
            Change { uid: uid.clone(), account, calendar, draft: Some(draft), managed: None, event_id: None },
            now,
        );
        Some(uid)
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

    /// Applies a change, and tells the channels unless the application itself made it.
    pub fn change(&mut self, change: Change, now: Timestamp) {
        let Change { uid, account, calendar, draft, managed, event_id } = change;
        let own = managed == Some(true);
        let before = self.events.get(&uid).cloned();
        let mut touched = vec![calendar.clone()];
        if let Some(draft) = draft {
            let mut former = before.as_ref().map(|event| event.former.clone()).unwrap_or_default();
            if let Some(before) = &before {
                touched.push(before.calendar.clone());
                if (before.draft.start, before.draft.end) != (draft.start, draft.end) {
                    former.push((before.draft.start, before.draft.end));
                }
            }
            let event = Event {
                uid: uid.clone(),
                account: account.clone(),
                calendar,
                draft,
                created: before.as_ref().map_or(now, |event| event.created),
                modified: now,
                deleted: None,
                managed: managed.unwrap_or_else(|| before.as_ref().is_some_and(|event| event.managed)),
                own_id: event_id.or_else(|| before.and_then(|event| event.own_id)),
                former,
            };
            self.events.insert(uid.clone(), event);
        } else {
            let Some(event) = self.events.get_mut(&uid).filter(|event| event.deleted.is_none()) else { return };
            (event.deleted, event.modified) = (Some(now), now);
        }
        if !own {
            let managed = self.events.get(&uid).is_some_and(|event| event.managed);
            let visible = self.is_in_window(&uid, now);
            if visible {
                self.notify_change(&account, &touched, managed, now);
            }
        }
    }

    /// Whether an event stands, or stood, within the sync window.
    fn is_in_window(&self, uid: &str, now: Timestamp) -> bool {
        let window = self.window(now);
        let query =
            ReadQuery { include_deleted: true, include_moved: true, include_managed: true, ..ReadQuery::default() };
        self.events.get(uid).is_some_and(|event| event.shown(&query, window))
    }

    /// What a read shows, sorted by start.
    pub fn read(&self, account: &str, query: &ReadQuery, now: Timestamp) -> Vec<Value> {
        let window = self.window(now);
        let clamped = ReadQuery {
            from: query.from.map(|from| from.max(window.0)),
            to: query.to.map(|to| to.min(window.1)),
            ..query.clone()
        };
        let tombstones = self.settings.tombstones;
        let mut shown: Vec<&Event> = self
            .events
            .values()
            .filter(|event| event.account == account && event.shown(&clamped, window))
            .filter(|event| event.deleted.is_none() || tombstones != crate::settings::Tombstones::Never)
            .collect();
        shown.sort_by_key(|event| (event.draft.start.instant(&query.zone), event.uid.clone()));
        let ids_only = tombstones == crate::settings::Tombstones::IdsOnly;
        shown.into_iter().map(|event| event.render(query.localized, ids_only, self.settings.year_zero)).collect()
    }
}

/// A change of one event.
pub(crate) struct Change {
    pub uid: String,
    pub account: String,
    pub calendar: String,
    /// `None` deletes it.
    pub draft: Option<EventDraft>,
    /// Made by the application itself.
    pub managed: Option<bool>,
    pub event_id: Option<String>,
}
