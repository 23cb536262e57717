//! Taking everything there is.

use core::net::Ipv4Addr;

use masq_wire::tcp::Flags;
use masq_wire::{Endpoint, make};

use crate::limits::Rate;
use crate::tests::net::{A, Connection, Net, c1, c2, s1, s2, x};
use crate::{DropReason, Duration, Event};

#[test]
fn attack_one_host_cannot_take_the_ports_of_the_others() {
    let mut net = Net::new();
    let most = net.engine.policy().hosts.mappings;
    let mut refused = 0_u32;
    for port in 1024..=u16::MAX {
        let answer = net.send_out(&make::udp(c1(port), s1(9), b""));
        match answer.drop_reason() {
            None => {}
            Some(DropReason::HostMappings) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 64_512 - most);
    let told = net.events().into_iter().filter(|event| matches!(event, Event::LimitReached { .. }));
    assert_eq!(told.count(), 1, "told once an interval");
    let other = net.udp_out(c2(5000), s1(9));
    assert_eq!(net.udp_in(s1(9), other), Some(c2(5000)));
}

#[test]
fn attack_many_remotes_behind_one_endpoint_are_bounded_too() {
    let mut net = Net::with(|policy| policy.hosts.sessions = 500);
    for port in 1..=1000 {
        let _ = net.send_out(&make::udp(c1(5000), s1(port), b""));
    }
    assert_eq!((net.sessions(), net.engine.stats().mappings), (500, 1));
    net.udp_out(c2(5000), s1(9));
}

#[test]
fn attack_opening_faster_than_allowed_is_refused_until_time_has_passed() {
    let mut net = Net::with(|policy| {
        policy.hosts.rate = Some(Rate { per_second: 100, burst: 50 });
    });
    let open = |net: &mut Net, count: u16| {
        (0..count)
            .filter(|n| net.send_out(&make::udp(c1(1024 + n), s2(9), b"")).drop_reason().is_none())
            .count()
    };
    assert!((50..=51).contains(&open(&mut net, 1000)));
    net.udp_out(c2(5000), s1(9));
    net.wait(1);
    // Those that exist are no new ones.
    assert!(open(&mut net, 1000) > 90);
}

#[test]
fn attack_a_flood_of_syns_from_outside_is_not_remembered_without_end() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    for number in 0..100_000_u32 {
        let source = Endpoint::v4(Ipv4Addr::from_bits(A.to_bits() + number), 80);
        let to = x(1024 + (number % 60_000) as u16);
        net.send_in(&make::tcp(source, to, Flags::SYN, number, 0, b"")).nothing();
    }
    assert_eq!(net.sessions(), 1);
    let answers = net.advance(Duration::from_secs(60));
    assert!(answers.len() <= 300, "{} answers", answers.len());
    connection.works(&mut net);
}

#[test]
fn attack_a_flood_of_syns_to_an_open_endpoint_ends_nothing_that_is_established() {
    let mut net = Net::with(|policy| {
        policy.outsides[0].pool.filtering = crate::Filtering::EndpointIndependent;
        policy.hosts.sessions = 5000;
    });
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    for number in 0..20_000_u32 {
        let source = Endpoint::v4(Ipv4Addr::from_bits(A.to_bits() + number), 80);
        let _ = net.send_in(&make::tcp(source, connection.outside, Flags::SYN, 1, 0, b""));
    }
    assert!(net.sessions() <= 5000);
    connection.works(&mut net);
    // Half-open connections last four minutes.
    net.advance(Duration::from_secs(240));
    assert_eq!(net.sessions(), 1);
    connection.works(&mut net);
}

#[test]
fn attack_refused_packets_of_a_full_gateway_leave_established_flows_alone() {
    let mut net = Net::with(|policy| {
        policy.outsides[0].pool.ports = crate::PortRanges(vec![2000..=2099]);
    });
    let mut connections: Vec<Connection> =
        (0..100).map(|n| Connection::open(&mut net, c1(2000 + n), s1(80))).collect();
    for n in 0..10_000 {
        let syn = make::tcp(c2(1024 + n), s1(80), Flags::SYN, 1, 0, b"");
        assert_eq!(net.send_out(&syn).drop_reason(), Some(DropReason::PortsExhausted));
    }
    for connection in &mut connections {
        connection.works(&mut net);
    }
}

#[test]
fn attack_sessions_that_end_together_do_not_hold_up_the_engine() {
    let mut net = Net::new();
    for host in 10..14 {
        for port in 0..15_000 {
            let inside = Endpoint::v4(Ipv4Addr::new(192, 168, 1, host), 1024 + port);
            let _ = net.send_out(&make::udp(inside, s1(9), b""));
        }
    }
    let before = net.sessions();
    assert_eq!(before, 60_000);
    // In between, packets are served: each waking does a part only.
    let due = net.engine.poll_timeout().unwrap();
    net.advance(due.saturating_sub(net.now()));
    net.engine.handle_timeout(net.now());
    net.udp_out(c1(5000), s1(9));
    net.advance(Duration::from_secs(301));
    assert_eq!(net.sessions(), 0);
}
