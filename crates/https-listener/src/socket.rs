//! The socket that connections come in by.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// Connections that wait in the kernel's queue.
const QUEUE: u32 = 1024;

/// Listens there. The kernel keeps about `send_buffer` bytes of an answer for a client that does not take it, twice as much with
/// what it needs for itself; by itself it would go up to some megabytes for each.
///
/// # Errors
/// If the address cannot be listened on.
pub fn listen(address: SocketAddr, send_buffer: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Connections inherit it.
    socket.set_send_buffer_size(send_buffer)?;
    socket.bind(address)?;
    socket.listen(QUEUE)
}
