//! When to look again at something that only a person can mend, and of which no watch tells.

use std::time::Duration;

use tokio::time::Instant;

/// First and longest wait between two looks.
const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(300);

/// Looks in a row: a minute apart at first, slowing to five.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    made: u32,
    next: Option<Instant>,
}

impl Looks {
    /// The wait before the next look. Whatever else causes a reconcile before that is due neither puts it off nor slows it.
    pub fn wait(&mut self, now: Instant) -> Duration {
        if let Some(next) = self.next.filter(|next| *next > now) {
            return next - now;
        }
        self.made = self.made.saturating_add(1);
        let wait = FIRST.saturating_mul(self.made).min(LONGEST);
        self.next = Some(now + wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn looks_slow_down_from_one_minute_to_five() {
        let (mut looks, mut now) = (Looks::default(), Instant::now());
        let waits = [(); 7].map(|()| {
            let wait = looks.wait(now);
            now += wait;
            wait.as_secs()
        });
        assert_eq!(waits, [60, 120, 180, 240, 300, 300, 300]);
    }

    #[test]
    fn what_happens_between_two_looks_leaves_the_next_one_where_it_is() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        assert_eq!(looks.wait(now), 60 * SECOND);
        assert_eq!(looks.wait(now), 60 * SECOND);
        assert_eq!(looks.wait(now + 59 * SECOND), SECOND);
        assert_eq!(looks.wait(now + 60 * SECOND), 120 * SECOND);
    }
}
