//! Accounts as Cronofy shows them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Account, AccountDraft, Calendar, Change, Model, Notification, Profile};
use crate::settings::{Gdpr, Use};

/// What a grant allows, unless it was reduced.
const USUAL_SCOPE: &str = "list_calendars read_events";

impl Profile {
    fn render(&self, account: &Account, with_calendars: bool) -> Value {
        let mut shown = json!({
            "provider_name": self.provider,
            "provider_service": self.provider,
            "profile_id": self.id,
            "profile_name": account.email,
            "profile_connected": self.connected,
            "profile_initial_sync_required": self.initial_sync_required,
        });
        let Some(fields) = shown.as_object_mut() else { return shown };
        if !self.connected {
            let relink = format!("https://app.cronofy.invalid/relink/{}?email={}", self.provider, account.email);
            fields.insert("profile_relink_url".to_owned(), json!(relink));
        }
        if with_calendars {
            let own = account.calendars.iter().filter(|calendar| calendar.profile == self.id);
            let calendars: Vec<Value> = own.map(Calendar::render).collect();
            fields.insert("profile_calendars".to_owned(), json!(calendars));
        }
        shown
    }
}

impl Calendar {
    fn render(&self) -> Value {
        json!({
            "calendar_id": self.id,
            "calendar_name": self.name,
            "calendar_readonly": self.read_only,
            "calendar_deleted": self.deleted,
            "calendar_primary": self.name == "Home",
            "calendar_integrated_conferencing_available": false,
        })
    }
}

impl Model {
    /// The account of an application calendar, made on first use.
    pub fn application_calendar(&mut self, client_id: &str, id: &str) -> String {
        let key = format!("{client_id}/{id}");
        let known = self.accounts.iter().find(|(_, account)| account.application_calendar.as_ref() == Some(&key));
        match known.map(|(id, _)| id.clone()) {
            Some(account) => account,
            None => self.add_account(AccountDraft::default(), Some(key)),
        }
    }

    /// Adds a calendar service to an account, with no calendars yet; gives its id.
    pub fn add_profile(&mut self, account: &str, provider: &str) -> Option<String> {
        let id = self.id("pro_");
        let profile =
            Profile { id: id.clone(), provider: provider.to_owned(), connected: true, initial_sync_required: false };
        self.accounts.get_mut(account)?.profiles.push(profile);
        Some(id)
    }

    /// Adds a calendar to a calendar service, or to an account's first one; gives its id.
    pub fn add_calendar(&mut self, owner: &str, name: &str) -> Option<String> {
        let id = self.id("cal_");
        let has = |account: &Account| account.profiles.iter().any(|profile| profile.id == owner);
        let (_, account) = self.accounts.iter_mut().find(|(id, account)| *id == owner || has(account))?;
        let own = account.profiles.iter().find(|profile| profile.id == owner);
        let profile = own.or(account.profiles.first())?.id.clone();
        account.calendars.push(Calendar::new(id.clone(), name, profile));
        Some(id)
    }

    /// The calendar, wherever it is.
    pub fn calendar_mut(&mut self, id: &str) -> Option<&mut Calendar> {
        self.accounts.values_mut().flat_map(|account| &mut account.calendars).find(|calendar| calendar.id == id)
    }

    /// The owner deletes a calendar: its events are deleted, it stays listed. Whether there is one.
    pub fn delete_calendar(&mut self, id: &str, now: Timestamp) -> bool {
        let Some(calendar) = self.calendar_mut(id) else { return false };
        calendar.deleted = true;
        let live = self.events.values().filter(|event| event.calendar == id && event.deleted.is_none());
        let uids: Vec<String> = live.map(|event| event.uid.clone()).collect();
        let changes = uids.iter().filter_map(|uid| self.as_it_is(uid)).map(|change| Change { draft: None, ..change });
        let changes = changes.collect();
        self.change(changes, now);
        true
    }

    /// Breaks a calendar service, or all of an account, off and says so, or connects it again, which is not told: but what
    /// changed meanwhile is.
    pub fn connect_profile(&mut self, owner: &str, connected: bool, now: Timestamp) {
        let has = |account: &Account| account.profiles.iter().any(|profile| profile.id == owner);
        let Some((id, account)) = self.accounts.iter_mut().find(|(id, account)| *id == owner || has(account)) else {
            return;
        };
        let id = id.clone();
        for profile in account.profiles.iter_mut().filter(|profile| id == owner || profile.id == owner) {
            profile.connected = connected;
        }
        if connected {
            self.catch_up(&id, now);
        } else if let Some(delay) = self.settings_for(Use::change(&id)).disconnect_notice {
            for channel in self.open_channels(&id) {
                let notification = Notification::new("profile_disconnected");
                self.notify_at(&channel.id, &notification, crate::clock::add(now, delay), now);
            }
        }
    }

    /// Whether one of the account's services is still being read for the first time.
    pub fn is_syncing_initially(&self, account: &str) -> bool {
        self.accounts
            .get(account)
            .is_some_and(|account| account.profiles.iter().any(|profile| profile.initial_sync_required))
    }

    /// The owner demands erasure.
    pub fn request_gdpr(&mut self, account: &str, now: Timestamp) {
        let settings = self.settings_for(Use::change(account));
        let channels = self.open_channels(account);
        let told = match settings.gdpr {
            Gdpr::OneChannel => channels.get(..1).unwrap_or_default(),
            Gdpr::EveryChannel => channels.as_slice(),
        };
        for channel in told {
            self.notify(&channel.id, &Notification::new("gdpr_requested"), now);
        }
        if settings.gdpr_ends_grant {
            self.revoke(account, now);
        }
    }

    /// The account is no more, and nobody is told. Whether there was one.
    pub fn delete_account(&mut self, account: &str, now: Timestamp) -> bool {
        self.close_channels(account, now);
        self.access_tokens.retain(|_, token| token.account != account);
        self.refresh_tokens.retain(|_, token| token.account != account);
        self.events.retain(|_, event| event.account != account);
        self.accounts.remove(account).is_some()
    }

    /// What the grant of an account allows.
    pub fn scope(&self, account: &str) -> String {
        let account = self.accounts.get(account);
        account.and_then(|account| account.scope.clone()).unwrap_or_else(|| USUAL_SCOPE.to_owned())
    }

    /// Whether the grant lacks what a call needs.
    pub fn lacks(&self, account: &str, scope: &str) -> bool {
        let granted = self.accounts.get(account).and_then(|account| account.scope.as_ref());
        granted.is_some_and(|granted| !granted.split(' ').any(|one| one == scope || one == "read_write"))
    }

    pub fn render_userinfo(&self, id: &str) -> Value {
        let Some(account) = self.accounts.get(id) else { return json!({}) };
        let profiles: Vec<Value> = account.profiles.iter().map(|profile| profile.render(account, true)).collect();
        let scope = account.scope.as_deref().unwrap_or("read_write");
        let mut data = json!({ "authorization": { "scope": scope, "status": "active" }, "profiles": profiles });
        let mut put = |key: &str, value: Value| {
            if let Some(fields) = data.as_object_mut() {
                fields.insert(key.to_owned(), value);
            }
        };
        if let Some(connected) = account.conferencing {
            let mut profile = json!({
                "provider_name": "zoom", "profile_id": format!("pro_conferencing_{id}"),
                "profile_name": account.email, "profile_connected": connected,
            });
            if let Some(fields) = profile.as_object_mut().filter(|_| !connected) {
                fields.insert("profile_relink_url".to_owned(), json!("https://app.cronofy.invalid/relink/zoom"));
            }
            put("conferencing_profiles", json!([profile]));
        }
        if let Some(key) = &account.application_calendar {
            let own = key.split_once('/').map_or(key.as_str(), |(_, own)| own);
            put("application_calendar", json!({ "application_calendar_id": own }));
        }
        match &account.application_calendar {
            Some(key) => {
                let own = key.split_once('/').map_or(key.as_str(), |(_, own)| own);
                json!({
                    "sub": id, "cronofy.type": "application_calendar", "application_calendar_id": own,
                    "cronofy.data": data,
                })
            }
            None => json!({
                "sub": id, "email": account.email, "name": account.name, "zoneinfo": "Etc/UTC",
                "cronofy.type": "account", "cronofy.data": data,
            }),
        }
    }

    /// The calendar service that an authorization was made with.
    pub fn render_linking_profile(&self, id: &str) -> Option<Value> {
        let account = self.accounts.get(id)?;
        let profile = account.profiles.first()?;
        Some(json!({
            "provider_name": profile.provider, "provider_service": profile.provider,
            "profile_id": profile.id, "profile_name": account.email,
        }))
    }

    pub fn render_profiles(&self, id: &str) -> Value {
        let Some(account) = self.accounts.get(id) else { return json!({ "profiles": [] }) };
        let profiles: Vec<Value> = account.profiles.iter().map(|profile| profile.render(account, false)).collect();
        json!({ "profiles": profiles })
    }

    pub fn render_account(&self, id: &str) -> Value {
        let Some(account) = self.accounts.get(id) else { return json!({}) };
        json!({ "account": {
            "account_id": id, "email": account.email, "name": account.name,
            "default_tzid": "Etc/UTC", "scope": self.scope(id),
        }})
    }

    pub fn render_calendars(&self, id: &str) -> Value {
        let Some(account) = self.accounts.get(id) else { return json!({ "calendars": [] }) };
        let calendars: Vec<Value> = account
            .calendars
            .iter()
            .map(|calendar| {
                let profile = account.profiles.iter().find(|profile| profile.id == calendar.profile);
                let mut shown = calendar.render();
                if let (Some(fields), Some(profile)) = (shown.as_object_mut(), profile) {
                    fields.insert("provider_name".to_owned(), json!(profile.provider));
                    fields.insert("profile_id".to_owned(), json!(profile.id));
                    fields.insert("profile_name".to_owned(), json!(account.email));
                }
                shown
            })
            .collect();
        json!({ "calendars": calendars })
    }
}
