//! At the ingress of an inside or outside interface: is the packet the gateway's?
//!
//! ```text
//!   another VLAN's, another station's, not IPv4, given back             ──► host
//!   of a session, also of a flow of the host     from outside           ──► host
//!                                                from inside            ──► engine
//!   of a session                                                       ──► fast path, or engine
//!   multicast, broadcast                                               ──► host
//!   to an address of the host
//!     that it does not share with the gateway                          ──► host
//!     that it shares:
//!       answer to a flow of the host, error about one                  ──► host
//!       fragment, other ICMP error                                     ──► engine
//!       port, identifier or protocol that the gateway does not own     ──► host
//!       port that it owns:  host's socket                              ──► host
//!                           otherwise                                  ──► engine
//!   from an inside host to another one: fragment, ICMP error           ──► sent on as it is
//!   from outside, neither from nor to an inside host                   ──► host
//!   to any other address                                               ──► engine
//! ```
//!
//! Both sides have the same rules: an inside host that calls a shared address means either the
//! host's own services or another inside host's mapping (a hairpin, RFC 4787 REQ-9).
//!
//! A session is looked for first, whatever the destination: its packets are the gateway's even where
//! the host has taken its port since. What the engine gets in error it gives back ([`LOCAL_MARK`]); what the host gets in error would
//! be lost, or leave untranslated. So doubt is decided for the engine.
//!
//! **Without a daemon**, what nobody claims on a shared address is the host's, as if masq were not there.
//! Between insides packets are sent on one by one, and by ways that masq does not serve the kernel
//! forwards (`between`). Everything else that the engine would have to see ends here.

use core::hint::black_box;

use masq_flow::key::{Key4, unpack_ports};
use masq_flow::maps::{AddressFlags, EarlyDrop, Interface, InterfaceFlags, Role, SettingsFlags};
use masq_flow::punt::{LOCAL_MARK, PuntFlags, PuntReason};
use masq_flow::{Direction, Header};
use masq_wire::ethernet::{ETHERTYPE_IPV4, HEADER_LEN};

use crate::bytes::Bytes as _;
use crate::counters::{drop, pass};
use crate::parse::{self, Kind, Packet};
use crate::punt::{self, Punt};
use crate::skb::Skb;
use crate::tokens::Price;
use crate::{between, fast, host, maps, sockets, table, tc};

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
    if interface.flags & InterfaceFlags::CLOSED.bits() != 0 {
        return closed(skb, start, side, &packet);
    }
    if side == Side::Inside
        && packet.kind.is_in_parts_or_error()
        && let Some(to) = between::interface_to(skb, &packet)
        && let Some(action) = between::forward(skb, start, &packet, to)
    {
        return action;
    }
    let settings = maps::settings();
    let header = table::header();
    let hit = header.and_then(|header| table::find(header, &packet));
    let fast = SettingsFlags::from_bits_retain(settings.flags).contains(SettingsFlags::FAST_PATH);
    let ask = match &hit {
        Some(hit) if host::has_flow_of(hit, &packet) => match hit.direction {
            // The rest of its datagram goes to the engine, too.
            Direction::Ingress if packet.kind == Kind::FirstFragment => {
                Ask { shared: true, ..Ask::of_session(PuntReason::Fragment) }
            }
            Direction::Ingress => return pass(),
            Direction::Egress => Ask::of_session(PuntReason::Session),
        },
        Some(hit) if fast => match tc::forward(skb, start, &packet, hit) {
            Ok(action) => return action,
            Err(why) => Ask::of_session(why),
        },
        Some(_) => Ask::of_session(reason_of_session(side, &packet)),
        None => match decide(skb, start, side, header, &packet) {
            Decision::Host => return pass(),
            Decision::Engine(ask) => ask,
        },
    };
    if ask.unless_socket && sockets::host_has(skb, &packet.key) {
        return pass();
    }
    if let Err(why) = punt::may_ask(header, &settings, packet.key.source, ask.price) {
        return match (ask.shared, side) {
            (true, _) if why == EarlyDrop::NoWorker => pass(),
            (false, Side::Inside) => without_engine(skb, start, &packet, why),
            (true, _) | (false, Side::Outside) => drop(why),
        };
    }
    let flags = punted_from(&interface);
    punt::send(skb, &settings, &Punt { why: ask.why, hit, start, flags })
}

/// What becomes of a packet from inside that the engine would have to see, and cannot.
#[inline(always)]
fn without_engine(skb: Skb<'_>, start: usize, packet: &Packet, why: EarlyDrop) -> i32 {
    let sent_on = match between::interface_to(skb, packet) {
        Some(to) => between::forward(skb, start, packet, to),
        None => between::leave(skb, packet),
    };
    match sent_on {
        Some(action) => action,
        None => drop(why),
    }
}

/// At an interface that was served, and is called otherwise by now, everything ends but what is the
/// host's.
#[inline(always)]
fn closed(skb: Skb<'_>, start: usize, side: Side, packet: &Packet) -> i32 {
    match decide(skb, start, side, table::header(), packet) {
        Decision::Host => pass(),
        Decision::Engine(ask) if ask.unless_socket && sockets::host_has(skb, &packet.key) => pass(),
        Decision::Engine(_) => drop(EarlyDrop::Closed),
    }
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
    Engine(Ask),
    Host,
}

/// What the engine is asked about a packet.
struct Ask {
    why: PuntReason,
    price: Price,
    /// The packet is the host's, if that has a socket for it.
    unless_socket: bool,
    /// It goes to an address that the host shares: where there is no engine, it is the host's.
    shared: bool,
}

impl Ask {
    #[inline(always)]
    fn of_session(why: PuntReason) -> Self {
        Self { why, price: fast::price(why), unless_socket: false, shared: false }
    }

    /// What may make a session.
    #[inline(always)]
    fn to_open(why: PuntReason) -> Decision {
        let price = Price::Session;
        Decision::Engine(Self { why, price, unless_socket: false, shared: false })
    }

    /// What makes none, and most likely is of one.
    #[inline(always)]
    fn to_look(why: PuntReason) -> Decision {
        let price = Price::Look;
        Decision::Engine(Self { why, price, unless_socket: false, shared: false })
    }
}

impl Decision {
    /// The same of a packet to an address that the host shares.
    #[inline(always)]
    fn shared(self, unless_socket: bool) -> Self {
        match self {
            Self::Engine(ask) => Self::Engine(Ask { shared: true, unless_socket, ..ask }),
            Self::Host => Self::Host,
        }
    }
}

#[inline(always)]
fn decide(
    skb: Skb<'_>,
    start: usize,
    side: Side,
    header: Option<&'static Header>,
    packet: &Packet,
) -> Decision {
    if is_multicast(packet.key.destination) {
        return Decision::Host;
    }
    let address = maps::address(packet.key.destination);
    if address.contains(AddressFlags::BROADCAST) {
        return Decision::Host;
    }
    if address.contains(AddressFlags::OUTSIDE_SHARED) {
        return to_shared_address(skb, start, side, header, packet);
    }
    if address.contains(AddressFlags::LOCAL) {
        return Decision::Host;
    }
    let pool = address.contains(AddressFlags::OUTSIDE_POOL);
    if side == Side::Outside && !pool && is_between_strangers(packet) {
        return Decision::Host;
    }
    match packet.kind {
        Kind::Fragment | Kind::FirstFragment => Ask::to_look(PuntReason::Fragment),
        Kind::IcmpError => Ask::to_look(PuntReason::IcmpError),
        Kind::IcmpOther
        | Kind::Portless
        | Kind::Ports
        | Kind::Reply
        | Kind::Request
        | Kind::Unreadable => Ask::to_open(match side {
            Side::Inside if pool => PuntReason::Hairpin,
            Side::Inside => PuntReason::Inside,
            Side::Outside if pool => PuntReason::Miss,
            Side::Outside => PuntReason::NotLocal,
        }),
    }
}

/// Whether neither end of a packet is an inside host: whether it is forwarded, and how, is the
/// kernel's business.
#[inline(always)]
fn is_between_strangers(packet: &Packet) -> bool {
    let ends = [packet.key.source, packet.key.destination];
    ends.iter().all(|end| maps::inside_of(*end).is_none())
}

/// To an address that the host and the gateway share: whose is it?
#[inline(always)]
fn to_shared_address(
    skb: Skb<'_>,
    start: usize,
    side: Side,
    header: Option<&'static Header>,
    packet: &Packet,
) -> Decision {
    let protocol = packet.key.protocol;
    let missing = match side {
        Side::Inside => PuntReason::Hairpin,
        Side::Outside => PuntReason::Miss,
    };
    match packet.kind {
        // Whose they are shows only after reassembly.
        Kind::Fragment | Kind::FirstFragment => Ask::to_look(PuntReason::Fragment).shared(false),
        Kind::IcmpError if is_about_the_host(skb, start, header, packet) => Decision::Host,
        Kind::IcmpError => Ask::to_look(PuntReason::IcmpError).shared(false),
        // The host answers pings and heeds redirects.
        Kind::Request | Kind::IcmpOther => Decision::Host,
        // Nobody's; the engine says what is wrong with it.
        Kind::Unreadable => Ask::to_look(missing).shared(false),
        Kind::Portless if !maps::owns_protocol(protocol) => Decision::Host,
        Kind::Reply | Kind::Ports if !maps::owns_port(protocol, packet.port()) => Decision::Host,
        Kind::Portless | Kind::Reply | Kind::Ports if is_for_the_host(header, &packet.key) => {
            Decision::Host
        }
        Kind::Portless => Ask::to_open(PuntReason::Protocol).shared(false),
        Kind::Reply => Ask::to_open(missing).shared(false),
        Kind::Ports => Ask::to_open(missing).shared(true),
    }
}

#[inline(always)]
fn is_for_the_host(header: Option<&Header>, answer: &Key4) -> bool {
    header.is_some_and(|header| host::is_answered_by(header, answer))
}

/// Whether an ICMP error quotes a packet that the host has sent, or another translator.
#[inline(always)]
fn is_about_the_host(
    skb: Skb<'_>,
    start: usize,
    header: Option<&'static Header>,
    error: &Packet,
) -> bool {
    skb.pull(start as u32 + parse::LOOKED_AT_IN_ERROR);
    let Some(quoted) = parse::quoted(skb, start, error) else { return false };
    let Key4 { source, destination, ports, protocol } = quoted.key;
    let answer =
        Key4 { source: destination, destination: source, ports: ports.rotate_left(16), protocol };
    if is_for_the_host(header, &answer) {
        return true;
    }
    let (port, _) = unpack_ports(ports);
    match quoted.kind {
        Kind::Ports | Kind::Request => !maps::owns_port(protocol, port),
        Kind::Portless => !maps::owns_protocol(protocol),
        // What the host answered with, or an error of its own.
        Kind::Reply | Kind::IcmpOther => true,
        Kind::FirstFragment | Kind::Fragment | Kind::IcmpError | Kind::Unreadable => false,
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
pub(crate) fn is_multicast(address: u32) -> bool {
    address == u32::MAX || u32::from_be(address) >> 28 == 0xe
}
