//! A test as a new user writes it: ten lines, with nothing but the documentation of the embedded broker at hand. The
//! service under test is any Kafka client; here it only asks for the broker's versions, and asks again if it is cut off.

use ottla_testkit::{ApiKey, Broker};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn my_service_asks_again_when_it_is_cut_off() -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::builder().nodes(3).topic("orders", 6).start().await?;
    let cut = broker.on(ApiKey::ApiVersions).hang_up().times(2);

    let attempts = my_service(&broker.bootstrap()).await?;

    assert_eq!((attempts, cut.hits(), broker.received(ApiKey::ApiVersions)), (3, 2, 3));
    Ok(())
}

async fn my_service(bootstrap: &str) -> std::io::Result<u32> {
    let first = bootstrap.split(',').next().unwrap_or_default();
    for attempt in 1.. {
        let mut socket = TcpStream::connect(first).await?;
        socket.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff]).await?;
        if socket.read_i32().await.is_ok() {
            return Ok(attempt);
        }
    }
    unreachable!("the loop ends with an answer")
}
