//! What tests begin with, and networks that a test holds in its hands.
#![allow(dead_code, reason = "not every test needs each of them")]
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use futures_util::future::{BoxFuture, FutureExt};
use ottla_client::{Client, ClientConfig, Dial, ProducerConfig, Stream};
use ottla_testkit::{Broker, Simulation};
use tokio::net::TcpStream;

/// The default settings with a change.
pub(crate) fn config(change: impl FnOnce(&mut ProducerConfig)) -> ProducerConfig {
    let mut config = ProducerConfig::default();
    change(&mut config);
    config
}

/// A client with default settings.
pub(crate) async fn client(broker: &Broker) -> Client {
    Client::connect(ClientConfig::new(&broker.bootstrap())).await.unwrap()
}

/// Names and where they lead now; other names are addresses.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<HashMap<String, SocketAddr>>);

impl Names {
    /// `host:port` leads to `address` from now on.
    pub(crate) fn set(&self, name: &str, address: &str) {
        self.0.lock().unwrap().insert(name.to_owned(), address.parse().unwrap());
    }
}

impl Dial for Names {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        let name = format!("{host}:{port}");
        let known = self.0.lock().unwrap().get(&name).copied();
        let found = known.map_or_else(|| name.parse().map_err(io::Error::other), Ok);
        std::future::ready(found.map(|address| vec![address])).boxed()
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        async move {
            let stream: Box<dyn Stream> = Box::new(TcpStream::connect(address).await?);
            Ok(stream)
        }
        .boxed()
    }
}

/// The brokers of a simulation.
#[derive(Debug)]
pub(crate) struct Pipes(pub(crate) Simulation);

impl Dial for Pipes {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        async move { format!("{host}:{port}").parse().map(|address| vec![address]).map_err(io::Error::other) }.boxed()
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        async move { self.0.connect(address).map(|pipe| Box::new(pipe) as Box<dyn Stream>) }.boxed()
    }
}
