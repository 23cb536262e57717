//! Filters that become stricter.

use masq_flow::Direction;
use masq_wire::{Protocol, Tuple, make};

use crate::tests::net::{Net, c1, c2, s1, s2, x};
use crate::{DropReason, Filtering, Mapping};

#[test]
fn who_was_let_in_and_never_answered_has_to_ask_again() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    net.udp_out(c1(5000), s1(9));
    let (guest, answered) = (s2(1), s2(2));
    for remote in [guest, answered] {
        assert_eq!(net.udp_in(remote, x(5000)), Some(c1(5000)));
    }
    net.udp_out(c1(5000), answered);

    let plan = net.apply(|policy| {
        policy.outsides[0].pool.filtering = Filtering::AddressAndPortDependent;
    });

    assert_eq!((plan.kept, plan.ended), (2, 1));
    assert_eq!(net.udp_in(guest, x(5000)), None);
    assert_eq!(net.udp_in(answered, x(5000)), Some(c1(5000)));
    assert_eq!(net.udp_in(s1(9), x(5000)), Some(c1(5000)));
}

#[test]
fn who_would_be_let_in_by_the_stricter_filter_too_is_let_in_again() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    net.udp_out(c1(5000), s1(9));
    assert_eq!(net.udp_in(s1(10), x(5000)), Some(c1(5000)));
    net.apply(|policy| policy.outsides[0].pool.filtering = Filtering::AddressDependent);
    assert_eq!(net.udp_in(s1(10), x(5000)), Some(c1(5000)));
    assert_eq!(net.udp_in(s2(10), x(5000)), None);
}

#[test]
fn another_mapping_behaviour_ends_no_guest() {
    let mut net = Net::filtering(Filtering::AddressDependent);
    net.udp_out(c1(5000), s1(9));
    assert_eq!(net.udp_in(s1(10), x(5000)), Some(c1(5000)));
    let plan = net.apply(|policy| policy.outsides[0].pool.mapping = Mapping::AddressDependent);
    assert_eq!((plan.kept, plan.ended), (2, 0));
}

#[test]
fn a_hairpin_that_was_let_in_and_not_answered_meets_the_new_filter() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let (one, two) = (net.udp_out(c1(5000), s1(9)), net.udp_out(c2(6000), s1(9)));
    let there = make::udp(c1(5000), two, b"");
    net.send_out(&there).inside();
    let (slot, _) = net.engine.table().lookup(&Tuple::new(Protocol::UDP, c1(5000), two)).unwrap();
    assert!(net.is_fast(slot, Direction::Egress));

    net.apply(|policy| policy.outsides[0].pool.filtering = Filtering::AddressAndPortDependent);

    assert!(!net.is_fast(slot, Direction::Egress));
    net.send_out(&there).dropped(DropReason::Filtered);
    net.send_out(&make::udp(c2(6000), one, b"")).inside();
    net.send_out(&there).inside();
    assert!(net.is_fast(slot, Direction::Egress));
}
