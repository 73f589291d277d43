use super::*;
use crate::controller::rotation::Drains as _;

fn name(name: &str) -> Name {
    Name::new(name).within("rooms")
}

fn claim(lane: Lane, application: &str, account: &str) -> Claim {
    Claim {
        lane,
        application: ApplicationKey { namespace: "rooms".to_owned(), name: application.to_owned() },
        account: Some(AccountKey::ApplicationCalendar(account.to_owned())),
    }
}

/// Subscriptions that ask for turns, as the runtime would make them.
struct Crowd {
    turns: Arc<Turns>,
    call: mpsc::Sender<Name>,
    called: mpsc::Receiver<Name>,
    claims: HashMap<String, Claim>,
}

impl Crowd {
    fn new(places: u16) -> Self {
        let turns = Turns::new(places);
        let (call, called) = turns.channel();
        Self { turns, call, called, claims: HashMap::new() }
    }

    fn ask(&mut self, subscription: &str, lane: Lane, application: &str, account: &str) -> Option<Turn> {
        let claim = claim(lane, application, account);
        self.claims.insert(subscription.to_owned(), claim.clone());
        self.turns.take(&name(subscription), claim, &self.call)
    }

    /// Those that are called, who come.
    fn come(&mut self) -> Vec<(String, Turn)> {
        let mut come = Vec::new();
        while let Ok(called) = self.called.try_recv() {
            let turn = self.turns.take(&called, self.claims[&called.name].clone(), &self.call);
            come.push((called.name.clone(), turn.expect("who is called has a turn")));
        }
        come
    }

    /// The order in which those who wait come, one after another.
    fn order(&mut self, first: Turn) -> Vec<String> {
        let (mut turns, mut order) = (vec![first], Vec::new());
        while let Some(turn) = turns.pop() {
            drop(turn);
            for (name, turn) in self.come() {
                order.push(name);
                turns.push(turn);
            }
        }
        order
    }

    fn is_empty(&self) -> bool {
        let State { new, notified, sweep, waiting, called, .. } = &*self.turns.state();
        let idle = |line: &Line| line.working == 0 && line.aside.is_empty() && line.waiting.is_empty();
        waiting.is_empty() && called.is_empty() && [new, notified, sweep].into_iter().all(idle)
    }
}

#[test]
fn the_most_urgent_comes_first_then_applications_and_accounts_in_turn() {
    let mut crowd = Crowd::new(1);
    let first = crowd.ask("first", Lane::Sweep, "big", "a").unwrap();
    for (name, lane, application, account) in [
        ("sweep a1", Lane::Sweep, "big", "a"),
        ("sweep a2", Lane::Sweep, "big", "a"),
        ("sweep b1", Lane::Sweep, "big", "b"),
        ("sweep of another", Lane::Sweep, "small", "a"),
        ("notified a1", Lane::Notified, "big", "a"),
        ("notified a2", Lane::Notified, "big", "a"),
        ("notified b1", Lane::Notified, "big", "b"),
        ("new", Lane::New, "big", "a"),
    ] {
        assert!(crowd.ask(name, lane, application, account).is_none(), "{name} waits");
    }
    let order = crowd.order(first);
    let expected =
        ["new", "notified a1", "notified b1", "notified a2", "sweep a1", "sweep of another", "sweep b1", "sweep a2"];
    assert_eq!(order, expected);
    assert!(crowd.is_empty());
}

#[test]
fn whoever_becomes_more_urgent_is_moved_and_comes_once() {
    let mut crowd = Crowd::new(1);
    let first = crowd.ask("first", Lane::Sweep, "app", "a").unwrap();
    for name in ["one", "two", "three"] {
        assert!(crowd.ask(name, Lane::Sweep, "app", "a").is_none());
    }
    assert!(crowd.ask("three", Lane::Notified, "app", "a").is_none());
    assert!(crowd.ask("three", Lane::Sweep, "app", "a").is_none(), "it stays as urgent as it was");
    assert_eq!(crowd.order(first), ["three", "one", "two"]);
    assert!(crowd.is_empty());
}

#[test]
fn sweeps_leave_places_to_those_who_are_more_urgent() {
    for (places, sweeps) in [(1, 1), (2, 1), (4, 3), (16, 12), (64, 48)] {
        let mut crowd = Crowd::new(places);
        let mut ask = |lane, most: u16| {
            let asked = 0..most;
            asked.filter_map(|number| crowd.ask(&format!("{lane:?} {number}"), lane, "app", "a")).collect::<Vec<_>>()
        };
        let sweeping = ask(Lane::Sweep, 100);
        assert_eq!(sweeping.len(), sweeps, "of {places}");
        let urgent = ask(Lane::New, 100);
        assert_eq!(sweeping.len() + urgent.len(), usize::from(places));
    }
}

#[tokio::test]
async fn an_application_that_waits_for_its_budget_holds_up_no_other_and_begins_few() {
    let mut crowd = Crowd::new(2);
    let mut aside = Vec::new();
    let mut due: Vec<_> =
        (0..40).filter_map(|number| crowd.ask(&format!("{number}"), Lane::Sweep, "poor", "a")).collect();
    while let Some(turn) = due.pop() {
        let mut waits = Box::pin(async move { turn.aside(std::future::pending::<()>()).await });
        assert!(poll!(&mut waits).is_pending());
        aside.push(waits);
        due.extend(crowd.come().into_iter().map(|(_, turn)| turn));
    }
    assert_eq!(aside.len(), ASIDE, "no more are begun than are needed");
    for (name, lane, application) in
        [("other", Lane::Sweep, "rich"), ("notified", Lane::Notified, "poor"), ("new", Lane::New, "poor")]
    {
        assert!(crowd.ask(name, lane, application, "b").is_some(), "{name} does not wait");
    }
    let late = crowd.ask("late", Lane::Sweep, "poor", "b");
    assert!(late.is_none());
    assert!(crowd.come().is_empty());
    aside.pop(); // one has ended
    let come = crowd.come();
    assert_eq!(come.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["4"], "and the next one begins");
    drop((aside, come));
    while !crowd.come().is_empty() {}
    assert!(crowd.is_empty());
}

#[test]
fn one_that_is_gone_keeps_nobody_waiting() {
    let mut crowd = Crowd::new(1);
    let first = crowd.ask("first", Lane::Sweep, "app", "a").unwrap();
    for name in ["waits", "called", "last"] {
        assert!(crowd.ask(name, Lane::Sweep, "app", "a").is_none());
    }
    crowd.turns.gone(&name("waits"));
    drop(first);
    assert_eq!(crowd.called.try_recv().unwrap(), name("called"));
    crowd.turns.gone(&name("called"));
    assert_eq!(crowd.come().into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["last"]);
    assert!(crowd.is_empty());
}

#[test]
fn what_a_controller_that_has_ended_is_told_takes_no_place() {
    let mut crowd = Crowd::new(1);
    let first = crowd.ask("first", Lane::Sweep, "app", "a").unwrap();
    let (ended, _) = crowd.turns.channel();
    assert!(crowd.turns.take(&name("nobody"), claim(Lane::New, "app", "a"), &ended).is_none());
    assert!(crowd.ask("last", Lane::Sweep, "app", "a").is_none());
    assert_eq!(crowd.order(first), ["last"]);
    assert!(crowd.is_empty());
}
