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
//! A buffer that is sent through the port comes back when the last device has freed the packet, which may
//! be never for a device whose queue has stopped. So only so many are under way to one next hop; what
//! comes beyond that is dropped and counted, and the other next hops have theirs. What goes past the
//! port keeps no buffer: there a device that has no room drops, and counts it itself.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use masq_core::PortId;
use masq_flow::Ticket;
use masq_flow::punt::{PuntFlags, PuntHeader, PuntReason, Return, ReturnHeader};
use zerocopy::IntoBytes;

use crate::bulk::{Bulk, Fate};
use crate::departure::{NextHops, Way};
use crate::sys::xsk::{BUFFER_LEN, Frame, Xsk};

/// The worker's end of the punt port.
#[derive(Debug)]
pub(crate) struct PuntPort {
    xsk: Xsk,
    next_hops: NextHops,
    /// The last time that a buffer was wanted, there was none.
    starved: bool,
    /// What is sent with the next flush.
    queued: Vec<Queued>,
    /// What of that goes past the port.
    passing: Vec<Queued>,
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
    way: Way,
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
    /// Packets handed over for next hops.
    pub forwarded: u64,
    /// Packets handed over for the host.
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
        Ok(Self {
            xsk,
            next_hops: NextHops::new(next_hops),
            starved: false,
            queued: Vec::new(),
            passing: Vec::new(),
            bulk: None,
            counts: PuntCounts::default(),
        })
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
        let way = match to {
            Return::Forward { .. } if from.xdp => Way::Redirected,
            Return::Forward { .. } | Return::Local { .. } => Way::Kernel,
        };
        let way = if Bulk::takes(ETHERNET_LEN + len) { way } else { Way::Port };
        self.queued.push(Queued { frame, next_hop, from, way });
    }

    /// Gives a buffer back unused.
    pub(crate) fn release(&mut self, frame: Frame) {
        self.xsk.release(frame);
    }

    /// Takes back buffers of packets that have left.
    pub(crate) fn reclaim(&mut self) {
        let Self { xsk, next_hops, .. } = self;
        xsk.reclaim(|next_hop| next_hops.leave(next_hop));
    }

    /// Has the kernel work: send what is queued, receive into what is free. True when some of it
    /// has to be tried again soon. Tickets of what has left already are given `back`.
    pub(crate) fn flush(&mut self, back: impl FnMut(Ticket)) -> bool {
        if self.queued.len() >= BULK_LEAST {
            self.send_in_bulk(back);
        }
        // What the kernel did not take comes before what was for the port from the start.
        let (mut passing, mut queued) =
            (core::mem::take(&mut self.passing), core::mem::take(&mut self.queued));
        passing.drain(..).chain(queued.drain(..)).for_each(|queued| self.send_one(queued));
        (self.passing, self.queued) = (passing, queued);
        self.xsk.flush()
    }

    /// Sends what may go past the port, if that is enough to be worth it.
    fn send_in_bulk(&mut self, mut back: impl FnMut(Ticket)) {
        let Self { xsk, next_hops, queued, passing, bulk, counts, .. } = self;
        let Some(bulk) = bulk else { return };
        queued.iter().for_each(|queued| next_hops.begin(queued.next_hop));
        for queued in &mut *queued {
            queued.way = next_hops.choose(queued.next_hop, queued.way);
        }
        if queued.iter().filter(|queued| queued.way < Way::Port).count() < BULK_LEAST {
            return;
        }
        passing.extend(queued.extract_if(.., |queued| queued.way < Way::Port));
        while !passing.is_empty() {
            for queued in &*passing {
                if !bulk.push(xsk.bytes(&queued.frame), queued.way == Way::Redirected) {
                    break;
                }
            }
            let mut taken = 0;
            let sent = bulk.send(|place, fate| {
                let Queued { next_hop, from, .. } = &passing[place];
                taken = place + 1;
                if fate != Fate::Dropped {
                    counts.bulk += 1;
                    counts.count(*next_hop);
                }
                counts.redirected += u64::from(fate == Fate::Redirected);
                // Those of what the kernel has are given back by the program that it meets.
                if let Some(ticket) = from.ticket.filter(|_| fate != Fate::Kernel) {
                    back(ticket);
                }
            });
            passing.drain(..taken).for_each(|queued| xsk.release(queued.frame));
            if !sent || taken == 0 {
                return;
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
        if !self.next_hops.enter(next_hop) {
            self.counts.busy += 1;
            self.xsk.release(frame);
            return;
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
/// How many packets are sent past the port at least. On the machine of `docs/performance` a call costs
/// twelve microseconds, and each packet one less than through the port.
const BULK_LEAST: usize = 16;
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
