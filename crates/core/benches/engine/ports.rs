//! The port allocator, from an empty table to a full one.

use core::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use divan::{Bencher, black_box};
use masq_core::port_set::PortSet;
use masq_core::ports::{HoldDown, PortSpace, Ports, Release, Wish};
use masq_core::random::Random;
use masq_core::time::Instant;

const X: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
const FIRST: u16 = 1024;
const ALL: u16 = u16::MAX - FIRST;

/// How many of the 64,512 ports are taken before.
const TAKEN: [u16; 4] = [1, 32_256, ALL - 1, ALL];

/// The inside port is free outside too.
#[divan::bench]
fn preserve_and_release(bencher: Bencher<'_, '_>) {
    let mut ports = with_taken(0);
    bencher.bench_local(move || {
        let port = ports.allocate(Instant::ZERO, X, PortSpace::Udp, Wish::port(black_box(5000)));
        ports.release(Instant::ZERO, X, PortSpace::Udp, 5000, Release::Unused);
        port
    });
}

/// The inside port is taken outside, so another one is drawn.
#[divan::bench(args = TAKEN)]
fn draw_and_release(bencher: Bencher<'_, '_>, taken: u16) {
    let mut ports = with_taken(taken);
    bencher.bench_local(move || {
        let port = ports.allocate(Instant::ZERO, X, PortSpace::Udp, Wish::port(black_box(FIRST)));
        if let Ok(port) = port {
            ports.release(Instant::ZERO, X, PortSpace::Udp, port, Release::Unused);
        }
        port
    });
}

/// Nothing is free.
#[divan::bench]
fn exhausted(bencher: Bencher<'_, '_>) {
    let mut ports = with_taken(ALL);
    assert!(ports.claim_exact(X, PortSpace::Udp, u16::MAX).is_ok());
    bencher.bench_local(move || {
        ports.allocate(Instant::ZERO, X, PortSpace::Udp, Wish::port(black_box(FIRST)))
    });
}

fn with_taken(taken: u16) -> Ports {
    let mut ports = Ports::new(Random::from_u64(1), HoldDown::default());
    let allowed = Arc::new(PortSet::from_ranges([FIRST..=u16::MAX]));
    ports.set_allowed(X, PortSpace::Udp, allowed);
    for port in FIRST..FIRST + taken {
        assert!(ports.claim_exact(X, PortSpace::Udp, port).is_ok());
    }
    ports
}
