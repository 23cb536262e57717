//! At the ingress of an inside or outside interface: is the packet the gateway's?
//!
//! ```text
//!   another VLAN's, another station's, not IPv4, given back             ──► host
//!   of a session                                                       ──► fast path, or engine
//!   multicast, broadcast                                               ──► host
//!   to an address of the host
//!     that it does not share with the gateway                          ──► host
//!     that it shares:
//!       fragment, ICMP error                                           ──► engine
//!       port, identifier or protocol that the gateway does not own     ──► host
//!       port that it owns:  host's socket                              ──► host
//!                           otherwise                                  ──► engine
//!   to any other address                                               ──► engine
//! ```
//!
//! Both sides have the same rules: an inside host that calls a shared address means either the
//! host's own services or another inside host's mapping (a hairpin, RFC 4787 REQ-9).
//!
//! A session is looked for first, whatever the destination: its packets are the gateway's even where
//! the host has taken its port since. What the engine gets in error it gives back ([`LOCAL_MARK`]); what the host gets in error would
//! be lost, or leave untranslated. So doubt is decided for the engine.

use core::hint::black_box;

use masq_flow::maps::{AddressFlags, EarlyDrop, Interface, InterfaceFlags, Role, SettingsFlags};
use masq_flow::punt::{LOCAL_MARK, PuntFlags, PuntReason};
use masq_wire::ethernet::{ETHERTYPE_IPV4, HEADER_LEN};

use crate::bytes::Bytes as _;
use crate::counters::{drop, pass};
use crate::parse::{self, Kind, Packet};
use crate::punt::{self, Punt};
use crate::skb::Skb;
use crate::tokens::Price;
use crate::{fast, maps, sockets, table, tc};

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
    let start = start(&interface);
    skb.pull(start as u32 + parse::USUALLY_LOOKED_AT);
    if skb.read::<[u8; 4]>(start).is_some_and(|[first, ..]| first & 0x0f > 5) {
        skb.pull(start as u32 + parse::LOOKED_AT);
    }
    let Some(packet) = parse::packet(skb, start) else {
        return drop(EarlyDrop::Truncated);
    };
    let settings = maps::settings();
    let hit = table::header().and_then(|header| table::find(header, &packet));
    let fast = SettingsFlags::from_bits_retain(settings.flags).contains(SettingsFlags::FAST_PATH);
    let (why, price) = match (&hit, fast) {
        (Some(hit), true) => match tc::forward(skb, start, &packet, hit) {
            Ok(action) => return action,
            Err(why) => (why, fast::price(why)),
        },
        (Some(_), false) => {
            let why = reason_of_session(side, &packet);
            (why, fast::price(why))
        }
        (None, _) => match decide(side, &packet) {
            Decision::Host => return pass(),
            Decision::Look(why) => (why, Price::Look),
            Decision::Engine(why) => (why, Price::Session),
            Decision::EngineUnlessSocket(why) => {
                if sockets::host_has(skb, &packet.key) {
                    return pass();
                }
                (why, Price::Session)
            }
        },
    };
    let source = packet.key.source;
    let flags = punted_from(&interface);
    punt::send(skb, &settings, &Punt { why, price, hit, start, flags, source })
}

/// What a punted packet's header says of where it arrived.
#[inline(always)]
fn punted_from(interface: &Interface) -> PuntFlags {
    // One bit each, so that the verifier has nothing to decide.
    let bit = |there: bool, flag: PuntFlags| u8::from(black_box(there)) * flag.bits();
    let flags = InterfaceFlags::from_bits_retain(interface.flags);
    let layer3 = bit(flags.contains(InterfaceFlags::LAYER3), PuntFlags::LAYER3);
    let xdp = bit(flags.contains(InterfaceFlags::XDP), PuntFlags::XDP);
    let outside = bit(interface.role == Role::Outside as u32, PuntFlags::OUTSIDE);
    PuntFlags::from_bits_retain(layer3 | xdp | outside)
}

/// Where the IPv4 header begins.
///
/// A number, and no decision: the verifier would follow both outcomes through all that comes after.
#[inline(always)]
fn start(interface: &Interface) -> usize {
    let ethernet = black_box(!interface.flags & InterfaceFlags::LAYER3.bits());
    ethernet as usize * HEADER_LEN
}

const _: () = assert!(InterfaceFlags::LAYER3.bits() == 1);

/// Which side of the gateway the packet comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Inside,
    Outside,
}

impl Side {
    #[inline(always)]
    fn of(interface: &Interface) -> Option<Self> {
        Role::new(interface.role).map(|role| match role {
            Role::Inside => Self::Inside,
            Role::Outside => Self::Outside,
        })
    }
}

/// Whose a packet is that is of no session.
enum Decision {
    /// The engine's.
    Engine(PuntReason),
    /// The engine's, unless it is for a socket of the host.
    EngineUnlessSocket(PuntReason),
    /// The host's.
    Host,
    /// To be looked at by the engine, and most likely of a session.
    Look(PuntReason),
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
        Kind::Fragment | Kind::FirstFragment => Decision::Look(PuntReason::Fragment),
        Kind::IcmpError => Decision::Look(PuntReason::IcmpError),
        Kind::IcmpOther
        | Kind::Portless
        | Kind::Ports
        | Kind::Reply
        | Kind::Request
        | Kind::Unreadable => Decision::Engine(match side {
            Side::Inside if pool => PuntReason::Hairpin,
            Side::Inside => PuntReason::Inside,
            Side::Outside if pool => PuntReason::Miss,
            Side::Outside => PuntReason::NotLocal,
        }),
    }
}

/// To an address that the host and the gateway share: whose is it?
#[inline(always)]
fn to_shared_address(side: Side, packet: &Packet) -> Decision {
    let protocol = packet.key.protocol;
    let missing = match side {
        Side::Inside => PuntReason::Hairpin,
        Side::Outside => PuntReason::Miss,
    };
    match packet.kind {
        // Whose they are shows only after reassembly, or inside.
        Kind::Fragment | Kind::FirstFragment => Decision::Look(PuntReason::Fragment),
        Kind::IcmpError => Decision::Look(PuntReason::IcmpError),
        // The host answers pings and heeds redirects.
        Kind::Request | Kind::IcmpOther => Decision::Host,
        // Nobody's; the engine says what is wrong with it.
        Kind::Unreadable => Decision::Look(missing),
        Kind::Portless if maps::owns_protocol(protocol) => Decision::Engine(PuntReason::Protocol),
        Kind::Reply if maps::owns_port(protocol, packet.port()) => Decision::Engine(missing),
        Kind::Ports if maps::owns_port(protocol, packet.port()) => {
            Decision::EngineUnlessSocket(missing)
        }
        Kind::Portless | Kind::Reply | Kind::Ports => Decision::Host,
    }
}

/// Why a session's packet goes to the engine while there is no fast path.
#[inline(always)]
fn reason_of_session(side: Side, packet: &Packet) -> PuntReason {
    let address = maps::address(packet.key.destination);
    let ours = AddressFlags::OUTSIDE_SHARED.union(AddressFlags::OUTSIDE_POOL);
    match side {
        Side::Inside | Side::Outside if packet.kind == Kind::FirstFragment => PuntReason::Fragment,
        Side::Inside if address.intersects(ours) => PuntReason::Hairpin,
        Side::Inside => PuntReason::Inside,
        Side::Outside if packet.kind == Kind::Portless => PuntReason::Protocol,
        Side::Outside => PuntReason::Owned,
    }
}

/// 224.0.0.0/4 (RFC 1112) and 255.255.255.255 (RFC 919).
#[inline(always)]
fn is_multicast(address: u32) -> bool {
    address == u32::MAX || u32::from_be(address) >> 28 == 0xe
}
