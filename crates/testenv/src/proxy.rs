//! Faults of the network between a client and the API server.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    thread::JoinHandle,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::{ControlPlane, Error};

/// Forwards TCP connections until told not to. Put one before the API server with [`Access::through`].
///
/// Knows nothing of TLS or HTTP. Runs on a thread of its own, so it works whatever the test's runtime is doing (and
/// whatever clock it has). Dropping it closes all connections.
///
/// [`Access::through`]: crate::Access::through
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    faults: watch::Sender<Faults>,
    thread: Option<JoinHandle<()>>,
}

/// Connections are numbered as they are accepted; a fault hits those below a number.
#[derive(Debug, Default)]
struct Faults {
    accepted: u64,
    cut_below: u64,
    stalled_below: u64,
    refuse: bool,
    closed: bool,
}

impl Proxy {
    /// Listens on a free loopback port and forwards to `target`.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no port or no thread.
    pub fn start(target: SocketAddr) -> Result<Self, Error> {
        let listener = StdListener::bind(("127.0.0.1", 0)).map_err(Error::io("listen for a proxy"))?;
        listener.set_nonblocking(true).map_err(Error::io("listen for a proxy"))?;
        let address = listener.local_addr().map_err(Error::io("listen for a proxy"))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(Error::io("make a runtime for a proxy"))?;
        let faults = watch::Sender::new(Faults::default());
        let commands = faults.clone();
        let thread = std::thread::Builder::new()
            .name("testenv-proxy".into())
            .spawn(move || {
                // Fails only if the runtime cannot take the listener; clients then find their connections closed.
                let _ = runtime.block_on(serve(listener, target, commands));
            })
            .map_err(Error::io("start a proxy's thread"))?;
        Ok(Self { address, faults, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were accepted so far, those refused at once included.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.faults.borrow().accepted
    }

    /// Closes all connections, and new ones at once, until [`Proxy::resume`].
    pub fn cut(&self) {
        self.faults.send_modify(|faults| {
            faults.cut_below = faults.accepted;
            faults.refuse = true;
        });
    }

    /// Closes all connections; new ones work.
    pub fn cut_existing(&self) {
        self.faults.send_modify(|faults| faults.cut_below = faults.accepted);
    }

    /// Keeps all connections open, also new ones, but passes nothing on, until [`Proxy::resume`].
    ///
    /// What was sent meanwhile arrives then.
    pub fn stall(&self) {
        self.faults.send_modify(|faults| faults.stalled_below = u64::MAX);
    }

    /// Passes nothing on any more on the connections of now, which stay open; new ones work. That is how a client
    /// sees a peer that vanished without a word.
    pub fn stall_existing(&self) {
        self.faults.send_modify(|faults| faults.stalled_below = faults.accepted);
    }

    /// Ends [`Proxy::cut`], [`Proxy::stall`] and [`Proxy::stall_existing`].
    pub fn resume(&self) {
        self.faults.send_modify(|faults| {
            faults.stalled_below = 0;
            faults.refuse = false;
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.faults.send_modify(|faults| faults.closed = true);
        if let Some(thread) = self.thread.take() {
            // An error is a panic in the thread, which has been reported there.
            let _ = thread.join();
        }
    }
}

impl ControlPlane {
    /// A proxy in front of this API server.
    ///
    /// # Errors
    /// As [`Proxy::start`].
    pub fn proxy(&self) -> Result<Proxy, Error> {
        Proxy::start(self.address())
    }
}

async fn serve(listener: StdListener, target: SocketAddr, faults: watch::Sender<Faults>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    let mut commands = faults.subscribe();
    loop {
        tokio::select! {
            _ = commands.wait_for(|faults| faults.closed) => return Ok(()),
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                // An accept that fails concerns that one connection.
                let Ok((client, _)) = accepted else { continue };
                let mut number = 0;
                let mut refuse = false;
                faults.send_modify(|faults| {
                    number = faults.accepted;
                    faults.accepted += 1;
                    refuse = faults.refuse;
                });
                if !refuse {
                    connections.spawn(forward(client, target, number, faults.subscribe()));
                }
            }
        }
    }
}

/// Ends with an error of either side, at the end of both, or when it is cut. Either way both sides are closed.
async fn forward(client: TcpStream, target: SocketAddr, number: u64, mut faults: watch::Receiver<Faults>) {
    let (to_server_faults, to_client_faults) = (faults.clone(), faults.clone());
    let pass = async {
        let server = TcpStream::connect(target).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = server.into_split();
        tokio::try_join!(
            pump(client_read, server_write, number, to_server_faults),
            pump(server_read, client_write, number, to_client_faults),
        )
        .map(drop)
    };
    tokio::select! {
        _ = faults.wait_for(|faults| number < faults.cut_below) => {}
        _ = pass => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    number: u64,
    mut faults: watch::Receiver<Faults>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        // After the read, so that a stall also holds back what arrives while it begins; and the end, too.
        faults.wait_for(|faults| faults.stalled_below <= number).await.map_err(io::Error::other)?;
        match buffer.get(..length) {
            None | Some([]) => return to.shutdown().await,
            Some(bytes) => to.write_all(bytes).await?,
        }
    }
}
