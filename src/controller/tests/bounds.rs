//! What one reconcile may cost the others: nothing, even if it panics or never ends.

use super::*;
use crate::metrics::exposition::sample;

/// Whether it is tried again, and what is counted of it.
fn told(result: &Result<Action, Error>) -> (bool, [f64; 3]) {
    let context = context(kube::Client::new(
        tower::service_fn(|_: Request<Body>| future::pending::<Result<Response<Body>, std::convert::Infallible>>()),
        "default",
    ));
    let queue = context.metrics.queue(Name::CalendarSubscription);
    finish(queue.started("1"), result);
    let again = retry("1", result.as_ref().unwrap_err(), &context) != Action::await_change();
    let of = [("controller", "calendarsubscription")];
    let count = |name: &str| sample(&context.metrics, name, &of);
    let counts = [
        "controller_runtime_reconcile_panics_total",
        "controller_runtime_reconcile_timeouts_total",
        "controller_runtime_active_workers",
    ];
    (again, counts.map(count))
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_that_panics_ends_only_itself_and_is_tried_again() {
    let result = bounded(async {
        tokio::task::yield_now().await;
        panic!("a defect")
    })
    .await;
    assert!(matches!(result, Err(Error::Panicked)), "{result:?}");
    assert_eq!(told(&result), (true, [1.0, 0.0, 0.0]));
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_that_never_ends_is_ended_and_tried_again() {
    let begun = tokio::time::Instant::now();
    let (held, dropped) = tokio::sync::oneshot::channel::<()>();
    let endless = async move {
        let _held = held;
        future::pending().await
    };
    let ended = tokio::time::timeout(RECONCILE_LIMIT * 2, bounded(endless)).await;
    let result = ended.expect("it does not outlast its limit");
    assert!(matches!(result, Err(Error::TimedOut(RECONCILE_LIMIT))), "{result:?}");
    assert!(begun.elapsed() >= RECONCILE_LIMIT, "the virtual clock");
    assert!(dropped.await.is_err(), "what it held is let go");
    assert_eq!(told(&result), (true, [0.0, 1.0, 0.0]));
}

#[tokio::test(start_paused = true)]
async fn a_long_reconcile_within_the_limit_comes_to_its_own_end() {
    let long = async {
        tokio::time::sleep(RECONCILE_LIMIT.mul_f64(0.99)).await;
        Ok(Action::requeue(Duration::from_secs(7)))
    };
    assert_eq!(bounded(long).await.unwrap(), Action::requeue(Duration::from_secs(7)));
}
