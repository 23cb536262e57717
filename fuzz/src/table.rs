//! A flow table that was damaged, as a daemon finds it pinned.
//!
//! A table with sessions in it is damaged at random: single bits, whole words, ranges that hold what
//! another place held (as a torn copy would), or arbitrary bytes throughout. Then it is adopted. That
//! does not panic and comes to an end; a header that is not ours is refused and nothing is changed; and
//! what was adopted is a table again: each tuple leads to its own session, an engine works with it,
//! and in the end every session expires.

use arbitrary::{Arbitrary, Unstructured};
use masq_core::{Engine, Event, Instant};
use masq_flow::{
    Bucket, Direction, Flags, Header, HeaderError, Layout, Memory, NextHopId, PerDirection, Record,
    Region, Secret, Session, Writer,
};
use masq_wire::make::at;
use masq_wire::{Endpoint, Protocol, Tuple};

use crate::place::{self, PORTS};

/// What is done to a table.
#[derive(Arbitrary, Debug)]
struct Input {
    sessions: u8,
    removed: u8,
    /// Later than the table's latest stamp, or, where the clock began anew, before it.
    now_ms: u32,
    damage: Vec<Damage>,
    /// The table is a larger one, whose index has grown.
    grown: bool,
}

#[derive(Arbitrary, Debug)]
enum Damage {
    /// A bit changes.
    Bit { array: Array, at: u16, bit: u8 },
    /// A word is written.
    Word { array: Array, at: u16, value: u32 },
    /// A word is one of those that mean something somewhere.
    Special { array: Array, at: u16, value: u8 },
    /// Words are those of another place.
    Copy { array: Array, from: u16, to: u16, count: u8 },
    /// Words are lost.
    Lost { array: Array, at: u16, count: u8 },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Array {
    Buckets,
    Header,
    Records,
}

/// Enough for buckets to fill up, little enough for damage to meet what is in use.
const SMALL: Layout = Layout { slots: 64, buckets: 16 };
/// An index that begins with 512 buckets, and takes the 513th into use for the 769th session.
const LARGE: Layout = Layout::for_sessions(6144);

struct Arrays {
    layout: Layout,
    header: Region<Header>,
    buckets: Region<Bucket>,
    records: Region<Record>,
}

/// Damages a table and adopts it.
pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let layout = if input.grown { LARGE } else { SMALL };
    let arrays = Arrays {
        layout,
        header: Region::heap(1),
        buckets: Region::heap(layout.buckets as usize),
        records: Region::heap(layout.slots as usize),
    };
    let Arrays { header, buckets, records, .. } = &arrays;
    let memory = Memory::new(header.clone(), buckets.clone(), records.clone());
    let memory = memory.expect("a table may be so large");
    fill(&input, &memory);
    for damage in &input.damage {
        arrays.inflict(damage);
    }
    let now = u64::from(input.now_ms) * 1_000_000;
    let before = arrays.copy();
    match Writer::adopt(memory.clone(), now) {
        Err(error) => {
            assert_eq!(arrays.copy(), before, "refused, and changed all the same");
            assert_refused_rightly(&arrays, &error);
        }
        Ok((table, adoption)) => {
            assert_eq!(memory.header().check(layout), Ok(()));
            assert_eq!(adoption.kept, table.len());
            assert_whole(&table);
            let (again, second) = Writer::adopt(memory, now).expect("it was ours just now");
            assert!(second.is_clean(), "mended by {adoption:?}, and then {second:?}");
            assert_eq!(again.len(), table.len());
            use_up(again, now);
        }
    }
}

fn fill(input: &Input, memory: &Memory) {
    let mut table = Writer::format(memory.clone(), Secret::new(3, 5));
    let count = u32::from(input.sessions) % (SMALL.slots * 3 / 4);
    // Of every three numbers two are of sessions, and the third where a ping has a number left.
    let count = if input.grown { count + 769 / 2 * 3 } else { count };
    for number in 0..count {
        let Ok(slot) = table.insert(2_000_000_000, &session(number)) else { continue };
        table.stamp(2_500_000_000, slot, Direction::Egress, 100, None);
    }
    assert!(!input.grown || table.len() >= 769, "{} sessions", table.len());
    let slots: Vec<_> = table.slots().collect();
    for slot in slots.into_iter().take(usize::from(input.removed) % 8) {
        table.remove(3_000_000_000, slot);
    }
}

/// The sessions of the engine's place, as it would have made them.
fn session(number: u32) -> Session {
    let [low, high] = [number % 16, number / 16];
    let protocol = [Protocol::UDP, Protocol::TCP, Protocol::ICMP][number as usize % 3];
    let inside = at("192.168.1.3:4000").with_port(4000 + low as u16);
    let outside = Endpoint { addr: place::OUTSIDE.into(), port: 5000 + number as u16 };
    let remote = at("198.51.100.7:80").with_port(if protocol == Protocol::ICMP {
        0
    } else {
        80 + high as u16
    });
    Session {
        original: Tuple::new(protocol, inside, remote),
        reply: Tuple::new(protocol, remote, outside),
        flags: Flags::empty(),
        class: 0,
        state: 0,
        next_hops: PerDirection::new(NextHopId(2), NextHopId(1)),
        interfaces: PerDirection::new(1, 2),
        epoch: 0,
        rule_path: 0,
        created: 2,
    }
}

impl Arrays {
    fn inflict(&self, damage: &Damage) {
        match *damage {
            Damage::Bit { array, at, bit } => {
                self.change(array, at, |old| old ^ 1 << (bit % 32));
            }
            Damage::Word { array, at, value } => self.change(array, at, |_| value),
            Damage::Special { array, at, value } => {
                let slots = self.layout.slots;
                let special = [0, 1, 2, 3, u32::MAX, u32::MAX - 1, slots, slots - 1];
                self.change(array, at, |_| special[usize::from(value) % special.len()]);
            }
            Damage::Copy { array, from, to, count } => {
                for i in 0..u16::from(count) {
                    let words = self.words(array);
                    let word = words[usize::from(from.wrapping_add(i)) % words.len()];
                    self.change(array, to.wrapping_add(i), |_| word);
                }
            }
            Damage::Lost { array, at, count } => {
                for i in 0..u16::from(count) {
                    self.change(array, at.wrapping_add(i), |_| 0);
                }
            }
        }
    }

    fn change(&self, array: Array, at: u16, change: impl FnOnce(u32) -> u32) {
        let words = match array {
            Array::Buckets => self.buckets.words(),
            Array::Header => self.header.words(),
            Array::Records => self.records.words(),
        };
        let word = &words[usize::from(at) % words.len()];
        word.store(change(word.load()));
    }

    fn words(&self, array: Array) -> Vec<u32> {
        let words = match array {
            Array::Buckets => self.buckets.words(),
            Array::Header => self.header.words(),
            Array::Records => self.records.words(),
        };
        words.iter().map(masq_flow::word::Word32::load).collect()
    }

    fn copy(&self) -> [Vec<u32>; 3] {
        [Array::Buckets, Array::Header, Array::Records].map(|array| self.words(array))
    }
}

/// The first thing that is not ours is the one that is named.
fn assert_refused_rightly(arrays: &Arrays, error: &HeaderError) {
    let good = Region::<Header>::heap(1);
    let memory = Memory::new(good.clone(), arrays.buckets.clone(), arrays.records.clone());
    drop(Writer::format(memory.expect("as large as before"), Secret::new(3, 5)));
    let (good, bad) = (good.words(), arrays.header.words());
    let differs = |word: usize| good[word].load() != bad[word].load();
    // What is looked at, in this order.
    let (magic, version, sizes, layout) = (0..2, 2..3, 82..85, 7..9);
    let parts = [magic, version, sizes, layout];
    let first = parts.iter().position(|part| part.clone().any(differs));
    let named = match error {
        HeaderError::Foreign { .. } => 0,
        HeaderError::Version { .. } => 1,
        HeaderError::Sizes { .. } => 2,
        HeaderError::Layout { .. } => 3,
        other => panic!("an error that this target does not know: {other}"),
    };
    assert_eq!(first, Some(named), "{error}");
}

/// Each session is found by its tuples, and no two have one tuple.
fn assert_whole(table: &Writer) {
    for (slot, session) in table.sessions() {
        for direction in Direction::ALL {
            let found = table.lookup(session.arriving(direction));
            assert_eq!(found, Some((slot, direction)), "{session:?}");
        }
    }
}

/// An engine works with the table, and runs it dry.
fn use_up(table: Writer, now_ns: u64) {
    let mut now = Instant::from_nanos(now_ns);
    let mut engine = Engine::new([7; 32], table, place::policy(PORTS), now);
    assert_whole(engine.table());
    place::exercise(&mut engine, now);
    let mut wakings = 0;
    while let Some(due) = engine.poll_timeout() {
        now = now.max(due);
        engine.handle_timeout(now);
        while engine.poll_event().is_some_and(|event| !matches!(event, Event::TableFull)) {}
        wakings += 1;
        assert!(
            wakings < 10_000,
            "at {now}, the engine asks to be woken again and again for {:?}",
            engine.table().sessions().collect::<Vec<_>>()
        );
    }
    assert_eq!(engine.table().len(), 0, "some sessions never end");
}
