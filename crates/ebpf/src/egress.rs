//! At the egress of an outside interface: what may leave, and what of it is not ours.
//!
//! ```text
//!   our mark                          ──► out; the mark is taken off
//!   a VLAN's, not IPv4                ──► out
//!   from a shared address             ──► out, and noted: the host's, or another translator's
//!   to a multicast group              ──► out: a multicast router's, which nobody translates
//!   from an inside network            ──► ends here: the kernel has forwarded what we should have
//!   forwarded, by an interface that
//!     the daemon has not looked at    ──► ends here: it may be an inside one that has just appeared
//!   anything else                     ──► out
//! ```
//!
//! Nothing here needs a daemon. What XDP redirects does not come by: it is ours.

use masq_flow::maps::{AddressFlags, EarlyDrop, InterfaceFlags, Role};
use masq_flow::punt::OUT_MARK;
use masq_wire::ethernet::{ETHERTYPE_IPV4, HEADER_LEN};

use crate::counters::drop;
use crate::ingress::is_multicast;
use crate::parse::Packet;
use crate::skb::{PASS, Skb};
use crate::{host, maps, parse, table};

/// Lets a packet out, or not.
#[inline(always)]
pub(crate) fn handle(skb: Skb<'_>) -> i32 {
    if skb.mark() == OUT_MARK {
        // The mark was a message to this program, and is none to what comes after it.
        skb.set_mark(0);
        return PASS;
    }
    if skb.has_vlan_tag() || skb.ethertype() != ETHERTYPE_IPV4 {
        return PASS;
    }
    let Some(interface) = maps::interface(skb.ifindex()) else { return PASS };
    if interface.role != Role::Outside as u32 {
        return PASS;
    }
    let layer3 = interface.flags & InterfaceFlags::LAYER3.bits() != 0;
    let start = if layer3 { 0 } else { HEADER_LEN };
    skb.pull(start as u32 + parse::LOOKED_AT);
    // What is no packet goes nowhere by itself.
    let Some(packet) = parse::packet(skb, start) else { return PASS };
    if maps::address(packet.key.source).contains(AddressFlags::OUTSIDE_SHARED) {
        if let Some(header) = table::header() {
            host::note(skb, start, header, &packet);
        }
        return PASS;
    }
    if is_leak(skb, &packet) { drop(EarlyDrop::Leak) } else { PASS }
}

#[inline(always)]
fn is_leak(skb: Skb<'_>, packet: &Packet) -> bool {
    if is_multicast(packet.key.destination) {
        return false;
    }
    if maps::inside_of(packet.key.source).is_some() {
        return true;
    }
    match skb.ingress_ifindex() {
        // The host's own.
        0 => false,
        arrived => !maps::is_known(arrived),
    }
}
