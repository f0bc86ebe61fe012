//! \[I/O\] Connections through a link: two readers that cut streams into frames and decide, two writers that keep time.
#![allow(clippy::disallowed_methods, reason = "this file is the proxy's I/O: it reads the clock and spawns tasks")]

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::conditions::{Conditions, Direction};
use super::frames::{Rewrite, Splitter, reply_head, request_head};
use super::link::Link;
use super::rules::{Exchange, Rules, Verdict, lock};

/// How many frames may be under way in a direction.
const UNDER_WAY: usize = 1024;
/// With bounded bandwidth, bytes pass in pieces of this size.
const PIECE: usize = 4 << 10;

/// Accepts connections of a link until `stop`.
pub(super) async fn listen(
    listener: TcpListener,
    link: Arc<Link>,
    rules: Arc<Mutex<Rules>>,
    rewrite: Arc<Rewrite>,
    stop: CancellationToken,
) {
    loop {
        let client = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => client,
                Err(error) => {
                    tracing::warn!(%error, "proxy could not accept");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        if link.refuses() {
            continue;
        }
        let (link, rules, rewrite) = (link.clone(), rules.clone(), rewrite.clone());
        tokio::spawn(async move {
            link.connections.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = serve(client, &link, rules, rewrite).await {
                tracing::debug!(upstream = link.upstream(), %error, "connection through the proxy ended");
            }
            link.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn serve(client: TcpStream, link: &Link, rules: Arc<Mutex<Rules>>, rewrite: Arc<Rewrite>) -> io::Result<()> {
    let life = link.life();
    let broker = TcpStream::connect(link.upstream()).await?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let ((from_client, to_client), (from_broker, to_broker)) = (client.into_split(), broker.into_split());
    let connection = Connection {
        link,
        rules,
        rewrite,
        exchange: Mutex::default(),
        silenced: watch::Sender::new(false),
        life: life.clone(),
    };
    let (requests, requests_due) = mpsc::channel(UNDER_WAY);
    let (replies, replies_due) = mpsc::channel(UNDER_WAY);
    let all = async {
        tokio::try_join!(
            connection.read(from_client, Direction::ToBroker, requests),
            connection.read(from_broker, Direction::ToClient, replies),
            connection.write(to_broker, Direction::ToBroker, requests_due),
            connection.write(to_client, Direction::ToClient, replies_due),
        )
    };
    tokio::select! {
        () = life.cancelled() => Ok(()),
        ended = all => ended.map(drop),
    }
}

/// What a writer gets from the reader of its direction.
enum Item {
    Bytes(Instant, Bytes),
    /// Both sides are closed.
    Cut(Instant),
    /// The sender has closed its side.
    End,
}

struct Connection<'a> {
    link: &'a Link,
    rules: Arc<Mutex<Rules>>,
    rewrite: Arc<Rewrite>,
    exchange: Mutex<Exchange>,
    /// A rule has ended all traffic.
    silenced: watch::Sender<bool>,
    life: CancellationToken,
}

impl Connection<'_> {
    async fn read(&self, mut from: OwnedReadHalf, direction: Direction, to: mpsc::Sender<Item>) -> io::Result<()> {
        let conditions = self.link.watch(direction);
        let mut splitter = Splitter::default();
        let mut due = Instant::now();
        loop {
            while let Some(frame) = splitter.next() {
                let delay = self.link.delay(&conditions.borrow());
                due = due.max(Instant::now() + delay);
                let (frame, verdict) = self.judge(&splitter, direction, frame);
                if let Verdict::ForwardAfter(delay) = verdict {
                    due += delay;
                }
                if !self.pass(&to, due, frame, verdict).await? {
                    return Ok(());
                }
            }
            if from.read_buf(splitter.buffer()).await? == 0 {
                send(&to, Item::Bytes(due, splitter.rest())).await?;
                return send(&to, Item::End).await;
            }
        }
    }

    /// What happens to a frame; addresses in replies are changed here.
    fn judge(&self, splitter: &Splitter, direction: Direction, mut frame: BytesMut) -> (BytesMut, Verdict) {
        if splitter.is_opaque() {
            return (frame, Verdict::Forward);
        }
        let (mut exchange, mut rules) = (lock(&self.exchange), lock(&self.rules));
        let verdict = if direction == Direction::ToBroker {
            request_head(&frame).map(|head| exchange.request(&mut rules, self.link.index(), head, frame.len()))
        } else {
            reply_head(&frame).map(|correlation_id| {
                let (api, verdict) = exchange.reply(&mut rules, correlation_id, frame.len());
                if let Some(api) = api {
                    self.rewrite.apply(api, &mut frame);
                }
                verdict
            })
        };
        (frame, verdict.unwrap_or(Verdict::Forward))
    }

    /// Carries out a verdict; false = nothing more passes in this direction.
    async fn pass(
        &self,
        to: &mpsc::Sender<Item>,
        due: Instant,
        mut frame: BytesMut,
        verdict: Verdict,
    ) -> io::Result<bool> {
        match verdict {
            Verdict::Forward | Verdict::ForwardAfter(_) => {}
            Verdict::Flip(at, mask) => {
                if let Some(byte) = frame.get_mut(at) {
                    *byte ^= mask;
                }
            }
            Verdict::CutAfter(length) => {
                send(to, Item::Bytes(due, frame.split_to(length).freeze())).await?;
                send(to, Item::Cut(due)).await?;
                return Ok(false);
            }
            Verdict::Silence => {
                self.silenced.send_replace(true);
                return Ok(true);
            }
        }
        send(to, Item::Bytes(due, frame.freeze())).await?;
        Ok(true)
    }

    async fn write(
        &self,
        mut to: OwnedWriteHalf,
        direction: Direction,
        mut from: mpsc::Receiver<Item>,
    ) -> io::Result<()> {
        let mut conditions = self.link.watch(direction);
        let mut silenced = self.silenced.subscribe();
        while let Some(item) = from.recv().await {
            if let Item::Bytes(due, _) | Item::Cut(due) = &item {
                tokio::time::sleep_until((*due).into()).await;
            }
            // The senders live as long as this connection: waiting can't fail.
            let _ = silenced.wait_for(|silenced| !silenced).await;
            let _ = conditions.wait_for(|conditions| !conditions.silent).await;
            match item {
                Item::Bytes(_, bytes) => write_in_time(&mut to, &bytes, &conditions).await?,
                Item::Cut(_) => self.life.cancel(),
                Item::End => to.shutdown().await?,
            }
        }
        Ok(())
    }
}

async fn send(to: &mpsc::Sender<Item>, item: Item) -> io::Result<()> {
    to.send(item).await.map_err(|_| io::Error::other("the other side is closed"))
}

async fn write_in_time(
    to: &mut OwnedWriteHalf,
    bytes: &[u8],
    conditions: &watch::Receiver<Conditions>,
) -> io::Result<()> {
    if conditions.borrow().bandwidth.is_none() {
        return to.write_all(bytes).await;
    }
    for piece in bytes.chunks(PIECE) {
        let pause = conditions.borrow().transfer(piece.len());
        tokio::time::sleep(pause).await;
        to.write_all(piece).await?;
    }
    Ok(())
}
