//! Datagrams with numbers, both ways at a steady rate: whether each arrives, and in order.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::net::UdpSocket;
use std::sync::{Arc, OnceLock};
use std::{io, thread};

use crate::deadline::{SOON, wait_until};
use crate::error::Context;
use crate::{Error, Host, Result};

/// A conversation of an inside host and a remote in numbered datagrams.
///
/// They come in bursts, each of which arrives before the next is sent. So none is lost to a buffer that a
/// busy machine did not empty in time; and the flow pauses, as nearly every flow does. One that never
/// does may be reordered once when the fast path takes it over.
#[derive(Debug)]
pub struct Numbered {
    directions: [Arc<Direction>; 2],
    senders: Threads,
    receivers: Threads,
}

/// Threads that work until they are told to stop.
#[derive(Debug, Default)]
struct Threads {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Direction {
    sent: AtomicU64,
    received: AtomicU64,
    /// Datagrams that came, but not after the one before.
    misplaced: AtomicU64,
    /// The first of them, and what was awaited.
    first: OnceLock<[u64; 2]>,
}

impl Numbered {
    /// Begins it, nearly 20,000 datagrams a second each way.
    ///
    /// # Errors
    ///
    /// When the remote does not hear of the inside host.
    pub fn start(inside: &Host, remote: &Host, port: u16) -> Result<Self> {
        let what = || format!("numbered datagrams between {inside} and {remote}");
        let (near, far) = (inside.udp(0)?, remote.udp(port)?);
        near.connect((remote.address(), port)).context(what)?;
        near.send(b"hello").context(what)?;
        let (_, peer) = super::udp_receive(&far, &mut [0; 8])?;
        far.connect(peer).context(what)?;

        let directions = [Arc::<Direction>::default(), Arc::default()];
        let (mut senders, mut receivers) = (Threads::default(), Threads::default());
        for (direction, (from, to)) in directions.iter().zip([(&near, &far), (&far, &near)]) {
            let (from, to) = (from.try_clone().context(what)?, to.try_clone().context(what)?);
            to.set_read_timeout(Some(Duration::from_millis(50))).context(what)?;
            let (sending, receiving) = (Arc::clone(direction), Arc::clone(direction));
            senders.spawn(move |stop| sending.send(&from, stop));
            receivers.spawn(move |stop| receiving.receive(&to, stop));
        }
        Ok(Self { directions, senders, receivers })
    }

    /// Waits until so many more have arrived each way.
    ///
    /// # Errors
    ///
    /// When they do not, as after one was lost, or when one came before an earlier one.
    pub fn go_on(&self, datagrams: u64) -> Result<()> {
        let received =
            || self.directions.each_ref().map(|way| way.received.load(Ordering::Relaxed));
        let before = received();
        let what = format!("{datagrams} more datagrams have arrived each way");
        let arrived = wait_until(what, SOON, || {
            received().iter().zip(before).all(|(now, before)| now - before >= datagrams)
        });
        arrived.and_then(|()| self.in_order()).map_err(|error| self.explained(error))
    }

    /// Ends it when all have arrived; says how many there were each way.
    ///
    /// # Errors
    ///
    /// When one was lost, or came before one that had been sent earlier.
    pub fn finish(mut self) -> Result<[u64; 2]> {
        self.senders.join();
        let all = || self.directions.iter().all(|way| way.has_all());
        wait_until("every datagram has arrived", SOON, all)
            .map_err(|error| self.explained(error))?;
        self.receivers.join();
        self.in_order().map_err(|error| self.explained(error))?;
        Ok(self.directions.each_ref().map(|way| way.received.load(Ordering::Relaxed)))
    }

    fn in_order(&self) -> Result<()> {
        if self.directions.iter().all(|way| way.misplaced.load(Ordering::Relaxed) == 0) {
            return Ok(());
        }
        Err(Error::Mismatch {
            what: "order of datagrams".to_owned(),
            expected: "each after the one before".to_owned(),
            got: "another".to_owned(),
        })
    }

    fn explained(&self, error: Error) -> Error {
        Error::Mismatch {
            what: "numbered datagrams out, and in".to_owned(),
            expected: "all of them in order".to_owned(),
            got: format!("{error}\n{:?}", self.directions),
        }
    }
}

impl Drop for Numbered {
    fn drop(&mut self) {
        self.senders.join();
        self.receivers.join();
    }
}

impl Threads {
    fn spawn(&mut self, work: impl FnOnce(&AtomicBool) + Send + 'static) {
        let stop = Arc::clone(&self.stop);
        self.threads.push(thread::spawn(move || work(&stop)));
    }

    fn join(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Direction {
    fn send(&self, socket: &UdpSocket, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            if self.has_all() {
                for _ in 0..BURST {
                    // Counted first, so that it never arrives before it was sent.
                    let number = self.sent.fetch_add(1, Ordering::Relaxed);
                    if socket.send(&number.to_be_bytes()).is_err() {
                        return;
                    }
                }
            }
            // The rate, not a wait for anything.
            thread::sleep(PAUSE);
        }
    }

    fn receive(&self, socket: &UdpSocket, stop: &AtomicBool) {
        let mut next = 0;
        let mut datagram = [0; 16];
        while !stop.load(Ordering::Relaxed) {
            match socket.recv(&mut datagram) {
                Ok(8) => {
                    let number =
                        datagram.iter().take(8).fold(0, |sum, octet| sum << 8 | u64::from(*octet));
                    if number != next {
                        let _ = self.first.set([number, next]);
                        self.misplaced.fetch_add(1, Ordering::Relaxed);
                    }
                    next = number + 1;
                    self.received.fetch_add(1, Ordering::Relaxed);
                }
                Ok(_) => {}
                Err(error) if is_patience(&error) => {}
                Err(_) => return,
            }
        }
    }

    fn has_all(&self) -> bool {
        self.received.load(Ordering::Relaxed) == self.sent.load(Ordering::Relaxed)
    }
}

fn is_patience(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

const BURST: u32 = 20;
const PAUSE: Duration = Duration::from_millis(1);
