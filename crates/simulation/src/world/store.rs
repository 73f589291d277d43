//! The durable output: a snapshot with a version, replaced only by who knows that version.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use calendar_sync::{Event, Output, Snapshot, Stored};

/// Holds one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Store {
    content: Option<Content>,
    last_version: u64,
}

#[derive(Clone, Debug)]
struct Content {
    version: u64,
    snapshot: Snapshot,
    output: Output,
    /// Somebody has edited it.
    damaged: bool,
}

/// What a commit came to.
#[derive(Clone, Debug)]
pub struct Commit {
    /// What a reader saw before.
    pub before: Option<Snapshot>,
    /// Whether events changed.
    pub changed: bool,
    /// What is stored now, in numbers.
    pub output: Output,
    /// The version to commit on next.
    pub version: u64,
}

impl Store {
    /// What is there, in numbers, and the version to commit on.
    #[must_use]
    pub fn head(&self) -> (Stored, Option<Output>, Option<u64>) {
        match &self.content {
            None => (Stored::Absent, None, None),
            Some(Content { version, damaged: true, .. }) => (Stored::Damaged, None, Some(*version)),
            Some(Content { version, snapshot, output, .. }) => {
                (Stored::Present(Box::new(snapshot.clone())), Some(output.clone()), Some(*version))
            }
        }
    }

    /// Replaces what is stored, if it still has version `on`.
    pub fn commit(&mut self, on: Option<u64>, snapshot: &Snapshot) -> Option<Commit> {
        if self.version() != on {
            return None;
        }
        let before = self.content.take();
        let whole = before.filter(|before| !before.damaged);
        let changed = whole.as_ref().is_none_or(|before| before.snapshot.events != snapshot.events);
        let same = whole.as_ref().is_some_and(|before| !changed && before.snapshot == *snapshot);
        if !same {
            self.last_version += 1;
        }
        let version = on.filter(|_| same).unwrap_or(self.last_version);
        let output = match &whole {
            Some(before) if !changed => before.output.clone(),
            Some(_) | None => output(snapshot),
        };
        self.content = Some(Content { version, snapshot: snapshot.clone(), output: output.clone(), damaged: false });
        Some(Commit { before: whole.map(|before| before.snapshot), changed, output, version })
    }

    /// Another state is there again, made known to nobody.
    pub fn restore(&mut self, snapshot: Snapshot) {
        self.last_version += 1;
        let output = output(&snapshot);
        self.content = Some(Content { version: self.last_version, snapshot, output, damaged: false });
    }

    /// Removes it.
    pub fn erase(&mut self) {
        self.content = None;
    }

    /// Somebody edits it.
    pub fn damage(&mut self) {
        if let Some(content) = &mut self.content {
            self.last_version += 1;
            (content.version, content.damaged) = (self.last_version, true);
        }
    }

    /// Changes what is stored without telling: a version stays what it was.
    pub(crate) fn alter(&mut self, change: impl FnOnce(&mut Snapshot)) {
        if let Some(content) = &mut self.content {
            change(&mut content.snapshot);
            content.output = output(&content.snapshot);
        }
    }

    /// The version of what is there.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.content.as_ref().map(|content| content.version)
    }

    /// The copy, as a reader sees it.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.content.as_ref().filter(|content| !content.damaged).map(|content| &content.snapshot)
    }

    /// Whether nothing is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.content.is_none()
    }
}

fn output(snapshot: &Snapshot) -> Output {
    Output {
        kind: "ConfigMap".to_owned(),
        name: "events".to_owned(),
        events: snapshot.events.len(),
        slices: 1,
        bytes: 0,
        content_hash: content_hash(&snapshot.events),
        url: None,
    }
}

/// A hash of the events: this one only has to tell one content from another.
#[must_use]
pub fn content_hash(events: &BTreeMap<String, Event>) -> String {
    let mut hash = DefaultHasher::new();
    for Event { id, calendar_id, start, end, summary, description, .. } in events.values() {
        (id, calendar_id, start, end, summary, description).hash(&mut hash);
    }
    format!("{:016x}", hash.finish())
}
