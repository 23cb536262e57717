//! A packet of an existing session, a packet that begins one, and a session that ends.

use core::net::{IpAddr, Ipv4Addr};

use divan::{Bencher, black_box};
use masq_core::{
    Duration, Engine, Frame, Inside, Instant, NextHop, NextHopId, NextHopState, Outside, Policy,
    PortId, Prefix, Route, RouteQuery, Routes, Verdict,
};
use masq_flow::{Layout, Memory, Secret, Writer};
use masq_wire::tcp::Flags;
use masq_wire::{Endpoint, Packet, make};

pub(crate) const INSIDE: PortId = PortId(1);
pub(crate) const OUTSIDE: PortId = PortId(2);
const LAN: Prefix = Prefix::v4(Ipv4Addr::new(10, 0, 0, 0), 8);
const OUTSIDE_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
pub(crate) const START: Instant = Instant::from_secs(1000);

/// Everything inside is one neighbour, everything else another.
pub(crate) struct Flat;

impl Routes for Flat {
    fn route(&self, query: &RouteQuery) -> Route {
        let (id, port) = if LAN.contains(query.destination) {
            (NextHopId(1), INSIDE)
        } else {
            (NextHopId(2), OUTSIDE)
        };
        Route::Unicast(NextHop { id, port, mtu: 1500, state: NextHopState::Ready })
    }

    fn next_hop_state(&self, _: NextHopId) -> NextHopState {
        NextHopState::Ready
    }
}

pub(crate) fn engine(addresses: u8) -> Engine {
    let inside = Inside { port: INSIDE, address: None, networks: vec![LAN] };
    let mut outside = Outside::new(OUTSIDE, vec![OUTSIDE_ADDRESS.into()]);
    outside.pool.addresses.extend((2..=addresses).map(|host| IpAddr::from([203, 0, 113, host])));
    let mut policy = Policy::new(vec![inside], vec![outside]);
    policy.hosts.hosts = 1 << 20;
    let memory = Memory::heap(Layout::for_sessions(1 << 20));
    let writer = Writer::format(memory, Secret::new(1, 2));
    Engine::new(1_u64, writer, policy, START)
}

/// The `n`-th of many different flows.
pub(crate) fn flow(n: u32) -> (Endpoint, Endpoint) {
    let inside = Endpoint::v4(Ipv4Addr::from_bits(0x0a00_0003 + n / 16), 2000 + (n % 16) as u16);
    (inside, Endpoint::v4(Ipv4Addr::new(198, 51, 100, 1), 9))
}

pub(crate) fn pass(
    engine: &mut Engine,
    now: Instant,
    port: PortId,
    packet: &[u8],
    buffer: &mut [u8],
) {
    buffer[..packet.len()].copy_from_slice(packet);
    let mut frame = Frame::new(buffer, packet.len());
    let verdict = engine.process(now, &Flat, port, &mut frame);
    assert!(matches!(black_box(verdict), Verdict::Forward(_)), "{verdict:?}");
}

/// An engine with so many UDP sessions, whose events were fetched.
fn with_sessions(count: u32) -> Engine {
    let (mut engine, mut buffer) = (engine(200), [0; 2048]);
    for n in 0..count {
        let (inside, remote) = flow(n);
        pass(&mut engine, START, INSIDE, &make::udp(inside, remote, b"hello"), &mut buffer);
        while engine.poll_event().is_some() {}
    }
    engine
}

#[divan::bench(args = [1, 1000, 100_000, 500_000])]
fn hit_udp(bencher: Bencher<'_, '_>, sessions: u32) {
    let mut engine = with_sessions(sessions);
    let packets: Vec<_> = (0..sessions.min(4096))
        .map(|n| {
            let (inside, remote) = flow(n * (sessions / sessions.min(4096)));
            make::udp(inside, remote, b"hello")
        })
        .collect();
    let (mut buffer, mut next) = ([0; 2048], 0);
    bencher.bench_local(|| {
        pass(&mut engine, START, INSIDE, &packets[next], &mut buffer);
        next = (next + 1) % packets.len();
    });
}

#[divan::bench]
fn hit_tcp(bencher: Bencher<'_, '_>) {
    let mut engine = engine(200);
    let (inside, remote) = flow(0);
    let outside = Endpoint::v4(OUTSIDE_ADDRESS, inside.port);
    let mut buffer = [0; 2048];
    let syn = make::tcp(inside, remote, Flags::SYN, 1, 0, b"");
    pass(&mut engine, START, INSIDE, &syn, &mut buffer);
    let ours = Packet::parse(&mut buffer[..40]).map(|packet| packet.source());
    let outside = ours.map_or(outside, |address| outside.with_addr(address.into()));
    let answer = make::tcp(remote, outside, Flags::SYN | Flags::ACK, 1, 2, b"");
    pass(&mut engine, START, OUTSIDE, &answer, &mut buffer);
    let data = make::tcp(inside, remote, Flags::ACK, 2, 2, b"data");
    bencher.bench_local(|| pass(&mut engine, START, INSIDE, &data, &mut buffer));
}

/// The first packet of each flow, its events fetched as a daemon does.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn open_10_000(bencher: Bencher<'_, '_>) {
    let packets: Vec<_> = (0..10_000)
        .map(|n| {
            let (inside, remote) = flow(n);
            make::udp(inside, remote, b"hello")
        })
        .collect();
    let mut buffer = [0; 2048];
    bencher.with_inputs(|| engine(200)).bench_local_refs(|engine| {
        for packet in &packets {
            pass(engine, START, INSIDE, packet, &mut buffer);
            while engine.poll_event().is_some() {}
        }
    });
}

/// A new inside endpoint each, a pool of 32 outside addresses, nothing answered: what a gateway does
/// that comes up in front of a busy network, shown in batches as they would arrive. A row is as many
/// sessions as there were before; with the last, the table is full and gives up the oldest.
#[divan::bench(args = [0, 100_000, 500_000, 1_000_000, 1_050_000], sample_count = 5, sample_size = 1)]
fn open_10_000_endpoints(bencher: Bencher<'_, '_>, before: u32) {
    let mut endpoints = Endpoints::new();
    let prepared = || {
        let (mut engine, mut endpoints) = (engine(32), Endpoints::new());
        (0..before).for_each(|n| endpoints.open(&mut engine, n));
        engine
    };
    bencher.with_inputs(prepared).bench_local_refs(|engine| {
        let end = before + 10_000;
        for first in (before..end).step_by(64) {
            let batch = first..end.min(first + 64);
            batch.clone().for_each(|n| endpoints.anticipate(engine, n));
            batch.for_each(|n| endpoints.open(engine, n));
        }
    });
}

/// Inside endpoints of 4096 hosts, one after the other.
struct Endpoints {
    packet: Vec<u8>,
    buffer: [u8; 2048],
}

impl Endpoints {
    fn new() -> Self {
        let (inside, remote) = flow(0);
        Self { packet: make::udp(inside, remote, b"hello"), buffer: [0; 2048] }
    }

    fn write(&mut self, n: u32) {
        let host = Ipv4Addr::from_bits(0x0a00_0003 + n % 4096);
        let inside = Endpoint::v4(host, 2000 + (n / 4096) as u16);
        if let Ok(mut packet) = Packet::parse(&mut self.packet) {
            packet.rewrite_source(inside);
        }
    }

    fn anticipate(&mut self, engine: &Engine, n: u32) {
        self.write(n);
        engine.anticipate(INSIDE, &self.packet);
    }

    /// Sends the first packet of the `n`-th.
    fn open(&mut self, engine: &mut Engine, n: u32) {
        self.write(n);
        // Ten thousand a second: slots that are given up have rested when they are needed.
        let now = START + Duration::from_nanos(u64::from(n) * 100_000);
        pass(engine, now, INSIDE, &self.packet, &mut self.buffer);
        while engine.poll_event().is_some() {}
    }
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn expire_10_000(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(|| with_sessions(10_000)).bench_local_refs(|engine| {
        let end = START + Duration::from_secs(400);
        while let Some(due) = engine.poll_timeout().filter(|due| *due <= end) {
            engine.handle_timeout(due);
            while engine.poll_event().is_some() {}
        }
        assert!(engine.table().is_empty());
    });
}
