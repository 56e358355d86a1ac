//! Ports that nobody else uses.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// Where to look for media ports: below the range from which the kernel gives out ports by itself.
const MEDIA_FIRST: u16 = 11_000;
const MEDIA_LAST: u16 = 19_000;

/// A port of `ip` on which nobody listens, neither UDP nor TCP.
pub(crate) fn free(ip: &str) -> u16 {
    for _ in 0..100 {
        let tcp = TcpListener::bind((ip, 0)).unwrap_or_else(|error| panic!("no port on {ip}: {error}"));
        let port = tcp.local_addr().expect("a bound socket has an address").port();
        if UdpSocket::bind((ip, port)).is_ok() {
            return port;
        }
    }
    panic!("no port of {ip} is free for both UDP and TCP");
}

/// `count` UDP ports in a row, the first of them even, on all of loopback.
pub(crate) fn block(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two runs beside each other begin at different places.
    let begin = (std::process::id() % 16) as u16 * 500;
    for _ in 0..200 {
        let step = NEXT.fetch_add(count + count % 2, Ordering::Relaxed);
        let first = MEDIA_FIRST + begin.wrapping_add(step) % (MEDIA_LAST - MEDIA_FIRST - count) / 2 * 2;
        if (first..first + count).all(|port| UdpSocket::bind(("0.0.0.0", port)).is_ok()) {
            return first;
        }
    }
    panic!("no {count} UDP ports in a row are free between {MEDIA_FIRST} and {MEDIA_LAST}");
}
