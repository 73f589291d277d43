//! Accounts as Cronofy shows them.

use serde_json::{Value, json};

use super::{Account, AccountDraft, Calendar, Model, Profile};

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
            "calendar_readonly": false,
            "calendar_deleted": false,
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

    /// Ends the grants of an account.
    pub fn revoke(&mut self, account: &str) {
        if let Some(account) = self.accounts.get_mut(account) {
            account.granted = false;
        }
        self.access_tokens.retain(|_, token| token.account != account);
    }

    pub fn render_userinfo(&self, id: &str) -> Value {
        let Some(account) = self.accounts.get(id) else { return json!({}) };
        let profiles: Vec<Value> = account.profiles.iter().map(|profile| profile.render(account, true)).collect();
        let data = json!({
            "authorization": { "scope": "read_write", "status": "active" },
            "profiles": profiles,
        });
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

    pub fn render_profiles(&self, id: &str) -> Value {
        let Some(account) = self.accounts.get(id) else { return json!({ "profiles": [] }) };
        let profiles: Vec<Value> = account.profiles.iter().map(|profile| profile.render(account, false)).collect();
        json!({ "profiles": profiles })
    }

    pub fn render_account(&self, id: &str) -> Value {
        let Some(account) = self.accounts.get(id) else { return json!({}) };
        json!({ "account": {
            "account_id": id, "email": account.email, "name": account.name,
            "default_tzid": "Etc/UTC", "scope": "list_calendars read_events",
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
