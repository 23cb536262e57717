//! The owner dies at every instant of every operation, and its successor finds whole sessions.

use super::*;
use crate::word::fuse;
use crate::{Reader, Seen};

/// Who else is in the table, and must not be touched by what happens to one.
const BYSTANDERS: u32 = 40;

#[test]
fn dying_in_an_insert_leaves_the_session_or_nothing() {
    for victim in [session(1000), session6(1000), nat64(1000)] {
        at_every_instant(
            &[],
            &[victim],
            |_| {},
            |writer| {
                let _ = writer.insert(2 * SECOND, &victim);
            },
        );
    }
}

#[test]
fn dying_in_a_removal_leaves_the_session_or_nothing() {
    for victim in [session(1000), session6(1000), nat64(1000)] {
        at_every_instant(
            &[],
            &[victim],
            |writer| {
                writer.insert(0, &victim).unwrap();
            },
            |writer| {
                let (slot, _) = writer.lookup(&victim.original).unwrap();
                writer.remove(2 * SECOND, slot);
            },
        );
    }
}

#[test]
fn dying_in_an_update_keeps_the_session() {
    let before = session(1000);
    let after = Session {
        epoch: 100,
        rule_path: 200,
        next_hops: PerDirection::new(NextHopId(9), NextHopId(10)),
        flags: Flags::PUNT,
        ..before
    };
    at_every_instant(
        &[before.original],
        &[before, after],
        |writer| {
            writer.insert(0, &before).unwrap();
        },
        |writer| {
            let (slot, _) = writer.lookup(&before.original).unwrap();
            writer.update(slot, &after);
        },
    );
}

#[test]
fn dying_in_a_rebinding_leaves_one_session_or_none() {
    for (before, after) in [
        (session(1000), Session { reply: session(2000).reply, ..session(1000) }),
        (session6(1000), session6(2000)),
    ] {
        at_every_instant(
            &[],
            &[before, after],
            |writer| {
                writer.insert(0, &before).unwrap();
            },
            |writer| {
                let (slot, _) = writer.lookup(&before.original).unwrap();
                let _ = writer.rebind(slot, &after);
            },
        );
    }
}

#[test]
fn dying_while_adopting_harms_nobody() {
    let victim = session6(1000);
    at_every_instant(
        &[],
        &[victim],
        |writer| {
            // Its predecessor had died half-way through an insertion.
            let _ = fuse::with(25, || writer.insert(0, &victim));
        },
        |writer| {
            let _ = Writer::adopt(writer.memory().clone(), 2 * SECOND);
        },
    );
}

/// An entry that had to make room is found in one of its buckets at every instant.
#[test]
fn dying_while_making_room_harms_nobody() {
    let layout = Layout { slots: 64, buckets: 8 };
    let fill = || {
        let mut writer = Writer::format(Memory::heap(layout), SECRET);
        let mut random = Random(5);
        let last = loop {
            let session = random.session();
            writer.insert(0, &session).unwrap();
            // The next one moves something.
            let next = Random(random.0).session();
            let mut trial = adopted(copy(&writer));
            let moved = trial.stats().moved_entries;
            if trial.insert(0, &next).is_ok() && trial.stats().moved_entries > moved {
                break next;
            }
        };
        (writer, last)
    };
    let mut stores = 0;
    loop {
        let (mut writer, last) = fill();
        let before: Vec<_> = writer.sessions().collect();
        let (_, died) = fuse::with(stores, || writer.insert(0, &last));
        let reader = Reader::new(writer.memory().clone()).unwrap();
        for (slot, session) in &before {
            for direction in Direction::ALL {
                let found = reader.lookup(session.arriving(direction));
                assert_eq!(found.map(|(seen, _)| seen.slot), Some(*slot), "after {stores} stores");
            }
        }
        let heir = adopted(writer.memory().clone());
        assert_tidy(&heir);
        assert!(before.iter().all(|(slot, session)| heir.session(*slot) == Some(*session)));
        if !died {
            assert!(stores > 20);
            return;
        }
        stores += 1;
    }
}

/// An entry is found at every instant at which the bucket that it lies in is split.
#[test]
fn dying_while_the_index_grows_harms_nobody() {
    let about_to_grow = || {
        let mut writer = writer(3072);
        let mut random = Random(7);
        fill(&mut writer, &mut random, 3 * 512 / 2);
        (writer, random.session())
    };
    let split: Vec<_> =
        about_to_grow().0.memory().buckets()[0].entries().map(|entry| entry.slot()).collect();
    let mut stores = 0;
    loop {
        let (mut writer, last) = about_to_grow();
        let (_, died) = fuse::with(stores, || writer.insert(0, &last));
        let reader = Reader::new(writer.memory().clone()).unwrap();
        for slot in &split {
            for direction in Direction::ALL {
                let session = writer.session(*slot).unwrap();
                let found = reader.lookup(session.arriving(direction));
                assert_eq!(found.map(|(seen, _)| seen.slot), Some(*slot), "after {stores} stores");
            }
        }
        let grown = writer.memory().header().extent().in_use();
        let heir = adopted(writer.memory().clone());
        assert_tidy(&heir);
        assert!(heir.len() >= 768);
        if !died {
            assert_eq!(grown, 513);
            assert!(writer.memory().buckets()[512].entries().count() > 0);
            return;
        }
        stores += 1;
    }
}

/// The word that says how far the index has grown was lost, and whoever mends it dies meanwhile: whether
/// it has to grow again, or was thought to have grown further or less far than it has.
#[test]
fn dying_while_a_lost_extent_is_mended_harms_nobody() {
    let word = |in_use: u64| in_use | 1 << 32;
    for (damage, mended) in [(0, 520), (u64::MAX, 520), (word(514), 520), (word(530), 530)] {
        let mut stores = 0;
        loop {
            let mut writer = writer(3072);
            let sessions = fill(&mut writer, &mut Random(9), 780);
            let header = writer.memory().header();
            assert_eq!(header.extent().in_use(), 520);
            header.damage_extent(damage);

            let memory = writer.memory().clone();
            let (_, died) = fuse::with(stores, || adopted(memory));

            let (heir, adoption) = Writer::adopt(writer.memory().clone(), 100 * SECOND).unwrap();
            assert_eq!((adoption.kept, adoption.discarded()), (780, 0), "after {stores} stores");
            sessions.iter().for_each(|(slot, session)| assert_found(&heir, *slot, session));
            assert_tidy(&heir);
            if !died {
                assert_eq!(heir.memory().header().extent().in_use(), mended);
                assert!(stores > 10, "{stores}");
                break;
            }
            stores += 1;
        }
    }
}

/// Runs `act` again and again, dying one store later each time, until it lives.
///
/// Whatever a reader then sees of the victim, and whatever the successor has of it, is one of
/// `versions` in all that the tuples depend on; those with a tuple in `always` are there. Of an
/// interrupted update each decision is the old one or the new one.
fn at_every_instant(
    always: &[Tuple],
    versions: &[Session],
    prepare: impl Fn(&mut Writer),
    act: impl Fn(&mut Writer),
) {
    let mut stores = 0;
    loop {
        let mut writer = writer(128);
        let bystanders: Vec<_> =
            (0..BYSTANDERS).map(|i| writer.insert(0, &bystander(i)).unwrap()).collect();
        prepare(&mut writer);
        let ((), died) = fuse::with(stores, || act(&mut writer));
        let memory = writer.memory().clone();
        drop(writer);

        let reader = Reader::new(memory.clone()).unwrap();
        for Seen { session, .. } in reader.sessions() {
            let known =
                versions.contains(&session) || (0..BYSTANDERS).any(|i| bystander(i) == session);
            assert!(known, "after {stores} stores a reader sees {session:#?}");
        }

        let heir = adopted(memory);
        assert_tidy(&heir);
        for (i, slot) in (0..).zip(bystanders) {
            assert_found(&heir, slot, &bystander(i));
        }
        let others = BYSTANDERS as usize;
        assert!(heir.len() == others || heir.len() == others + 1, "after {stores} stores");
        assert!(always.iter().all(|tuple| heir.lookup(tuple).is_some()), "after {stores} stores");
        for (_, session) in
            heir.sessions().filter(|(_, session)| (0..BYSTANDERS).all(|i| bystander(i) != *session))
        {
            let whole = versions.iter().any(|version| {
                (version.original, version.reply) == (session.original, session.reply)
            });
            assert!(whole, "after {stores} stores: {session:#?}");
            assert!(versions.iter().any(|version| version.epoch == session.epoch));
            assert!(versions.iter().any(|version| version.next_hops == session.next_hops));
        }
        if !died {
            return;
        }
        stores += 1;
    }
}

fn bystander(number: u32) -> Session {
    match number % 3 {
        0 => session(number),
        1 => session6(number),
        _ => nat64(number),
    }
}

fn adopted(memory: Memory) -> Writer {
    Writer::adopt(memory, 100 * SECOND).unwrap().0
}

/// The same table in memory of its own.
fn copy(writer: &Writer) -> Memory {
    let mut twin = Writer::format(Memory::heap(writer.layout()), SECRET);
    for (number, bucket) in writer.memory().buckets().iter().enumerate() {
        for place in 0..crate::Bucket::ENTRIES {
            twin.memory().buckets()[number].set(place, bucket.entry(place));
        }
    }
    for slot in writer.slots() {
        let line = writer.record(slot).load(None);
        twin.record(slot).publish(None, &line, 0);
    }
    twin.set_min_epoch(0);
    twin.memory().clone()
}
