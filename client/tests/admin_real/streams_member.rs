//! A member of a streams group in a few bytes: StreamsGroupHeartbeat version 0 (KIP-1071). Kafka's tools have no such member.
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A text of a flexible version.
fn text(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len() + 1).unwrap());
    out.extend(text.bytes());
}

/// Epoch 0 joins, with a topology of one part that reads `topic`; -1 leaves.
fn heartbeat(group: &str, epoch: i32, topic: &str) -> Vec<u8> {
    let mut out = vec![0, 88, 0, 0, 0, 0, 0, 1, 0, 1, b's', 0];
    text(&mut out, group);
    text(&mut out, "member-1");
    out.extend(epoch.to_be_bytes());
    out.extend(0_i32.to_be_bytes());
    // No instance id, no rack.
    out.extend([0, 0]);
    out.extend(60_000_i32.to_be_bytes());
    if epoch < 0 {
        // No topology, no tasks, no process, no endpoint, tags or offsets; nothing is shut down.
        out.extend([0xff, 0, 0, 0, 0, 0xff, 0, 0, 0, 0, 0]);
        return out;
    }
    out.push(1);
    out.extend(1_i32.to_be_bytes());
    out.push(2);
    text(&mut out, "part-0");
    out.push(2);
    text(&mut out, topic);
    // No patterns, changelogs, repartition sinks and sources, nothing copartitioned; the ends of part and topology.
    out.extend([1, 1, 1, 1, 1, 0, 0]);
    // No tasks yet.
    out.extend([1, 1, 1]);
    text(&mut out, "process-1");
    out.extend([0xff, 1, 0, 0, 0, 0]);
    out
}

/// The code of the answer.
pub(crate) async fn beat(address: &str, group: &str, epoch: i32, topic: &str) -> i16 {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = heartbeat(group, epoch, topic);
    socket.write_all(&i32::try_from(request.len()).unwrap().to_be_bytes()).await.unwrap();
    socket.write_all(&request).await.unwrap();
    let mut answer = vec![0; usize::try_from(socket.read_i32().await.unwrap()).unwrap()];
    socket.read_exact(&mut answer).await.unwrap();
    // After the correlation id, no tags, and the throttle time.
    i16::from_be_bytes([answer[9], answer[10]])
}
