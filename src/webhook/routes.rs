//! Which subscription a path token belongs to, kept in memory from the watch. A look-up does no I/O.
//!
//! A subscription has up to three tokens at a time: of its present channel, of the one before, which is closed only when the
//! present one is known to work, and of the one being made, whose first notification can come before the answer to its
//! creation.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use calendar_sync::channel;
use kube::ResourceExt as _;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;

use crate::api::{CalendarSubscription, NotificationStatus};

/// Length of a path token.
const TOKEN_BYTES: usize = 22;

type Token = [u8; TOKEN_BYTES];

/// What the webhook knows of a subscription.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Unique id of the object.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Namespace of its application.
    pub application_namespace: String,
    /// Name of its application.
    pub application: String,
    /// Cronofy's id of its present channel.
    pub channel_id: Option<String>,
    /// Version of the object that this is from.
    pub resource_version: String,
    /// The mark as that version has it.
    pub notification: Option<NotificationStatus>,
    /// Generations of channels whose tokens are accepted, without doubles.
    generations: Vec<i64>,
}

impl Route {
    fn of(subscription: &CalendarSubscription) -> Option<Self> {
        let uid = subscription.uid()?;
        let namespace = subscription.namespace()?;
        let application = &subscription.spec.application_ref;
        let status = subscription.status.as_ref();
        let channel = status.and_then(|status| status.channel.as_ref());
        let present = channel.and_then(|channel| channel.generation).unwrap_or_default();
        let next = channel.and_then(|channel| channel.next.as_ref()).map(|next| next.generation);
        let mut generations: Vec<i64> = [present.checked_sub(1), Some(present), next].into_iter().flatten().collect();
        generations.retain(|generation| *generation > 0);
        generations.sort_unstable();
        generations.dedup();
        Some(Self {
            uid,
            name: subscription.name_any(),
            application_namespace: application.namespace.clone().unwrap_or_else(|| namespace.clone()),
            application: application.name.clone(),
            namespace,
            channel_id: channel.and_then(|channel| channel.id.clone()),
            resource_version: subscription.resource_version().unwrap_or_default(),
            notification: status.and_then(|status| status.notification.clone()),
            generations,
        })
    }

    fn later_than(&self, other: &Self) -> bool {
        let version = |route: &Self| route.resource_version.parse::<u64>().ok();
        version(self).zip(version(other)).is_some_and(|(own, other)| own > other)
    }

    /// The tokens that lead here, each with the generation of its channel.
    fn tokens(&self) -> impl Iterator<Item = (Token, i64)> {
        let token = |generation: &i64| Some((token(&channel::token(&self.uid, *generation))?, *generation));
        self.generations.iter().filter_map(token)
    }
}

/// What a token leads to.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// The caches are not filled yet: nobody can tell.
    NotSynced,
    /// Nowhere.
    Unknown,
    /// To a subscription.
    Found {
        /// Which.
        route: Arc<Route>,
        /// The generation of the channel whose token it is.
        generation: i64,
    },
}

/// The table of tokens. Clones share the same table.
#[derive(Clone, Debug)]
pub struct Routes {
    base: Arc<str>,
    table: Arc<RwLock<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    tokens: HashMap<Token, (Arc<Route>, i64)>,
    subscriptions: HashMap<String, Arc<Route>>,
    feeds: usize,
    synced: usize,
}

impl Routes {
    /// An empty table for callbacks below this base URL, not synced.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self { base: base.trim_end_matches('/').into(), table: Arc::default() }
    }

    /// A feed from one watch. The table is synced when every feed has seen the end of its first list.
    #[must_use]
    pub fn feed(&self) -> RouteFeed {
        self.write().feeds += 1;
        RouteFeed { routes: self.clone(), own: HashSet::new(), listed: HashSet::new(), synced: false }
    }

    /// Whether every feed has seen the end of its first list, and there is a feed.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.read().synced()
    }

    /// Takes over a later version of a subscription that is in the table. Whoever has just written a status says so before the
    /// watch does: a channel's first notification can be faster.
    pub fn advance(&self, subscription: &CalendarSubscription) {
        let Some(route) = Route::of(subscription) else { return };
        let mut table = self.write();
        if table.subscriptions.get(&route.uid).is_some_and(|known| route.later_than(known)) {
            table.put(route);
        }
    }

    /// Takes over a subscription as it is now, unless the table has a later version of it.
    pub fn apply(&self, subscription: &CalendarSubscription) {
        let Some(route) = Route::of(subscription) else { return };
        let mut table = self.write();
        if table.subscriptions.get(&route.uid).is_none_or(|known| !known.later_than(&route)) {
            table.put(route);
        }
    }

    /// Forgets a subscription.
    pub fn remove(&self, uid: &str) {
        self.write().remove(uid);
    }

    /// Where a path token leads.
    #[must_use]
    pub fn look_up(&self, text: &str) -> Lookup {
        let table = self.read();
        if !table.synced() {
            return Lookup::NotSynced;
        }
        match token(text).and_then(|token| table.tokens.get(&token)) {
            Some((route, generation)) => Lookup::Found { route: Arc::clone(route), generation: *generation },
            None => Lookup::Unknown,
        }
    }

    /// The callback URL that ends in this token, as channels are made with it.
    #[must_use]
    pub fn callback_url(&self, token: &str) -> String {
        format!("{}/{}/{token}", self.base, channel::HOOK_PATH)
    }

    /// Number of subscriptions in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().subscriptions.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // The table is sound after each statement, so a panic elsewhere does not spoil it.

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn synced(&self) -> bool {
        self.feeds > 0 && self.synced == self.feeds
    }

    fn put(&mut self, route: Route) {
        let route = Arc::new(route);
        self.remove(&route.uid);
        for (token, generation) in route.tokens() {
            self.tokens.insert(token, (Arc::clone(&route), generation));
        }
        self.subscriptions.insert(route.uid.clone(), route);
    }

    fn remove(&mut self, uid: &str) {
        let Some(route) = self.subscriptions.remove(uid) else { return };
        for (token, _) in route.tokens() {
            self.tokens.remove(&token);
        }
    }
}

/// Feeds the table from one watch: `watcher(…).inspect_ok(move |event| feed.observe(event))`, before the events are flattened,
/// since a list that is repeated tells of deletions only by what it lacks.
#[derive(Debug)]
pub struct RouteFeed {
    routes: Routes,
    /// Subscriptions that this watch told of.
    own: HashSet<String>,
    /// Those that the list in progress has told of.
    listed: HashSet<String>,
    synced: bool,
}

impl RouteFeed {
    /// Takes over what a watch tells. A subscription that cannot be decoded keeps the route it had.
    pub fn observe(&mut self, event: &Event<DeserializeGuard<CalendarSubscription>>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => {
                if let Some(uid) = object.uid() {
                    self.own.insert(uid.clone());
                    self.listed.insert(uid);
                }
                // Taken over whatever the version: when the cluster was restored from a backup, versions begin again earlier.
                if let Some(route) = object.0.as_ref().ok().and_then(Route::of) {
                    self.routes.write().put(route);
                }
            }
            Event::InitDone => {
                for gone in self.own.difference(&self.listed) {
                    self.routes.remove(gone);
                }
                self.own = std::mem::take(&mut self.listed);
                if !std::mem::replace(&mut self.synced, true) {
                    self.routes.write().synced += 1;
                }
            }
            Event::Apply(object) => {
                self.own.extend(object.uid());
                if let Ok(subscription) = &object.0 {
                    self.routes.apply(subscription);
                }
            }
            Event::Delete(object) => {
                if let Some(uid) = object.uid() {
                    self.routes.remove(&uid);
                    self.own.remove(&uid);
                }
            }
        }
    }
}

fn token(text: &str) -> Option<Token> {
    text.as_bytes().try_into().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const BASE: &str = "https://hooks.example.org/calendars/";

    fn object(uid: &str, status: &Value) -> Value {
        json!({
            "apiVersion": "cronofy-operator.dev/v1alpha1",
            "kind": "CalendarSubscription",
            "metadata": {"name": format!("name-of-{uid}"), "namespace": "rooms", "uid": uid, "resourceVersion": "7"},
            "spec": {"applicationRef": {"name": "app"}, "account": {"secretRef": {"name": "account"}}},
            "status": status,
        })
    }

    fn guarded(object: Value) -> DeserializeGuard<CalendarSubscription> {
        serde_json::from_value(object).unwrap()
    }

    fn subscription(uid: &str, status: &Value) -> DeserializeGuard<CalendarSubscription> {
        guarded(object(uid, status))
    }

    fn found(routes: &Routes, uid: &str, generation: i64) -> Option<Arc<Route>> {
        match routes.look_up(&channel::token(uid, generation)) {
            Lookup::Found { route, generation: of } => {
                assert_eq!(of, generation);
                Some(route)
            }
            Lookup::Unknown => None,
            Lookup::NotSynced => panic!("not synced"),
        }
    }

    fn synced() -> (Routes, RouteFeed) {
        let routes = Routes::new(BASE);
        let mut feed = routes.feed();
        feed.observe(&Event::Init);
        feed.observe(&Event::InitDone);
        (routes, feed)
    }

    #[test]
    fn tokens_of_the_present_the_previous_and_the_next_channel_lead_to_a_subscription_and_no_others() {
        let table = [
            (json!({"observedGeneration": -1}), vec![]),
            (json!({"channel": {"generation": 0}}), vec![]),
            (json!({"channel": {"generation": 0, "next": {"generation": 1}}}), vec![1]),
            (json!({"channel": {"next": {"generation": 1}}}), vec![1]),
            (json!({"channel": {"id": "chn_1", "generation": 1}}), vec![1]),
            (json!({"channel": {"id": "chn_1", "generation": 4}}), vec![3, 4]),
            (json!({"channel": {"id": "chn_1", "generation": 4, "next": {"generation": 5}}}), vec![3, 4, 5]),
            (json!({"channel": {"id": "chn_1", "generation": i64::MIN}}), vec![]),
        ];
        for (status, accepted) in table {
            let (routes, mut feed) = synced();
            feed.observe(&Event::Apply(subscription("u1", &status)));
            let found: Vec<i64> = (0..10).filter(|generation| found(&routes, "u1", *generation).is_some()).collect();
            assert_eq!(found, accepted, "{status}");
        }
    }

    #[test]
    fn a_route_tells_all_that_the_webhook_needs() {
        let (routes, mut feed) = synced();
        let status =
            json!({"channel": {"id": "chn_1", "generation": 2}, "notification": {"sequence": 9, "types": ["change"]}});
        let mut elsewhere = object("u1", &status);
        elsewhere["spec"]["applicationRef"]["namespace"] = json!("platform");
        feed.observe(&Event::Apply(guarded(elsewhere)));
        feed.observe(&Event::Apply(subscription("u2", &status)));
        let route = found(&routes, "u1", 2).unwrap();
        assert_eq!((route.namespace.as_str(), route.name.as_str()), ("rooms", "name-of-u1"));
        assert_eq!((route.application_namespace.as_str(), route.application.as_str()), ("platform", "app"));
        assert_eq!((route.channel_id.as_deref(), route.resource_version.as_str()), (Some("chn_1"), "7"));
        assert_eq!(route.notification.as_ref().unwrap().sequence, 9);
        assert_eq!(found(&routes, "u2", 2).unwrap().application_namespace, "rooms", "its own by default");
        let token = channel::token("u1", 2);
        assert_eq!(routes.callback_url(&token), channel::callback_url(BASE, "u1", 2));
    }

    #[test]
    fn a_newer_version_replaces_the_tokens_of_the_older() {
        let (routes, mut feed) = synced();
        feed.observe(&Event::Apply(subscription("u1", &json!({"channel": {"generation": 1}}))));
        feed.observe(&Event::Apply(subscription("u1", &json!({"channel": {"generation": 3}}))));
        assert!(found(&routes, "u1", 1).is_none());
        assert!(found(&routes, "u1", 3).is_some());
        assert_eq!(routes.len(), 1);
        feed.observe(&Event::Delete(subscription("u1", &json!({}))));
        assert!(found(&routes, "u1", 3).is_none());
        assert!(routes.is_empty());
        assert!(routes.read().tokens.is_empty());
    }

    #[test]
    fn an_older_version_does_not_replace_a_later_one_unless_a_new_list_tells_it() {
        let (routes, mut feed) = synced();
        let version = |version: &str, generation: i64| {
            let mut object = object("u1", &json!({"channel": {"generation": generation}}));
            object["metadata"]["resourceVersion"] = json!(version);
            guarded(object)
        };
        routes.apply(version("10", 5).0.as_ref().unwrap());
        feed.observe(&Event::Apply(version("9", 1)));
        assert!(found(&routes, "u1", 5).is_some());
        feed.observe(&Event::Apply(version("10", 6)));
        assert!(found(&routes, "u1", 6).is_some());
        feed.observe(&Event::Apply(version("odd", 7)));
        assert!(found(&routes, "u1", 7).is_some(), "versions that are no numbers cannot be compared");
        feed.observe(&Event::Apply(version("100", 8)));
        feed.observe(&Event::Init);
        feed.observe(&Event::InitApply(version("3", 2)));
        feed.observe(&Event::InitDone);
        assert!(found(&routes, "u1", 2).is_some());
        assert!(found(&routes, "u1", 8).is_none());
    }

    #[test]
    fn who_writes_may_be_ahead_of_the_watch_but_brings_nothing_back_that_is_gone() {
        let (routes, mut feed) = synced();
        let version = |version: &str, generation: i64| {
            let mut object = object("u1", &json!({"channel": {"generation": generation}}));
            object["metadata"]["resourceVersion"] = json!(version);
            guarded(object)
        };
        routes.advance(version("8", 1).0.as_ref().unwrap());
        assert!(routes.is_empty(), "only the watch tells what there is");
        feed.observe(&Event::Apply(version("9", 1)));
        routes.advance(version("10", 5).0.as_ref().unwrap());
        assert!(found(&routes, "u1", 5).is_some());
        routes.advance(version("9", 2).0.as_ref().unwrap());
        assert!(found(&routes, "u1", 5).is_some());
        feed.observe(&Event::Delete(version("11", 5)));
        routes.advance(version("10", 5).0.as_ref().unwrap());
        assert!(routes.is_empty());
    }

    #[test]
    fn nothing_is_known_before_every_watch_has_listed() {
        let routes = Routes::new(BASE);
        assert!(!routes.synced(), "without a watch nothing is ever known");
        let (mut one, mut two) = (routes.feed(), routes.feed());
        for feed in [&mut one, &mut two] {
            assert!(matches!(routes.look_up(&channel::token("u1", 1)), Lookup::NotSynced));
            feed.observe(&Event::Init);
            feed.observe(&Event::InitApply(subscription("u1", &json!({"channel": {"generation": 1}}))));
            assert!(matches!(routes.look_up(&channel::token("u1", 1)), Lookup::NotSynced));
            feed.observe(&Event::InitDone);
        }
        assert!(routes.synced());
        assert!(found(&routes, "u1", 1).is_some());
        one.observe(&Event::Init);
        assert!(routes.synced(), "a list that is repeated does not unsay what is known");
        one.observe(&Event::InitDone);
        assert!(routes.synced());
    }

    #[test]
    fn what_a_repeated_list_lacks_is_forgotten_unless_another_watch_told_it() {
        let routes = Routes::new(BASE);
        let (mut one, mut two) = (routes.feed(), routes.feed());
        let status = json!({"channel": {"generation": 1}});
        for (feed, uids) in [(&mut one, ["u1", "u2"]), (&mut two, ["u3", "u4"])] {
            feed.observe(&Event::Init);
            for uid in uids {
                feed.observe(&Event::InitApply(subscription(uid, &status)));
            }
            feed.observe(&Event::InitDone);
        }
        one.observe(&Event::Apply(subscription("u5", &status)));
        one.observe(&Event::Init);
        one.observe(&Event::InitApply(subscription("u2", &status)));
        assert!(found(&routes, "u1", 1).is_some(), "the list is not complete");
        one.observe(&Event::InitDone);
        let known: Vec<_> = ["u1", "u2", "u3", "u4", "u5"].map(|uid| found(&routes, uid, 1).is_some()).into();
        assert_eq!(known, [false, true, true, true, false]);
    }

    #[test]
    fn a_subscription_that_cannot_be_decoded_keeps_its_route() {
        let (routes, mut feed) = synced();
        feed.observe(&Event::Apply(subscription("u1", &json!({"channel": {"generation": 1}}))));
        let mut broken = object("u1", &json!({}));
        broken["spec"] = json!("not a spec");
        feed.observe(&Event::Apply(guarded(broken.clone())));
        feed.observe(&Event::Init);
        feed.observe(&Event::InitApply(guarded(broken)));
        feed.observe(&Event::InitDone);
        assert!(found(&routes, "u1", 1).is_some());
    }

    #[test]
    fn texts_that_are_no_tokens_lead_nowhere() {
        let (routes, mut feed) = synced();
        feed.observe(&Event::Apply(subscription("u1", &json!({"channel": {"generation": 1}}))));
        let token = channel::token("u1", 1);
        for text in ["", "/", &token[1..], &format!("{token}x"), &token.to_uppercase(), "ääääääääääa"] {
            assert!(matches!(routes.look_up(text), Lookup::Unknown), "{text:?}");
        }
    }
}
