//! What a Service is in a cluster: one address, and whichever replica it leads to at the moment.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::operator::OperatorOptions;
use super::world::World;

/// A TCP address whose target can be changed. Connections that stand stay where they are.
pub struct Switch {
    address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
    _tasks: JoinSet<()>,
}

impl Switch {
    /// A switch that leads nowhere.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::<Mutex<Option<SocketAddr>>>::default();
        let mut tasks = JoinSet::new();
        let current = target.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let target = *current.lock().unwrap();
                connections.spawn(async move {
                    let Some(target) = target else { return };
                    let Ok(mut server) = TcpStream::connect(target).await else { return };
                    let _ended = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { address, target, _tasks: tasks }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections lead there.
    pub fn to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = Some(target);
    }
}

/// Options for operators behind one address, whichever of them is there.
pub async fn switched(world: &World) -> (Switch, OperatorOptions) {
    let switch = Switch::start().await;
    let mut options = world.operator_options().await;
    options.webhook_base_url = Some(format!("http://{}", switch.address()));
    (switch, options)
}
