//! The fast path at the TC hook, where packets may be uncut, and their checksums incomplete.
//!
//! A packet from this host or a guest may still wait for hardware to complete its checksum; then the
//! field holds the sum of addresses and length alone, and the ports must not change it. The kernel
//! knows which it is, so its own helper is told which change is whose.

use aya_ebpf::bindings::{BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR};
use masq_flow::index::Hit;
use masq_flow::maps::{Counter, EarlyDrop};
use masq_flow::punt::{OUT_MARK, PuntReason};
use masq_wire::checksum::Delta;
use masq_wire::ethernet::{self, ETHERTYPE_IPV4};
use zerocopy::network_endian::U16;

use crate::bytes::Bytes as _;
use crate::counters::{count, drop, pass};
use crate::fast::{self, Arrival, HEADER_LENGTH, Way};
use crate::parse::Packet;
use crate::rewrite;
use crate::skb::Skb;
use crate::transport::Kind;

/// Translates a session's packet and sends it on; or says why the engine has to.
#[inline(always)]
pub(crate) fn forward(
    skb: Skb<'_>,
    start: usize,
    packet: &Packet,
    hit: &Hit<'_>,
) -> Result<i32, PuntReason> {
    let arrival = Arrival {
        ifindex: skb.ifindex(),
        start,
        length: skb.len().saturating_sub(start as u32),
        segment: skb.segment_size(),
    };
    let way = fast::judge(skb, &arrival, packet, hit)?;
    if way.hop.ifindex == 0 {
        rewrite::stamp(hit, &arrival, packet, &way, skb.segments());
        return Ok(pass());
    }
    if arrival.segment != 0 && !skb.segments_fit(way.hop.ifindex) {
        return Err(PuntReason::Mtu);
    }
    // What fails from here on has been half changed, and may not go on.
    if rewrite(skb, &arrival, packet, &way).is_none() {
        return Ok(drop(EarlyDrop::Headroom));
    }
    rewrite::stamp(hit, &arrival, packet, &way, skb.segments());
    count(Counter::Translated);
    if way.outwards {
        skb.set_mark(OUT_MARK);
    }
    Ok(skb.redirect_out(way.hop.ifindex))
}

#[inline(always)]
fn rewrite(skb: Skb<'_>, arrival: &Arrival, packet: &Packet, way: &Way) -> Option<()> {
    let length = u32::from(packet.header.total_length());
    skb.trim(arrival.start as u32 + length)?;
    checksum(skb, arrival.start, way)?;
    rewrite::headers(skb, arrival.start, packet, way)?;
    if way.hop.layer3 {
        // The redirect takes a link-layer header off where there is one.
        return Some(());
    }
    if arrival.start == 0 {
        skb.grow_head(ethernet::HEADER_LEN as u32)?;
        skb.write(ethernet::HEADER_LEN - 2, U16::new(ETHERTYPE_IPV4))?;
    }
    skb.write(0, way.hop.addresses)
}

/// Mends the transport checksum.
#[inline(always)]
fn checksum(skb: Skb<'_>, start: usize, way: &Way) -> Option<()> {
    let kind = way.transport.kind;
    let at = start + HEADER_LENGTH + kind.checksum_at();
    let zero = match kind {
        // No checksum stays none, and a zero that comes out is sent as 0xffff (RFC 768).
        Kind::Udp => u64::from(BPF_F_MARK_MANGLED_0),
        Kind::EchoReply | Kind::EchoRequest | Kind::Tcp => 0,
    };
    let addresses = match kind {
        Kind::EchoReply | Kind::EchoRequest => Delta::NONE,
        Kind::Tcp | Kind::Udp => way.translation.address_delta,
    };
    skb.mend_checksum(at, addresses, u64::from(BPF_F_PSEUDO_HDR) | zero)?;
    skb.mend_checksum(at, way.translation.port_delta, zero)
}
