//! REQ-5, REQ-6 and REQ-8: how long a mapping lives, and whom it lets in.

use crate::tests::net::{Net, c1, s1, s2};
use crate::{DropReason, Duration, EndReason, Event, Filtering};

#[test]
fn rfc4787_req_5_udp_mapping_lives_two_minutes() {
    let mut net = Net::new();
    let outside = net.udp_out(c1(5000), s1(9));
    net.wait(119);
    assert_eq!(net.udp_in(s1(9), outside), Some(c1(5000)));
}

#[test]
fn rfc4787_req_5_the_destination_port_makes_no_difference() {
    let mut net = Net::new();
    for port in [53, 123, 443, 5000] {
        let outside = net.udp_out(c1(port + 5000), s1(port));
        net.wait(119);
        assert_eq!(net.udp_in(s1(port), outside), Some(c1(port + 5000)));
    }
}

#[test]
fn rfc4787_req_5b_the_timer_is_configurable() {
    for seconds in [150, 3600] {
        let mut net = Net::with(|policy| policy.timeouts.udp = Duration::from_secs(seconds));
        let outside = net.udp_out(c1(5000), s1(9));
        net.wait(seconds - 1);
        assert_eq!(net.sessions(), 1);
        net.wait(1);
        assert_eq!((net.sessions(), net.udp_in(s1(9), outside)), (0, None));
    }
}

#[test]
fn rfc4787_req_5c_the_default_is_five_minutes() {
    let mut net = Net::new();
    let outside = net.udp_out(c1(5000), s1(9));
    net.wait(299);
    assert_eq!(net.udp_in(s1(9), outside), Some(c1(5000)));
    net.events();
    net.wait(300);
    assert_eq!(net.sessions(), 0);
    let events = net.events();
    let idle =
        |event: &Event| matches!(event, Event::SessionRemoved { reason: EndReason::Idle, .. });
    assert!(events.iter().any(idle), "{events:?}");
    assert!(matches!(events.last(), Some(Event::MappingRemoved { .. })), "{events:?}");
}

#[test]
fn rfc4787_req_6_outbound_packets_refresh_a_flow_without_answers() {
    for pause in [60, 299] {
        let mut net = Net::new();
        let outside = net.udp_out(c1(5000), s1(9));
        for _ in 0..10 {
            net.wait(pause);
            assert_eq!(net.udp_out(c1(5000), s1(9)), outside);
        }
        net.wait(299);
        assert_eq!(net.udp_in(s1(9), outside), Some(c1(5000)));
    }
}

#[test]
fn rfc4787_req_6_outbound_packets_to_any_remote_keep_the_endpoint() {
    let mut net = Net::new();
    let outside = net.udp_out(c1(5000), s1(9));
    for port in 1..10 {
        net.wait(200);
        assert_eq!(net.udp_out(c1(5000), s2(port)), outside);
    }
    assert_eq!(net.udp_out(c1(5000), s1(9)), outside);
}

#[test]
fn rfc4787_req_6a_inbound_packets_that_are_let_in_refresh() {
    let mut net = Net::new();
    let outside = net.udp_out(c1(5000), s1(9));
    for _ in 0..10 {
        net.wait(299);
        assert_eq!(net.udp_in(s1(9), outside), Some(c1(5000)));
    }
    net.wait(300);
    assert_eq!(net.udp_in(s1(9), outside), None);
}

#[test]
fn rfc4787_req_8_endpoint_independent_filtering_lets_everybody_in() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let outside = net.udp_out(c1(5000), s1(9));
    for remote in [s1(9), s1(10), s2(9), s2(10)] {
        assert_eq!(net.udp_in(remote, outside), Some(c1(5000)));
    }
}

#[test]
fn rfc4787_req_8_address_dependent_filtering_asks_for_the_address() {
    let mut net = Net::filtering(Filtering::AddressDependent);
    let outside = net.udp_out(c1(5000), s1(9));
    assert_eq!(net.udp_in(s1(9), outside), Some(c1(5000)));
    assert_eq!(net.udp_in(s1(10), outside), Some(c1(5000)));
    assert_eq!(net.udp_in(s2(9), outside), None);
    assert_eq!(net.drops(DropReason::Filtered), 1);
    net.udp_out(c1(5000), s2(1));
    assert_eq!(net.udp_in(s2(9), outside), Some(c1(5000)));
}

#[test]
fn rfc4787_req_8_address_and_port_dependent_filtering_is_the_default() {
    let mut net = Net::new();
    let outside = net.udp_out(c1(5000), s1(9));
    assert_eq!(net.udp_in(s1(9), outside), Some(c1(5000)));
    assert_eq!(net.udp_in(s1(10), outside), None);
    assert_eq!(net.udp_in(s2(9), outside), None);
    assert_eq!(net.drops(DropReason::Filtered), 2);
    net.udp_out(c1(5000), s2(9));
    assert_eq!(net.udp_in(s2(9), outside), Some(c1(5000)));
}

#[test]
fn rfc4787_req_8_a_remote_whose_session_has_ended_is_filtered_again() {
    for filtering in [Filtering::AddressDependent, Filtering::AddressAndPortDependent] {
        let mut net = Net::filtering(filtering);
        let outside = net.udp_out(c1(5000), s1(9));
        net.wait(200);
        assert_eq!(net.udp_out(c1(5000), s2(9)), outside);
        net.wait(200);
        assert_eq!(net.udp_in(s1(9), outside), None, "{filtering:?}");
        assert_eq!(net.udp_in(s2(9), outside), Some(c1(5000)), "{filtering:?}");
    }
}
