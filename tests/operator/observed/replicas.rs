//! Two replicas, and what both serve.

use jiff::Timestamp;
use testenv::eventually;

use crate::support::operator::OperatorOptions;
use crate::support::switch::{Switch, switched};
use crate::support::{Operator, PATIENCE, World};

/// What both replicas served at the same time.
pub struct Scrape {
    pub time: Timestamp,
    pub pages: [String; 2],
}

/// Two operators behind one address; the first leads.
pub struct Replicas {
    switch: Switch,
    options: OperatorOptions,
    running: Option<[Operator; 2]>,
}

impl Replicas {
    pub async fn start(world: &World) -> Self {
        let (switch, options) = switched(world).await;
        let mut replicas = Self { switch, options, running: None };
        replicas.start_again().await;
        replicas
    }

    pub fn kill(&mut self) {
        self.running.take().into_iter().flatten().for_each(Operator::kill);
    }

    pub async fn start_again(&mut self) {
        let first = Operator::start(&self.options).await;
        eventually("the first leads", PATIENCE, async || first.leads().await.then_some(())).await.unwrap();
        let second = Operator::start(&self.options).await;
        self.switch.to(second.webhook);
        self.running = Some([first, second]);
    }

    pub async fn scrape(&self) -> Scrape {
        let [first, second] = self.running.as_ref().unwrap();
        Scrape { time: Timestamp::now(), pages: [first.metrics().await, second.metrics().await] }
    }

    /// Scrapes once a metric of the leader and its standby is as wanted.
    pub async fn once(&self, what: &str, wanted: impl Fn(f64) -> bool) -> Scrape {
        let replicas = self.running.as_ref().unwrap();
        let shown = eventually(what, PATIENCE, async || {
            let [first, second] = [replicas[0].metric(what).await, replicas[1].metric(what).await];
            (wanted(first) && wanted(second)).then_some(())
        });
        if let Err(error) = shown.await {
            panic!("{error}: {}", replicas[0].metrics().await);
        }
        self.scrape().await
    }
}
