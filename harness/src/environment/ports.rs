//! Ports of the loopback for servers of ours.
//!
//! A server keeps its port while it is down, and other programs make connections meanwhile, whose own
//! ports the kernel draws from a range (`ip_local_port_range`), which begins above all of these.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use super::Unavailable;

/// From these they are drawn.
const PORTS: Range<u16> = 10_000..20_000;

/// So many are tried.
const TRIES: usize = 1000;

/// Ports that nobody listens on.
///
/// # Errors
/// Where there are none.
pub(crate) fn free<const N: usize>() -> Result<[u16; N], Unavailable> {
    let none = |error| Unavailable(format!("no free port on 127.0.0.1: {error}"));
    let mut listeners = Vec::new();
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..TRIES {
        if listeners.len() == N {
            break;
        }
        match TcpListener::bind((Ipv4Addr::LOCALHOST, fastrand::u16(PORTS))) {
            Ok(listener) => listeners.push(listener),
            Err(error) => last = error,
        }
    }
    let ports: io::Result<Vec<u16>> =
        listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect();
    <[u16; N]>::try_from(ports.map_err(none)?).map_err(|_| none(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_are_free_and_none_is_one_that_the_kernel_gives_away() {
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let kernels: u16 = range.split_whitespace().next().unwrap().parse().unwrap();

        let ports: [u16; 3] = free().unwrap();
        assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2]);
        for port in ports {
            assert!(PORTS.contains(&port) && port < kernels, "{port}");
            assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok(), "{port}");
        }
    }
}
