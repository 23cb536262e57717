//! At the ingress of an inside or outside interface: is the packet the gateway's?
//!
//! ```text
//!   another VLAN's, another station's, not IPv4, multicast, given back  ──► host
//!   to an address of the host
//!     that it does not share with the gateway                          ──► host
//!     that it shares:
//!       fragment, ICMP error                                           ──► engine
//!       port, identifier or protocol that the gateway does not own     ──► host
//!       port that it owns:  session ──► engine    host's socket        ──► host
//!                                                 neither              ──► engine
//!   to any other address                                               ──► engine
//! ```
//!
//! Both sides have the same rules: an inside host that calls a shared address means either the
//! host's own services or another inside host's mapping (a hairpin, RFC 4787 REQ-9).
//!
//! What the engine gets in error it gives back ([`LOCAL_MARK`]); what the host gets in error would
//! be lost, or leave untranslated. So doubt is decided for the engine.

use masq_flow::maps::{AddressFlags, EarlyDrop, Interface, InterfaceFlags, Role};
use masq_flow::punt::{LOCAL_MARK, PuntReason};
use masq_wire::ethernet::{ETHERTYPE_IPV4, HEADER_LEN};

use crate::counters::{drop, pass};
use crate::parse::{self, Kind, Packet};
use crate::punt::{self, Punt};
use crate::skb::Skb;
use crate::tokens::Price;
use crate::{maps, sockets, table};

/// Decides whose the packet is, and sends it there.
#[inline(always)]
pub(crate) fn handle(skb: Skb<'_>) -> i32 {
    let Some(interface) = maps::interface(skb.ifindex()) else {
        return pass();
    };
    let Some(side) = Side::of(&interface) else {
        return pass();
    };
    if skb.mark() == LOCAL_MARK {
        // The mark was a message to this program, and is none to the host.
        skb.set_mark(0);
        return pass();
    }
    if skb.has_vlan_tag() || !skb.is_to_this_station() || skb.ethertype() != ETHERTYPE_IPV4 {
        return pass();
    }
    let layer3 = InterfaceFlags::from_bits_retain(interface.flags).contains(InterfaceFlags::LAYER3);
    let start = if layer3 { 0 } else { HEADER_LEN as u32 };
    let Some(packet) = parse::packet(skb, start) else {
        return drop(EarlyDrop::Truncated);
    };
    let (why, price) = match decide(side, &packet) {
        Decision::Host => return pass(),
        Decision::Look(why) => (why, Price::Look),
        Decision::Session { found, missing, unless_socket } => {
            if table::find(&packet.key).is_some() {
                (found, Price::Free)
            } else if unless_socket && sockets::host_has(skb, &packet.key) {
                return pass();
            } else {
                (missing, Price::Session)
            }
        }
    };
    let source = packet.key.source;
    let outside = side == Side::Outside;
    punt::send(skb, &Punt { why, price, start, layer3, outside, source })
}

/// Which side of the gateway the packet comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Inside,
    Outside,
}

impl Side {
    #[inline(always)]
    fn of(interface: &Interface) -> Option<Self> {
        match Role::new(interface.role)? {
            Role::Inside => Some(Self::Inside),
            Role::Outside => Some(Self::Outside),
            Role::Neither => None,
        }
    }
}

/// Whose a packet is.
enum Decision {
    /// The host's.
    Host,
    /// To be looked at by the engine.
    Look(PuntReason),
    /// The engine's: with a session for one reason, without for another. Without, it may still be a
    /// socket's of the host.
    Session { found: PuntReason, missing: PuntReason, unless_socket: bool },
}

#[inline(always)]
fn decide(side: Side, packet: &Packet) -> Decision {
    if is_multicast(packet.key.destination) {
        return Decision::Host;
    }
    let address = maps::address(packet.key.destination);
    if address.contains(AddressFlags::BROADCAST) {
        return Decision::Host;
    }
    if address.contains(AddressFlags::OUTSIDE_SHARED) {
        return to_shared_address(side, packet);
    }
    if address.contains(AddressFlags::LOCAL) {
        return Decision::Host;
    }
    let pool = address.contains(AddressFlags::OUTSIDE_POOL);
    match packet.kind {
        Kind::Fragment => Decision::Look(PuntReason::Fragment),
        Kind::IcmpError => Decision::Look(PuntReason::IcmpError),
        Kind::IcmpOther
        | Kind::Portless
        | Kind::Ports
        | Kind::Reply
        | Kind::Request
        | Kind::Unreadable => match side {
            Side::Inside if pool => either(PuntReason::Hairpin, PuntReason::Hairpin),
            Side::Inside => either(PuntReason::Inside, PuntReason::Inside),
            Side::Outside if pool => either(PuntReason::Owned, PuntReason::Miss),
            Side::Outside => either(PuntReason::NotLocal, PuntReason::NotLocal),
        },
    }
}

/// To an address that the host and the gateway share: whose is it?
#[inline(always)]
fn to_shared_address(side: Side, packet: &Packet) -> Decision {
    let protocol = packet.key.protocol;
    let (found, missing) = match side {
        Side::Inside => (PuntReason::Hairpin, PuntReason::Hairpin),
        Side::Outside => (PuntReason::Owned, PuntReason::Miss),
    };
    match packet.kind {
        // Whose they are shows only after reassembly, or inside.
        Kind::Fragment => Decision::Look(PuntReason::Fragment),
        Kind::IcmpError => Decision::Look(PuntReason::IcmpError),
        // The host answers pings and heeds redirects.
        Kind::Request | Kind::IcmpOther => Decision::Host,
        // Nobody's; the engine says what is wrong with it.
        Kind::Unreadable => Decision::Look(missing),
        Kind::Portless if maps::owns_protocol(protocol) => {
            either(PuntReason::Protocol, PuntReason::Protocol)
        }
        Kind::Reply if maps::owns_port(protocol, packet.port()) => either(found, missing),
        Kind::Ports if maps::owns_port(protocol, packet.port()) => {
            Decision::Session { found, missing, unless_socket: true }
        }
        Kind::Portless | Kind::Reply | Kind::Ports => Decision::Host,
    }
}

/// To the engine, with a session or without.
#[inline(always)]
fn either(found: PuntReason, missing: PuntReason) -> Decision {
    Decision::Session { found, missing, unless_socket: false }
}

/// 224.0.0.0/4 (RFC 1112) and 255.255.255.255 (RFC 919).
#[inline(always)]
fn is_multicast(address: u32) -> bool {
    address == u32::MAX || u32::from_be(address) >> 28 == 0xe
}
