//! What all sessions carried: nothing is lost, nothing counts twice, whoever ends when.

use core::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::word::fuse;
use crate::{Refused, Total};

#[test]
fn what_a_session_carried_outlives_it_and_its_slot() {
    let mut writer = writer(2);
    let totals = writer.totals();
    let slot = writer.insert(0, &session(1)).unwrap();
    writer.stamp(1, slot, Direction::Egress, 60, None);
    writer.stamp(1, slot, Direction::Ingress, 1500, None);
    let carried = sums((1, 60), (1, 1500));
    assert_eq!(totals.read(), carried);

    writer.remove(SECOND, slot).unwrap();
    assert_eq!(totals.read(), carried);
    // A program that had found the record notes its packet late.
    writer.record(slot).activity.stamp(2, Direction::Egress, 40, None);
    let carried = sums((2, 100), (1, 1500));
    assert_eq!(totals.read(), carried);

    assert_eq!(writer.insert(3 * SECOND, &session(2)), Ok(slot));
    assert_eq!(totals.read(), carried);
    writer.stamp(1, slot, Direction::Egress, 5, None);
    writer.count_apart(Direction::Ingress, 7);
    assert_eq!(totals.read(), sums((3, 105), (2, 1507)));
}

#[test]
fn a_successor_goes_on_with_the_totals() {
    let mut writer = writer(64);
    carry(&mut writer, &session(1), 10);
    carry(&mut writer, &session6(2), 20);
    let (slot, _) = writer.lookup(&session(1).original).unwrap();
    writer.remove(SECOND, slot).unwrap();
    carry(&mut writer, &nat64(3), 30);
    writer.count_apart(Direction::Egress, 4);
    let carried = sums((4, 64), (0, 0));
    for _ in 0..3 {
        let before = writer.totals();
        writer = Writer::adopt(writer.memory().clone(), 100 * SECOND).unwrap().0;
        assert_eq!((before.read(), writer.totals().read()), (carried, carried));
    }
}

#[test]
fn a_new_table_begins_at_nothing() {
    let mut writer = writer(2);
    carry(&mut writer, &session(1), 10);
    writer.count_apart(Direction::Egress, 4);
    let writer = Writer::format(writer.memory().clone(), SECRET);
    assert_eq!(writer.totals().read(), PerDirection::default());
}

#[test]
fn dying_at_any_instant_of_a_slots_reuse_counts_everything_once() {
    let mut stores = 0;
    loop {
        let mut writer = writer(2);
        let (first, second) = (session(1), session6(2));
        carry(&mut writer, &first, 1000);
        let (slot, _) = writer.lookup(&first.original).unwrap();
        writer.remove(SECOND, slot).unwrap();
        let (_, died) = fuse::with(stores, || writer.insert(3 * SECOND, &second));
        let heir = Writer::adopt(writer.memory().clone(), 100 * SECOND).unwrap().0;
        assert_eq!(heir.totals().read(), sums((1, 1000), (0, 0)), "after {stores} stores");
        // And the successor's own successor, who finds the same words.
        let heir = Writer::adopt(heir.memory().clone(), 100 * SECOND).unwrap().0;
        assert_eq!(heir.totals().read(), sums((1, 1000), (0, 0)), "after {stores} stores");
        if !died {
            assert!(stores > 20);
            return;
        }
        stores += 1;
    }
}

#[test]
fn who_reads_meanwhile_never_sees_less_than_before() {
    const ROUNDS: u32 = 20_000;
    let mut writer = writer(600);
    let totals = writer.totals();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = totals.read().egress;
            let mut readings = 0_u32;
            while !over.load(Ordering::Relaxed) || readings == 0 {
                let sum = totals.read().egress;
                assert!(sum.packets >= last.packets && sum.bytes >= last.bytes, "{sum:?} {last:?}");
                last = sum;
                readings += 1;
            }
        });
        let mut now = 0;
        for number in 0..ROUNDS {
            // Every slot is in use or rests most of the time.
            now += 2_000_000;
            let session = session(number);
            match writer.insert(now, &session) {
                Ok(slot) => {
                    writer.stamp(now, slot, Direction::Egress, number, None);
                    writer.remove(now, slot).unwrap();
                }
                Err(Refused::NoSlot) => panic!("600 slots suffice for 500 a second"),
                Err(refused) => panic!("{refused}"),
            }
        }
        over.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    let bytes = u64::from(ROUNDS) * u64::from(ROUNDS - 1) / 2;
    assert_eq!(totals.read(), sums((ROUNDS.into(), bytes), (0, 0)));
}

fn carry(writer: &mut Writer, session: &Session, bytes: u32) {
    let slot = writer.insert(0, session).unwrap();
    writer.stamp(1, slot, Direction::Egress, bytes, None);
}

fn sums(egress: (u64, u64), ingress: (u64, u64)) -> PerDirection<Total> {
    let total = |(packets, bytes)| Total { packets, bytes };
    PerDirection::new(total(egress), total(ingress))
}
