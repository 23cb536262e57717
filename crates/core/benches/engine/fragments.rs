//! Reassembly: whole datagrams, and a flood of fragments that never become one.

use core::net::{IpAddr, Ipv4Addr};

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use masq_core::fragment::{DatagramKey, Fragment, Reassembler, ReassemblyLimits};
use masq_core::routes::PortId;
use masq_core::time::Instant;
use masq_wire::Protocol;

const HEADER: [u8; 20] =
    [0x45, 0, 5, 220, 0, 0, 0x20, 0, 64, 17, 0, 0, 192, 0, 2, 1, 203, 0, 113, 1];
const PIECE: usize = 1480;

/// The sizes of whole datagrams: a little over one MTU, NFS over UDP, and nearly the largest.
const SIZES: [usize; 3] = [2_000, 8_192, 60_000];

#[divan::bench(args = SIZES)]
fn in_order(bencher: Bencher<'_, '_>, size: usize) {
    whole(bencher, size, |offsets| offsets);
}

#[divan::bench(args = SIZES)]
fn in_reverse(bencher: Bencher<'_, '_>, size: usize) {
    whole(bencher, size, |offsets| offsets.into_iter().rev().collect());
}

/// One fragment of a flood from ever new sources, when the table is full.
#[divan::bench]
fn flood(bencher: Bencher<'_, '_>) {
    let payload = vec![0; PIECE];
    let mut reassembler = Reassembler::new(ReassemblyLimits::default());
    let mut number = 0;
    bencher.bench_local(move || {
        number += 1;
        let source = Ipv4Addr::from_bits(number).into();
        let key = DatagramKey { source, ..key() };
        reassembler.insert(Instant::ZERO, &fragment(key, 0, true, &payload))
    });
}

fn whole(bencher: Bencher<'_, '_>, size: usize, order: impl Fn(Vec<usize>) -> Vec<usize>) {
    let payload = vec![0; size];
    let offsets = order((0..size).step_by(PIECE).collect());
    let mut reassembler = Reassembler::new(ReassemblyLimits::default());
    bencher.counter(BytesCount::new(size)).bench_local(move || {
        for offset in &offsets {
            let end = (offset + PIECE).min(size);
            let piece = fragment(key(), *offset, end < size, &payload[*offset..end]);
            let _ = black_box(reassembler.insert(Instant::ZERO, &piece));
        }
    });
}

const fn fragment(key: DatagramKey, offset: usize, more: bool, payload: &[u8]) -> Fragment<'_> {
    Fragment { key, offset, more, dont_fragment: false, header: &HEADER, payload }
}

const fn key() -> DatagramKey {
    DatagramKey {
        interface: PortId(1),
        source: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        destination: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)),
        protocol: Protocol::UDP,
        identification: 7,
    }
}
