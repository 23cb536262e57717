//! Between networks that are not translated, where the engine cannot be asked.
//!
//! With a daemon, the first packet of a flow between insides makes a session, and the others take the
//! fast path. What has no session is sent on here, packet by packet: fragments and errors, which
//! nobody translates between insides; and first packets while the daemon is away, or while their source
//! asks for more than its share. The kernel is asked for the neighbour of each, so this is no fast path.
//!
//! Whether the interface is right is said by the inside networks (`MASQ_NETWORKS`), and that the source
//! belongs where the packet came from, too. No ICMP error is made here: what is too long, or has no time
//! left, is the engine's, or lost.

use aya_ebpf::bindings::{
    BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_SUCCESS,
    bpf_fib_lookup,
};
use masq_flow::maps::{Counter, EarlyDrop};
use masq_wire::checksum::Delta;
use masq_wire::ethernet::{ETHERTYPE_IPV4, HEADER_LEN, Header as Ethernet, MacAddr};

use crate::bytes::Bytes as _;
use crate::counters::{count, drop, pass};
use crate::fast::HEADER_LENGTH;
use crate::maps;
use crate::parse::{Header, Kind, Packet};
use crate::skb::Skb;

/// The inside interface that leads to a packet's destination, if an inside host sends it to another.
#[inline(always)]
pub(crate) fn interface_to(skb: Skb<'_>, packet: &Packet) -> Option<u32> {
    let to = maps::inside_of(packet.key.destination)?;
    // The gateway's own addresses are in these networks, too.
    let hosts = is_a_host(packet.key.destination) && comes_from_inside(skb, packet);
    (hosts && packet.kind != Kind::Unreadable).then_some(to)
}

/// Whether a packet's source belongs where it arrived.
#[inline(always)]
fn comes_from_inside(skb: Skb<'_>, packet: &Packet) -> bool {
    maps::inside_of(packet.key.source) == Some(skb.ifindex()) && is_a_host(packet.key.source)
}

/// Whether an inside address is neither the gateway's nor everybody's.
#[inline(always)]
fn is_a_host(address: u32) -> bool {
    maps::address(address).is_empty()
}

/// Sends a packet on to an inside interface; none if it cannot go as it is.
#[inline(always)]
pub(crate) fn forward(skb: Skb<'_>, start: usize, packet: &Packet, to: u32) -> Option<i32> {
    let header = packet.header;
    if header.length() != HEADER_LENGTH || header.ttl() <= 1 || !header.verifies() {
        return None;
    }
    if !skb.fits(to, u32::from(header.total_length())) {
        return None;
    }
    if skb.trim(start as u32 + u32::from(header.total_length())).is_none() {
        return Some(drop(EarlyDrop::Headroom));
    }
    let checksum = Delta::TTL_DECREMENTED.apply(header.checksum());
    let [high, low] = checksum.to_be_bytes();
    let (ttl, protocol) = (header.ttl().wrapping_sub(1), header.protocol());
    let third = u32::from_ne_bytes([ttl, protocol, high, low]);
    if skb.write(start + Header::TAIL, [third, header.source()]).is_none() {
        return Some(drop(EarlyDrop::Headroom));
    }
    if start == 0 {
        // The kernel takes the header off again, and puts the neighbour's in its place.
        let ethernet = Ethernet::new(MacAddr::ZERO, MacAddr::ZERO, ETHERTYPE_IPV4);
        if skb.grow_head(HEADER_LEN as u32).and_then(|()| skb.write(0, ethernet)).is_none() {
            return Some(drop(EarlyDrop::Headroom));
        }
    }
    count(Counter::Forwarded);
    Some(skb.redirect_to_neighbour(to))
}

/// Leaves a packet from inside to the kernel, if that would forward it by an interface that masq does
/// not serve; none otherwise.
#[inline(always)]
pub(crate) fn leave(skb: Skb<'_>, packet: &Packet) -> Option<i32> {
    if !comes_from_inside(skb, packet) {
        return None;
    }
    // SAFETY: the structure is plain numbers, for which zeros are values.
    let mut question: bpf_fib_lookup = unsafe { core::mem::zeroed() };
    question.family = AF_INET;
    question.l4_protocol = packet.key.protocol;
    let [s0, s1, d0, d1] = packet.key.ports.to_ne_bytes();
    question.sport = u16::from_ne_bytes([s0, s1]);
    question.dport = u16::from_ne_bytes([d0, d1]);
    question.ifindex = skb.ifindex();
    question.__bindgen_anon_1.tot_len = packet.header.total_length();
    question.__bindgen_anon_3.ipv4_src = packet.key.source;
    question.__bindgen_anon_4.ipv4_dst = packet.key.destination;
    let answer = skb.ask_route(&mut question) as u32;
    let found = matches!(
        answer,
        BPF_FIB_LKUP_RET_SUCCESS | BPF_FIB_LKUP_RET_NO_NEIGH | BPF_FIB_LKUP_RET_FRAG_NEEDED
    );
    (found && maps::interface(question.ifindex).is_none()).then(pass)
}

/// `AF_INET` of sys/socket.h.
const AF_INET: u8 = 2;
