//! What holds whatever happens: random hosts, remotes, protocols and pauses.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use masq_wire::icmp::error::Report;
use masq_wire::tcp::Flags;
use masq_wire::{Endpoint, Protocol, Tuple, make};
use proptest::prelude::*;

use super::net::{INSIDE, Net, OUTSIDE, ROUTER, x};
use crate::ports::PortSpace;
use crate::{Duration, Filtering, Mapping, Pooling, PortRanges};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// An inside host sends.
    Out { host: u8, port: u16, remote: u8, remote_port: u16, kind: Kind },
    /// A remote sends to an outside endpoint that it may or may not know.
    In { remote: u8, remote_port: u16, pick: usize, kind: Kind },
    /// An inside host sends to an outside endpoint.
    Hairpin { host: u8, port: u16, pick: usize, kind: Kind },
    /// Time passes.
    Pause { seconds: u64 },
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Ack,
    Fin,
    Gre,
    Ping,
    Reset,
    Syn,
    Udp,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        1 => Just(Kind::Ack),
        1 => Just(Kind::Fin),
        1 => Just(Kind::Gre),
        2 => Just(Kind::Ping),
        1 => Just(Kind::Reset),
        2 => Just(Kind::Syn),
        3 => Just(Kind::Udp),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let port = 2000_u16..2006;
    let remote_port = 80_u16..83;
    prop_oneof![
        6 => (3_u8..8, port.clone(), 1_u8..4, remote_port.clone(), kind()).prop_map(
            |(host, port, remote, remote_port, kind)| Step::Out {
                host, port, remote, remote_port, kind
            }
        ),
        3 => (1_u8..4, remote_port, any::<usize>(), kind()).prop_map(
            |(remote, remote_port, pick, kind)| Step::In { remote, remote_port, pick, kind }
        ),
        2 => (3_u8..8, port, any::<usize>(), kind())
            .prop_map(|(host, port, pick, kind)| Step::Hairpin { host, port, pick, kind }),
        1 => (1_u64..400).prop_map(|seconds| Step::Pause { seconds }),
    ]
}

/// A network with one of the behaviours, and so few ports that they run out.
fn network() -> impl Strategy<Value = (Mapping, Filtering, Pooling)> {
    (
        prop_oneof![
            Just(Mapping::EndpointIndependent),
            Just(Mapping::AddressDependent),
            Just(Mapping::AddressAndPortDependent),
        ],
        prop_oneof![
            Just(Filtering::EndpointIndependent),
            Just(Filtering::AddressDependent),
            Just(Filtering::AddressAndPortDependent),
        ],
        prop_oneof![Just(Pooling::Paired), Just(Pooling::Arbitrary)],
    )
}

fn make_net((mapping, filtering, pooling): (Mapping, Filtering, Pooling)) -> Net {
    Net::with(|policy| {
        let outside = &mut policy.outsides[0];
        outside.pool.addresses.push("203.0.113.2".parse().unwrap());
        outside.pool.mapping = mapping;
        outside.pool.filtering = filtering;
        outside.pool.pooling = pooling;
        outside.pool.ports = PortRanges(vec![2000..=2011]);
        policy.hold_down.duration = Duration::from_secs(30);
    })
}

fn packet(kind: Kind, from: Endpoint, to: Endpoint, request: bool) -> Vec<u8> {
    let tcp = |flags| make::tcp(from, to, flags, 1000, 5000, b"");
    match kind {
        Kind::Ack => tcp(Flags::ACK),
        Kind::Fin => tcp(Flags::FIN | Flags::ACK),
        Kind::Gre => make::ip(Protocol::GRE, from.addr, to.addr, b"generic"),
        Kind::Ping if request => make::echo_request(from, to.addr, 1, b"ping"),
        Kind::Ping => make::echo_reply(from.addr, to, 1, b"ping"),
        Kind::Reset => tcp(Flags::RST),
        Kind::Syn => tcp(Flags::SYN),
        Kind::Udp => make::udp(from, to, b"datagram"),
    }
}

fn host(number: u8, port: u16) -> Endpoint {
    Endpoint::new(IpAddr::from([192, 168, 1, number]), port)
}

fn remote(number: u8, port: u16) -> Endpoint {
    Endpoint::new(IpAddr::from([198, 51, 100, number]), port)
}

/// Does one thing, and returns the packets that left.
fn act(net: &mut Net, step: &Step) -> Vec<Vec<u8>> {
    let outside = |net: &Net, pick: usize| {
        let known: Vec<Endpoint> =
            net.engine.table().sessions().map(|(_, session)| session.reply.destination).collect();
        if known.is_empty() { x(2000) } else { known[pick % known.len()] }
    };
    let answer = match *step {
        Step::Out { host: number, port, remote: to, remote_port, kind } => {
            let bytes = packet(kind, host(number, port), remote(to, remote_port), true);
            net.send(INSIDE, &bytes)
        }
        Step::In { remote: number, remote_port, pick, kind } => {
            let to = outside(net, pick);
            net.send(OUTSIDE, &packet(kind, remote(number, remote_port), to, false))
        }
        Step::Hairpin { host: number, port, pick, kind } => {
            let to = outside(net, pick);
            net.send(INSIDE, &packet(kind, host(number, port), to, true))
        }
        Step::Pause { seconds } => {
            let sent = net.advance(Duration::from_secs(seconds));
            return sent.into_iter().map(|seen| seen.bytes().to_vec()).collect();
        }
    };
    answer.all().into_iter().map(|seen| seen.bytes().to_vec()).collect()
}

/// What must hold of the table at any time.
fn check(net: &Net) -> Result<(), TestCaseError> {
    let mut arriving = BTreeSet::new();
    let mut owners: BTreeMap<(Protocol, Endpoint), Endpoint> = BTreeMap::new();
    let mut portless = BTreeSet::new();
    for (_, session) in net.engine.table().sessions() {
        prop_assert!(arriving.insert(session.original), "{} twice", session.original);
        prop_assert!(arriving.insert(session.reply), "{} twice", session.reply);
        let (protocol, inside) = (session.original.protocol, session.original.source);
        let outside = session.reply.destination;
        if protocol.has_ports() {
            let owner = *owners.entry((protocol, outside)).or_insert(inside);
            prop_assert_eq!(owner, inside, "two inside endpoints share {}", outside);
            let space = crate::session::space_of(protocol).unwrap();
            prop_assert!(net.engine.sessions.ports.in_use(outside.addr, space, outside.port));
        } else {
            portless.insert((protocol, inside.addr, session.original.destination.addr));
        }
    }
    prop_assert_eq!(net.engine.stats().mappings as usize, owners.len() + portless.len());
    let ports = &net.engine.sessions.ports;
    let used: u32 = ports.spaces().map(|(address, space)| ports.used_count(address, space)).sum();
    prop_assert_eq!(used as usize, owners.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// No two sessions share a tuple, no two inside endpoints share an outside endpoint, and when
    /// all is over nothing is left behind.
    #[test]
    fn outside_tuples_are_unique_and_everything_is_given_back(
        behaviour in network(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut net = make_net(behaviour);
        for step in &steps {
            act(&mut net, step);
            check(&net)?;
        }
        net.advance(Duration::from_secs(3 * 3600));
        check(&net)?;
        prop_assert_eq!(net.sessions(), 0);
        let sessions = &net.engine.sessions;
        prop_assert!(sessions.pins.is_empty() && sessions.portless.is_empty());
        prop_assert!(sessions.hosts.list().is_empty());
    }

    /// The same seed and the same packets give the same bytes.
    #[test]
    fn a_run_can_be_repeated_byte_for_byte(
        behaviour in network(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let (mut one, mut other) = (make_net(behaviour), make_net(behaviour));
        for step in &steps {
            prop_assert_eq!(act(&mut one, step), act(&mut other, step));
        }
        prop_assert_eq!(one.engine.stats(), other.engine.stats());
        prop_assert_eq!(one.events(), other.events());
    }

    /// Who is let in is what the sessions say, found by searching through all of them.
    #[test]
    fn a_filter_lets_in_whom_its_sessions_name(
        behaviour in network(),
        steps in prop::collection::vec(step(), 1..100),
    ) {
        let mut net = make_net(behaviour);
        for step in &steps {
            let Step::In { remote: number, remote_port, pick, kind: Kind::Udp } = *step else {
                act(&mut net, step);
                continue;
            };
            let from = remote(number, remote_port);
            let known: Vec<_> = net
                .engine
                .table()
                .sessions()
                .filter(|(_, session)| session.original.protocol == Protocol::UDP)
                .map(|(_, session)| {
                    let Tuple { source, destination, .. } = session.original;
                    (session.reply.destination, destination, source)
                })
                .collect();
            // Sessions that are kept for a hairpin beyond their time let nobody in.
            if known.is_empty() || !net.engine.sessions.pins.is_empty() {
                continue;
            }
            let (to, _, inside) = known[pick % known.len()];
            // Its answers would leave by the other endpoint.
            if known.iter().any(|other| other.0 != to && (other.1, other.2) == (from, inside)) {
                continue;
            }
            let mine = |remote: &Endpoint| match behaviour.1 {
                Filtering::EndpointIndependent => true,
                Filtering::AddressDependent => remote.addr == from.addr,
                Filtering::AddressAndPortDependent => *remote == from,
            };
            let expected = known.iter().any(|(outside, remote, _)| *outside == to && mine(remote));
            let seen = net.send(OUTSIDE, &packet(Kind::Udp, from, to, false)).all();
            prop_assert_eq!(seen.len(), usize::from(expected), "{} to {}", from, to);
        }
    }

    /// With endpoint-independent mapping the outside endpoint depends on nothing but the inside one,
    /// whatever strangers send in the meantime (RFC 4787 REQ-1, REQ-11).
    #[test]
    fn an_endpoint_keeps_its_outside_endpoint_while_it_sends(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut net =
            make_net((Mapping::EndpointIndependent, Filtering::AddressDependent, Pooling::Paired));
        let mine = host(9, 2003);
        let outside = net.udp_out(mine, remote(9, 9));
        prop_assert_eq!(net.udp_in(remote(9, 9), outside), Some(mine));
        for (i, step) in steps.iter().enumerate() {
            if !matches!(step, Step::Pause { .. }) {
                act(&mut net, step);
            }
            prop_assert_eq!(net.udp_out(mine, remote(10, i as u16)), outside);
        }
    }

    /// What leaves, quoted back in an error, is what was sent, byte for byte but for the hop.
    #[test]
    fn there_and_back_is_the_identity(
        kind in prop_oneof![Just(Kind::Syn), Just(Kind::Ping), Just(Kind::Udp), Just(Kind::Gre)],
        port in 1_u16..,
        remote_port in 1_u16..,
        taken in any::<bool>(),
    ) {
        let mut net = Net::new();
        let (inside, to) = (host(3, port), remote(1, remote_port));
        if taken && !matches!(kind, Kind::Gre) {
            net.send(INSIDE, &packet(kind, host(4, port), to, true));
        }
        let sent = packet(kind, inside, to, true);
        let Some(left) = net.send(INSIDE, &sent).all().pop() else { return Ok(()) };
        let error = make::icmp_error(ROUTER, left.addresses().0, Report::TTL_EXCEEDED, left.bytes());
        let arrived = net.send(OUTSIDE, &error).inside();
        prop_assert_eq!(arrived.error().quoted, make::with_ttl(&sent, make::TTL - 1));
    }

    /// An answer arrives as if its sender had written to the inside host.
    #[test]
    fn answers_arrive_as_written(payload in prop::collection::vec(any::<u8>(), 0..64), port in 1_u16..) {
        let mut net = Net::new();
        net.udp_out(host(4, port), remote(1, 9));
        let outside = net.udp_out(host(3, port), remote(1, 9));
        let arrived = net.send(OUTSIDE, &make::udp(remote(1, 9), outside, &payload)).inside();
        let written = make::udp(remote(1, 9), host(3, port), &payload);
        prop_assert_eq!(arrived.bytes(), &make::with_ttl(&written, make::TTL - 1)[..]);
        prop_assert_eq!(net.engine.sessions.ports.used_count(outside.addr, PortSpace::Udp), 2);
    }
}
