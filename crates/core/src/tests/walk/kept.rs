//! Sessions that are only kept because a hairpin session leads to their mapping.

use masq_flow::{Direction, Flags, Slot};
use masq_wire::{Endpoint, Protocol, Tuple, make};

use crate::DropReason;
use crate::tests::net::{Net, c1, c2, s1};

/// C1 and C2 talk by their outside endpoints until C2's own session is over. Gives C2's outside
/// endpoint and the slot of that session.
fn kept(net: &mut Net) -> (Endpoint, Slot) {
    let (one, two) = (net.udp_out(c1(5000), s1(9)), net.udp_out(c2(6000), s1(9)));
    assert_eq!(net.udp_in(s1(9), two), Some(c2(6000)));
    let (slot, _) = net.engine.table().lookup(&Tuple::new(Protocol::UDP, c2(6000), s1(9))).unwrap();
    // The session that leads to C2's mapping; C2's filter opens with its answer.
    net.send_out(&make::udp(c1(5000), two, b"")).dropped(DropReason::Filtered);
    for _ in 0..5 {
        net.send_out(&make::udp(c2(6000), one, b"")).inside();
        net.send_out(&make::udp(c1(5000), two, b"")).inside();
        net.wait(100);
    }
    (two, slot)
}

#[test]
fn the_fast_path_does_not_carry_what_the_filter_would_refuse() {
    let mut net = Net::new();
    let (two, slot) = kept(&mut net);
    assert!(net.engine.table().session(slot).unwrap().flags.contains(Flags::PUNT));
    assert!(Direction::ALL.iter().all(|direction| !net.is_fast(slot, *direction)));
    net.send_in(&make::udp(s1(9), two, b"")).dropped(DropReason::Filtered);
    assert!(!net.is_fast(slot, Direction::Ingress), "it is as over as before");
}

#[test]
fn a_packet_of_its_host_gives_it_back_to_the_fast_path() {
    let mut net = Net::new();
    let (two, slot) = kept(&mut net);
    assert_eq!(net.udp_out(c2(6000), s1(9)), two);
    assert_eq!(net.engine.table().session(slot).unwrap().flags & Flags::PUNT, Flags::empty());
    assert!(net.is_fast(slot, Direction::Egress));
    assert_eq!(net.udp_in(s1(9), two), Some(c2(6000)));
    assert!(net.is_fast(slot, Direction::Ingress));
}

#[test]
fn a_walk_leaves_it_to_the_engine() {
    let mut net = Net::new();
    let (_, slot) = kept(&mut net);
    net.engine.handle_routes();
    net.walk();
    net.apply(|policy| policy.timeouts.udp += crate::Duration::from_secs(1));
    assert!(net.engine.table().session(slot).unwrap().flags.contains(Flags::PUNT));
}

#[test]
fn it_ends_when_nothing_leads_to_it_any_more() {
    let mut net = Net::new();
    let (_, slot) = kept(&mut net);
    net.wait(400);
    assert_eq!(net.engine.table().session(slot), None);
    assert_eq!(net.sessions(), 0);
}
