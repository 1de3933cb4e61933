//! Ports of the loopback for servers of ours.
//!
//! A server keeps its port while it is down, and other programs make connections meanwhile, whose own
//! ports the kernel draws from a range (`ip_local_port_range`). So a server's is drawn from below that.

use std::net::{Ipv4Addr, TcpListener};
use std::{fs, io};

use super::Unavailable;

/// Where servers' ports begin.
const FIRST: u16 = 10_000;

/// Where the kernel's range begins, where it does not say.
const KERNELS: u16 = 32_768;

/// So many are tried.
const TRIES: usize = 1000;

/// Ports that nobody listens on.
///
/// # Errors
/// Where there are none.
pub(crate) fn free<const N: usize>() -> Result<[u16; N], Unavailable> {
    let none = |error| Unavailable(format!("no free port on 127.0.0.1: {error}"));
    let below = kernels().filter(|below| *below > FIRST + 1000).unwrap_or(KERNELS);
    let mut listeners = Vec::new();
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..TRIES {
        if listeners.len() == N {
            break;
        }
        match TcpListener::bind((Ipv4Addr::LOCALHOST, fastrand::u16(FIRST..below))) {
            Ok(listener) => listeners.push(listener),
            Err(error) => last = error,
        }
    }
    let ports: io::Result<Vec<u16>> =
        listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect();
    <[u16; N]>::try_from(ports.map_err(none)?).map_err(|_| none(last))
}

/// The first port that the kernel gives to connections.
fn kernels() -> Option<u16> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    range.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_are_free_and_none_is_one_that_the_kernel_gives_away() {
        let ports: [u16; 3] = free().unwrap();
        assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2]);
        for port in ports {
            assert!((FIRST..kernels().unwrap_or(KERNELS)).contains(&port), "{port}");
            assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok(), "{port}");
        }
    }
}
