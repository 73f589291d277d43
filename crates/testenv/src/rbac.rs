//! Rights for service accounts.

use std::time::Duration;

use k8s_openapi::api::{
    authorization::v1::{NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject},
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};

use crate::{Error, eventually, unique_name};

const GROUP: &str = "rbac.authorization.k8s.io";

/// The API server's authorizer follows its own watch: usually some milliseconds behind.
const IN_FORCE: Duration = Duration::from_secs(20);

/// Where rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// In one namespace: a Role.
    Namespace(&'a str),
    /// Everywhere, and for what lies in no namespace: a `ClusterRole`.
    Cluster,
}

/// The right to do one thing with a resource, whatever its name.
#[must_use]
pub fn rule(group: &str, resource: &str, verb: &str) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: vec![verb.to_owned()],
        ..PolicyRule::default()
    }
}

/// What the role `system:auth-delegator` allows.
#[must_use]
pub fn auth_delegator() -> Vec<PolicyRule> {
    vec![
        rule("authentication.k8s.io", "tokenreviews", "create"),
        rule("authorization.k8s.io", "subjectaccessreviews", "create"),
    ]
}

/// Gives a service account exactly these rights on top of those it has, and waits until they are in force.
///
/// `client` must be an administrator's. The service account is named by its namespace and name and need not exist yet.
///
/// # Errors
/// [`Error::Kube`] if the API server refuses, [`Error::TimedOut`] if the rights do not come into force.
pub async fn grant(
    client: &Client,
    scope: Scope<'_>,
    (namespace, name): (&str, &str),
    rules: &[PolicyRule],
) -> Result<(), Error> {
    let subjects = Some(vec![Subject {
        kind: "ServiceAccount".into(),
        name: name.into(),
        namespace: Some(namespace.into()),
        ..Subject::default()
    }]);
    let role_name = unique_name(name);
    let metadata = ObjectMeta { name: Some(role_name.clone()), ..ObjectMeta::default() };
    let role_ref = |kind: &str| RoleRef { api_group: Some(GROUP.into()), kind: kind.into(), name: role_name.clone() };
    let rules = Some(rules.to_vec());
    let create = PostParams::default();
    match scope {
        Scope::Namespace(scope) => {
            let role = Role { metadata: metadata.clone(), rules: rules.clone() };
            Api::namespaced(client.clone(), scope).create(&create, &role).await?;
            let binding = RoleBinding { metadata, role_ref: role_ref("Role"), subjects };
            Api::namespaced(client.clone(), scope).create(&create, &binding).await?;
        }
        Scope::Cluster => {
            let role = ClusterRole { metadata: metadata.clone(), rules: rules.clone(), ..ClusterRole::default() };
            Api::all(client.clone()).create(&create, &role).await?;
            let binding = ClusterRoleBinding { metadata, role_ref: role_ref("ClusterRole"), subjects };
            Api::all(client.clone()).create(&create, &binding).await?;
        }
    }

    // A role's rules come into force together, but some of them may have been granted before: so all are asked for.
    let user = format!("system:serviceaccount:{namespace}:{name}");
    for rule in rules.iter().flatten() {
        let review = review(&user, scope, rule);
        eventually(&format!("{user} is granted {rule:?}"), IN_FORCE, || async {
            match Api::all(client.clone()).create(&create, &review).await {
                Ok(answer) => answer.status?.allowed.then_some(Ok(())),
                Err(error) => Some(Err(error)),
            }
        })
        .await??;
    }
    Ok(())
}

/// Asks whether `user` may do the first thing that `rule` allows.
fn review(user: &str, scope: Scope<'_>, rule: &PolicyRule) -> SubjectAccessReview {
    let first = |list: &Option<Vec<String>>| list.iter().flatten().next().cloned();
    let verb = rule.verbs.first().cloned();
    let path = first(&rule.non_resource_urls);
    let mut spec = SubjectAccessReviewSpec { user: Some(user.into()), ..SubjectAccessReviewSpec::default() };
    if path.is_some() {
        spec.non_resource_attributes = Some(NonResourceAttributes { path, verb });
    } else {
        let resource = first(&rule.resources).unwrap_or_default();
        let (resource, subresource) = match resource.split_once('/') {
            Some((resource, subresource)) => (resource.to_owned(), Some(subresource.to_owned())),
            None => (resource, None),
        };
        spec.resource_attributes = Some(ResourceAttributes {
            verb,
            group: first(&rule.api_groups),
            resource: Some(resource),
            subresource,
            name: first(&rule.resource_names),
            namespace: match scope {
                Scope::Namespace(namespace) => Some(namespace.into()),
                Scope::Cluster => None,
            },
            ..ResourceAttributes::default()
        });
    }
    SubjectAccessReview { spec, ..SubjectAccessReview::default() }
}
