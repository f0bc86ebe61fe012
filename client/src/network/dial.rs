//! Opening a byte stream to an address: the one place that knows of sockets.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What connections are made of.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to the first address of `host` that accepts. The error says what each of them answered.
pub(crate) async fn dial(host: &str, port: u16) -> Result<Box<dyn Stream>, String> {
    let addresses: Vec<SocketAddr> = match tokio::net::lookup_host((host, port)).await {
        Ok(found) => found.collect(),
        Err(error) => return Err(format!("the name {host} cannot be resolved: {error}")),
    };
    let mut refusals = Vec::new();
    for address in addresses {
        match connect(address).await {
            Ok(stream) => return Ok(Box::new(stream)),
            Err(error) => refusals.push(format!("{address}: {error}")),
        }
    }
    if refusals.is_empty() { Err(format!("the name {host} has no address")) } else { Err(refusals.join("; ")) }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Requests are written whole: waiting for more to fill a packet only costs latency.
    stream.set_nodelay(true)?;
    Ok(stream)
}
