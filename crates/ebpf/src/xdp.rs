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
//! - The next hop's interface must take redirects, which its entry says.

use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::helpers::bpf_redirect;
use aya_ebpf::programs::XdpContext;
use masq_flow::maps::{Counter, Role, SettingsFlags};
use masq_wire::ethernet::{ETHERTYPE_IPV4, HEADER_LEN, Header};

use crate::bytes::Bytes;
use crate::counters::count;
use crate::fast::{self, Arrival};
use crate::{maps, parse, rewrite, table};

/// Frames are filled up to this length (IEEE 802.3, without checksum).
const SHORTEST_FRAME: usize = 60;

/// A frame in a driver's buffer.
#[derive(Clone, Copy)]
struct Frame<'a> {
    ctx: &'a XdpContext,
}

impl Bytes for Frame<'_> {
    #[inline(always)]
    fn bounds(self) -> (usize, usize) {
        let md = self.ctx.ctx;
        // SAFETY: the kernel passes a valid context; the verifier turns this into a checked load.
        let start = unsafe { (&raw const (*md).data).read_volatile() };
        // SAFETY: as above.
        let end = unsafe { (&raw const (*md).data_end).read_volatile() };
        (start as usize, end as usize)
    }
}

/// Translates a session's packet and sends it on, or passes it.
#[inline(always)]
pub(crate) fn handle(ctx: &XdpContext) -> u32 {
    match forward(Frame { ctx }) {
        Some(action) => action,
        None => XDP_PASS,
    }
}

#[inline(always)]
fn forward(frame: Frame<'_>) -> Option<u32> {
    let settings = SettingsFlags::from_bits_retain(maps::settings().flags);
    if !settings.contains(SettingsFlags::FAST_PATH) {
        return None;
    }
    let ethernet = frame.read::<Header>(0)?;
    if ethernet.ethertype.get() != ETHERTYPE_IPV4 {
        return None;
    }
    // SAFETY: the kernel passes a valid context; the verifier turns this into a checked load.
    let ifindex = unsafe { (*frame.ctx.ctx).ingress_ifindex };
    let interface = maps::interface(ifindex)?;
    let serves = match Role::new(interface.role)? {
        Role::Inside | Role::Outside => true,
        Role::Neither => false,
    };
    if !serves || ethernet.destination.0 != interface.mac {
        return None;
    }
    let packet = parse::packet(frame, HEADER_LEN)?;
    let hit = table::find(&packet)?;
    let (start, end) = frame.bounds();
    let length = end.wrapping_sub(start);
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
    if !way.hop.xdp || way.hop.layer3 || filled_up && length > SHORTEST_FRAME {
        return None;
    }
    // The bytes have been read before, so none of these fails with a part of them written.
    rewrite::checksum(frame, HEADER_LEN, &way)?;
    rewrite::headers(frame, HEADER_LEN, &packet, &way)?;
    frame.write(0, way.hop.addresses)?;
    rewrite::stamp(&hit, &arrival, &packet, &way, 1);
    count(Counter::TranslatedXdp);
    // SAFETY: the helper takes plain numbers.
    Some(unsafe { bpf_redirect(way.hop.ifindex, 0) as u32 })
}
