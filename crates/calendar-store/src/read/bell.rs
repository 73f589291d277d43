//! Tells those who wait for changes that there are some.

use tokio::sync::watch;

/// Rung by whoever commits; clones ring the same.
#[derive(Clone, Debug)]
pub struct Bell(watch::Sender<Rung>);

/// What the bell has told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rung {
    times: u64,
    /// Whether nobody is to wait any longer.
    pub ended: bool,
}

impl Default for Bell {
    fn default() -> Self {
        Self(watch::Sender::new(Rung::default()))
    }
}

impl Bell {
    /// A bell that nobody has rung.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// After a commit: whoever waits looks at once. It costs nothing if nobody waits.
    pub fn ring(&self) {
        self.0.send_modify(|rung| rung.times = rung.times.wrapping_add(1));
    }

    /// Before the process ends: all streams of changes end, and no further one begins. Their readers go on elsewhere.
    pub fn end(&self) {
        self.0.send_modify(|rung| rung.ended = true);
    }

    pub(super) fn heard(&self) -> watch::Receiver<Rung> {
        self.0.subscribe()
    }
}
