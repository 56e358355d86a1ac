//! The cheapest honest forwarder, beside which the gateway is measured: a socket for each stream, epoll, one
//! read and one write for each packet, and nothing else. A process of its own, so that its processor time is
//! read in the same way as the gateway's.

use std::env;
use std::io::{BufRead as _, BufReader, Read as _, Write as _, stdin, stdout};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::gateway::{Cpu, Pinning};

/// Ready sockets taken in one wake-up.
const READY_MAX: usize = 1_024;

/// A running forwarder. It ends with the value.
pub(crate) struct Floor {
    process: Child,
    /// Where the stream to each listener goes in.
    pub(crate) entries: Vec<SocketAddr>,
}

impl Floor {
    /// Starts a forwarder with a stream to each of `listeners`.
    pub(crate) fn start(cpu: Pinning, listeners: &[SocketAddr]) -> Floor {
        let own = env::current_exe().expect("a program knows where it is");
        let mut command = Command::new(own);
        command.arg("forward").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = cpu.spawn(&mut command);
        let mut input = process.stdin.take().expect("its input is a pipe");
        writeln!(input, "{}", join(listeners.iter().map(SocketAddr::port))).expect("it reads where to");
        // Its input stays open as long as we live: at its end the forwarder ends, too.
        process.stdin = Some(input);
        let mut line = String::new();
        let output = process.stdout.as_mut().expect("its output is a pipe");
        BufReader::new(output).read_line(&mut line).expect("it says where it listens");
        let entries: Vec<SocketAddr> = ports(&line);
        assert_eq!(entries.len(), listeners.len(), "a stream to each listener");
        Floor { process, entries }
    }

    /// Processor time it has used so far.
    pub(crate) fn cpu(&self) -> Cpu {
        Cpu::of(self.process.id())
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to stop.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The forwarder itself: reads the ports of the listeners, says its own, and forwards until its input ends.
pub(crate) fn forward() -> ! {
    let mut line = String::new();
    stdin().read_line(&mut line).expect("the harness says where to");
    let listeners: Vec<SocketAddr> = ports(&line);
    let sockets: Vec<UdpSocket> = listeners
        .iter()
        .map(|_| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a port");
            socket.set_nonblocking(true).expect("a socket can be made non-blocking");
            socket
        })
        .collect();
    let own = sockets.iter().map(|socket| socket.local_addr().map_or(0, |own| own.port()));
    println!("{}", join(own));
    stdout().flush().expect("the harness reads our ports");
    thread::spawn(|| {
        // The harness writes nothing more; what comes is its end.
        let _ = stdin().read(&mut [0]);
        std::process::exit(0);
    });

    let epoll = epoll::create(CreateFlags::CLOEXEC).expect("the kernel has epoll");
    for (index, socket) in sockets.iter().enumerate() {
        epoll::add(&epoll, socket, EventData::new_u64(index as u64), EventFlags::IN)
            .expect("a socket can be waited for");
    }
    let mut ready = [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; READY_MAX];
    let mut packet = [0; 2_048];
    loop {
        let count = epoll::wait(&epoll, &mut ready, None).unwrap_or(0);
        for event in &ready[..count] {
            let index = event.data.u64() as usize;
            if let Ok(length) = sockets[index].recv(&mut packet) {
                // What the kernel does not take is lost, as on a network.
                let _ = sockets[index].send_to(&packet[..length], listeners[index]);
            }
        }
    }
}

fn join(ports: impl Iterator<Item = u16>) -> String {
    ports.map(|port| port.to_string()).collect::<Vec<_>>().join(" ")
}

fn ports(line: &str) -> Vec<SocketAddr> {
    let ports = line.split_whitespace().filter_map(|port| port.parse().ok());
    ports.map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).collect()
}
