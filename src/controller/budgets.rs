//! The budgets of all applications, and which of them are one.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cronofy::Credentials;
use cronofy::secrecy::ExposeSecret as _;

use super::budget::{Budget, Limits};
use super::context::ApplicationKey;

/// Whom Cronofy counts requests for: a client of an API, for those who have its secret. Who only knows its name could else slow
/// it down, by an application with small limits.
#[derive(Clone, PartialEq, Eq)]
pub struct Holder(String);

impl Holder {
    /// The client that these credentials are of, at this API.
    #[must_use]
    pub fn of(api: &str, Credentials { client_id, client_secret }: &Credentials) -> Self {
        Self(calendar_sync::fingerprint(&(api, client_id, client_secret.expose_secret())))
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Holder(…)")
    }
}

/// The budgets of all applications. Those with the credentials of one client share one, and the smaller limits hold.
#[derive(Debug, Default)]
pub struct Budgets {
    all: Mutex<HashMap<ApplicationKey, Share>>,
    taken_over: AtomicBool,
}

/// An application's share in a budget.
#[derive(Debug)]
struct Share {
    limits: Limits,
    /// Unknown until its credentials have been read.
    holder: Option<Holder>,
    budget: Arc<Budget>,
}

impl Budgets {
    /// The budget of an application, with these limits.
    #[must_use]
    pub fn of(&self, application: &ApplicationKey, limits: Limits) -> Arc<Budget> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let share = all.entry(application.clone()).or_insert_with(|| {
            let taken_over = self.taken_over.load(Ordering::Relaxed);
            let budget = Arc::new(if taken_over { Budget::taken_over(limits) } else { Budget::new(limits) });
            Share { limits, holder: None, budget }
        });
        share.limits = limits;
        let budget = share.budget.clone();
        let sharing = all.values().filter(|share| Arc::ptr_eq(&share.budget, &budget));
        let limits = sharing.fold(limits, |limits, share| limits.min(share.limits));
        if budget.limits() != limits {
            budget.set_limits(limits);
        }
        budget
    }

    /// An application's credentials are those of this client.
    pub fn held_by(&self, application: &ApplicationKey, limits: Limits, holder: Holder) {
        let own = self.of(application, limits);
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let others = || all.iter().filter(|(key, _)| *key != application).map(|(_, share)| share);
        let budget = match others().find(|other| other.holder.as_ref() == Some(&holder)) {
            Some(other) => other.budget.clone(),
            // A new secret of the same client: what was sent still counts, and if others sent of it, nobody knows how much.
            None if others().any(|other| Arc::ptr_eq(&other.budget, &own)) => Arc::new(Budget::taken_over(limits)),
            None => own,
        };
        all.insert(application.clone(), Share { limits, holder: Some(holder), budget });
    }

    /// The requests that all these applications together may make in a second and in a minute. A budget that several share counts
    /// once.
    #[must_use]
    pub fn limits(&self, applications: impl Iterator<Item = (ApplicationKey, Limits)>) -> (u32, u32) {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counted = HashSet::new();
        applications.fold((0_u32, 0_u32), |(seconds, minutes), (application, own)| {
            let limits = match all.get(&application) {
                Some(share) if !counted.insert(Arc::as_ptr(&share.budget)) => return (seconds, minutes),
                Some(share) => share.budget.limits(),
                None => own,
            };
            (seconds.saturating_add(limits.per_second), minutes.saturating_add(limits.per_minute))
        })
    }

    /// Another replica has spent from the budgets until now: without its memory, two leaders in a minute could spend twice what
    /// is allowed.
    pub fn take_over(&self) {
        self.taken_over.store(true, Ordering::Relaxed);
    }

    /// Forgets an application that is gone.
    pub fn forget(&self, application: &ApplicationKey) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(application);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::controller::budget::Lane;

    const LIMITS: Limits = Limits { per_second: 5, per_minute: 20 };
    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_budget_that_was_taken_over_is_spent_evenly_until_a_minute_has_passed() {
        tokio::time::advance(MINUTE).await;
        let budgets = Budgets::default();
        budgets.take_over();
        let application = ApplicationKey { namespace: "rooms".to_owned(), name: "app".to_owned() };
        let budget = budgets.of(&application, LIMITS);
        let start = Instant::now();
        let mut sent = Vec::new();
        for _ in 0..30 {
            budget.acquire(Lane::New, "a").await.unwrap();
            sent.push(start.elapsed());
        }
        let within = |from: Duration, span: Duration| {
            u32::try_from(sent.iter().filter(|sent| **sent >= from && **sent < from + span).count()).unwrap()
        };
        assert!(sent[0] <= MINUTE / LIMITS.per_minute, "nobody waits for longer than one request's time");
        assert!(within(Duration::ZERO, MINUTE / 2) <= LIMITS.per_minute / 2 + 1);
        assert!(within(Duration::ZERO, MINUTE) <= LIMITS.per_minute);
    }

    #[test]
    fn applications_of_one_client_share_its_budget_within_the_smaller_limits() {
        let budgets = Budgets::default();
        let application = |name: &str| ApplicationKey { namespace: "rooms".to_owned(), name: name.to_owned() };
        let credentials = |client_id: &str, client_secret: &str| Credentials {
            client_id: client_id.to_owned(),
            client_secret: client_secret.into(),
        };
        let held = |name, limits, api: &str, credentials: &Credentials| {
            budgets.held_by(&application(name), limits, Holder::of(api, credentials));
            budgets.of(&application(name), limits)
        };
        let (more, most) = (Limits { per_second: 2, per_minute: 30 }, Limits { per_second: 9, per_minute: 90 });
        let one = held("one", LIMITS, "https://api", &credentials("client", "secret"));
        for (name, api, client_id, client_secret) in [
            ("elsewhere", "https://api-de", "client", "secret"),
            ("another", "https://api", "another", "secret"),
            ("pretender", "https://api", "client", "guess"),
        ] {
            let other = held(name, most, api, &credentials(client_id, client_secret));
            assert!(!Arc::ptr_eq(&one, &other), "{name}");
            assert_eq!((one.limits(), other.limits()), (LIMITS, most), "{name}");
        }
        let two = held("two", more, "https://api", &credentials("client", "secret"));
        assert!(Arc::ptr_eq(&one, &two));
        assert_eq!(one.limits(), Limits { per_second: 2, per_minute: 20 });
        assert!(Arc::ptr_eq(&one, &budgets.of(&application("one"), LIMITS)));
        assert_eq!(one.limits(), Limits { per_second: 2, per_minute: 20 }, "whoever asks last");

        let all = ["one", "two", "another", "unused"].map(|name| (application(name), most)).into_iter();
        assert_eq!(budgets.limits(all), (2 + 9 + 9, 20 + 90 + 90), "what is shared counts once");

        let rotated = held("two", more, "https://api", &credentials("client", "new secret"));
        assert!(!Arc::ptr_eq(&one, &rotated));
        let also_rotated = held("one", LIMITS, "https://api", &credentials("client", "new secret"));
        assert!(Arc::ptr_eq(&rotated, &also_rotated));
        let alone = held("one", LIMITS, "https://api", &credentials("another client", "secret"));
        budgets.forget(&application("one"));
        assert_eq!(budgets.of(&application("two"), most).limits(), most);
        assert!(!Arc::ptr_eq(&alone, &rotated));
        let again = held("two", most, "https://api", &credentials("client", "newest secret"));
        assert!(Arc::ptr_eq(&again, &rotated), "a budget goes with an application's new secret");
        assert!(!format!("{budgets:?}").contains("secret"));
    }
}
