//! Free loopback ports.

use std::{net::TcpListener, ops::Range};

use crate::Error;

/// Below the range from which Linux and macOS give ports to outgoing connections and to listeners that ask for
/// any. So nobody gets one of ours by chance, neither before its server binds it nor while that server restarts.
const RANGE: Range<u16> = 20_000..32_000;

const ATTEMPTS: usize = 200;

/// `N` different ports that were free a moment ago. Another program may still be faster: the caller tries again
/// if a server finds its port taken.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N], Error> {
    // All are held until all are found, so that they differ.
    let mut held = Vec::with_capacity(N);
    for _ in 0..ATTEMPTS {
        if held.len() == N {
            break;
        }
        let port = fastrand::u16(RANGE);
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            held.push((port, listener));
        }
    }
    let ports: Vec<u16> = held.iter().map(|(port, _)| *port).collect();
    ports.try_into().map_err(|_| Error::Io {
        action: format!("find {N} free loopback ports in {RANGE:?}"),
        source: std::io::ErrorKind::AddrInUse.into(),
    })
}
