//! Looking at every session, because of a policy or of routes: the whole table, and one slice of it.
//!
//! Routes cost nothing here, so what the mirror of the kernel's takes to answer comes on top, twice for
//! each session that is in use.

use core::net::IpAddr;

use divan::Bencher;
use divan::counter::ItemsCount;
use masq_core::{Duration, Engine, Filtering, Mapping, Policy};
use masq_wire::{Packet, make};

use crate::process::{Flat, INSIDE, OUTSIDE, START, engine, flow, pass};

const SESSIONS: u32 = 1_000_000;
/// As many as the worker looks at in one go.
const SLICE: usize = 256;

/// What the sessions are looked at for.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// Another network is inside as well: everybody stays.
    Network,
    /// Routes have changed.
    Routes,
    /// Everybody gets another timer.
    Timeouts,
    /// Every mapping gets another key.
    Mapping,
    /// Nobody is a guest, but everybody could be one.
    Filtering,
    /// No host is inside any more: everybody ends.
    Nobody,
}

const CAUSES: [Cause; 6] = [
    Cause::Network,
    Cause::Routes,
    Cause::Timeouts,
    Cause::Mapping,
    Cause::Filtering,
    Cause::Nobody,
];

/// All sessions; a row is why they are looked at.
#[divan::bench(args = CAUSES, sample_count = 3, sample_size = 1)]
fn all_of_a_million(bencher: Bencher<'_, '_>, cause: Cause) {
    bencher
        .counter(ItemsCount::new(SESSIONS))
        .with_inputs(|| {
            let mut engine = with_a_million();
            begin(&mut engine, cause);
            engine
        })
        .bench_local_refs(|engine| {
            while engine.walk(START, &Flat, SLICE) {
                while engine.poll_event().is_some() {}
            }
        });
}

/// One slice; the slowest is what a packet may have to wait for.
#[divan::bench(args = CAUSES, sample_count = 3000, sample_size = 1)]
fn slice_of_256(bencher: Bencher<'_, '_>, cause: Cause) {
    let mut engine = with_a_million();
    begin(&mut engine, cause);
    bencher.counter(ItemsCount::new(SLICE)).bench_local(|| engine.walk(START, &Flat, SLICE));
}

/// What applying a policy takes before the first slice.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn apply_to_a_million(bencher: Bencher<'_, '_>) {
    let mut engine = with_a_million();
    let mut seconds = 300;
    bencher.bench_local(|| {
        seconds += 1;
        let mut policy = engine.policy().clone();
        policy.timeouts.udp = Duration::from_secs(seconds);
        policy.outsides[0].away ^= true;
        engine.apply(policy);
    });
}

fn begin(engine: &mut Engine, cause: Cause) {
    let mut apply = |change: &dyn Fn(&mut Policy)| {
        let mut policy = engine.policy().clone();
        change(&mut policy);
        engine.apply(policy);
    };
    match cause {
        Cause::Network => apply(&|policy| {
            let network = masq_core::Prefix { address: IpAddr::from([172, 16, 0, 0]), length: 12 };
            policy.insides[0].networks.push(network);
        }),
        Cause::Routes => engine.handle_routes(),
        Cause::Timeouts => apply(&|policy| policy.timeouts.udp = Duration::from_secs(200)),
        Cause::Mapping => {
            apply(&|policy| policy.outsides[0].pool.mapping = Mapping::AddressDependent)
        }
        Cause::Filtering => {
            apply(&|policy| policy.outsides[0].pool.filtering = Filtering::AddressDependent);
        }
        Cause::Nobody => apply(&|policy| policy.insides[0].networks.clear()),
    }
}

/// An engine with a million UDP sessions, each of them answered.
fn with_a_million() -> Engine {
    let (mut engine, mut buffer) = (engine(200), [0; 2048]);
    for n in 0..SESSIONS {
        let (inside, remote) = flow(n);
        pass(&mut engine, START, INSIDE, &make::udp(inside, remote, b"hello"), &mut buffer);
        let outside = Packet::parse(&mut buffer).ok().and_then(|packet| packet.tuple());
        let Some(outside) = outside.map(|tuple| tuple.source) else { continue };
        pass(&mut engine, START, OUTSIDE, &make::udp(remote, outside, b"hello"), &mut buffer);
        while engine.poll_event().is_some() {}
    }
    engine
}
