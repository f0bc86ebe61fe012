//! Opening a byte stream to a broker: the one place that knows of sockets.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};

#[cfg(feature = "tls")]
use super::tls;
use super::tls::Tls;

/// What connections are made of.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How brokers are reached. Replace it ([`ClientConfig::dial`](crate::ClientConfig::dial)) to go through a proxy, to
/// resolve names in a way of your own, or to test without a network. TLS and SASL come on top.
pub trait Dial: Debug + Send + Sync {
    /// The addresses of `host`, the one to try first in front. It is asked again when none of them could be reached, and
    /// when a connection was lost.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;

    /// The name that an address leads back to, for `client.dns.lookup=resolve_canonical_bootstrap_servers_only`. Default:
    /// the address in words, which is what a name service says of an address it does not know.
    fn canonical_name(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<String>> {
        std::future::ready(Ok(address.ip().to_string())).boxed()
    }

    /// A stream to one of them.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>>;
}

/// TCP, and the system's resolver.
#[derive(Debug)]
pub(crate) struct Tcp {
    /// `send.buffer.bytes`, `receive.buffer.bytes`; `None`: the system's.
    pub(crate) send_buffer: Option<u32>,
    pub(crate) receive_buffer: Option<u32>,
}

impl Dial for Tcp {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        async move { tokio::net::lookup_host((host, port)).await.map(Iterator::collect) }.boxed()
    }

    fn canonical_name(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<String>> {
        // The system's resolver blocks.
        let looking_up = tokio::task::spawn_blocking(move || dns_lookup::lookup_addr(&address.ip()));
        async move { Ok(looking_up.await.map_err(io::Error::other)??) }.boxed()
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        async move {
            let stream: Box<dyn Stream> = Box::new(self.tcp(address).await?);
            Ok(stream)
        }
        .boxed()
    }
}

impl Tcp {
    fn socket(&self, address: SocketAddr) -> io::Result<TcpSocket> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(size) = self.send_buffer {
            socket.set_send_buffer_size(size)?;
        }
        if let Some(size) = self.receive_buffer {
            socket.set_recv_buffer_size(size)?;
        }
        Ok(socket)
    }

    async fn tcp(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let stream = self.socket(address)?.connect(address).await?;
        // Requests are written whole: waiting for more to fill a packet only costs latency.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Encrypts a stream. The error says what to do.
#[cfg(feature = "tls")]
pub(crate) async fn secure(tls: &Tls, stream: Box<dyn Stream>, host: &str) -> Result<Box<dyn Stream>, String> {
    let connector = tokio_rustls::TlsConnector::from(tls.config());
    match connector.connect(tls::server_name(host)?, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(tls.explain(&error, host).unwrap_or_else(|| {
            format!(
                "it ended the connection during the TLS handshake ({error}): the port may not speak TLS \
                 (security.protocol), or it may want a client certificate (ssl.keystore.location)"
            )
        })),
    }
}

#[cfg(not(feature = "tls"))]
pub(crate) async fn secure(tls: &Tls, _stream: Box<dyn Stream>, _host: &str) -> Result<Box<dyn Stream>, String> {
    match *tls {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_has_the_buffers_that_are_asked_for() {
        let sizes = |send_buffer, receive_buffer| {
            let socket = Tcp { send_buffer, receive_buffer }.socket(SocketAddr::from(([127, 0, 0, 1], 1))).unwrap();
            (socket.send_buffer_size().unwrap(), socket.recv_buffer_size().unwrap())
        };
        let (send, receive) = sizes(None, None);
        let (small_send, small_receive) = sizes(Some(50_000), Some(50_000));
        // Linux takes twice as much, for its own books.
        assert!((50_000..=100_000).contains(&small_send) && (50_000..=100_000).contains(&small_receive));
        assert!(small_send != send && small_receive != receive);
    }

    #[tokio::test]
    async fn an_address_leads_back_to_its_name() {
        let dial = Tcp { send_buffer: None, receive_buffer: None };
        assert!(dial.canonical_name(SocketAddr::from(([127, 0, 0, 1], 9092))).await.unwrap().starts_with("localhost"));
    }
}
