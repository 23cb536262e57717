//! Punting: the way of a packet to the worker.
//!
//! ```text
//!   arriving interface            punt port, first end ═══ second end
//!   [Ethernet][IPv4 …]   ──►   [punt header][Ethernet][IPv4 …]   ──►   the worker's AF_XDP socket
//!              [IPv4 …]   ──►   [punt header][Ethernet][IPv4 …]
//! ```
//!
//! A packet of a device without link-layer header gets an empty Ethernet header, so that the worker
//! sees one form only. A packet that is yet to be segmented is redirected whole; it leaves the first
//! end in segments, each with a copy of both headers.

use aya_ebpf::bindings::xdp_action::XDP_DROP;
use aya_ebpf::programs::XdpContext;
use masq_flow::index::Hit;
use masq_flow::maps::{EarlyDrop, Settings};
use masq_flow::punt::{PuntFlags, PuntHeader, PuntReason};
use masq_flow::{Header, Ticket};
use masq_wire::ethernet::{self, ETHERTYPE_IPV4, HEADER_LEN, MacAddr};

use crate::bytes::Bytes as _;
use crate::counters::{count_punt, drop, drop_xdp};
use crate::maps::{self, SOCKETS};
use crate::skb::Skb;
use crate::tokens::{self, Price};
use crate::{clock, fast};

/// The longest frame that native XDP on a veth takes: what is left of a page behind its headroom
/// and before its trailer.
const LONGEST_FRAME: u32 = 3_500;
/// More than any TCP or UDP header over IPv4 takes before a segment's payload.
const LONGEST_HEADERS: u32 = 60 + 60;

/// A packet on its way to the worker.
pub(crate) struct Punt<'a> {
    pub(crate) why: PuntReason,
    /// Its session.
    pub(crate) hit: Option<Hit<'a>>,
    /// Where its IPv4 header begins.
    pub(crate) start: usize,
    /// What is known of where it arrived.
    pub(crate) flags: PuntFlags,
}

/// Whether the worker can be asked about a packet, which is charged to its source; or why it cannot.
#[inline(always)]
pub(crate) fn may_ask(
    header: Option<&Header>,
    settings: &Settings,
    source: u32,
    price: Price,
) -> Result<(), EarlyDrop> {
    if settings.punt_ifindex == 0 {
        return Err(EarlyDrop::NoPuntPort);
    }
    if is_away(header, settings) {
        return Err(EarlyDrop::NoWorker);
    }
    if tokens::charge(settings, source, price) { Ok(()) } else { Err(EarlyDrop::RateLimited) }
}

/// Whether there is nobody to ask: the worker has ended, or has not been seen at work for a while.
#[inline(always)]
pub(crate) fn is_away(header: Option<&Header>, settings: &Settings) -> bool {
    let Some(header) = header else { return true };
    let (now, beat) = (clock::now(header), header.beat());
    !maps::has_worker() || now > beat && now - beat > settings.away_after_ns
}

/// Sends a packet into the punt port.
#[inline(always)]
pub(crate) fn send(skb: Skb<'_>, settings: &Settings, punt: &Punt<'_>) -> i32 {
    let length = skb.len().saturating_sub(punt.start as u32);
    let segment = skb.segment_size();
    let longest = if segment == 0 { length } else { segment + LONGEST_HEADERS };
    if longest > LONGEST_FRAME - (PuntHeader::LEN + HEADER_LEN) as u32 {
        return drop(EarlyDrop::TooBig);
    }
    let ticket = match &punt.hit {
        Some(hit) => fast::ticket(hit, punt.why, frames(skb, length, segment), segment != 0),
        None => None,
    };
    if prepend(skb, punt, if segment == 0 { length as u16 } else { 0 }, ticket).is_none() {
        return drop(EarlyDrop::Headroom);
    }
    count_punt(punt.why);
    skb.redirect_out(settings.punt_ifindex)
}

/// How many frames a packet will be at the worker.
#[inline(always)]
fn frames(skb: Skb<'_>, length: u32, segment: u32) -> u16 {
    if segment == 0 {
        return 1;
    }
    match skb.segments() {
        // Nobody has counted; with the headers it is one too many at most.
        0 => length.div_ceil(segment) as u16,
        segments => segments as u16,
    }
}

#[inline(always)]
fn prepend(skb: Skb<'_>, punt: &Punt<'_>, length: u16, ticket: Option<Ticket>) -> Option<()> {
    let header = PuntHeader::new(punt.why, skb.ifindex(), punt.flags, length, skb.mark());
    let header = header.with_ticket(ticket);
    if punt.flags.contains(PuntFlags::LAYER3) {
        let ethernet = ethernet::Header::new(MacAddr::ZERO, MacAddr::ZERO, ETHERTYPE_IPV4);
        skb.grow_head((PuntHeader::LEN + HEADER_LEN) as u32)?;
        skb.write(PuntHeader::LEN, ethernet)?;
    } else {
        skb.grow_head(PuntHeader::LEN as u32)?;
    }
    skb.write(0, header)
}

/// Hands a frame at the second end of the punt port to the worker's socket.
///
/// Only punted frames: the kernel itself may send something into the port (a router solicitation,
/// say) that is nobody's. Without a worker, everything ends here.
#[inline(always)]
pub(crate) fn deliver(ctx: &XdpContext) -> u32 {
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + PuntHeader::LEN > end {
        return drop_xdp(EarlyDrop::Stray);
    }
    // SAFETY: that many bytes were just seen to lie there; bytes need no alignment.
    let head = unsafe { (start as *const [u8; PuntHeader::LEN]).read() };
    if PuntHeader::split(&head).is_none() {
        return drop_xdp(EarlyDrop::Stray);
    }
    match SOCKETS.redirect(ctx.rx_queue_index(), u64::from(XDP_DROP)) {
        Ok(action) => action,
        Err(_) => drop_xdp(EarlyDrop::NoWorker),
    }
}
