//! The fast path in XDP, where packets are complete and nothing has been allocated for them.
//!
//! Only plain hits are handled here. Everything else is left as it is to the TC program, which says
//! what is to become of it; nothing is counted twice. It may lie in GRO for a while, so what is the
//! engine's takes a ticket here; the TC program takes another, which is the one that comes back.
//!
//! # Limits
//!
//! - The interface's packets must be complete: no checksum left to hardware, nothing uncut. Where the
//!   sender is a veth's other end, that end has to be told so.
//! - A driver that strips VLAN tags hides them from XDP. Such an interface must be told not to, or
//!   frames of its VLANs would be taken for its own.
//! - The next hop's interface must take redirects: those that do are in a map, which the kernel
//!   redirects by. That spares it looking the interface up, a thirtieth of what a packet costs.

use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::programs::XdpContext;
use masq_flow::maps::{Counter, InterfaceFlags};
use masq_wire::ethernet::{ETHERTYPE_IPV4, HEADER_LEN};
use zerocopy::network_endian::U16;

use crate::bytes::Bytes;
use crate::counters::count;
use crate::fast::{self, Arrival};
use crate::{host, maps, parse, rewrite, table};

/// Frames are filled up to this length (IEEE 802.3, without checksum).
pub(crate) const SHORTEST_FRAME: usize = 60;

/// A frame in a driver's buffer, which nothing moves while we look at it.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    start: usize,
    end: usize,
}

impl Frame {
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext) -> Self {
        Self { start: ctx.data(), end: ctx.data_end() }
    }
}

impl Bytes for Frame {
    #[inline(always)]
    fn bounds(self) -> (usize, usize) {
        (self.start, self.end)
    }
}

/// Translates a session's packet and sends it on, or passes it.
///
/// Whether there is a fast path at all need not be asked: without one, no interface takes redirects.
#[inline(always)]
pub(crate) fn handle(ctx: &XdpContext) -> u32 {
    match forward(ctx) {
        Some(action) => action,
        None => XDP_PASS,
    }
}

#[inline(always)]
fn forward(ctx: &XdpContext) -> Option<u32> {
    let frame = Frame::new(ctx);
    if frame.read::<U16>(HEADER_LEN - 2)?.get() != ETHERTYPE_IPV4 {
        return None;
    }
    // SAFETY: the kernel passes a valid context; the verifier turns this into a checked load.
    let ifindex = unsafe { (*ctx.ctx).ingress_ifindex };
    let interface = maps::interface(ifindex)?;
    let closed = interface.flags & InterfaceFlags::CLOSED.bits() != 0;
    if closed || !interface.is_addressed_by(frame.read(0)?) {
        return None;
    }
    let header = table::header()?;
    let packet = parse::packet(frame, HEADER_LEN)?;
    let hit = table::find(header, &packet)?;
    if host::has_flow_of(&hit, &packet) {
        return None;
    }
    let length = frame.end.wrapping_sub(frame.start);
    let arrival = Arrival {
        ifindex,
        start: HEADER_LEN,
        length: length.wrapping_sub(HEADER_LEN) as u32,
        segment: 0,
    };
    let way = match fast::judge(frame, &arrival, &packet, &hit) {
        Ok(way) => way,
        Err(why) => {
            fast::ticket(&hit, why, 1, false);
            return None;
        }
    };
    let filled_up = arrival.length > u32::from(packet.header.total_length());
    if way.hop.layer3 || filled_up && length > SHORTEST_FRAME {
        return None;
    }
    // Before anything is written: where there is no redirect, TC gets the packet as it came.
    let action = maps::redirect(way.hop.ifindex)?;
    // The bytes have been read before, so none of these fails with a part of them written.
    rewrite::checksum(frame, HEADER_LEN, &way)?;
    rewrite::headers(frame, HEADER_LEN, &packet, &way)?;
    frame.write(0, way.hop.addresses)?;
    rewrite::stamp(&hit, &arrival, &packet, &way, 1);
    count(Counter::TranslatedXdp);
    Some(action)
}
