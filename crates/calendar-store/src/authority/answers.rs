//! Answers that are remembered for a while. Who asks the same while an answer is awaited gets that answer, too.
//!
//! What lets somebody in stands in a table of its own, so that a flood of questions of which nothing comes pushes none of it out.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::time::Instant;

/// An answer, and how long it may be remembered.
#[derive(Clone, Debug)]
pub(super) struct Answer<V> {
    pub(super) value: V,
    /// From the moment before the question was sent.
    pub(super) good_for: Duration,
    /// Whether it lets somebody in.
    pub(super) admits: bool,
}

type Awaited<V, E> = Shared<BoxFuture<'static, Result<Answer<V>, E>>>;

/// Answers by what was asked, not more than a number of each of both sorts. A failure is told to all who await it, and then
/// forgotten.
pub(super) struct Answers<K, V, E> {
    tables: Mutex<Tables<K, V, E>>,
    most: usize,
    /// A question that has had no answer for so long is asked anew.
    patience: Duration,
}

struct Tables<K, V, E> {
    /// Awaited, or of no use to who asked.
    others: HashMap<K, Asked<Awaited<V, E>>>,
    /// Stay for a while after they are no longer good, so that it is known who was let in lately.
    admitted: HashMap<K, Asked<Answer<V>>>,
}

#[derive(Clone)]
struct Asked<A> {
    at: Instant,
    answer: A,
}

impl<V, E> Asked<Awaited<V, E>> {
    fn good(&self, now: Instant, patience: Duration) -> bool {
        let good_for = match self.answer.peek() {
            Some(Ok(answer)) => answer.good_for,
            Some(Err(_)) => return false,
            None => patience,
        };
        now.saturating_duration_since(self.at) < good_for
    }
}

impl<V> Asked<Answer<V>> {
    fn good(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < self.answer.good_for
    }
}

impl<K: Eq + Hash + Clone, V: Clone, E: Clone> Answers<K, V, E> {
    pub(super) fn new(most: usize, patience: Duration) -> Self {
        let tables = Tables { others: HashMap::new(), admitted: HashMap::new() };
        Self { tables: Mutex::new(tables), most, patience }
    }

    /// The answer to `question`: one that is remembered or awaited, or what `ask` finds out. `ask` is told whether the last answer
    /// let somebody in.
    pub(super) async fn get(
        &self,
        question: K,
        ask: impl FnOnce(bool) -> BoxFuture<'static, Result<Answer<V>, E>>,
    ) -> Result<V, E> {
        let asked = match self.found(&question, ask) {
            Ok(value) => return Ok(value),
            Err(asked) => asked,
        };
        let mut waiting = Waiting { answers: self, question: &question, asked };
        let (at, answer) = (waiting.asked.at, (&mut waiting.asked.answer).await?);
        drop(waiting);
        let value = answer.value.clone();
        if answer.admits {
            let mut tables = self.tables();
            // Whoever awaited the same has done so already.
            if tables.others.get(&question).is_some_and(|found| found.at == at) {
                tables.others.remove(&question);
                make_room(&mut tables.admitted, self.most, |_| true);
                tables.admitted.insert(question, Asked { at, answer });
            }
        }
        Ok(value)
    }

    fn found(
        &self,
        question: &K,
        ask: impl FnOnce(bool) -> BoxFuture<'static, Result<Answer<V>, E>>,
    ) -> Result<V, Asked<Awaited<V, E>>> {
        let mut tables = self.tables();
        let at = Instant::now();
        let lately = tables.admitted.get(question);
        if let Some(found) = lately.filter(|found| found.good(at)) {
            return Ok(found.answer.value.clone());
        }
        if let Some(found) = tables.others.get(question).filter(|found| found.good(at, self.patience)) {
            return Err(found.clone());
        }
        let asked = Asked { at, answer: ask(lately.is_some()).shared() };
        make_room(&mut tables.others, self.most, |asked| asked.good(at, self.patience));
        tables.others.insert(question.clone(), asked.clone());
        Err(asked)
    }

    /// Nothing here leaves the tables unsound, so a panic elsewhere does not spoil them.
    fn tables(&self) -> MutexGuard<'_, Tables<K, V, E>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who awaits an answer. With the last one the question goes, and what it holds with it: nobody would drive it on.
struct Waiting<'a, K: Eq + Hash + Clone, V: Clone, E: Clone> {
    answers: &'a Answers<K, V, E>,
    question: &'a K,
    asked: Asked<Awaited<V, E>>,
}

impl<K: Eq + Hash + Clone, V: Clone, E: Clone> Drop for Waiting<'_, K, V, E> {
    fn drop(&mut self) {
        // The table's and this one; none if it is answered.
        let last = self.asked.answer.strong_count().is_some_and(|count| count <= 2);
        let mut tables = self.answers.tables();
        let gone = match tables.others.get(self.question) {
            Some(found) if last && found.answer.ptr_eq(&self.asked.answer) => tables.others.remove(self.question),
            _ => None,
        };
        drop(tables);
        drop(gone);
    }
}

/// Makes room for one more, if there is none: what is not worth keeping goes, and if that is not enough the older half, so that it
/// is not looked for the oldest each time.
fn make_room<K: Eq + Hash, A>(table: &mut HashMap<K, Asked<A>>, most: usize, keep: impl Fn(&Asked<A>) -> bool) {
    if table.len() < most {
        return;
    }
    table.retain(|_, asked| keep(asked));
    if table.len() < most {
        return;
    }
    let mut times: Vec<Instant> = table.values().map(|asked| asked.at).collect();
    let middle = times.len() / 2;
    let (_, middle, _) = times.select_nth_unstable(middle);
    let middle = *middle;
    table.retain(|_, asked| asked.at >= middle);
    // All of the same moment.
    if table.len() >= most {
        table.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::{advance, sleep, timeout};

    use super::*;

    const GOOD_FOR: Duration = Duration::from_secs(10);
    const PATIENCE: Duration = Duration::from_secs(5);

    /// Asks a source that needs `takes` and answers with how often it was asked.
    struct Source {
        answers: Answers<u8, usize, &'static str>,
        asked: Arc<AtomicUsize>,
    }

    impl Source {
        fn new(most: usize) -> Self {
            Self { answers: Answers::new(most, PATIENCE), asked: Arc::default() }
        }

        fn remembered(&self) -> usize {
            let tables = self.answers.tables();
            tables.others.len().max(tables.admitted.len())
        }

        async fn ask(&self, question: u8, takes: Duration) -> Result<usize, &'static str> {
            let asked = Arc::clone(&self.asked);
            let ask = move |_| {
                async move {
                    let value = asked.fetch_add(1, Ordering::Relaxed) + 1;
                    sleep(takes).await;
                    let admits = question < 100;
                    if value == 13 { Err("unlucky") } else { Ok(Answer { value, good_for: GOOD_FOR, admits }) }
                }
                .boxed()
            };
            self.answers.get(question, ask).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_good_from_the_moment_before_it_was_asked_for_and_no_longer() {
        let source = Source::new(8);
        assert_eq!(source.ask(0, Duration::from_secs(4)).await, Ok(1));
        advance(Duration::from_millis(5_999)).await;
        assert_eq!(source.ask(0, Duration::ZERO).await, Ok(1));
        advance(Duration::from_millis(1)).await;
        assert_eq!(source.ask(0, Duration::ZERO).await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_the_same_meanwhile_gets_the_same_answer() {
        let source = Source::new(8);
        let all = futures::future::join_all((0..100).map(|_| source.ask(0, Duration::from_secs(1)))).await;
        assert!(all.iter().all(|answer| *answer == Ok(1)), "{all:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_to_all_who_await_it_and_forgotten() {
        let source = Source::new(8);
        source.asked.store(12, Ordering::Relaxed);
        let all = futures::future::join_all((0..3).map(|_| source.ask(0, Duration::from_secs(1)))).await;
        assert_eq!(all, [Err("unlucky"); 3]);
        assert_eq!(source.ask(0, Duration::ZERO).await, Ok(14));
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_goes_with_the_last_who_asked_it() {
        let source = Source::new(8);
        let second = timeout(Duration::from_secs(2), source.ask(0, Duration::from_secs(3)));
        let (first, second) =
            tokio::join!(timeout(Duration::from_secs(1), source.ask(0, Duration::from_secs(3))), second);
        assert!(first.is_err() && second.is_err());
        assert!(source.answers.tables().others.is_empty());
        assert_eq!(source.ask(0, Duration::ZERO).await, Ok(2), "asked anew");
        let (gone, stays) = tokio::join!(
            timeout(Duration::from_secs(1), source.ask(1, Duration::from_secs(3))),
            source.ask(1, Duration::from_secs(3))
        );
        assert!(gone.is_err());
        assert_eq!(stays, Ok(3), "goes on for the other one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_without_an_answer_is_asked_anew_after_a_while() {
        let source = Source::new(8);
        let first = source.ask(1, Duration::from_hours(1));
        let later = async {
            sleep(PATIENCE).await;
            source.ask(1, Duration::ZERO).await
        };
        tokio::select! {
            _ = first => panic!("it is slow"),
            answer = later => assert_eq!(answer, Ok(2)),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_answer_makes_room_for_a_new_one() {
        for first in [0, 100] {
            let source = Source::new(2);
            for question in first..first + 3 {
                source.ask(question, Duration::ZERO).await.unwrap();
                advance(Duration::from_secs(1)).await;
            }
            assert_eq!(source.remembered(), 2);
            assert_eq!(source.ask(first + 2, Duration::ZERO).await, Ok(3), "kept");
            assert_eq!(source.ask(first, Duration::ZERO).await, Ok(4), "was the oldest");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refusals_pushes_out_nobody_who_is_let_in() {
        let source = Source::new(4);
        assert_eq!(source.ask(0, Duration::ZERO).await, Ok(1));
        for question in 100..200 {
            // One of them fails.
            let _ = source.ask(question, Duration::ZERO).await;
        }
        assert_eq!(source.ask(0, Duration::ZERO).await, Ok(1));
        assert!(source.answers.tables().others.len() <= 4);
    }
}
