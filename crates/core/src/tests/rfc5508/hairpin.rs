//! REQ-7: errors about hairpinned packets.

use masq_wire::make;

use crate::Filtering;
use crate::tests::net::{C1, C2, Net, X, c1, c2, s1, unreachable};

#[test]
fn rfc5508_req_7_a_hairpinned_error_reaches_the_host_that_it_is_about() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let two = net.udp_out(c2(6000), s1(9));
    let original = make::udp(c1(5000), two, b"is anybody there?");
    let arrived = net.send_out(&original).inside();
    // The port is closed.
    let to = arrived.addresses().0;
    let error = make::icmp_error(C2, to, unreachable(3), arrived.bytes());
    let seen = net.send_out(&error).inside();
    assert_eq!(seen.addresses(), (X, C1), "from the endpoint that the host knows");
    assert_eq!(seen.error().what(), (3, 3));
    assert_eq!(seen.error().quoted, make::with_ttl(&original, make::TTL - 1));
}

#[test]
fn rfc5508_req_7_an_error_about_the_answer_reaches_the_other_host() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let two = net.udp_out(c2(6000), s1(9));
    let one = net.send_out(&make::udp(c1(5000), two, b"hello")).inside().source();
    let original = make::udp(c2(6000), one, b"good day");
    let arrived = net.send_out(&original).inside();
    let error = make::icmp_error(C1, arrived.addresses().0, unreachable(3), arrived.bytes());
    let seen = net.send_out(&error).inside();
    assert_eq!(seen.addresses(), (X, C2));
    assert_eq!(seen.error().quoted, make::with_ttl(&original, make::TTL - 1));
}

#[test]
fn rfc5508_req_7_an_error_about_no_hairpinned_packet_is_dropped() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let two = net.udp_out(c2(6000), s1(9));
    let arrived = net.send_out(&make::udp(c1(5000), two, b"hello")).inside();
    let other = make::udp(arrived.source(), c2(6001), b"hello");
    net.send_out(&make::icmp_error(C2, X, unreachable(3), &other)).nothing_inside();
    net.send_out(&make::icmp_error(C2, X, unreachable(3), arrived.bytes())).inside();
}
