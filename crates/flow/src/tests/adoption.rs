//! A successor mends what it can and drops what it must.

use super::*;
use crate::adopt::Adoption;
use crate::key::AnyKey;
use crate::line::Line;
use crate::record::{DELTAS, EPOCH, KIND, PORTS, SEQUENCE};
use crate::{Bucket, Entry, HeaderError, Record};

#[test]
fn an_untouched_table_is_adopted_as_it_is() {
    let mut writer = writer(64);
    for i in 0..20 {
        writer.insert(0, &session(i)).unwrap();
        writer.insert(0, &session6(i)).unwrap();
    }
    let sessions: Vec<_> = writer.sessions().collect();
    writer.stamp(77, sessions[3].0, Direction::Egress, 1500, None);
    writer.set_min_epoch(5);

    let (heir, adoption) = adopt(writer);

    assert_eq!(adoption, Adoption { kept: 40, ..Adoption::default() });
    assert!(adoption.is_clean());
    assert_eq!(heir.sessions().collect::<Vec<_>>(), sessions);
    assert_eq!(heir.activity(sessions[3].0).unwrap().last_seen_ns(), 77);
    assert_eq!((heir.min_epoch(), heir.stats().sessions), (5, 40));
    assert_tidy(&heir);
}

#[test]
fn an_interrupted_change_is_settled() {
    let (writer, slot) = one_among_others();
    writer.record(slot).line[SEQUENCE].store(3);
    let (heir, adoption) = adopt(writer);
    assert_eq!((adoption.kept, adoption.settled, adoption.discarded()), (11, 1, 0));
    assert_eq!(heir.record(slot).begin_read(), Some(4));
    assert_found(&heir, slot, &session(500));
}

#[test]
fn a_missing_entry_is_added() {
    for missing in Direction::ALL {
        let (writer, slot) = one_among_others();
        erase_entry(&writer, slot, missing);
        let (heir, adoption) = adopt(writer);
        assert_eq!((adoption.kept, adoption.reindexed, adoption.discarded()), (11, 1, 0));
        assert_found(&heir, slot, &session(500));
        assert_tidy(&heir);
    }
}

#[test]
fn a_stamp_from_the_future_becomes_now() {
    const NOW: u64 = 1_000 * SECOND;
    let mut writer = writer(64);
    let begun = |created| Session { created, ..session(created) };
    let [ahead, in_time, late] =
        [1_000_000, 999, 1_030].map(|created| writer.insert(0, &begun(created)).unwrap());
    writer.stamp(u64::MAX, in_time, Direction::Ingress, 100, None);
    writer.stamp(NOW - 1, in_time, Direction::Egress, 100, None);
    writer.stamp(NOW + SECOND, late, Direction::Egress, 100, None);

    let (heir, adoption) = Writer::adopt(writer.memory, NOW).unwrap();

    assert_eq!((adoption.kept, adoption.restamped), (3, 2));
    assert_eq!(heir.session(ahead).unwrap().created, 1_000);
    let stamps = |slot| {
        let activity = heir.activity(slot).unwrap();
        Direction::ALL.map(|direction| activity[direction].last_seen_ns)
    };
    assert_eq!(stamps(in_time), [NOW - 1, NOW]);
    assert_eq!(stamps(late), [NOW + SECOND, 0], "the programs go on meanwhile");
    assert_eq!(heir.session(late).unwrap().created, 1_030);
}

#[test]
fn damaged_records_are_dropped_and_others_kept() {
    type Damage = fn(&Record);
    let damages: [(&str, Damage); 6] = [
        ("a port", |record| record.line[PORTS].store(0x1234)),
        ("an address", |record| record.line[2].store(1)),
        ("a delta", |record| record.line[DELTAS].store(7)),
        ("an unknown shape", |record| record.line[KIND].store(u32::from_ne_bytes([6, 0x81, 0, 0]))),
        ("a wide shape", |record| record.line[KIND].store(u32::from_ne_bytes([6, 3, 0, 0]))),
        ("a next hop", |record| record.line[9].store(60_000)),
    ];
    for (what, damage) in damages {
        let (writer, slot) = one_among_others();
        damage(writer.record(slot));
        let (heir, adoption) = adopt(writer);
        assert_eq!((adoption.kept, adoption.damaged), (10, 1), "{what}");
        assert_eq!(adoption.stale_entries, 2, "{what}");
        assert_eq!(heir.session(slot), None, "{what}");
        assert_tidy(&heir);
    }
}

#[test]
fn a_wide_record_without_its_continuation_is_dropped() {
    let mut writer = writer(16);
    writer.insert(0, &session(1)).unwrap();
    let wide = writer.insert(0, &session6(1)).unwrap();
    writer.record(wide.continuation()).line[SEQUENCE].store(2);
    let (heir, adoption) = adopt(writer);
    // Without its mark, what is left of the continuation is a damaged record too.
    assert_eq!((adoption.kept, adoption.damaged), (1, 2));
    assert_tidy(&heir);
}

#[test]
fn a_continuation_without_its_record_is_freed() {
    let mut writer = writer(16);
    let wide = writer.insert(0, &session6(1)).unwrap();
    writer.record(wide).line[KIND].store(0);
    let (heir, adoption) = adopt(writer);
    assert_eq!((adoption.kept, adoption.stale_entries), (0, 2));
    assert!(!heir.record(wide.continuation()).is_continuation());
    assert_tidy(&heir);
}

#[test]
fn of_two_records_with_one_tuple_the_one_that_packets_find_is_kept() {
    let (writer, slot) = one_among_others();
    let (twin, _) = writer.lookup(&session(3).original).unwrap();
    let line = writer.record(slot).load(None);
    writer.record(twin).publish(None, &line, 0);
    let (heir, adoption) = adopt(writer);
    assert_eq!((adoption.kept, adoption.duplicate, adoption.stale_entries), (10, 1, 2));
    assert_found(&heir, slot, &session(500));
    assert_tidy(&heir);
}

#[test]
fn stray_entries_are_erased() {
    let (writer, slot) = one_among_others();
    // One to the right record from a wrong bucket, one to a free slot, one beyond the table.
    let strays = [
        Entry::new(77, slot, Direction::Egress),
        Entry::new(77, Slot::new(60), Direction::Ingress),
        Entry::new(77, Slot::new(1 << 20), Direction::Egress),
    ];
    let roomy =
        writer.memory().buckets().iter().find(|bucket| bucket.vacancies().count() > 5).unwrap();
    for stray in strays {
        let place = roomy.vacancies().next().unwrap();
        roomy.set(place, stray);
    }
    let (heir, adoption) = adopt(writer);
    assert_eq!((adoption.kept, adoption.stale_entries), (11, 3));
    assert_tidy(&heir);
}

#[test]
fn a_session_for_which_the_index_has_no_room_is_dropped() {
    // Two buckets: every tuple may lie in either, so sixteen entries are all there is.
    let mut writer = Writer::format(Memory::heap(Layout { slots: 64, buckets: 2 }), SECRET);
    let slots: Vec<_> = (0..8).map(|i| writer.insert(0, &session(i)).unwrap()).collect();
    let ninth = Slot::new(30);
    erase_entry(&writer, slots[0], Direction::Ingress);
    let key = AnyKey::new(&session(9).original).unwrap();
    let place = writer.place(&key);
    let spot = writer.spot(place, None).unwrap();
    writer.enter_one(ninth, Direction::Egress, place, spot);
    writer.record(ninth).publish(None, &Line::encode(&session(9)).unwrap(), 0);

    // The first to lack an entry makes the room that the other needs.
    let (heir, adoption) = adopt(writer);
    assert_eq!((adoption.kept, adoption.no_room, adoption.reindexed), (8, 1, 1));
    assert_eq!(heir.session(slots[0]), None);
    assert_found(&heir, ninth, &session(9));
    assert_tidy(&heir);
}

#[test]
fn freshly_freed_slots_go_on_resting() {
    let mut writer = writer(4);
    let slots: Vec<_> = (0..4).map(|i| writer.insert(0, &session(i)).unwrap()).collect();
    writer.remove(99 * SECOND, slots[0]).unwrap();
    writer.remove(100 * SECOND - SECOND / 2, slots[1]).unwrap();
    let (mut heir, _) = adopt(writer);
    assert_eq!(heir.resting(), 2);
    let shortly = 100 * SECOND + 2_000_000;
    assert_eq!(heir.insert(shortly, &session(8)), Ok(slots[0]));
    assert!(heir.insert(shortly, &session(9)).is_err());
    assert_eq!(heir.insert(101 * SECOND, &session(9)), Ok(slots[1]));
}

#[test]
fn a_foreign_table_is_left_alone() {
    let memory = Memory::heap(Layout::for_sessions(16));
    let refused = Writer::adopt(memory, 0).map(|(_, adoption)| adoption);
    assert_eq!(refused, Err(HeaderError::Foreign { magic: 0 }));
}

/// Whatever is written over the word that says how far the index has grown, no session is lost by it.
#[test]
fn an_index_that_forgot_how_far_it_had_grown_is_sorted_anew() {
    for damage in [0, 1, 512, 512 | 1 << 32, 700 | 3 << 32, 2048 | 7 << 32, u64::MAX] {
        let mut writer = writer(6144);
        let sessions = fill(&mut writer, &mut Random(3), 1500);
        writer.memory().header().damage_extent(damage);
        let (heir, adoption) = adopt(writer);
        assert_eq!((adoption.kept, adoption.discarded()), (1500, 0), "{damage:#x}");
        sessions.iter().for_each(|(slot, session)| assert_found(&heir, *slot, session));
        assert_tidy(&heir);
        assert!(adopt(heir).1.is_clean());
    }
}

proptest! {
    /// Whatever is written over the table, its successor has a table that works, and every session
    /// in it is one that was inserted or differs from one in decisions only.
    #[test]
    fn any_scribble_is_survived(
        scribbles in prop::collection::vec(
            (any::<prop::sample::Index>(), 0_usize..24, any::<u32>(), any::<bool>()),
            1..30,
        ),
    ) {
        let mut writer = writer(32);
        for i in 0..8 {
            writer.insert(0, &session(i)).unwrap();
            writer.insert(0, &session6(i)).unwrap();
        }
        for (index, word, value, in_bucket) in scribbles {
            if in_bucket {
                let buckets = writer.memory().buckets();
                let entry = Entry::new(value.into(), Slot::new(value % 40), Direction::Ingress);
                buckets[index.index(buckets.len())].set(word % Bucket::ENTRIES, entry);
            } else {
                let records = writer.memory().records();
                records[index.index(records.len())].line[word % 16].store(value);
            }
        }
        let (mut heir, adoption) = adopt(writer);
        prop_assert_eq!(adoption.kept, heir.len());
        assert_tidy(&heir);
        for i in 100..104 {
            let _ = heir.insert(200 * SECOND, &session(i));
        }
        assert_tidy(&heir);
        let (again, second) = adopt(heir);
        prop_assert!(second.is_clean(), "{second:?}");
        assert_tidy(&again);
    }
}

fn adopt(writer: Writer) -> (Writer, Adoption) {
    let memory = writer.memory().clone();
    drop(writer);
    Writer::adopt(memory, 100 * SECOND).unwrap()
}

fn one_among_others() -> (Writer, Slot) {
    let mut writer = writer(64);
    for i in 0..10 {
        writer.insert(0, &session(i)).unwrap();
    }
    let slot = writer.insert(0, &session(500)).unwrap();
    assert_ne!(writer.record(slot).line[EPOCH].load(), 0);
    (writer, slot)
}

fn erase_entry(writer: &Writer, slot: Slot, direction: Direction) {
    for bucket in writer.memory().buckets() {
        for place in 0..Bucket::ENTRIES {
            let entry = bucket.entry(place);
            if !entry.is_vacant() && (entry.slot(), entry.direction()) == (slot, direction) {
                bucket.set(place, Entry::VACANT);
            }
        }
    }
}
