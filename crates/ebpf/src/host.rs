//! The host's own flows, and those of other translators on it (a container engine's, say).
//!
//! What leaves with a shared address and is none of ours is noted at the egress of the outside
//! (`egress`), by the tuple that its answers arrive with; and what arrives with such a tuple is the
//! host's. No daemon has to be there for that, and it does not matter who came first: where a session
//! of an inside host has the same tuple, its packets from outside are the host's, and its next one from
//! inside goes to the engine, which gives the session another endpoint.
//!
//! Only what could be taken for ours is noted: no port that the gateway does not own. A hint for each
//! port says whether a look is worth its while (`masq_flow::owned`), and a word of the header whether
//! there are hints at all: with nothing noted, a packet pays one load.

use aya_ebpf::bindings::BPF_ANY;
use masq_flow::index::Hit;
use masq_flow::key::{Key4, unpack_ports};
use masq_flow::maps::HostFlow;
use masq_flow::owned::Shared;
use masq_flow::{Direction, Header};
use masq_wire::Protocol;
use masq_wire::tcp::{self, Flags};

use crate::bytes::Bytes as _;
use crate::clock;
use crate::maps::{self, HOST_FLOWS};
use crate::parse::{Kind, Packet};
use crate::skb::Skb;

/// Whether a packet with this tuple answers a flow of the host.
#[inline(always)]
pub(crate) fn is_answered_by(header: &Header, answer: &Key4) -> bool {
    header.has_host_flows() && is_noted(&HostFlow::answered_by(answer))
}

/// Whether the host has a flow whose answers look like those of a packet's session.
#[inline(always)]
pub(crate) fn has_flow_of(hit: &Hit<'_>, packet: &Packet) -> bool {
    if !hit.header.has_host_flows() {
        return false;
    }
    let flow = match hit.direction {
        Direction::Ingress => HostFlow::answered_by(&packet.key),
        Direction::Egress => {
            let to = hit.record.translation(Direction::Egress);
            let (source, destination, ports) = (to.source, to.destination, to.ports);
            HostFlow::sent_with(&Key4 { source, destination, ports, protocol: packet.key.protocol })
        }
    };
    is_noted(&flow)
}

/// Notes a packet that the host sends, or another translator, if its answer could be taken for ours.
#[inline(always)]
pub(crate) fn note(skb: Skb<'_>, start: usize, header: &Header, packet: &Packet) {
    let (port, _) = unpack_ports(packet.key.ports);
    let protocol = packet.key.protocol;
    let ours = match packet.kind {
        Kind::Ports | Kind::Request => maps::owns_port(protocol, port),
        // An inside host may come to use the protocol after the host.
        Kind::Portless => true,
        // The tuple of a first fragment is that of the whole.
        Kind::FirstFragment => {
            maps::owns_port(protocol, port) || Shared::of(Protocol(protocol)).is_none()
        }
        // A reply answers somebody else's request.
        Kind::Fragment | Kind::IcmpError | Kind::IcmpOther | Kind::Reply | Kind::Unreadable => {
            false
        }
    };
    if !ours || is_reset(skb, start, packet) {
        return;
    }
    let flow = HostFlow::sent_with(&packet.key);
    let now = clock::now(header);
    let noted = match HOST_FLOWS.get_ptr_mut(flow) {
        // SAFETY: the look-up returned a valid, aligned value, of a size that is not torn.
        Some(seen) if now.wrapping_sub(unsafe { seen.read_volatile() }) < AGAIN => true,
        // SAFETY: as above. Of two processors either may win.
        Some(seen) => unsafe {
            seen.write_volatile(now);
            true
        },
        // The map makes room by forgetting the flow that was silent longest.
        None => HOST_FLOWS.insert(flow, now, u64::from(BPF_ANY)).is_ok(),
    };
    if noted && !(header.has_host_flows() && is_hinted(&flow)) {
        hint(&flow);
        header.set_host_flows(true);
    }
}

/// A reset refuses a segment that nobody claims, or ends a connection: it has no answer.
#[inline(always)]
fn is_reset(skb: Skb<'_>, start: usize, packet: &Packet) -> bool {
    if Protocol(packet.key.protocol) != Protocol::TCP {
        return false;
    }
    let at = start + packet.header.length() + tcp::offset::DATA_OFFSET;
    let flags = skb.read::<[u8; 2]>(at).map(|[_, flags]| Flags::from_bits_retain(flags));
    flags.is_some_and(|flags| flags.contains(Flags::RST))
}

#[inline(always)]
fn is_noted(flow: &HostFlow) -> bool {
    is_hinted(flow) && HOST_FLOWS.get_ptr(flow).is_some()
}

#[inline(always)]
fn is_hinted(flow: &HostFlow) -> bool {
    let Some(owned) = maps::owned() else { return false };
    let protocol = Protocol(flow.protocol as u8);
    match Shared::of(protocol) {
        Some(shared) => owned.hints_port(shared, unpack_ports(flow.ports).1),
        None => owned.hints_protocol(protocol),
    }
}

#[inline(always)]
fn hint(flow: &HostFlow) {
    let Some(owned) = maps::owned() else { return };
    let protocol = Protocol(flow.protocol as u8);
    match Shared::of(protocol) {
        Some(shared) => owned.hint_port(shared, unpack_ports(flow.ports).1),
        None => owned.hint_protocol(protocol),
    }
}

/// A flow is noted again after this time, in nanoseconds; far less than the daemon keeps it.
const AGAIN: u64 = 1_000_000_000;
