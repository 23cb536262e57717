//! What several of these scenarios do: small questions with little patience, and answers as text, so that a
//! scenario can ask many and say everything that is wrong.

use core::fmt::Debug;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::net::UdpSocket;
use std::sync::Arc;
use std::{io, thread};

use masq_lab::{Gateway, Host, Lab, Result, SOON, peer, wait_until};

use crate::datagrams::throw;

/// Nothing, or what is wrong.
pub(crate) type Outcome = core::result::Result<(), String>;

/// How long an answer may take that comes at once when it comes.
pub(crate) fn patience() -> Duration {
    SOON.allowed() / 10
}

/// Every request of a ping is answered. One that has had answers waits for others twice as long as those took,
/// which is too short on a busy machine: such a one gets another try.
pub(crate) fn pings(host: &Host, to: Ipv4Addr, arguments: &[&str]) -> Outcome {
    let quick = [&["-c3", "-i", "0.01"], arguments].concat();
    let mut ping = peer::ping(host, to, &quick).map_err(told)?;
    if (1..ping.sent).contains(&ping.received) {
        ping = peer::ping(host, to, &quick).map_err(told)?;
    }
    if ping.received == ping.sent {
        return Ok(());
    }
    Err(format!("{host} pings {to} with {quick:?}: {} of {}", ping.received, ping.sent))
}

/// A datagram from a port of a host is answered by an echo service.
pub(crate) fn asks(host: &Host, port: u16, to: SocketAddrV4, octets: usize) -> Outcome {
    asks_on(&host.udp(port).map_err(told)?, to, octets)
        .map_err(|error| format!("{host} asks {to} from port {port}: {error}"))
}

/// The same on a socket that exists.
pub(crate) fn asks_on(socket: &UdpSocket, to: SocketAddrV4, octets: usize) -> Outcome {
    socket.set_read_timeout(Some(patience() / 2)).map_err(told)?;
    let question = vec![7; octets];
    let mut answer = vec![0; octets + 1];
    for _ in 0..2 {
        socket.send_to(&question, to).map_err(told)?;
        loop {
            match socket.recv_from(&mut answer) {
                Ok((_, from)) if from != to.into() => return Err(format!("{from} answered")),
                Ok((length, _)) if length == octets => return Ok(()),
                // The answer to an earlier question.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(told(error)),
            }
        }
    }
    Err(format!("no answer to {octets} octets"))
}

/// A conversation over TCP.
pub(crate) fn converses(host: &Host, to: SocketAddrV4) -> Outcome {
    let stream = host.connect_within(to, patience() * 2).map_err(told)?;
    stream.set_read_timeout(Some(patience() * 2)).map_err(told)?;
    peer::Shell::on(stream).and_then(|mut shell| shell.say("hello")).map_err(told)?;
    Ok(())
}

/// A conversation over TCP from a port that was chosen.
pub(crate) fn converses_from(host: &Host, port: u16, to: SocketAddrV4) -> Outcome {
    let stream = host.connect_from(port, to).map_err(told)?;
    peer::Shell::on(stream).and_then(|mut shell| shell.say("hello")).map_err(told)?;
    Ok(())
}

/// An error as text.
pub(crate) fn told(error: impl core::fmt::Display) -> String {
    error.to_string()
}

/// Fails with everything that is wrong, if anything is.
pub(crate) fn all_well(outcomes: impl IntoIterator<Item = (String, Outcome)>) {
    let wrong: Vec<String> = outcomes
        .into_iter()
        .filter_map(|(what, outcome)| Some(format!("{what}: {}", outcome.err()?)))
        .collect();
    assert!(wrong.is_empty(), "{} things are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Something is true, and if not, what it is instead.
pub(crate) fn is<T: PartialEq + Debug>(found: T, wanted: T) -> Outcome {
    if found == wanted { Ok(()) } else { Err(format!("{found:?} instead of {wanted:?}")) }
}

/// How many packets the program under test says that it has dropped.
pub(crate) fn dropped(gateway: &Gateway) -> u64 {
    let daemon = gateway.daemon().expect("this gateway is a daemon");
    let stats = daemon.ask(&["stats", "--json"]).unwrap();
    let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
    let drops = stats["drops"].as_array().into_iter().flatten();
    drops.map(|drop| drop["packets"].as_u64().unwrap()).sum()
}

/// Has the gateway's kernel forward what comes to it, as Docker and others do.
pub(crate) fn switch_forwarding_on(lab: &Lab) -> Result<()> {
    lab.gateway.namespace().set_sysctl("net.ipv4.ip_forward", "1")
}

/// Datagrams from a host to nobody in particular, thousands a second, until it is dropped.
#[derive(Debug)]
pub(crate) struct Flood {
    over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Flood {
    pub(crate) fn start(host: &Host, to: SocketAddrV4) -> Result<Self> {
        let socket = host.udp(0)?;
        let (over, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (told, counted) = (Arc::clone(&over), Arc::clone(&sent));
        let thread = thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                throw(&socket, to, b"flood");
                counted.fetch_add(1, Ordering::Relaxed);
                // The rate, not a wait for anything.
                thread::sleep(Duration::from_micros(100));
            }
        });
        Ok(Self { over, sent, thread: Some(thread) })
    }

    /// Waits until so many more have been sent.
    pub(crate) fn go_on(&self, datagrams: u64) -> Result<()> {
        let before = self.sent.load(Ordering::Relaxed);
        wait_until(format!("{datagrams} more datagrams have been sent"), SOON, || {
            self.sent.load(Ordering::Relaxed) - before >= datagrams
        })
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
