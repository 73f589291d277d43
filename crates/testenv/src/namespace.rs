//! A namespace per test.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{DeleteParams, ObjectMeta, PostParams},
};

use crate::{Access, ControlPlane, Error};

/// A namespace that no other test uses.
///
/// Dropping it does nothing: it goes with the control plane. Deleting it earlier would only have the API server refuse
/// what a test's controllers still write while they wind down, since without a namespace controller it would stay
/// `Terminating`.
#[derive(Debug)]
pub struct TestNamespace {
    name: String,
    access: Access,
}

impl TestNamespace {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Marks it as being deleted. Its contents go only where a controller manager runs.
    ///
    /// # Errors
    /// [`Error::Kube`] if the API server refuses.
    pub async fn delete(&self) -> Result<(), Error> {
        Api::<Namespace>::all(self.access.client()?).delete(&self.name, &DeleteParams::default()).await?;
        Ok(())
    }
}

impl ControlPlane {
    /// Makes a namespace with a [unique name](unique_name).
    ///
    /// # Errors
    /// [`Error::Kube`] if the API server refuses, e.g. since `prefix` is no DNS label.
    pub async fn namespace(&self, prefix: &str) -> Result<TestNamespace, Error> {
        let access = self.admin_access();
        let name = unique_name(prefix);
        let namespace = Namespace {
            metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        Api::all(access.client()?).create(&PostParams::default(), &namespace).await?;
        Ok(TestNamespace { name, access })
    }
}

/// `prefix-` and eleven random letters: 51 bits, so that it is unique also between processes that share nothing but
/// the service they both talk to.
#[must_use]
pub fn unique_name(prefix: &str) -> String {
    let suffix: String = std::iter::repeat_with(|| fastrand::char('a'..='z')).take(11).collect();
    format!("{prefix}-{suffix}")
}
