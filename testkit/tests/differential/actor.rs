//! Who carries out a script: its connections, and what its names stand for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, ResponseHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Request, StrBytes};
use uuid::Uuid;

use super::script::Command;
use super::wire::Client;
use super::{groups, records, topics, transactions};

/// A leader that does not know of its partition yet, a coordinator that loads or is not there yet, a transaction whose
/// markers are being written: a real broker says so for a moment, and a client asks again.
const PASSING: [i16; 5] = [6, 14, 15, 16, 51];
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer as a script sees it.
pub(crate) struct Answer {
    pub(crate) codes: Vec<i16>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn new(code: i16, more: impl Into<String>) -> Self {
        Self { codes: vec![code], text: more.into() }
    }

    pub(crate) fn closed() -> Self {
        Self { codes: Vec::new(), text: "closed".to_owned() }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

#[derive(Default)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) generation: i32,
}

pub(crate) struct Actor {
    address: String,
    prefix: String,
    clients: HashMap<String, Client>,
    pub(crate) producers: HashMap<String, Producer>,
    pub(crate) members: HashMap<String, Member>,
    pub(crate) topics: HashMap<String, Uuid>,
    /// Producer ids in the order of their appearance: brokers give different ones.
    ids: Vec<i64>,
}

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl Actor {
    pub(crate) async fn new(address: &str, index: usize) -> Self {
        Self {
            address: address.to_owned(),
            prefix: format!("d{index}"),
            clients: HashMap::new(),
            producers: HashMap::new(),
            members: HashMap::new(),
            topics: HashMap::new(),
            ids: Vec::new(),
        }
    }

    /// A name of the script in the broker: none of another script. Odd names stay as they are.
    pub(crate) fn name(&self, name: &str) -> String {
        match name {
            "empty" => String::new(),
            name if name.starts_with("__") || !name.starts_with(char::is_alphabetic) => name.to_owned(),
            name => format!("{}-{name}", self.prefix),
        }
    }

    pub(crate) fn topic(&self, name: &str) -> TopicName {
        TopicName(StrBytes::from_string(self.name(name)))
    }

    /// A producer of the script; one that was refused has an id that no broker gave.
    pub(crate) fn producer(&self, name: &str) -> Producer {
        self.producers.get(name).copied().unwrap_or(Producer { id: 987_654, epoch: 0 })
    }

    pub(crate) fn topic_id(&self, name: &str) -> Uuid {
        self.topics.get(name).copied().unwrap_or(Uuid::from_u128(0xffff))
    }

    /// A producer id as scripts see it.
    pub(crate) fn symbol(&mut self, id: i64) -> String {
        if id < 0 {
            return id.to_string();
        }
        let index = self.ids.iter().position(|known| *known == id).unwrap_or_else(|| {
            self.ids.push(id);
            self.ids.len() - 1
        });
        format!("#{index}")
    }

    pub(crate) async fn client(&mut self, name: &str) -> &mut Client {
        if !self.clients.contains_key(name) {
            let client = Client::connect(&self.address).await;
            self.clients.insert(name.to_owned(), client);
        }
        self.clients.get_mut(name).unwrap()
    }

    /// Asks on the connection of this name; `None` = the broker closed it.
    pub(crate) async fn ask_as<R: Request>(&mut self, who: &str, version: i16, request: &R) -> Option<R::Response> {
        self.client(who).await.send(version, request).await;
        self.answer::<R>(who, version).await
    }

    pub(crate) async fn ask<R: Request>(&mut self, version: i16, request: &R) -> Option<R::Response> {
        self.ask_as("main", version, request).await
    }

    pub(crate) async fn answer<R: Request>(&mut self, who: &str, version: i16) -> Option<R::Response> {
        let Some(frame) = self.client(who).await.receive_raw().await else {
            self.clients.remove(who);
            return None;
        };
        let mut frame: Bytes = frame;
        let api = ApiKey::try_from(R::KEY).unwrap();
        ResponseHeader::decode(&mut frame, api.response_header_version(version)).unwrap();
        Some(R::Response::decode(&mut frame, version).unwrap())
    }

    /// Carries out a command, again while the answer is a passing one or not the one that is waited for.
    pub(crate) async fn carry_out(&mut self, command: &Command) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.run(command).await;
            let codes: Vec<_> = answer.codes.iter().map(ToString::to_string).collect();
            let said = format!("{} {}", codes.join(","), answer.text).trim().to_owned();
            let passing = answer.codes.iter().any(|code| PASSING.contains(code))
                || command.option("until").is_some_and(|wanted| !said.contains(wanted));
            if !passing {
                return if command.has("await") { String::new() } else { said };
            }
            assert!(Instant::now() < deadline, "`{}` still {said} after {PATIENCE:?}", command.text);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn run(&mut self, command: &Command) -> Answer {
        match command.word(0) {
            "topic" => topics::create(self, command).await,
            "delete" => topics::delete(self, command).await,
            "grow" => topics::grow(self, command).await,
            "trim" => topics::trim(self, command).await,
            "meta" => topics::describe(self, command).await,
            "config" => topics::config(self, command).await,
            "epoch" => topics::epoch(self, command).await,
            "send" => records::send(self, command).await,
            "read" => records::read(self, command).await,
            "ends" => records::ends(self, command).await,
            "init" => transactions::init(self, command).await,
            "add" => transactions::add(self, command).await,
            "addoff" => transactions::add_offsets(self, command).await,
            "txncommit" => transactions::commit_offsets(self, command).await,
            "end" => transactions::end(self, command).await,
            "txn" => transactions::describe(self, command).await,
            "producers" => transactions::producers(self, command).await,
            "coord" => groups::coordinator(self, command).await,
            "join" => groups::join(self, command).await,
            "joined" => groups::joined(self, command).await,
            "sync" => groups::sync(self, command).await,
            "synced" => groups::synced(self, command).await,
            "beat" => groups::heartbeat(self, command).await,
            "leave" => groups::leave(self, command).await,
            "commit" => groups::commit(self, command).await,
            "offset" => groups::offset(self, command).await,
            "group" => groups::describe(self, command).await,
            "cgbeat" => groups::consumer_heartbeat(self, command).await,
            other => panic!("no such command: {other}"),
        }
    }
}
