//! Where the API server is and who asks.

use std::{io::Write, net::SocketAddr, os::unix::fs::OpenOptionsExt, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client, Config,
    api::{ObjectMeta, PostParams},
    config::{AuthInfo, Kubeconfig},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::{ControlPlane, Error, Proxy, install_tls_provider};

/// Long enough for any test run: tokens are not renewed.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

/// Everything a client needs to speak to the API server as one user.
///
/// Belongs to no runtime: keep it, and make a fresh client wherever one is needed.
#[derive(Debug, Clone)]
pub struct Access {
    pub(crate) address: SocketAddr,
    pub(crate) authority_pem: String,
    pub(crate) authority_der: Vec<u8>,
    pub(crate) token: SecretString,
    pub(crate) impersonate: Option<Impersonation>,
    pub(crate) namespace: String,
}

/// The user an administrator acts as.
#[derive(Debug, Clone)]
pub(crate) struct Impersonation {
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
}

impl Access {
    /// The same user through a proxy in front of the API server.
    ///
    /// TLS is still between client and API server, and is verified.
    #[must_use]
    pub fn through(mut self, proxy: &Proxy) -> Self {
        self.address = proxy.address();
        self
    }

    /// The same user with another default namespace.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// URL of the API server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// A configuration to make a client from, for tests that set timeouts or put a layer around the client.
    ///
    /// # Errors
    /// [`Error::Kube`] if the address is no URL.
    pub fn config(&self) -> Result<Config, Error> {
        install_tls_provider();
        let url = self.url().parse().map_err(|error: http::uri::InvalidUri| kube::Error::HttpError(error.into()))?;
        let mut config = Config::new(url);
        config.default_namespace.clone_from(&self.namespace);
        config.root_cert = Some(vec![self.authority_der.clone()]);
        config.auth_info = AuthInfo {
            token: Some(self.token.clone()),
            impersonate: self.impersonate.as_ref().map(|as_user| as_user.user.clone()),
            impersonate_groups: self.impersonate.as_ref().map(|as_user| as_user.groups.clone()),
            ..AuthInfo::default()
        };
        Ok(config)
    }

    /// A client of the current tokio runtime.
    ///
    /// # Errors
    /// [`Error::Kube`] if the client cannot be made.
    ///
    /// # Panics
    /// Outside a tokio runtime, as every [`kube::Client`].
    pub fn client(&self) -> Result<Client, Error> {
        Ok(Client::try_from(self.config()?)?)
    }

    /// A kubeconfig file for other programs. It holds the user's token.
    ///
    /// JSON, which is YAML as well.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        let mut user = json!({ "token": self.token.expose_secret() });
        if let (Some(as_user), Value::Object(user)) = (&self.impersonate, &mut user) {
            user.insert("as".into(), json!(as_user.user));
            user.insert("as-groups".into(), json!(as_user.groups));
        }
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "testenv",
                "cluster": {
                    "server": self.url(),
                    "certificate-authority-data": BASE64_STANDARD.encode(&self.authority_pem),
                },
            }],
            "users": [{ "name": "testenv", "user": user }],
            "contexts": [{
                "name": "testenv",
                "context": { "cluster": "testenv", "user": "testenv", "namespace": self.namespace },
            }],
            "current-context": "testenv",
        });
        format!("{kubeconfig:#}\n")
    }

    /// [`Access::kubeconfig`] as kube's own type.
    ///
    /// # Errors
    /// [`Error::Malformed`] if kube does not read what we write.
    pub fn parsed_kubeconfig(&self) -> Result<Kubeconfig, Error> {
        Kubeconfig::from_yaml(&self.kubeconfig()).map_err(|error| Error::Malformed(error.to_string()))
    }

    /// Writes [`Access::kubeconfig`] to a file that only the current user can read.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn write_kubeconfig(&self, path: &Path) -> Result<(), Error> {
        std::fs::File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(self.kubeconfig().as_bytes()))
            .map_err(Error::io(format!("write {}", path.display())))
    }
}

/// Who may ask, and how a client of theirs is made.
impl ControlPlane {
    /// The administrator `admin` (group `system:masters`), who may do everything.
    #[must_use]
    pub fn admin_access(&self) -> Access {
        self.admin.clone()
    }

    /// A client of the current runtime for the administrator.
    ///
    /// # Errors
    /// [`Error::Kube`] if the client cannot be made.
    pub fn admin(&self) -> Result<Client, Error> {
        self.admin.client()
    }

    /// Any user with any groups, by impersonation. `system:authenticated` is added.
    #[must_use]
    pub fn user_access(&self, name: &str, groups: &[&str]) -> Access {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Access { impersonate: Some(Impersonation { user: name.to_owned(), groups }), ..self.admin_access() }
    }

    /// A client of the current runtime for any user with any groups.
    ///
    /// # Errors
    /// [`Error::Kube`] if the client cannot be made.
    pub fn user(&self, name: &str, groups: &[&str]) -> Result<Client, Error> {
        self.user_access(name, groups).client()
    }

    /// A `ServiceAccount`, made now if it is absent, by a token of its own that is good for a day. It may do nothing
    /// until [`grant`](crate::grant) says so.
    ///
    /// # Errors
    /// [`Error::Kube`] if the API server refuses, e.g. since there is no such namespace.
    pub async fn service_account_access(&self, namespace: &str, name: &str) -> Result<Access, Error> {
        let token = SecretString::from(self.service_account_token(namespace, name, &[]).await?);
        Ok(Access { token, namespace: namespace.to_owned(), ..self.admin_access() })
    }

    /// A token of a `ServiceAccount`, made now if it is absent, for these audiences, or for the API server.
    ///
    /// # Errors
    /// As [`ControlPlane::service_account_access`].
    pub async fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
        audiences: &[&str],
    ) -> Result<String, Error> {
        let accounts = Api::<ServiceAccount>::namespaced(self.admin()?, namespace);
        let account = ServiceAccount {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            ..ServiceAccount::default()
        };
        match accounts.create(&PostParams::default(), &account).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(error.into()),
        }
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(audiences.iter().map(|audience| (*audience).to_owned()).collect()),
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let answer = accounts.create_token_request(name, &PostParams::default(), &request).await?;
        answer
            .status
            .and_then(|status| status.token)
            .ok_or_else(|| Error::Malformed("the answer to a TokenRequest has no token".into()))
    }

    /// A client of the current runtime for a `ServiceAccount`, made now if it is absent.
    ///
    /// # Errors
    /// As [`ControlPlane::service_account_access`].
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<Client, Error> {
        self.service_account_access(namespace, name).await?.client()
    }
}
