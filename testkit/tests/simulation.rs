//! The simulated network does what its weather says, in virtual time.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests fail by panic")]

use std::time::Duration;

use ottla_testkit::{ApiKey, Broker, Simulation, Weather};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

/// ApiVersions version 0, correlation id 7, no client id.
const REQUEST: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];

async fn ask(weather: Weather) -> (Simulation, DuplexStream) {
    let simulation = Simulation::start(Broker::builder().nodes(2), 1).unwrap();
    simulation.set_weather(weather);
    let mut stream = simulation.connect("127.0.0.1:9093".parse().unwrap()).unwrap();
    stream.write_all(&REQUEST).await.unwrap();
    (simulation, stream)
}

#[tokio::test(start_paused = true)]
async fn latency_passes_in_virtual_time() {
    let (real, virtual_time) = (std::time::Instant::now(), Instant::now());
    let hour = Duration::from_secs(3600);
    let (_simulation, mut stream) = ask(Weather { latency: hour..=hour, ..Weather::fair() }).await;
    let length = stream.read_u32().await.unwrap();
    assert_eq!(stream.read_u32().await.unwrap(), 7, "the reply's correlation id");
    assert!(length > 100 && virtual_time.elapsed() >= 2 * hour && real.elapsed() < hour / 60);
}

#[tokio::test(start_paused = true)]
async fn a_stall_holds_the_reply_back() {
    let began = Instant::now();
    let stall_for = Duration::from_secs(45);
    let (_simulation, mut stream) = ask(Weather { stall: 1000, stall_for, ..Weather::fair() }).await;
    stream.read_u32().await.unwrap();
    assert!(began.elapsed() >= stall_for);
}

#[tokio::test(start_paused = true)]
async fn cuts_come_before_the_request_after_it_or_amid_the_reply() {
    let mut whole = Vec::new();
    let (_simulation, mut stream) = ask(Weather::fair()).await;
    let length = stream.read_u32().await.unwrap() as usize;
    whole.resize(length, 0);
    stream.read_exact(&mut whole).await.unwrap();

    let mut got = Vec::new();
    let (simulation, mut stream) = ask(Weather { cut_before: 1000, ..Weather::fair() }).await;
    assert_eq!(stream.read_to_end(&mut got).await.unwrap(), 0);
    assert_eq!(simulation.received(ApiKey::ApiVersions), 0);

    let (simulation, mut stream) = ask(Weather { cut_after: 1000, ..Weather::fair() }).await;
    assert_eq!(stream.read_to_end(&mut got).await.unwrap(), 0);
    assert_eq!(simulation.received(ApiKey::ApiVersions), 1);

    let (simulation, mut stream) = ask(Weather { cut_mid_reply: 1000, ..Weather::fair() }).await;
    assert_eq!(stream.read_to_end(&mut got).await.unwrap(), (length + 4) / 2);
    assert_eq!(simulation.received(ApiKey::ApiVersions), 1);
}

#[tokio::test(start_paused = true)]
async fn an_address_of_no_node_refuses() {
    let simulation = Simulation::start(Broker::builder(), 1).unwrap();
    let refused = simulation.connect("127.0.0.1:9093".parse().unwrap()).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test(start_paused = true)]
async fn a_killed_node_ends_its_connections_and_refuses_until_it_is_back() {
    let (simulation, mut stream) = ask(Weather::fair()).await;
    stream.read_u32().await.unwrap();
    assert!(simulation.kill_node(1) && !simulation.kill_node(1));
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    let address = "127.0.0.1:9093".parse().unwrap();
    assert_eq!(simulation.connect(address).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(simulation.restart_node(1) && !simulation.restart_node(1) && !simulation.restart_node(9));
    let mut stream = simulation.connect(address).unwrap();
    stream.write_all(&REQUEST).await.unwrap();
    stream.read_u32().await.unwrap();
}
