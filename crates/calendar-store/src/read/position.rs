//! How far a reader has read the changes of a subscription.

use std::fmt;

use calendar_store_client::Reason;

use crate::Problem;
use crate::database::Subscription;

/// The longest one in writing.
const LONGEST: usize = 96;

/// A place among the changes. Written `INCARNATION.NUMBER`, while a first reading is under way with the number at which that
/// began as a third part: who had nothing then misses no deletion from before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    incarnation: String,
    number: i64,
    began: i64,
}

impl Position {
    /// Before everything that is stored.
    pub fn first(subscription: &Subscription) -> Self {
        Self { incarnation: subscription.incarnation.clone(), number: 0, began: subscription.sequence }
    }

    /// After everything that is stored.
    pub fn last(subscription: &Subscription) -> Self {
        let Subscription { incarnation, sequence, .. } = subscription;
        Self { incarnation: incarnation.clone(), number: *sequence, began: *sequence }
    }

    /// From its written form.
    pub fn parse(field: &str, text: &str) -> Result<Self, Problem> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<i64>().ok().filter(|_| digits)
        };
        let mut parts = text.split('.');
        let parsed = match (parts.next(), parts.next().map(number), parts.next().map(number), parts.next()) {
            (Some(incarnation), Some(Some(number)), None, None) => Some((incarnation, number, number)),
            (Some(incarnation), Some(Some(number)), Some(Some(began)), None) => Some((incarnation, number, began)),
            _ => None,
        };
        match parsed {
            Some((incarnation, number, began)) if text.len() <= LONGEST && !incarnation.is_empty() => {
                Ok(Self { incarnation: incarnation.to_owned(), number, began })
            }
            _ => {
                let detail =
                    "it is no sequence: use one from an earlier answer as it is, or none to begin with all events";
                Err(Problem::new(Reason::Invalid, detail).of(field))
            }
        }
    }

    /// The same after the change of this number.
    pub fn after(&self, number: i64) -> Self {
        Self { number, ..self.clone() }
    }

    /// Changes after this number are new.
    pub fn number(&self) -> i64 {
        self.number
    }

    /// Deletions after this number are new.
    pub fn deletions(&self) -> i64 {
        self.number.max(self.began)
    }

    /// Whether all that comes after it is still told. A number that is not reached yet is of a database from before it was
    /// restored from a backup.
    pub fn told(&self, field: &str, subscription: &Subscription) -> Result<(), Problem> {
        let Subscription { incarnation, sequence, pruned, .. } = subscription;
        if self.incarnation == *incarnation && self.deletions() <= *sequence && *pruned <= self.deletions() {
            return Ok(());
        }
        let detail =
            "what changed since then is no longer told: read the events anew, then go on from the sequence given there";
        Err(Problem::new(Reason::Gone, detail).of(field))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { incarnation, number, began } = self;
        if number < began { write!(f, "{incarnation}.{number}.{began}") } else { write!(f, "{incarnation}.{number}") }
    }
}
