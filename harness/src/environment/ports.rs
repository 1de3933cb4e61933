//! Ports of the loopback for servers of ours.
//!
//! A server keeps its port while it is down, and other programs make connections meanwhile, whose own
//! ports the kernel draws from a range (`ip_local_port_range`), which begins above all of these. Another harness
//! on this machine draws from the same: each keeps a name for every port that it has, which the kernel gives to one
//! of them alone, and takes back when that ends however it ends.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use super::Unavailable;

/// From these they are drawn.
const PORTS: Range<u16> = 10_000..20_000;

/// So many are tried.
const TRIES: usize = 1000;

/// Keeps ports from other harnesses while servers that have them are down.
#[derive(Debug)]
pub(crate) struct Reserved(#[expect(dead_code, reason = "held, and never read")] Vec<UnixListener>);

/// Ports that nobody listens on, and that no other harness has while they are reserved.
///
/// # Errors
/// Where there are none.
pub(crate) fn free<const N: usize>() -> Result<([u16; N], Reserved), Unavailable> {
    let none = |error| Unavailable(format!("no free port on 127.0.0.1: {error}"));
    // Until all are drawn nobody else can take one.
    let (mut listeners, mut ports, mut names) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..TRIES {
        if ports.len() == N {
            break;
        }
        let port = fastrand::u16(PORTS);
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        match taken.and_then(|listener| Ok((listener, reserve(port)?))) {
            Ok((listener, name)) => {
                listeners.push(listener);
                ports.push(port);
                names.push(name);
            }
            Err(error) => last = error,
        }
    }
    let ports = <[u16; N]>::try_from(ports).map_err(|_| none(last))?;
    Ok((ports, Reserved(names)))
}

/// An abstract socket: it is no file, and is known where the ports are, in this space of network names.
fn reserve(port: u16) -> io::Result<UnixListener> {
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(format!("ttg-harness/port/{port}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_are_free_and_none_is_one_that_the_kernel_gives_away() {
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let kernels: u16 = range.split_whitespace().next().unwrap().parse().unwrap();

        let (ports, _reserved) = free::<3>().unwrap();
        assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2]);
        for port in ports {
            assert!(PORTS.contains(&port) && port < kernels, "{port}");
            assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok(), "{port}");
        }
    }
    #[test]
    fn a_port_is_nobody_elses_until_it_is_given_back() {
        let ([port], reserved) = free::<1>().unwrap();
        assert_eq!(reserve(port).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(reserved);
        assert!(reserve(port).is_ok());
    }
}
