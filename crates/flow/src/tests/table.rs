//! One operation at a time, and the limits.

use super::*;
use crate::key::AnyKey;
use crate::{Activity, Bucket, Header, Reader, Refused, Region, TcpMark, Unencodable};

#[test]
fn a_session_is_found_by_both_its_tuples() {
    let mut writer = writer(16);
    let slot = writer.insert(0, &session(1)).unwrap();
    assert_found(&writer, slot, &session(1));
    assert_eq!(writer.lookup(&session(2).original), None);
    assert_eq!(writer.len(), 1);
    assert_tidy(&writer);
}

#[test]
fn a_removed_session_gives_back_what_it_was_and_is_not_found() {
    let mut writer = writer(16);
    let slot = writer.insert(0, &session(1)).unwrap();
    writer.stamp(5, slot, Direction::Egress, 100, None);

    let (removed, activity) = writer.remove(SECOND, slot).unwrap();

    assert_eq!(removed, session(1));
    assert_eq!(activity[Direction::Egress].bytes, 100);
    assert_eq!(writer.lookup(&session(1).original), None);
    assert_eq!(writer.lookup(&session(1).reply), None);
    assert_eq!((writer.session(slot), writer.activity(slot)), (None, None));
    assert_eq!(writer.remove(SECOND, slot), None);
    assert!(writer.is_empty());
    assert_tidy(&writer);
}

#[test]
fn a_slot_rests_before_it_is_used_again_and_begins_clean() {
    let mut writer = writer(2);
    let first = writer.insert(0, &session(1)).unwrap();
    writer.insert(0, &session(2)).unwrap();
    writer.remove(10 * SECOND, first).unwrap();
    // A program that found the record before may still note a packet.
    let mark = TcpMark { flags: TcpMark::RST, acknowledgement: 1 };
    writer.record(first).activity.stamp(1, Direction::Egress, 1, Some(mark));

    assert_eq!(writer.insert(11 * SECOND, &session(3)), Err(Refused::NoSlot));
    assert_eq!(writer.stats().refused_no_slot, 1);
    assert_eq!(writer.insert(11 * SECOND + SECOND / 100, &session(3)), Ok(first));

    assert_eq!(writer.activity(first), Some(Activity::default()));
}

#[test]
fn an_update_changes_decisions_but_no_tuple() {
    let mut writer = writer(16);
    let slot = writer.insert(0, &session(1)).unwrap();
    writer.stamp(5, slot, Direction::Ingress, 60, None);

    let decided = Session {
        flags: Flags::PUNT | Flags::HAIRPIN,
        class: 9,
        state: 8,
        next_hops: PerDirection::new(NextHopId(1023), NextHopId(0)),
        interfaces: PerDirection::new(1, 2),
        epoch: 3,
        rule_path: 4,
        created: 5,
        ..session(1)
    };
    assert!(writer.update(slot, &decided));
    assert_found(&writer, slot, &decided);
    assert_eq!(writer.activity(slot).unwrap().last_seen_ns(), 5);

    assert!(!writer.update(slot, &session(2)), "other tuples");
    assert!(!writer.update(Slot::new(9), &session(1)), "no session there");
    assert!(!writer.update(Slot::new(1 << 26), &session(1)), "no such slot");
    assert_found(&writer, slot, &decided);

    writer.set_state(slot, 1, 2);
    assert_eq!(writer.session(slot), Some(Session { class: 1, state: 2, ..decided }));
}

#[test]
fn a_rebound_session_keeps_slot_and_activity() {
    let mut writer = writer(16);
    let slot = writer.insert(0, &session(1)).unwrap();
    writer.insert(0, &session(3)).unwrap();
    writer.stamp(5, slot, Direction::Egress, 60, None);

    // Only the outside changes, as when the uplink gets another address.
    let moved = Session { reply: session(2).reply, ..session(1) };
    assert_eq!(writer.rebind(slot, &moved), Ok(()));

    assert_found(&writer, slot, &moved);
    assert_eq!(writer.lookup(&session(1).reply), None);
    assert_eq!(writer.activity(slot).unwrap().last_seen_ns(), 5);
    assert!(matches!(writer.rebind(slot, &session(3)), Err(Refused::Taken { .. })));
    assert_eq!(writer.rebind(slot, &session6(1)), Err(Refused::NoSlot));
    assert_found(&writer, slot, &moved);
    assert_tidy(&writer);
}

#[test]
fn no_two_sessions_share_a_tuple() {
    let mut writer = writer(16);
    let slot = writer.insert(0, &session(1)).unwrap();
    let same_outside = Session { original: session(2).original, ..session(1) };
    let same_inside = Session { reply: session(2).reply, ..session(1) };
    // A packet has one tuple, whichever direction it is meant for.
    let crossed = Session { original: session(1).reply, reply: session(2).reply, ..session(1) };

    let taken = |direction| Err(Refused::Taken { slot, direction });
    assert_eq!(writer.insert(0, &session(1)), taken(Direction::Egress));
    assert_eq!(writer.insert(0, &same_outside), taken(Direction::Ingress));
    assert_eq!(writer.insert(0, &same_inside), taken(Direction::Egress));
    assert_eq!(writer.insert(0, &crossed), taken(Direction::Ingress));
    assert_eq!(writer.stats().refused_taken, 4);
    assert_tidy(&writer);
}

#[test]
fn sessions_that_no_record_holds_are_refused() {
    let mut writer = writer(16);
    let refused = |writer: &mut Writer, session| match writer.insert(0, &session) {
        Err(Refused::Unencodable(why)) => why,
        other => panic!("{other:?}"),
    };
    let same = Session { reply: session(1).original, ..session(1) };
    assert_eq!(refused(&mut writer, same), Unencodable::SameTuples);
    let mut protocols = session(1);
    protocols.reply.protocol = Protocol::UDP;
    assert_eq!(refused(&mut writer, protocols), Unencodable::Protocols);
    let mut families = session(1);
    families.reply.source = session6(1).reply.source;
    assert_eq!(refused(&mut writer, families), Unencodable::MixedFamilies);
    assert_tidy(&writer);
}

#[test]
fn wide_sessions_take_two_slots() {
    let mut writer = writer(6);
    let single = writer.insert(0, &session(1)).unwrap();
    let wide = writer.insert(0, &session6(1)).unwrap();
    let mixed = writer.insert(0, &nat64(1)).unwrap();
    assert_eq!([single, wide, mixed], [0, 2, 4].map(Slot::new));
    assert_eq!(writer.insert(0, &session6(2)), Err(Refused::NoSlot));
    assert_eq!(writer.insert(0, &session(2)), Ok(Slot::new(1)));
    for (slot, session) in [(single, session(1)), (wide, session6(1)), (mixed, nat64(1))] {
        assert_found(&writer, slot, &session);
    }

    writer.remove(0, wide).unwrap();
    writer.remove(0, mixed).unwrap();
    assert_eq!(writer.insert(2 * SECOND, &session(3)), Ok(Slot::new(2)));
    assert_eq!(writer.insert(2 * SECOND, &session6(4)), Ok(Slot::new(4)));
    assert_tidy(&writer);
}

#[test]
fn a_full_table_refuses_and_counts_and_loses_nothing() {
    let mut writer = writer(64);
    let slots: Vec<Slot> = (0..64).map(|i| writer.insert(0, &session(i)).unwrap()).collect();
    for i in 64..100 {
        assert_eq!(writer.insert(0, &session(i)), Err(Refused::NoSlot));
    }
    for (i, slot) in (0..).zip(slots) {
        assert_found(&writer, slot, &session(i));
    }
    let stats = writer.stats();
    assert_eq!((stats.sessions, stats.most_sessions, stats.inserted), (64, 64, 64));
    assert_eq!((stats.refused_no_slot, stats.refused_index_full), (36, 0));
    assert_tidy(&writer);
}

/// Eight entries a bucket, two a session: three sessions for each bucket are a load of 3/4.
#[test]
fn three_quarters_of_the_index_are_filled_without_refusal() {
    for buckets in [2, 16, 256, 4096, 16_384] {
        let layout = Layout { slots: 3 * buckets, buckets };
        let mut writer = Writer::format(Memory::heap(layout), SECRET);
        let mut random = Random(u64::from(buckets));
        for i in 0..layout.slots {
            let inserted = writer.insert(0, &random.session());
            assert!(inserted.is_ok(), "{inserted:?} at {i} of {layout:?}: {:?}", writer.stats());
        }
        assert_tidy(&writer);
    }
}

/// Past that it goes on until it refuses; what it refuses leaves no trace.
#[test]
fn an_overfull_index_refuses_and_counts_and_loses_nothing() {
    let layout = Layout { slots: 1024, buckets: 64 };
    let mut writer = Writer::format(Memory::heap(layout), SECRET);
    let mut random = Random(1);
    let mut refused = 0;
    for _ in 0..1024 {
        match writer.insert(0, &random.session()) {
            Ok(_) => {}
            Err(why) => {
                assert_eq!(why, Refused::IndexFull);
                refused += 1;
            }
        }
    }
    assert_eq!(writer.stats().refused_index_full, refused);
    assert_eq!(writer.len() as u64, 1024 - refused);
    assert!(writer.len() > 64 * 8 / 2 * 9 / 10, "only {} fit", writer.len());
    assert_eq!(writer.resting(), 0, "who was never seen need not rest");
    assert_tidy(&writer);
}

#[test]
fn a_table_of_several_blocks_takes_as_many_sessions_as_it_was_made_for() {
    let layout = Layout::for_sessions(9 * 4096 * 3);
    assert_eq!(layout.buckets, 9 * 4096, "nine blocks, three quarters full in the end");
    let mut writer = Writer::format(Memory::heap(layout), SECRET);
    let mut random = Random(5);
    while writer.len() < layout.slots as usize {
        assert_ne!(writer.insert(0, &random.session()), Err(Refused::IndexFull));
    }
}

/// As many buckets are in use as the sessions need, and every session is found on the way there.
#[test]
fn an_index_grows_with_its_table() {
    let layout = Layout::for_sessions(6144);
    let mut writer = Writer::format(Memory::heap(layout), SECRET);
    let reader = Reader::new(writer.memory().clone()).unwrap();
    let in_use = |writer: &Writer| writer.memory().header().extent().in_use();
    let base = in_use(&writer);
    assert_eq!((base, layout.buckets), (512, 2048));
    let mut random = Random(5);
    let mut sessions = Vec::new();
    for number in 1..=layout.slots {
        let session = random.session();
        sessions.push((writer.insert(0, &session).unwrap(), session));
        let needed = (2 * number).div_ceil(3).clamp(base, layout.buckets);
        assert_eq!(in_use(&writer), needed, "with {number} sessions");
        if number.is_multiple_of(499) {
            assert_tidy(&writer);
            for (slot, session) in &sessions {
                let found = reader.lookup(&session.reply).map(|(seen, _)| seen.slot);
                assert_eq!(found, Some(*slot), "of {number}");
            }
        }
    }
    // Nothing is taken back: the next busy hour comes.
    for (slot, _) in sessions {
        writer.remove(0, slot).unwrap();
    }
    assert_eq!(in_use(&writer), layout.buckets);
    assert_tidy(&writer);
}

/// Whatever a stray write leaves in the header of a running table, its writer finds, makes and removes
/// sessions as before, and grows the index.
#[test]
fn a_header_that_is_overwritten_does_not_harm_a_running_writer() {
    let layout = Layout::for_sessions(6144);
    let header = Region::<Header>::heap(1);
    let buckets = Region::heap(layout.buckets as usize);
    let memory = Memory::new(header.clone(), buckets, Region::heap(layout.slots as usize)).unwrap();
    let mut writer = Writer::format(memory, SECRET);
    let mut random = Random(11);
    let kept = fill(&mut writer, &mut random, 760);
    let mut noise = Random(12);
    for word in header.words() {
        for value in [0, u32::MAX, noise.next() as u32] {
            word.store(value);
            let [(slot, session), ..] = fill(&mut writer, &mut random, 3)[..] else {
                unreachable!()
            };
            assert_found(&writer, slot, &session);
            assert_eq!(writer.remove(0, slot).map(|(session, _)| session), Some(session));
            assert_eq!(writer.lookup(&session.reply), None);
            let _ = (writer.stats(), writer.totals().read(), writer.min_epoch());
        }
    }
    // 128 words, each written three times, each time two sessions more.
    assert_eq!(writer.len(), 760 + 2 * 3 * 128);
    kept.iter().for_each(|(slot, session)| assert_found(&writer, *slot, session));
    assert_tidy(&writer);
}

/// What hosts choose most often, and what a hash that is linear in them might lay close together.
#[test]
fn ports_and_addresses_in_a_row_fill_a_table_whatever_its_secret() {
    let layout = Layout::for_sessions(768);
    for secret in 0..100 {
        for step in [1, 2, 64, 256] {
            let mut writer = Writer::format(Memory::heap(layout), Secret::new(secret, step));
            for number in 0..layout.slots {
                let [inside, outside] = [[10, 0], [203, 0]].map(|[a, b]| {
                    let host = step as u32 * number;
                    Endpoint::v4([a, b, (host >> 24) as u8, (host >> 16) as u8].into(), host as u16)
                });
                let remote = Endpoint::v4([192, 0, 2, 1].into(), 53);
                let session = between(Protocol::UDP, inside, outside, remote);
                assert_ne!(writer.insert(0, &session), Err(Refused::IndexFull), "{number}");
            }
        }
    }
}

/// Who knows the secret can fill a pair of buckets with sixteen tuples. Under another secret the
/// same tuples lie apart.
#[test]
fn a_flood_made_for_one_secret_is_spread_by_another() {
    let layout = Layout { slots: 512, buckets: 128 };
    let mut writer = Writer::format(Memory::heap(layout), SECRET);
    let mut random = Random(2);
    let mut flood = Vec::new();
    while flood.len() < 64 {
        let session = random.session();
        let place = writer.place(&AnyKey::new(&session.reply).unwrap());
        if place.first < 2 && place.second() < 2 {
            flood.push(session);
        }
    }

    let refused = flood.iter().filter(|session| writer.insert(0, session).is_err()).count() as u64;
    assert!(refused >= 64 - 2 * Bucket::ENTRIES as u64, "{refused} refused");
    assert_eq!(writer.stats().refused_index_full, refused);
    assert_tidy(&writer);

    let mut other = Writer::format(Memory::heap(layout), Secret::new(1, 2));
    assert!(flood.iter().all(|session| other.insert(0, session).is_ok()));
    assert_tidy(&other);
}

#[test]
fn formatting_forgets_everything() {
    let mut writer = writer(16);
    let slot = writer.insert(0, &session(1)).unwrap();
    writer.set_min_epoch(9);
    let memory = writer.memory().clone();
    drop(writer);

    let mut again = Writer::format(memory, Secret::new(3, 4));
    assert!(again.is_empty());
    assert_eq!((again.lookup(&session(1).original), again.min_epoch()), (None, 0));
    assert_eq!(again.insert(0, &session(2)), Ok(slot));
    assert_tidy(&again);
}

#[test]
fn a_walk_can_be_cut_in_slices() {
    let mut writer = writer(64);
    for i in 0..40 {
        writer.insert(0, &session(i)).unwrap();
    }
    for i in (0..40).step_by(3) {
        let (slot, _) = writer.lookup(&session(i).original).unwrap();
        writer.remove(0, slot).unwrap();
    }
    let mut walked = Vec::new();
    let mut next = writer.next_slot(Slot::new(0));
    while let Some(slot) = next {
        walked.push(slot);
        next = writer.next_slot(Slot::new(slot.index() + 1));
    }
    assert_eq!(walked, writer.slots().collect::<Vec<_>>());
    assert_eq!(walked.len(), writer.len());
}
