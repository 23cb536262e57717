//! However a walk is cut, and whatever packets come in between, it ends in the same table.

use std::collections::BTreeMap;

use masq_flow::{Direction, Session, Slot};
use masq_wire::{Endpoint, Protocol, Tuple, make};
use proptest::prelude::*;

use crate::tests::net::{C1, INSIDE, Net, OUTSIDE, S1, S2, c1, c2, s1, s2};
use crate::{
    Duration, Filtering, Mapping, NextHop, NextHopId, NextHopState, Policy, Prefix, Route,
};

/// Something that every session has to be looked at for.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// The outside has this address.
    Address(u8),
    Away(bool),
    Filtering(Filtering),
    Mapping(Mapping),
    /// Only the first host is inside, or the whole network.
    OnlyFirst(bool),
    /// A remote is behind another router, or has none.
    Route {
        remote: bool,
        hop: Option<u16>,
    },
    Timeout(u64),
}

/// One thing that happens while walks are under way.
#[derive(Clone, Copy, Debug)]
enum Step {
    Change(Change),
    /// A packet of one of the sessions there were in the beginning.
    Packet {
        number: usize,
        ingress: bool,
    },
    Slice(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (1_u8..4).prop_map(Change::Address),
        any::<bool>().prop_map(Change::Away),
        prop_oneof![
            Just(Filtering::EndpointIndependent),
            Just(Filtering::AddressDependent),
            Just(Filtering::AddressAndPortDependent),
        ]
        .prop_map(Change::Filtering),
        prop_oneof![
            Just(Mapping::EndpointIndependent),
            Just(Mapping::AddressDependent),
            Just(Mapping::AddressAndPortDependent),
        ]
        .prop_map(Change::Mapping),
        any::<bool>().prop_map(Change::OnlyFirst),
        (any::<bool>(), prop::option::of(900_u16..903))
            .prop_map(|(remote, hop)| Change::Route { remote, hop }),
        (100_u64..400).prop_map(Change::Timeout),
    ]
}

/// A change, then slices and packets, and perhaps another change in the middle.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => change().prop_map(Step::Change),
        6 => (0_usize..SESSIONS, any::<bool>())
            .prop_map(|(number, ingress)| Step::Packet { number, ingress }),
        6 => (1_usize..5).prop_map(Step::Slice),
    ];
    prop::collection::vec(step, 1..40)
}

fn apply(net: &mut Net, change: Change) {
    let mut with = |change: &dyn Fn(&mut Policy)| net.begin_to_apply(change);
    match change {
        Change::Address(last) => {
            with(&|policy| policy.outsides[0].pool.addresses = vec![[203, 0, 113, last].into()]);
        }
        Change::Away(away) => with(&|policy| policy.outsides[0].away = away),
        Change::Filtering(filtering) => {
            with(&|policy| policy.outsides[0].pool.filtering = filtering)
        }
        Change::Mapping(mapping) => with(&|policy| policy.outsides[0].pool.mapping = mapping),
        Change::OnlyFirst(only) => {
            let network = if only { Prefix::v4(C1, 32) } else { crate::tests::net::LAN };
            with(&|policy| policy.insides[0].networks = vec![network]);
        }
        Change::Route { remote, hop } => {
            let remote = if remote { S1 } else { S2 };
            let route = hop.map_or(Route::NoRoute, |id| {
                let (id, state) = (NextHopId(id), NextHopState::Ready);
                Route::Unicast(NextHop { id, port: OUTSIDE, mtu: 1500, state })
            });
            net.routes.set(remote, route);
            net.engine.handle_routes();
        }
        Change::Timeout(seconds) => {
            with(&|policy| policy.timeouts.udp = Duration::from_secs(seconds));
        }
    }
}

/// The ends of one of the sessions.
fn ends(number: usize) -> (Endpoint, Endpoint) {
    let port = 5000 + number as u16 / 2;
    let inside = if number % 4 < 2 { c1(port) } else { c2(port) };
    (inside, if number.is_multiple_of(2) { s1(9) } else { s2(9) })
}

/// Sessions in all states: answered and not, let in and not.
fn begin() -> Net {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    for number in 0..SESSIONS {
        let (inside, remote) = ends(number);
        let outside = net.udp_out(inside, remote);
        if number % 3 == 0 {
            net.udp_in(remote, outside);
        }
        if number % 5 == 0 {
            net.udp_in(s2(99), outside);
        }
    }
    net
}

/// One of the sessions, if it has not ended.
fn session(net: &Net, number: usize) -> Option<(Slot, Session)> {
    let (inside, remote) = ends(number);
    let (slot, _) = net.engine.table().lookup(&Tuple::new(Protocol::UDP, inside, remote))?;
    Some((slot, net.engine.table().session(slot)?))
}

/// Sends a packet of a session that is in the table, so that none begins.
fn send(net: &mut Net, number: usize, ingress: bool) {
    let Some((_, Session { original, reply, .. })) = session(net, number) else { return };
    if ingress {
        net.send(OUTSIDE, &make::udp(reply.source, reply.destination, b""));
    } else {
        net.send(INSIDE, &make::udp(original.source, original.destination, b""));
    }
}

/// What is said of each session; but not when it was looked at, nor the outside port, since of two
/// sessions that move and want the same one the first gets it.
fn table(net: &Net) -> BTreeMap<Slot, Session> {
    let said = |(slot, mut session): (Slot, Session)| {
        session.epoch = 0;
        session.reply.destination.port = 0;
        (slot, session)
    };
    net.engine.table().sessions().map(said).collect()
}

/// What must hold of every session when no walk is under way.
fn check(net: &Net) -> Result<(), TestCaseError> {
    let engine = &net.engine;
    for (slot, session) in engine.table().sessions() {
        prop_assert_eq!(session.epoch, engine.table().min_epoch());
        prop_assert!(engine.policy().is_inside(session.original.source.addr), "{slot}");
        let outside = engine.policy().outside_of(session.reply.destination.addr);
        prop_assert!(outside.is_some(), "{slot}");
        for direction in Direction::ALL {
            let found = engine.table().lookup(session.arriving(direction));
            prop_assert_eq!(found, Some((slot, direction)));
        }
    }
    Ok(())
}

const SESSIONS: usize = 24;

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// One network walks in slices, the other all at once whenever something changes; packets of
    /// sessions that exist come to both.
    #[test]
    fn it_is_the_table_of_a_walk_in_one_go(first in change(), steps in steps()) {
        let (mut sliced, mut whole) = (begin(), begin());
        for step in [Step::Change(first)].into_iter().chain(steps) {
            match step {
                Step::Change(change) => {
                    // What another change undoes before it has reached a session never happened.
                    sliced.walk();
                    apply(&mut sliced, change);
                    apply(&mut whole, change);
                    whole.walk();
                }
                Step::Packet { number, ingress } => {
                    let (one, other) = (session(&sliced, number), session(&whole, number));
                    // Else it has ended in the one, or its remote does not know where it has moved.
                    let address = |found: Option<(Slot, Session)>| {
                        found.map(|(_, session)| session.reply.destination.addr)
                    };
                    let same_reply = address(one) == address(other);
                    if one.is_some() == other.is_some() && (same_reply || !ingress) {
                        send(&mut sliced, number, ingress);
                        send(&mut whole, number, ingress);
                    }
                }
                Step::Slice(most) => {
                    sliced.walk_on(most);
                }
            }
        }
        sliced.walk();
        check(&sliced)?;
        check(&whole)?;
        prop_assert_eq!(table(&sliced), table(&whole));
        prop_assert_eq!(sliced.engine.stats().mappings, whole.engine.stats().mappings);
    }

    /// Changes come while earlier ones are on their way. Nobody escapes the last one.
    #[test]
    fn every_session_is_as_the_last_change_has_it(first in change(), steps in steps()) {
        let mut net = begin();
        for step in [Step::Change(first)].into_iter().chain(steps) {
            match step {
                Step::Change(change) => apply(&mut net, change),
                Step::Packet { number, ingress } => send(&mut net, number, ingress),
                Step::Slice(most) => {
                    net.walk_on(most);
                }
            }
        }
        net.walk();
        check(&net)?;
        net.advance(Duration::from_secs(1000));
        prop_assert_eq!((net.sessions(), net.engine.stats().mappings), (0, 0));
        prop_assert!(net.engine.sessions.hosts.list().is_empty());
    }
}
