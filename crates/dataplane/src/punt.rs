//! The punt port as the worker sees it: packets in, packets out, and what is under way.
//!
//! A punted frame begins with a [`PuntHeader`] and an Ethernet header; between them and on from
//! there is the IPv4 packet, which the engine rewrites in place. The same buffer goes back with a
//! [`ReturnHeader`] in the place of the two addresses:
//!
//! ```text
//!   punted     │ PuntHeader 24 │ addresses 12 │ type 2 │ packet …
//!   returned                   │ ReturnHeader │ type 2 │ packet …
//! ```
//!
//! A packet of a session brings a ticket, which goes back with the frame that it came in; what waited,
//! and what the engine sends by itself, has none.
//!
//! # Fairness
//!
//! A sent buffer comes back when the last device has freed the packet, which may be never for a
//! device whose queue has stopped. So at most [`OUTSTANDING_MAX`] buffers are under way to one next
//! hop; what comes beyond that is dropped and counted, and the other next hops have theirs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use masq_core::PortId;
use masq_flow::Ticket;
use masq_flow::punt::{PuntFlags, PuntHeader, PuntReason, Return, ReturnHeader};
use zerocopy::IntoBytes;

use crate::bulk::Bulk;
use crate::sys::xsk::{BUFFER_LEN, Frame, Xsk};

/// The worker's end of the punt port.
#[derive(Debug)]
pub(crate) struct PuntPort {
    xsk: Xsk,
    /// Buffers under way, by next hop; number 0 counts those for the host itself.
    outstanding: Vec<u32>,
    /// The last time that a buffer was wanted, there was none.
    starved: bool,
    /// What is sent with the next flush.
    queued: Vec<Queued>,
    bulk: Option<Bulk>,
    counts: PuntCounts,
}

/// A frame that is to be sent.
#[derive(Debug)]
struct Queued {
    frame: Frame,
    /// The number of its next hop; 0 if it is for the host itself.
    next_hop: u16,
    from: Origin,
}

/// What is known of where a packet came from: nothing of one that the engine sends by itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Origin {
    /// What its session waits for.
    pub(crate) ticket: Option<Ticket>,
    /// Where it arrived, XDP carries sessions.
    pub(crate) xdp: bool,
}

/// What happened at the punt port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PuntCounts {
    /// Packets that arrived.
    pub received: u64,
    /// Packets sent to next hops.
    pub forwarded: u64,
    /// Packets given to the host.
    pub local: u64,
    /// Of both: many by one call, past the port.
    pub bulk: u64,
    /// Of these: redirected by XDP.
    pub redirected: u64,
    /// Frames without a punt header of ours.
    pub foreign: u64,
    /// Packets dropped because too many were under way to their next hop.
    pub busy: u64,
    /// Times that packets of our own had to wait because there was no buffer.
    pub no_buffer: u64,
    /// Packets that the kernel dropped because the worker did not keep up.
    pub overrun: u64,
    /// Descriptors of the kernel that made no sense.
    pub nonsense: u64,
}

/// A packet that arrived.
#[derive(Debug)]
pub(crate) struct Punted {
    /// Where it arrived.
    pub(crate) port: PortId,
    /// Where it lies.
    pub(crate) frame: Frame,
    /// The length of the packet, without any header of the link.
    pub(crate) len: usize,
    /// It goes from inside to the outside, as far as the programs can tell.
    pub(crate) from_inside: bool,
    /// What else is known of where it came from.
    pub(crate) origin: Origin,
}

impl PuntPort {
    /// Opens the port on the far end of the pair.
    pub(crate) fn open(far: u32, next_hops: usize) -> io::Result<Self> {
        let xsk = Xsk::open(far, BUFFERS)?;
        let outstanding = vec![0; next_hops];
        let (queued, counts) = (Vec::new(), PuntCounts::default());
        Ok(Self { xsk, outstanding, starved: false, queued, bulk: None, counts })
    }

    /// Has many packets sent at once.
    pub(crate) fn set_bulk(&mut self, bulk: Bulk) {
        self.bulk = Some(bulk);
    }

    /// Asks memory for the next packets, at most so many.
    pub(crate) fn anticipate(&mut self, most: usize) {
        self.xsk.anticipate(most as u32);
    }

    /// Takes the next packet.
    pub(crate) fn receive(&mut self) -> Option<Punted> {
        loop {
            let mut frame = self.xsk.receive()?;
            let bytes = self.xsk.bytes(&frame);
            let Some((header, rest)) = PuntHeader::split(bytes) else {
                self.counts.foreign += 1;
                self.xsk.release(frame);
                continue;
            };
            let Some(available) = rest.len().checked_sub(ETHERNET_LEN) else {
                self.counts.foreign += 1;
                self.xsk.release(frame);
                continue;
            };
            let port = PortId(header.ifindex());
            let from_inside = header.reason() == Some(PuntReason::Inside);
            let len = match usize::from(header.length()) {
                0 => available,
                len => len.min(available),
            };
            frame.advance(PuntHeader::LEN);
            self.counts.received += 1;
            let xdp = header.flags().contains(PuntFlags::XDP);
            let origin = Origin { ticket: header.ticket(), xdp };
            return Some(Punted { port, frame, len, from_inside, origin });
        }
    }

    /// Takes an empty buffer for a packet of our own.
    pub(crate) fn allocate(&mut self) -> Option<Frame> {
        let mut frame = self.xsk.allocate(HEADROOM);
        match &mut frame {
            Some(frame) => {
                let ethernet = self.xsk.bytes(frame);
                ethernet[ETHERNET_LEN - 2..ETHERNET_LEN].copy_from_slice(&ETHERTYPE_IPV4);
            }
            None => self.counts.no_buffer += u64::from(!self.starved),
        }
        self.starved = frame.is_none();
        frame
    }

    /// The packet in a frame, and all the room behind it.
    pub(crate) fn packet(&mut self, frame: &Frame) -> &mut [u8] {
        &mut self.xsk.bytes(frame)[ETHERNET_LEN..]
    }

    /// Sends a packet of `len` bytes, by XDP if that may be.
    pub(crate) fn send(&mut self, mut frame: Frame, len: usize, to: Return, from: Origin) {
        let next_hop = match to {
            Return::Forward { next_hop, .. } => next_hop.0,
            Return::Local { .. } => 0,
        };
        frame.set_len(ETHERNET_LEN + len);
        let header = ReturnHeader::new(to, from.ticket);
        self.xsk.bytes(&frame)[..ReturnHeader::LEN].copy_from_slice(header.as_bytes());
        self.queued.push(Queued { frame, next_hop, from });
    }

    /// Gives a buffer back unused.
    pub(crate) fn release(&mut self, frame: Frame) {
        self.xsk.release(frame);
    }

    /// Takes back buffers of packets that have left.
    pub(crate) fn reclaim(&mut self) {
        let Self { xsk, outstanding, .. } = self;
        xsk.reclaim(|next_hop| {
            if let Some(under_way) = outstanding.get_mut(usize::from(next_hop)) {
                *under_way = under_way.saturating_sub(1);
            }
        });
    }

    /// Has the kernel work: send what is queued, receive into what is free. True when some of it
    /// has to be tried again soon. Tickets of what has left already are given `back`.
    pub(crate) fn flush(&mut self, back: impl FnMut(Ticket)) -> bool {
        // What is under way through the port must not be overtaken.
        if self.queued.len() >= BULK_LEAST && self.xsk.is_idle() {
            self.send_in_bulk(back);
        }
        let mut queued = core::mem::take(&mut self.queued);
        queued.drain(..).for_each(|queued| self.send_one(queued));
        self.queued = queued;
        self.xsk.flush()
    }

    /// Sends what is queued past the port, as far as that is possible.
    fn send_in_bulk(&mut self, mut back: impl FnMut(Ticket)) {
        let Self { xsk, queued, bulk, counts, .. } = self;
        while let Some(way) = bulk.as_mut() {
            let fit = queued
                .iter()
                .take_while(|queued| way.push(xsk.bytes(&queued.frame), queued.from.xdp))
                .count();
            if fit == 0 {
                return;
            }
            let mut left = 0;
            let sent = way.send(|place, redirected| {
                left = place + 1;
                counts.redirected += u64::from(redirected);
                if let Some(ticket) = queued[place].from.ticket.filter(|_| redirected) {
                    back(ticket);
                }
            });
            counts.bulk += left as u64;
            for queued in queued.drain(..left) {
                counts.count(queued.next_hop);
                xsk.release(queued.frame);
            }
            match sent {
                Ok(()) => {}
                // What is left goes through the port this time.
                Err(error) if error.kind() == io::ErrorKind::OutOfMemory => return,
                Err(error) => {
                    tracing::warn!(%error, "packets are not sent in bulk any more");
                    *bulk = None;
                }
            }
        }
    }

    /// What happened so far.
    pub(crate) fn counts(&self) -> PuntCounts {
        let kernel = self.xsk.statistics().ok();
        let overrun = kernel.map_or(0, |kernel| {
            let lost = [kernel.rx_ring_full, kernel.rx_fill_ring_empty_descs];
            kernel.rx_dropped + lost.into_iter().flatten().sum::<u64>()
        });
        PuntCounts { overrun, nonsense: self.xsk.nonsense(), ..self.counts }
    }

    /// Sends a frame through the port, unless too many are under way to its next hop.
    fn send_one(&mut self, Queued { frame, next_hop, .. }: Queued) {
        match self.outstanding.get_mut(usize::from(next_hop)) {
            Some(under_way) if *under_way < OUTSTANDING_MAX => *under_way += 1,
            Some(_) | None => {
                self.counts.busy += 1;
                self.xsk.release(frame);
                return;
            }
        }
        self.counts.count(next_hop);
        self.xsk.send(frame, next_hop);
    }
}

impl PuntCounts {
    /// Counts a packet that was sent.
    fn count(&mut self, next_hop: u16) {
        match next_hop {
            0 => self.local += 1,
            _ => self.forwarded += 1,
        }
    }
}

impl AsFd for PuntPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.xsk.as_fd()
    }
}

/// How many buffers the socket has: 32 MiB, half of them to receive into.
const BUFFERS: u32 = 8192;
/// How many packets are sent past the port at least. A call costs some twelve microseconds, and each packet
/// one less than through the port.
const BULK_LEAST: usize = 16;
/// How many buffers may be under way to one next hop.
const OUTSTANDING_MAX: u32 = 512;
/// The kernel's room before a packet, and ours for a punt header.
const HEADROOM: usize = 256 + PuntHeader::LEN;
const ETHERNET_LEN: usize = 14;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];

/// The longest IP packet that fits the punt port; the eBPF programs drop what is longer.
pub(crate) const PACKET_MAX: u32 = PUNT_MTU - (PuntHeader::LEN + ETHERNET_LEN) as u32;
/// The longest frame that a veth takes with an XDP program: a page less the kernel's headroom, its
/// packet trailer and the Ethernet header, rounded down.
pub(crate) const PUNT_MTU: u32 = 3500;

const _: () = assert!(HEADROOM + ETHERNET_LEN + PUNT_MTU as usize <= BUFFER_LEN);
