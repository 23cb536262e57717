//! Forged ICMP.

use core::net::Ipv4Addr;

use masq_wire::icmp::error::Report;
use masq_wire::tcp::Flags;
use masq_wire::{Endpoint, Protocol, make};

use crate::tests::net::{
    A, C1, C2, Connection, Net, ROUTER, S1, Way, X, c1, c2, s1, s2, unreachable, x,
};
use crate::{DropReason, Duration};

#[test]
fn attack_an_error_about_a_tuple_of_nobody_gets_to_nobody() {
    let mut net = Net::new();
    net.udp_out(c1(5000), s1(9));
    Connection::open(&mut net, c1(6000), s1(80));
    net.ping_out(c1(7), S1);
    let strangers = [
        make::udp(x(5000), s2(9), b"the right port, another remote"),
        make::udp(s1(9), x(5000), b"the wrong way round"),
        make::tcp(x(6000), s1(81), Flags::ACK, 1001, 0, b"another port of the remote"),
        make::echo_request(x(8), S1, 1, b"another identifier"),
        make::udp(Endpoint::v4(A, 5000), s1(9), b"not from us at all"),
        make::udp(c1(5000), s1(9), b"by its inside address"),
        make::ip(Protocol::GRE, X, S1, &[0; 16]),
    ];
    for stranger in strangers {
        for report in [unreachable(3), Report::fragmentation_needed(576), Report::TTL_EXCEEDED] {
            net.send_in(&make::icmp_error(A, X, report, &stranger)).nothing_inside();
        }
    }
    let ours = make::udp(x(5000), s1(9), b"");
    net.send_in(&make::icmp_error(A, X, unreachable(3), &ours)).inside();
}

#[test]
fn attack_an_error_reaches_nobody_but_the_sender_of_what_it_quotes() {
    let mut net = Net::new();
    let (one, two) = (net.udp_out(c1(5000), s1(9)), net.udp_out(c2(5000), s1(9)));
    for (outside, host) in [(one, C1), (two, C2)] {
        let quoted = make::udp(outside, s1(9), b"");
        let seen = net.send_in(&make::icmp_error(A, X, unreachable(3), &quoted)).inside();
        assert_eq!(seen.addresses().1, host);
    }
}

#[test]
fn attack_an_error_whose_envelope_and_quotation_disagree_is_dropped() {
    // CVE-2019-5598: a filter that looks at the one and a translator that looks at the other.
    const Y: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
    let mut net = Net::with(|policy| policy.outsides[0].pool.addresses.push(Y.into()));
    let outside = net.udp_out(c1(5000), s1(9));
    let quoted = make::udp(outside, s1(9), b"");
    let [right, wrong] = if outside.addr == X { [X, Y] } else { [Y, X] };
    for to in [wrong, C1, C2] {
        net.send_in(&make::icmp_error(A, to, unreachable(3), &quoted)).nothing_inside();
    }
    net.send_in(&make::icmp_error(A, right, unreachable(3), &quoted)).inside();
}

#[test]
fn attack_silly_mtus_change_nothing_at_the_gateway() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    let segment = make::tcp(c1(6000), s1(80), Flags::ACK, 1001, 5001, &[1; 1000]);
    let sent = net.send_out(&segment).outside();
    for mtu in [0, 1, 67, 68, 575, 576, 1279, 1500, 65_535] {
        let error = make::icmp_error(A, X, Report::fragmentation_needed(mtu), sent.bytes());
        let _ = net.send_in(&error);
        // What the host still sends is neither cut nor refused: the route's MTU is the only one.
        let packet = make::with_dont_fragment(&make::udp(c1(5000), s1(9), &[0; 1472]));
        assert_eq!(net.send_out(&packet).outside().bytes().len(), 1500, "after {mtu}");
        connection.try_egress(&mut net, Flags::ACK, connection.client, &[1; 1000]).outside();
    }
    connection.works(&mut net);
}

#[test]
fn attack_an_error_about_an_error_or_a_later_fragment_is_dropped() {
    let mut net = Net::new();
    let sent = net.send_out(&make::udp(c1(5000), s1(9), &[0; 1000])).outside();
    let error = make::icmp_error(X, S1, unreachable(3), &make::udp(s1(9), x(5000), b""));
    net.send_in(&make::icmp_error(A, X, unreachable(3), &error)).nothing_inside();
    let later = &make::fragments(sent.bytes(), 576)[1];
    net.send_in(&make::icmp_error(A, X, unreachable(3), later)).nothing_inside();
    let first = &make::fragments(sent.bytes(), 576)[0];
    net.send_in(&make::icmp_error(A, X, unreachable(3), first)).inside();
}

#[test]
fn attack_redirects_do_not_reach_the_inside() {
    let mut net = Net::new();
    let sent = net.send_out(&make::udp(c1(5000), s1(9), b"")).outside();
    for code in 0..4 {
        let report = Report { kind: 5, code, rest: A.octets() };
        net.send_in(&make::icmp_error(ROUTER, X, report, sent.bytes())).nothing_inside();
    }
}

#[test]
fn attack_echo_replies_cannot_be_guessed_in() {
    let mut net = Net::new();
    net.ping_out(c1(7), S1);
    for id in 0..=u16::MAX {
        // The identifier is right once, the sender never.
        assert_eq!(net.ping_in(A, x(id)), None);
    }
    // An echo request is never let in by a mapping: its identifier is its sender's.
    let request = make::echo_request(Endpoint::v4(S1, 7), X, 1, b"");
    net.send_in(&request).nothing_inside();
    assert_eq!(net.ping_in(S1, x(7)), Some(c1(7)));
}

#[test]
fn attack_a_ping_with_every_identifier_is_bounded() {
    let mut net = Net::with(|policy| policy.hosts.sessions = 1000);
    let refused = (0..=u16::MAX)
        .filter(|id| {
            let answer = net.send_out(&make::echo_request(c1(*id), S1, 1, b""));
            answer.drop_reason() == Some(DropReason::HostSessions)
        })
        .count();
    assert_eq!(refused, 65_536 - 1000);
    assert_eq!(net.sessions(), 1000);
    let other = net.ping_out(c2(7), S1);
    assert_eq!(net.ping_in(S1, other), Some(c2(7)));
}

#[test]
fn attack_a_ping_to_a_broadcast_address_is_not_forwarded() {
    let mut net = Net::new();
    for to in [Ipv4Addr::BROADCAST, Ipv4Addr::new(192, 168, 1, 255), Ipv4Addr::new(224, 0, 0, 1)] {
        let smurf = make::echo_request(Endpoint::v4(A, 7), to, 1, b"");
        net.send_in(&smurf).nothing_inside();
        let seen = net.send_out(&make::echo_request(c1(7), to, 1, b"")).all();
        assert!(seen.iter().all(|seen| seen.way() == Way::Local), "{seen:?}");
    }
    assert_eq!(net.sessions(), 0);
}

#[test]
fn attack_a_flood_of_expired_packets_gets_few_answers_on_either_side() {
    let mut net = Net::new();
    let outside = net.udp_out(c1(5000), s1(9));
    let mut answers = (0, 0);
    for number in 0..20_000_u32 {
        let expired = make::with_ttl(&make::udp(c1(5000), s1(9), b""), 1);
        answers.0 += net.send_out(&expired).all().len();
        // From invented sources, so that no single one has its limit.
        let source = Ipv4Addr::from_bits(A.to_bits() + 256 * number);
        let expired = make::udp(Endpoint::v4(source, 9), outside, b"");
        answers.1 += net.send_in(&make::with_ttl(&expired, 1)).all().len();
        net.advance(Duration::from_micros(50));
    }
    assert!((10..=100).contains(&answers.0), "{answers:?}");
    assert!(answers.1 <= 1300, "{answers:?}");
}
