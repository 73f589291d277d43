//! Puts the parts together, and takes them apart in the order that loses nothing.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::version::Info;
use kube::api::ListParams;
use kube::client::ClientBuilder;
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::admin::{self, Component, Health, SHUTTING_DOWN};
use crate::api::{CalendarSubscription, CronofyApplication, NamespacesFrom};
use crate::cli::RunOptions;
use crate::controller::context::{ApplicationKey, Context, Settings};
use crate::controller::events::Events;
use crate::controller::leader::{Leader, Leads, LeaseLost, LeaseOptions};
use crate::controller::watches::Scope;
use crate::controller::{self, RECONCILE_LIMIT};
use crate::kubernetes::{self, NoAccess};
use crate::metrics::{Controller, Metrics};
use crate::webhook::listener::{self, Limits, Transport};
use crate::webhook::mark::{MarkLimits, Marker};
use crate::webhook::receive::{self, Receiver};
use crate::webhook::rotation::Rotation;
use crate::webhook::routes::Routes;
use crate::webhook::secrets::{Applications, SecretReader};

/// Time after the process says it is not ready in which notifications still come in: endpoints are removed in parallel.
const DRAIN: Duration = Duration::from_secs(2);
/// Time that reconciles in flight have to end.
const LAST_RECONCILES: Duration = Duration::from_secs(15);
/// Between two looks at whether the kinds are installed.
const KINDS_CHECK: Duration = Duration::from_secs(2);

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No access to Kubernetes.
    #[error(transparent)]
    NoAccess(#[from] NoAccess),
    /// An address cannot be listened on.
    #[error("--{flag} {address}: {error}")]
    Listen {
        /// The flag.
        flag: &'static str,
        /// The address.
        address: std::net::SocketAddr,
        /// The cause.
        error: std::io::Error,
    },
    /// Another replica acts now.
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
    /// A defect: a part that runs until the end has ended.
    #[error("{0} ended")]
    Ended(&'static str),
}

/// What this replica is called, as its lease and its Events have it.
pub(crate) fn instance() -> String {
    std::env::var("HOSTNAME").unwrap_or_else(|_| "cronofy-operator".to_owned())
}

/// Runs the operator with valid options until `stop`.
///
/// # Errors
/// If it cannot start, or cannot go on. The process should end then and be started anew.
#[expect(clippy::similar_names, clippy::too_many_lines, reason = "the order of all parts, in one place")]
pub async fn run(options: RunOptions, stop: impl Future<Output = ()>) -> Result<(), RunError> {
    let metrics = Metrics::new();
    let health = Health::new();
    let (kinds, caches, serving) =
        (health.component("custom resource definitions"), health.component("caches"), health.component("webhook"));
    for (name, queue) in
        [("subscriptions", Controller::CalendarSubscription), ("applications", Controller::CronofyApplication)]
    {
        health.watch_queue(name, metrics.queue(queue), RECONCILE_LIMIT + Duration::from_secs(60));
    }
    let config = Config::infer().await.map_err(|error| NoAccess::new(&error))?;
    let own_namespace = config.default_namespace.clone();
    let client = client(config, &metrics)?;

    let (stop_serving, stopped) = watch::channel(false);
    let (closing, closed) = watch::channel(false);
    let admin_listener = listen("admin-listen", options.admin_listen).await?;

    let instance = instance();
    let leader = leader(&options, &client, &own_namespace, &instance);
    let settings = Settings {
        callback_base: options.callback_base(),
        allow_custom_endpoints: options.allow_custom_endpoints,
        stores: options.stores(),
        concurrency: options.concurrency.get(),
    };
    let events = Events::new(client.clone(), instance, metrics.clone());
    let routes = Routes::new(&options.callback_base().unwrap_or_default());
    let context = Context::new(client.clone(), settings, metrics.clone(), routes.clone(), leader.leading(), events);
    let refresh = {
        let context = context.clone();
        Arc::new(move || controller::fleet::tell(&context, jiff::Timestamp::now()))
    };
    let admin = listener::serve(
        admin_listener,
        Transport::Plain,
        admin::router(health.clone(), metrics.clone(), refresh),
        Limits::ADMIN,
        prometheus_client::metrics::gauge::Gauge::default(),
        told(closed.clone()),
    );
    let marker = Marker::new(client.clone(), metrics.clone(), MarkLimits::default());

    // Without an address that Cronofy could be told, nobody is to call.
    let webhook_listener = match options.webhook_base_url {
        Some(_) => Some(listen("webhook-listen", options.webhook_listen).await?),
        None => None,
    };
    serving.ready(true);
    let (transport, rotation) = match options.tls_files() {
        Some(files) if webhook_listener.is_some() => {
            let (rotation, certificates) =
                Rotation::new(files, health.component("webhook certificate"), metrics.clone());
            (Transport::Tls { certificates, failures: metrics.webhook_handshake_failures() }, Some(rotation))
        }
        Some(_) | None => (Transport::Plain, None),
    };
    let receiver = Receiver {
        routes: routes.clone(),
        applications: Arc::new(Known(context.clone())),
        secrets: SecretReader::new(client.clone()),
        marker: marker.clone(),
        metrics: metrics.clone(),
    };
    let limits = Limits { connections: usize::from(options.webhook_connections.get()), ..Limits::WEBHOOK };
    let (connections, stop_webhook) = (metrics.webhook_connections(), told(stopped.clone()));
    let period = Duration::from_secs(u64::from(options.webhook_tls_check_period.get()));
    let webhook = async {
        let rotated = async {
            if let Some(rotation) = rotation {
                rotation.run(period, told(stopped.clone())).await;
            }
        };
        let served = async {
            match webhook_listener {
                Some(socket) => {
                    let app = receive::router(receiver);
                    listener::serve(socket, transport, app, limits, connections, stop_webhook).await;
                }
                None => stop_webhook.await,
            }
        };
        tokio::join!(rotated, served);
    };

    let scopes = Scope::of(&options.namespace);
    let controllers = async {
        let server = tokio::select! {
            server = installed(&client, &scopes, &kinds) => server,
            () = told(stopped.clone()) => return,
        };
        controller::run(context.clone(), &server, &scopes, &caches, stopped.clone()).await;
    };
    let lease = leader.hold(|leads| {
        if leads == Leads::Successor {
            context.budgets.take_over();
        }
        metrics.leader(leads != Leads::No);
    });
    warn_about(&options);

    let mut admin = std::pin::pin!(admin);
    let mut webhook = std::pin::pin!(webhook);
    let mut controllers = std::pin::pin!(controllers);
    let ended = {
        let mut lease = std::pin::pin!(lease);
        let running = async {
            tokio::select! {
                () = &mut admin => Err(RunError::Ended("the admin server")),
                () = &mut webhook => Err(RunError::Ended("the webhook server")),
                () = &mut controllers => Err(RunError::Ended("the controllers")),
                Err(lost) = &mut lease => Err(RunError::LeaseLost(lost)),
                () = stop => Ok(()),
            }
        };
        match running.await {
            Ok(()) => {
                tracing::info!("stopping");
                health.not_ready(SHUTTING_DOWN);
                // Everything goes on while this pod's endpoint is taken out of the Service.
                let drained = async {
                    tokio::time::sleep(DRAIN).await;
                    let _nobody = stop_serving.send(true);
                };
                let last = async {
                    let ((), (), ()) = tokio::join!(drained, &mut webhook, async {
                        let _in_time = tokio::time::timeout(DRAIN + LAST_RECONCILES, &mut controllers).await;
                    });
                    marker.shutdown().await;
                };
                tokio::select! {
                    () = last => Ok(()),
                    () = &mut admin => Err(RunError::Ended("the admin server")),
                    Err(lost) = &mut lease => Err(RunError::LeaseLost(lost)),
                }
            }
            Err(error) => Err(error),
        }
    };
    leader.release().await;
    let _nobody = closing.send(true);
    if ended.is_ok() {
        admin.await;
    }
    ended
}

async fn told(mut stop: watch::Receiver<bool>) {
    // An error means that whoever could tell is gone.
    let _ = stop.wait_for(|stopping| *stopping).await;
}

fn client(config: Config, metrics: &Metrics) -> Result<Client, RunError> {
    let builder = ClientBuilder::try_from(config).map_err(|error| NoAccess::new(&error))?;
    Ok(builder.with_layer(&metrics.kubernetes_layer()).build())
}

async fn listen(flag: &'static str, address: std::net::SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).await.map_err(|error| RunError::Listen { flag, address, error })
}

fn leader(options: &RunOptions, client: &Client, own_namespace: &str, instance: &str) -> Leader {
    if !options.leader_election {
        return Leader::alone();
    }
    let [duration, renew_deadline, retry_period] = options.lease_times();
    let namespace = options.lease_namespace.clone().unwrap_or_else(|| own_namespace.to_owned());
    Leader::elected(client.clone(), &LeaseOptions { namespace, duration, renew_deadline, retry_period }, instance)
}

fn warn_about(options: &RunOptions) {
    match &options.webhook_base_url {
        Some(url) if url.scheme() == "http" => {
            tracing::warn!("--allow-http-callback: deliveries can be read on their way, use it for tests only");
        }
        Some(_) => {}
        None => {
            tracing::warn!("no --webhook-base-url: there is no webhook, and subscriptions in mode Push cannot work");
        }
    }
    if options.allow_custom_endpoints {
        tracing::warn!("--allow-custom-endpoints: who may write a CronofyApplication chooses where requests go");
    }
}

/// Waits until both kinds are installed and may be listed. A server without them is no reason to end: they may come.
async fn installed(client: &Client, scopes: &[Scope], kinds: &Component) -> Info {
    let mut told = String::new();
    loop {
        let why = match obstacle(client, scopes).await {
            None => match kubernetes::call(client.apiserver_version()).await {
                Ok(server) => {
                    kinds.ready(true);
                    return server;
                }
                Err(error) => error.to_string(),
            },
            Some(why) => why,
        };
        kinds.waits(why.clone());
        if why != told {
            tracing::warn!(cause = why, "the custom resources cannot be listed yet");
            told = why;
        }
        tokio::time::sleep(KINDS_CHECK).await;
    }
}

/// What stands in the way of listing both kinds, with the remedy.
async fn obstacle(client: &Client, scopes: &[Scope]) -> Option<String> {
    for scope in scopes {
        let found = match absent::<CalendarSubscription>(client, scope).await {
            None => absent::<CronofyApplication>(client, scope).await,
            found => found,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

async fn absent<K>(client: &Client, scope: &Scope) -> Option<String>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api: Api<K> = scope.api(client);
    let listed = kubernetes::call(api.list_metadata(&ListParams::default().limit(1))).await;
    let (error, plural) = (listed.err()?, K::plural(&()));
    Some(if error.is_not_found() {
        format!("{plural} are not installed: apply the CustomResourceDefinitions of this version")
    } else if error.is_forbidden() {
        format!("{plural} may not be listed {scope}: grant the operator's ServiceAccount the rights of the chart there")
    } else {
        format!("{plural} cannot be listed: {error}")
    })
}

/// What the webhook knows of applications: the caches of the controllers.
struct Known(Arc<Context>);

impl Applications for Known {
    fn credentials_secret(&self, namespace: &str, name: &str) -> Option<String> {
        let key = ApplicationKey { namespace: namespace.to_owned(), name: name.to_owned() };
        Some(self.0.application(&key)?.spec.credentials_secret_ref.name.clone())
    }

    fn allows(&self, namespace: &str, name: &str, from: &str) -> bool {
        if namespace == from {
            return true;
        }
        let key = ApplicationKey { namespace: namespace.to_owned(), name: name.to_owned() };
        let application = self.0.application(&key);
        let allowed = application.as_ref().and_then(|application| application.spec.allowed_namespaces.as_ref());
        match allowed.map(|allowed| allowed.from.unwrap_or_default()) {
            None | Some(NamespacesFrom::Same) => false,
            // A selector needs the namespace's labels, which is no matter for this path: the reconcile that a mark wakes
            // looks at them before it does anything.
            Some(NamespacesFrom::All | NamespacesFrom::Selector) => true,
        }
    }
}
