//! Everything that passes an interface, watched from the wire.
//!
//! A packet socket on the interface, a thread that empties it, and two things that it keeps: every
//! inside address that was seen where none may be (judged packet by packet, without limit), and the
//! last few thousand packets for reports and pcap files. The socket is cooked: packets begin with
//! the network header, on Ethernet and on tun devices alike. Each is cut to 256 octets before it is
//! queued, so the queue holds a quarter of a million; if it ever overflows, the check says so
//! and fails, because an incomplete capture proves nothing.
//!
//! A packet that comes *in* on the watched interface is one that the other end of the cable sent;
//! the judge looks at those.

use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fs, thread};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::deadline::Deadline;
use crate::error::Context;
use crate::stop::Stop;
use crate::{Error, Namespace, Result, inspect, sys};

/// A packet that was seen.
#[derive(Clone, Debug)]
pub struct Captured {
    /// When, since the capture began.
    pub at: Duration,
    /// Whether it came from the other end of the cable.
    pub incoming: bool,
    /// The protocol of its first header.
    pub ethertype: u16,
    /// How long it was.
    pub length: usize,
    /// It, or its beginning.
    pub bytes: Vec<u8>,
}

/// A capture that goes on until it is dropped.
#[derive(Debug)]
pub struct Capture {
    shared: Arc<Shared>,
    stop: Stop,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    socket: OwnedFd,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    clock: Deadline,
    counted: u64,
    last: VecDeque<Captured>,
    leaks: Vec<String>,
    lost: u64,
}

impl Capture {
    /// Begins to watch an interface. When this returns, no later packet is missed.
    ///
    /// # Errors
    ///
    /// When there is no such interface.
    pub fn start(namespace: &Namespace, interface: &str) -> Result<Self> {
        let what = || format!("capturing on {interface}");
        let socket = namespace.run(|| open(interface)).context(what)?;
        let seen = Seen {
            clock: Deadline::after(Duration::MAX),
            counted: 0,
            last: VecDeque::new(),
            leaks: Vec::new(),
            lost: 0,
        };
        let shared = Arc::new(Shared { socket, seen: Mutex::new(seen) });
        let stop = Stop::new()?;
        let (watched, told) = (Arc::clone(&shared), stop.clone());
        let thread = thread::spawn(move || {
            while told.wait_readable(&watched.socket) {
                drop(watched.drain());
            }
        });
        Ok(Self { shared, stop, thread: Some(thread) })
    }

    /// How many packets were seen.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.shared.drain().counted
    }

    /// The last packets that satisfy a condition, oldest first.
    pub fn packets(&self, condition: impl Fn(&Captured) -> bool) -> Vec<Captured> {
        self.shared.drain().last.iter().filter(|packet| condition(packet)).cloned().collect()
    }

    /// Checks that nothing which came from the other end showed an inside address.
    ///
    /// # Errors
    ///
    /// With the packets that did; or when packets were lost and nothing can be said.
    pub fn check_leaks(&self) -> Result<()> {
        let seen = self.shared.drain();
        if !seen.leaks.is_empty() {
            return Err(Error::Leak(seen.leaks.join("\n")));
        }
        if seen.lost > 0 {
            return Err(Error::Leak(format!("unknown: {} packets went unseen", seen.lost)));
        }
        Ok(())
    }

    /// The last `count` packets, a line each.
    #[must_use]
    pub fn tail(&self, count: usize) -> String {
        let seen = self.shared.drain();
        let skipped = seen.last.len().saturating_sub(count);
        let mut text = format!("{} packets, {} lost\n", seen.counted, seen.lost);
        for packet in seen.last.iter().skip(skipped) {
            let arrow = if packet.incoming { "from gateway" } else { "to gateway  " };
            let line = inspect::describe(packet.ethertype, &packet.bytes);
            text += &format!("{:>10.6} {arrow} {line}\n", packet.at.as_secs_f64());
        }
        text
    }

    /// Writes the kept packets as a pcap file (cooked: link type 113).
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write_pcap(&self, path: &Path) -> Result<()> {
        let seen = self.shared.drain();
        let bytes = pcap(&seen.last).context(|| "encoding packets".to_owned())?;
        fs::write(path, bytes).context(|| format!("writing {}", path.display()))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.tell();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Takes what waits in the socket.
    fn drain(&self) -> MutexGuard<'_, Seen> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = [0; SNAP_LENGTH as usize];
        loop {
            match sys::receive_packet(&self.socket, &mut buffer) {
                Ok((length, from)) => {
                    let kept = &buffer[..length.min(buffer.len())];
                    seen.note(kept, length, from);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The interface went down or away; the packets before that are still to be read.
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
                Err(_) => break,
            }
        }
        seen.lost += sys::lost_packets(&self.socket).map_or(0, u64::from);
        seen
    }
}

impl Seen {
    fn note(&mut self, bytes: &[u8], length: usize, from: sys::LinkAddress) {
        self.counted += 1;
        if !from.outgoing
            && self.leaks.len() < LEAKS_KEPT
            && let Some(leak) = inspect::leak(from.ethertype, bytes)
        {
            self.leaks.push(format!("{leak}: {}", inspect::describe(from.ethertype, bytes)));
        }
        if self.last.len() == PACKETS_KEPT {
            self.last.pop_front();
        }
        self.last.push_back(Captured {
            at: self.clock.elapsed(),
            incoming: !from.outgoing,
            ethertype: from.ethertype,
            length,
            bytes: bytes.to_vec(),
        });
    }
}

fn open(interface: &str) -> io::Result<OwnedFd> {
    // Protocol zero receives nothing until the socket is bound, so no packet of another interface
    // gets in before.
    let socket = rustix::net::socket_with(
        AddressFamily::from_raw(libc::AF_PACKET as u16),
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    sockopt::set_socket_recv_buffer_size_force(&socket, QUEUE_BYTES)?;
    sys::set_snap_length(&socket, SNAP_LENGTH)?;
    let index = rustix::net::netdevice::name_to_index(&socket, interface)?;
    sys::bind_packet(&socket, index)?;
    Ok(socket)
}

/// A classic pcap file of "Linux cooked" packets, whose heads hold direction and protocol.
fn pcap<'p>(packets: impl IntoIterator<Item = &'p Captured>) -> io::Result<Vec<u8>> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, LINKTYPE_LINUX_SLL] {
        file.write_all(&u32::to_ne_bytes(word))?;
    }
    for packet in packets {
        let kept = (packet.bytes.len() + 16) as u32;
        let head = [
            packet.at.as_secs() as u32,
            packet.at.subsec_micros(),
            kept,
            (packet.length + 16) as u32,
        ];
        for word in head {
            file.write_all(&word.to_ne_bytes())?;
        }
        let direction: u16 = if packet.incoming { 0 } else { 4 };
        file.write_all(&direction.to_be_bytes())?;
        file.write_all(&[0; 12])?;
        file.write_all(&packet.ethertype.to_be_bytes())?;
        file.write_all(&packet.bytes)?;
    }
    Ok(file)
}

const LINKTYPE_LINUX_SLL: u32 = 113;
const SNAP_LENGTH: u32 = 256;
const QUEUE_BYTES: usize = 256 << 20;
const PACKETS_KEPT: usize = 4096;
const LEAKS_KEPT: usize = 20;
