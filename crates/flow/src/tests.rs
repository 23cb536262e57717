//! Tests of the table as a whole, and what they share.

mod adoption;
mod crash;
mod model;
mod reading;
mod shape;
mod table;
mod totals;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use masq_wire::{Endpoint, Protocol, Tuple};
use proptest::prelude::*;

use crate::{
    Direction, Flags, Layout, Memory, NextHopId, PerDirection, Secret, Session, Slot, Writer,
};

const SECOND: u64 = 1_000_000_000;
const SECRET: Secret = Secret::new(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);

fn writer(sessions: u32) -> Writer {
    Writer::format(Memory::heap(Layout::for_sessions(sessions)), SECRET)
}

/// Puts so many sessions in, drawn at random.
fn fill(writer: &mut Writer, random: &mut Random, count: usize) -> Vec<(Slot, Session)> {
    (0..count)
        .map(|_| random.session())
        .map(|session| (writer.insert(0, &session).unwrap(), session))
        .collect()
}

/// A TCP session like any other, told apart by its number.
fn session(number: u32) -> Session {
    let port = 1024 + (number % 60_000) as u16;
    let inside = Endpoint::v4(Ipv4Addr::from_bits(0x0a00_0000 + number / 60_000), port);
    let outside = Endpoint::v4(Ipv4Addr::from_bits(0xc000_0201 + number / 60_000), port);
    let remote = Endpoint::v4(Ipv4Addr::new(203, 0, 113, 178), 443);
    between(Protocol::TCP, inside, outside, remote)
}

/// The same over IPv6.
fn session6(number: u32) -> Session {
    let v6 = |net: u16, host: u32| {
        let [high, low] = [(host >> 16) as u16, host as u16];
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, high, low))
    };
    between(
        Protocol::UDP,
        Endpoint::new(v6(1, number), 5000),
        Endpoint::new(v6(2, number), 5000),
        Endpoint::new(v6(3, 1), 53),
    )
}

/// A ping from IPv6 to IPv4.
fn nat64(number: u32) -> Session {
    let v6 = |host: u32| IpAddr::V6(Ipv6Addr::from_bits(0x64_ff9b << 96 | u128::from(host)));
    let id = number as u16;
    let tuple = |protocol, source, destination| Tuple { protocol, source, destination };
    Session {
        original: tuple(
            Protocol::ICMPV6,
            Endpoint::new(v6(number), id),
            Endpoint::new(v6(0xcb00_7101), 0),
        ),
        reply: tuple(
            Protocol::ICMP,
            Endpoint::v4(Ipv4Addr::new(203, 0, 113, 1), 0),
            Endpoint::v4(Ipv4Addr::new(192, 0, 2, 1), id),
        ),
        ..session(0)
    }
}

fn between(protocol: Protocol, inside: Endpoint, outside: Endpoint, remote: Endpoint) -> Session {
    Session {
        original: Tuple { protocol, source: inside, destination: remote },
        reply: Tuple { protocol, source: remote, destination: outside },
        flags: Flags::ANSWERED,
        class: 3,
        state: 4,
        next_hops: PerDirection::new(NextHopId(1), NextHopId(2)),
        interfaces: PerDirection::new(5, 6),
        epoch: 7,
        rule_path: 8,
        created: 9,
    }
}

/// Any session that a record can hold.
fn any_session() -> impl Strategy<Value = Session> {
    let v4 = || any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
    let v6 = || any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)));
    let pair4 = || (v4(), v4()).boxed();
    let pair6 = || (v6(), v6()).boxed();
    let addresses = prop_oneof![
        3 => (pair4(), pair4()),
        1 => (pair6(), pair6()),
        1 => (pair6(), pair4()),
        1 => (pair4(), pair6()),
    ];
    let decisions = (any::<[u8; 2]>(), 0_u16..32, [0_u16..1024, 0_u16..1024], any::<[u32; 5]>());
    (addresses, any::<[u16; 4]>(), any::<u8>(), decisions).prop_filter_map(
        "both tuples are the same",
        |((from, to), ports, protocol, ([class, state], flags, hops, numbers))| {
            let protocols = match (protocol, from.0.is_ipv6(), to.0.is_ipv6()) {
                (58, true, false) => (58, 1),
                (1, false, true) => (1, 58),
                _ => (protocol, protocol),
            };
            let session = Session {
                original: Tuple {
                    protocol: Protocol(protocols.0),
                    source: Endpoint::new(from.0, ports[0]),
                    destination: Endpoint::new(from.1, ports[1]),
                },
                reply: Tuple {
                    protocol: Protocol(protocols.1),
                    source: Endpoint::new(to.0, ports[2]),
                    destination: Endpoint::new(to.1, ports[3]),
                },
                flags: Flags::from_bits_truncate(flags),
                class,
                state,
                next_hops: PerDirection::new(NextHopId(hops[0]), NextHopId(hops[1])),
                interfaces: PerDirection::new(numbers[0], numbers[1]),
                epoch: numbers[2],
                rule_path: numbers[3],
                created: numbers[4],
            };
            (session.original != session.reply).then_some(session)
        },
    )
}

/// Random numbers that are the same in every run (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn session(&mut self) -> Session {
        let (a, b, c) = (self.next(), self.next(), self.next());
        between(
            Protocol::UDP,
            Endpoint::v4(Ipv4Addr::from_bits(a as u32), (a >> 32) as u16),
            Endpoint::v4(Ipv4Addr::from_bits(b as u32), (b >> 32) as u16),
            Endpoint::v4(Ipv4Addr::from_bits(c as u32), (c >> 32) as u16),
        )
    }
}

/// Both tuples lead to the slot, and the slot holds the session.
#[track_caller]
fn assert_found(writer: &Writer, slot: Slot, session: &Session) {
    assert_eq!(writer.session(slot).as_ref(), Some(session));
    for direction in Direction::ALL {
        assert_eq!(writer.lookup(session.arriving(direction)), Some((slot, direction)));
    }
}

/// The index holds two entries for each session and nothing else.
#[track_caller]
fn assert_tidy(writer: &Writer) {
    let entries: usize =
        writer.memory().buckets().iter().map(|bucket| 8 - bucket.vacancies().count()).sum();
    assert_eq!(entries, 2 * writer.len());
    let wide = writer.slots().filter(|slot| writer.record(*slot).is_wide()).count();
    let slots = writer.layout().slots as usize;
    assert_eq!(writer.len() + wide + writer.resting() + writer.slots.ready(), slots);
    for (slot, session) in writer.sessions() {
        assert_found(writer, slot, &session);
    }
}
