//! The fast path: the same bytes as the engine's, and nothing that the engine should have seen.

mod judges;
mod order;
mod same;
mod stamps;
mod table;
mod wire;

use masq_flow::{Direction, Session};
use masq_wire::{Packet, Protocol};

use crate::rig::{Became, Context, Port, Rig};

/// A packet as it leaves when the engine translates it, with the header of its next hop.
fn reference(session: &Session, direction: Direction, packet: &[u8], to: Port) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    let leaving = session.leaving(direction);
    let mut packet = Packet::parse(&mut bytes).unwrap();
    let arriving = packet.tuple().unwrap();
    if arriving.source != leaving.source {
        packet.rewrite_source(leaving.source);
    }
    if arriving.destination != leaving.destination {
        packet.rewrite_destination(leaving.destination);
    }
    packet.decrement_ttl();
    let bytes = packet.into_bytes().to_vec();
    [&to.neighbour[..], &to.mac, &[8, 0], &bytes].concat()
}

/// Both programs on one packet, which they both translate.
fn carry(rig: &mut Rig, from: Port, packet: &[u8]) -> Vec<u8> {
    let frame = from.frame(packet);
    let outcome = rig.arrive_frame(Context::at(from), &frame);
    assert_eq!(outcome.became, Became::Translated);
    assert_eq!(rig.arrive_xdp(from, &frame), Some(outcome.frame.clone()), "XDP and TC agree");
    outcome.frame
}

/// The session of most tests.
fn usual(rig: &Rig, protocol: Protocol) -> Session {
    let port = if protocol == Protocol::ICMP { 0 } else { 53 };
    let remote = format!("203.0.113.178:{port}");
    let [inside, outside, remote] =
        ["192.168.1.3:5353", "203.0.113.1:5353", &remote].map(masq_wire::make::at);
    rig.masquerade(protocol, inside, outside, remote)
}
