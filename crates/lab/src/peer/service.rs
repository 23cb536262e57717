//! Threads behind a port, and the peers they saw.

use core::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::Segments;
use crate::error::Context;
use crate::stop::Stop;
use crate::{Host, Result};

/// A TCP or UDP service on a host.
#[derive(Debug)]
pub struct Service {
    address: SocketAddrV4,
    stop: Stop,
    state: Arc<State>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    seen: Mutex<Vec<SocketAddr>>,
    open: Mutex<BTreeMap<u64, TcpStream>>,
}

impl Service {
    /// Serves TCP connections, each on a thread of its own. An error of the handler ends its
    /// connection.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub fn tcp(
        host: &Host,
        port: u16,
        handler: impl Fn(TcpStream, SocketAddr) -> io::Result<()> + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = host.listen(port)?;
        let what = || format!("serving TCP on {host}");
        listener.set_nonblocking(true).context(what)?;
        let port = listener.local_addr().context(what)?.port();
        let (handler, state, stop) = (Arc::new(handler), Arc::new(State::default()), Stop::new()?);
        let (shared, told) = (Arc::clone(&state), stop.clone());
        let thread = thread::spawn(move || {
            let mut served = Vec::new();
            let mut number = 0;
            while told.wait_readable(&listener) {
                let Ok((stream, peer)) = listener.accept() else { continue };
                number += 1;
                lock(&shared.seen).push(peer);
                if let Ok(again) = stream.try_clone() {
                    lock(&shared.open).insert(number, again);
                }
                let (handler, shared) = (Arc::clone(&handler), Arc::clone(&shared));
                served.push(thread::spawn(move || {
                    // A peer that goes away is the peer's affair; the test sees what it sees.
                    let _ = stream.set_nonblocking(false).and_then(|()| handler(stream, peer));
                    lock(&shared.open).remove(&number);
                }));
                served.retain(|thread| !thread.is_finished());
            }
            for stream in lock(&shared.open).values() {
                let _ = stream.shutdown(Shutdown::Both);
            }
            for thread in served {
                let _ = thread.join();
            }
        });
        let address = SocketAddrV4::new(host.address(), port);
        Ok(Self { address, stop, state, thread: Some(thread) })
    }

    /// Answers UDP datagrams: what the handler returns is sent back.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub fn udp(
        host: &Host,
        port: u16,
        mut handler: impl FnMut(&[u8], SocketAddr) -> Option<Vec<u8>> + Send + 'static,
    ) -> Result<Self> {
        let socket = host.udp(port)?;
        let what = || format!("serving UDP on {host}");
        socket.set_nonblocking(true).context(what)?;
        let port = socket.local_addr().context(what)?.port();
        let (state, stop) = (Arc::new(State::default()), Stop::new()?);
        let (shared, told) = (Arc::clone(&state), stop.clone());
        let thread = thread::spawn(move || {
            let mut datagram = vec![0; 65536];
            while told.wait_readable(&socket) {
                // An error here is an ICMP message about an earlier answer.
                let Ok((length, peer)) = socket.recv_from(&mut datagram) else { continue };
                lock(&shared.seen).push(peer);
                if let Some(answer) = handler(&datagram[..length], peer) {
                    let _ = socket.send_to(&answer, peer);
                }
            }
        });
        let address = SocketAddrV4::new(host.address(), port);
        Ok(Self { address, stop, state, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// The peers that it saw: one entry for each connection or datagram, in order.
    #[must_use]
    pub fn seen(&self) -> Vec<SocketAddr> {
        lock(&self.state.seen).clone()
    }

    /// Whether all that it said on its connections has been acknowledged.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let quiet = |open: &TcpStream| Segments::of(open).is_ok_and(|s| s.unacknowledged == 0);
        lock(&self.state.open).values().all(quiet)
    }

    /// The addresses of its peers, each once, in order of appearance.
    #[must_use]
    pub fn seen_addresses(&self) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for peer in self.seen() {
            if !addresses.contains(&peer.ip()) {
                addresses.push(peer.ip());
            }
        }
        addresses
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.tell();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
