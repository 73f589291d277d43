//! Calendar stores, other than the output's, in which events of a subscription may stand. The status names each from before the first
//! events go there until it is known to have none, so that nothing is forgotten, whatever dies and however the spec changes; and one
//! that is out of reach keeps neither the new copy from being kept current nor anything else waiting.

use jiff::{SignedDuration, Timestamp};

use super::execute::Driver;
use super::{Error, outputs, status};
use crate::api::CalendarSubscriptionStatus;
use crate::controller::events::Note;

/// Before the next try to remove events from a calendar store that was out of reach.
const AGAIN: SignedDuration = SignedDuration::from_mins(5);

impl Driver<'_> {
    /// Notes the calendar store that is about to get its first events: whatever dies then, and however the spec is changed next,
    /// it is known where to look for them.
    pub(super) async fn announce(&mut self) -> Result<(), Error> {
        let status = self.object.status.clone().unwrap_or_default();
        let output = status.output.and_then(|output| output.url);
        let mut others = status.other_stores;
        if let Some(url) = self.place.store.url().filter(|url| output.as_deref() != Some(url))
            && !others.iter().any(|other| other == url)
        {
            others.push(url.to_owned());
            self.note_others(others).await?;
        }
        Ok(())
    }

    /// Tries again what could not be removed earlier, if it is time.
    pub(super) async fn settle(&mut self) -> Result<(), Error> {
        let (others, present) = (self.others(), self.place.store.url());
        if others.iter().all(|url| Some(url.as_str()) == present) {
            self.context.remember(&self.desired.uid, |remembered| remembered.others = None);
            return Ok(());
        }
        // Before the output is where it is to be, one of these could be the store of the former one, by another URL.
        let output = self.object.status.as_ref().and_then(|status| status.output.as_ref()).map(status::output);
        if !output.is_some_and(|output| self.place.is_of(&output)) {
            return Ok(());
        }
        let due = self.context.remembered(&self.desired.uid).others.is_none_or(|due| due <= Timestamp::now());
        if due || others.iter().any(|url| outputs::is_given_up(&self.object, Some(url))) {
            self.empty(others).await?;
        }
        Ok(())
    }

    /// Removes the events from these calendar stores, and notes those from which they could not be. The present one stays noted until
    /// the status tells that it has the output.
    pub(super) async fn empty(&mut self, urls: Vec<String>) -> Result<(), Error> {
        let (before, present) = (self.others(), self.place.store.url().map(ToOwned::to_owned));
        let (mut left, mut notes) = (Vec::new(), Vec::new());
        for url in urls {
            if Some(&url) == present.as_ref() {
                left.push(url);
                continue;
            }
            let Err(error) = outputs::empty(self.context, &self.object, &self.place, &url).await else { continue };
            if outputs::is_given_up(&self.object, Some(&url)) {
                notes.push(outputs::note(&url));
                continue;
            }
            if !before.contains(&url) {
                notes.push(Note::warning("EventsLeftElsewhere", "Erase", format!("not removed yet: {error}")));
            }
            left.push(url);
        }
        let next = Timestamp::now().saturating_add(AGAIN).ok();
        self.context.remember(&self.desired.uid, |remembered| remembered.others = next);
        self.note_others(left).await?;
        self.context.events.publish(&self.object, notes).await;
        Ok(())
    }

    /// The calendar stores in which events may stand although the output is elsewhere, as the status tells.
    pub(super) fn others(&self) -> Vec<String> {
        self.object.status.as_ref().map(|status| status.other_stores.clone()).unwrap_or_default()
    }

    pub(super) async fn note_others(&mut self, others: Vec<String>) -> Result<(), Error> {
        let noted = |before: &CalendarSubscriptionStatus| CalendarSubscriptionStatus {
            other_stores: others.clone(),
            ..before.clone()
        };
        if self.others() != others {
            (self.object, _) = status::write(self.api, self.object.clone(), None, noted).await?;
        }
        Ok(())
    }
}
