//! An API server of a test's own, for what would disturb the tests that share one.

use std::ops::Deref;

use testenv::{ControlPlane, Options};

/// Its servers end with the test; its folder, with the audit log, stays until this process ends.
pub struct OwnPlane(&'static ControlPlane);

impl OwnPlane {
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    pub async fn start_with(options: Options) -> Self {
        Self(Box::leak(Box::new(ControlPlane::start(options).await.unwrap())))
    }
}

impl Deref for OwnPlane {
    type Target = &'static ControlPlane;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for OwnPlane {
    fn drop(&mut self) {
        self.0.stop();
    }
}
