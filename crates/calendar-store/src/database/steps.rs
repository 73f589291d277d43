//! Somebody who is told of each statement of a transaction: tests end a process there.

use std::fmt;
use std::sync::Arc;

/// Whom to tell; by default nobody.
#[derive(Clone, Default)]
pub struct Steps(Option<Arc<dyn Fn(&'static str) + Send + Sync>>);

impl Steps {
    /// Tells `watch` what is about to be done.
    pub fn told_to(watch: impl Fn(&'static str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(watch)))
    }

    pub(super) fn next(&self, what: &'static str) {
        if let Some(watch) = &self.0 {
            watch(what);
        }
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Steps").field(&self.0.is_some()).finish()
    }
}
