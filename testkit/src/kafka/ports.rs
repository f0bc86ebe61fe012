//! Ports for brokers.

use std::io;
use std::net::TcpListener;

/// Below the range that Linux gives to outgoing connections (`net.ipv4.ip_local_port_range`): there, a client that calls
/// for a broker that is down may get the broker's port as its own, connect to itself, and keep the broker from coming back.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// `count` different ports on which nothing listens now.
pub(super) fn free(count: usize) -> io::Result<Vec<u16>> {
    // All are held until all are chosen, so that none comes twice.
    let mut held = Vec::new();
    let mut failures = 0;
    while held.len() < count {
        let port = fastrand::u16(RANGE);
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(listener) => held.push((port, listener)),
            Err(error) if failures > 1000 => return Err(error),
            Err(_) => failures += 1,
        }
    }
    Ok(held.into_iter().map(|(port, _)| port).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn ports_are_different_and_free() {
        let mut ports = super::free(50).unwrap();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|&port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()));
    }
}
