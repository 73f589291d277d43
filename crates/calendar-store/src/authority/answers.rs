//! Answers that are remembered for a while. Who asks the same while an answer is awaited gets that answer, too.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
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
}

type Awaited<V, E> = Shared<BoxFuture<'static, Result<Answer<V>, E>>>;

/// Answers by what was asked, not more than a number of them. A failure is told to all who await it, and then forgotten.
pub(super) struct Answers<K, V, E> {
    asked: Mutex<HashMap<K, Asked<V, E>>>,
    most: usize,
    /// A question that has had no answer for so long is asked anew.
    patience: Duration,
}

struct Asked<V, E> {
    at: Instant,
    answer: Awaited<V, E>,
}

impl<V, E> Asked<V, E> {
    fn good(&self, now: Instant, patience: Duration) -> bool {
        let good_for = match self.answer.peek() {
            Some(Ok(answer)) => answer.good_for,
            Some(Err(_)) => return false,
            None => patience,
        };
        now.saturating_duration_since(self.at) < good_for
    }
}

impl<K: Eq + Hash + Clone, V: Clone, E: Clone> Answers<K, V, E> {
    pub(super) fn new(most: usize, patience: Duration) -> Self {
        Self { asked: Mutex::default(), most, patience }
    }

    /// The answer to `question`: one that is remembered or awaited, or what `ask` finds out.
    pub(super) async fn get(
        &self,
        question: K,
        ask: impl FnOnce() -> BoxFuture<'static, Result<Answer<V>, E>>,
    ) -> Result<V, E> {
        let answer = self.answer(question, ask);
        answer.await.map(|answer| answer.value)
    }

    fn answer(&self, question: K, ask: impl FnOnce() -> BoxFuture<'static, Result<Answer<V>, E>>) -> Awaited<V, E> {
        // Nothing below leaves the table unsound, so a panic elsewhere does not spoil it.
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let at = Instant::now();
        if let Some(found) = asked.get(&question).filter(|found| found.good(at, self.patience)) {
            return found.answer.clone();
        }
        if asked.len() >= self.most {
            asked.retain(|_, asked| asked.good(at, self.patience));
        }
        if asked.len() >= self.most {
            let oldest = asked.iter().min_by_key(|(_, asked)| asked.at).map(|(question, _)| question.clone());
            oldest.and_then(|question| asked.remove(&question));
        }
        let answer = ask().shared();
        asked.insert(question, Asked { at, answer: answer.clone() });
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::{advance, sleep};

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

        async fn ask(&self, question: u8, takes: Duration) -> Result<usize, &'static str> {
            let asked = Arc::clone(&self.asked);
            let ask = move || {
                async move {
                    let value = asked.fetch_add(1, Ordering::Relaxed) + 1;
                    sleep(takes).await;
                    if value == 13 { Err("unlucky") } else { Ok(Answer { value, good_for: GOOD_FOR }) }
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
    async fn a_question_whose_asker_went_away_is_taken_up_or_asked_anew() {
        let source = Source::new(8);
        let asker = tokio::time::timeout(Duration::from_secs(1), source.ask(0, Duration::from_secs(3))).await;
        assert!(asker.is_err());
        assert_eq!(source.ask(0, Duration::ZERO).await, Ok(1), "taken up");
        let asker = tokio::time::timeout(Duration::from_secs(1), source.ask(1, Duration::from_hours(1))).await;
        assert!(asker.is_err());
        advance(PATIENCE).await;
        assert_eq!(source.ask(1, Duration::ZERO).await, Ok(3), "asked anew");
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_answer_makes_room_for_a_new_one() {
        let source = Source::new(2);
        for question in 0..3 {
            source.ask(question, Duration::ZERO).await.unwrap();
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(source.answers.asked.lock().unwrap().len(), 2);
        assert_eq!(source.ask(2, Duration::ZERO).await, Ok(3), "kept");
        assert_eq!(source.ask(0, Duration::ZERO).await, Ok(4), "was the oldest");
    }
}
