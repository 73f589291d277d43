//! Step 1 of a reconcile: the application that the subscription refers to, and whether it may.

use std::sync::Arc;

use cronofy::url::Url;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt as _};
use kube::{Api, ResourceExt as _};

use super::verdict::{About, Refusal};
use crate::api::{CalendarSubscription, CronofyApplication, NamespacesFrom};
use crate::controller::accounts::{AccountKey, Grant};
use crate::controller::context::{ApplicationKey, Context};
use crate::controller::secrets::SecretKey;
use crate::kubernetes::{self, CallError};

/// What a subscription refers to.
#[derive(Clone, Debug)]
pub struct Dereferenced {
    /// The application.
    pub application: Arc<CronofyApplication>,
    /// Its key.
    pub key: ApplicationKey,
    /// Where its API is.
    pub api: Url,
    /// Whose tokens are used.
    pub grant: Grant,
}

/// Why it could not be found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It may not be used, or is not there.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The Kubernetes API did not tell.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Finds the application of a subscription.
pub async fn dereference(context: &Context, subscription: &CalendarSubscription) -> Result<Dereferenced, Error> {
    let own = subscription.namespace().unwrap_or_default();
    let key = ApplicationKey::of(subscription);
    let found = context.application(&key);
    if key.namespace != own {
        let allowed = match &found {
            Some(application) => allows(context, application, &own).await?,
            None => false,
        };
        if !allowed {
            // The same words whether it exists or not: that is not for everybody to know.
            return Err(refuse(
                "NamespaceNotAllowed",
                format!(
                    "namespace {} has no CronofyApplication {} that namespace {own} may use: ask its owner to name this \
                 namespace in spec.allowedNamespaces",
                    key.namespace, key.name
                ),
            ));
        }
    }
    let Some(application) = found else {
        return Err(refuse(
            "ApplicationNotFound",
            format!(
                "CronofyApplication {}/{} does not exist: create it, or correct spec.applicationRef",
                key.namespace, key.name
            ),
        ));
    };
    let api = endpoint(&application, context.options.allow_custom_endpoints).map_err(Error::Refused)?;
    let Some(account) = AccountKey::of(subscription) else {
        let message = "spec.account must have secretRef or applicationCalendarId: set one of them".to_owned();
        return Err(Error::Refused(Refusal { about: About::Spec, ..refusal("InvalidSpec", message) }));
    };
    let credentials = credentials_secret(&application, &key);
    let grant = Grant { application: key.clone(), credentials, api: api.to_string(), account };
    Ok(Dereferenced { application, key, api, grant })
}

/// The Secret that an application's credentials are in.
pub fn credentials_secret(application: &CronofyApplication, key: &ApplicationKey) -> SecretKey {
    SecretKey { namespace: key.namespace.clone(), name: application.spec.credentials_secret_ref.name.clone() }
}

/// Where an application's API is.
pub fn endpoint(application: &CronofyApplication, allow_custom: bool) -> Result<Url, Refusal> {
    let Some(endpoint) = &application.spec.endpoint else {
        let data_center = application.spec.data_center().as_str();
        return data_center.parse::<cronofy::DataCenter>().map(cronofy::DataCenter::api_url).map_err(|_| {
            refusal("InvalidEndpoint", format!("spec.dataCenter {data_center} of the CronofyApplication is not known"))
        });
    };
    if !allow_custom {
        let message = "spec.endpoint of the CronofyApplication is refused, since the operator runs without \
                       --allow-custom-endpoints: use spec.dataCenter, or ask who runs the operator";
        return Err(refusal("EndpointNotAllowed", message.to_owned()));
    }
    Url::parse(endpoint).map_err(|_| {
        refusal("InvalidEndpoint", "spec.endpoint of the CronofyApplication is not a URL: correct it".to_owned())
    })
}

/// Whether an application lets a namespace that is not its own refer to it.
pub async fn allows(context: &Context, application: &CronofyApplication, namespace: &str) -> Result<bool, Error> {
    let Some(allowed) = &application.spec.allowed_namespaces else { return Ok(false) };
    match allowed.from.unwrap_or_default() {
        NamespacesFrom::Same => Ok(false),
        NamespacesFrom::All => Ok(true),
        NamespacesFrom::Selector => {
            let Some(selector) = &allowed.selector else { return Ok(false) };
            matches(context, selector, namespace).await
        }
    }
}

async fn matches(context: &Context, selector: &LabelSelector, namespace: &str) -> Result<bool, Error> {
    let Ok(selector) = Selector::try_from(selector.clone()) else { return Ok(false) };
    let api: Api<Namespace> = Api::all(context.client.clone());
    match kubernetes::call(api.get_metadata(namespace)).await {
        Ok(found) => Ok(selector.matches(found.labels())),
        Err(error) if error.is_forbidden() => Err(refuse(
            "NamespaceNotAllowed",
            format!(
                "the operator may not read the labels of namespace {namespace}, which spec.allowedNamespaces.selector of the \
             CronofyApplication needs: grant it get on namespaces"
            ),
        )),
        Err(error) => Err(error.into()),
    }
}

fn refuse(reason: &'static str, message: String) -> Error {
    Error::Refused(refusal(reason, message))
}

fn refusal(reason: &'static str, message: String) -> Refusal {
    Refusal { reason, message, about: About::Credentials, stalled: true }
}
