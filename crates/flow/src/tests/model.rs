//! The table against a map that is obviously right.

use std::collections::BTreeMap;

use super::*;
use crate::{Reader, Refused};

/// What a session does to the map: two tuples that lead to it.
type Model = BTreeMap<Tuple, (Slot, Direction)>;

#[derive(Clone, Debug)]
enum Step {
    Insert(u32, u8),
    Lookup(u32, u8),
    Rebind(prop::sample::Index, u32),
    Remove(prop::sample::Index),
    Update(prop::sample::Index, u32),
    Wait(u64),
}

proptest! {
    #[test]
    fn behaves_like_a_map(
        steps in prop::collection::vec(any_step(60), 0..400),
        words in any::<(u64, u64)>(),
    ) {
        // Few slots and fewer buckets than there should be, so that everything runs out.
        let layout = Layout { slots: 48, buckets: 8 };
        let mut writer = Writer::format(Memory::heap(layout), Secret::new(words.0, words.1));
        against_a_map(&mut writer, steps);
    }

    /// The steps begin where the index is about to grow from its base, or to have doubled.
    #[test]
    fn behaves_like_a_map_while_its_index_grows(
        steps in prop::collection::vec(any_step(10_000), 0..400),
        words in any::<(u64, u64)>(),
        rounds in 1..=2_usize,
        missing in 0..60_usize,
    ) {
        let layout = Layout::for_sessions(6144);
        let memory = Memory::heap(layout);
        let mut writer = Writer::format(memory, Secret::new(words.0, words.1));
        let base = writer.memory().header().extent().in_use();
        let mut random = Random(words.0);
        // Three of eight places in each bucket, and two for each session.
        while writer.len() < rounds * base as usize * 3 / 2 - missing {
            prop_assert!(writer.insert(0, &random.session()).is_ok());
        }
        against_a_map(&mut writer, steps);
        let stats = writer.stats();
        prop_assert_eq!((stats.refused_index_full, stats.refused_no_slot), (0, 0));
        let needed = (2 * stats.most_sessions as u32).div_ceil(3).max(base);
        prop_assert_eq!(writer.memory().header().extent().in_use(), needed);
    }

    #[test]
    fn any_session_is_held_and_given_back(session in any_session()) {
        let mut writer = writer(4);
        let slot = writer.insert(0, &session).unwrap();
        assert_found(&writer, slot, &session);
        assert_tidy(&writer);
    }
}

/// Does the steps to a table and to a map of what is in it.
fn against_a_map(writer: &mut Writer, steps: Vec<Step>) {
    let mut sessions: BTreeMap<Slot, Session> = writer.sessions().collect();
    let mut model: Model = sessions
        .iter()
        .flat_map(|(slot, session)| {
            Direction::ALL.map(|direction| (*session.arriving(direction), (*slot, direction)))
        })
        .collect();
    let mut now = SECOND;
    let pick = |sessions: &BTreeMap<Slot, Session>, index: prop::sample::Index| {
        (!sessions.is_empty()).then(|| *sessions.keys().nth(index.index(sessions.len())).unwrap())
    };
    for step in steps {
        match step {
            Step::Insert(number, kind) => {
                let session = numbered(number, kind);
                let taken = Direction::ALL
                    .into_iter()
                    .find_map(|direction| model.get(session.arriving(direction)));
                match (writer.insert(now, &session), taken) {
                    (Ok(slot), None) => {
                        assert!(sessions.insert(slot, session).is_none());
                        for direction in Direction::ALL {
                            model.insert(*session.arriving(direction), (slot, direction));
                        }
                    }
                    (Err(Refused::Taken { slot, direction }), Some(taken)) => {
                        assert_eq!((slot, direction), *taken);
                    }
                    (Err(Refused::NoSlot | Refused::IndexFull), None) => {}
                    (result, taken) => panic!("{result:?}, model: {taken:?}"),
                }
            }
            Step::Lookup(number, kind) => {
                let session = numbered(number, kind);
                for direction in Direction::ALL {
                    let tuple = session.arriving(direction);
                    assert_eq!(writer.lookup(tuple), model.get(tuple).copied());
                }
            }
            Step::Rebind(index, number) => {
                let Some(slot) = pick(&sessions, index) else { continue };
                let before = sessions[&slot];
                let after = Session { reply: numbered(number, 0).reply, ..before };
                if writer.rebind(slot, &after).is_ok() {
                    model.remove(&before.reply);
                    assert!(model.insert(after.reply, (slot, Direction::Ingress)).is_none());
                    sessions.insert(slot, after);
                }
            }
            Step::Remove(index) => {
                let Some(slot) = pick(&sessions, index) else { continue };
                let session = sessions.remove(&slot).unwrap();
                for direction in Direction::ALL {
                    model.remove(session.arriving(direction));
                }
                let removed = writer.remove(now, slot).map(|(session, _)| session);
                assert_eq!(removed, Some(session));
            }
            Step::Update(index, epoch) => {
                let Some(slot) = pick(&sessions, index) else { continue };
                let session = sessions.get_mut(&slot).unwrap();
                session.epoch = epoch;
                assert!(writer.update(slot, session));
            }
            Step::Wait(milliseconds) => now += milliseconds * 1_000_000,
        }
        assert_eq!(writer.len(), sessions.len());
    }

    assert_tidy(writer);
    let listed: Vec<_> = writer.sessions().collect();
    assert_eq!(&listed, &sessions.into_iter().collect::<Vec<_>>());
    let reader = Reader::new(writer.memory().clone()).unwrap();
    let read: Vec<_> = reader.sessions().map(|seen| (seen.slot, seen.session)).collect();
    assert_eq!(&read, &listed);
    for (tuple, found) in model {
        let read = reader.lookup(&tuple).map(|(seen, direction)| (seen.slot, direction));
        assert_eq!(read, Some(found));
    }
}

/// A step with sessions of so many numbers.
fn any_step(numbers: u32) -> impl Strategy<Value = Step> {
    let number = 0..numbers;
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => (number.clone(), 0_u8..4).prop_map(|(number, kind)| Step::Insert(number, kind)),
        2 => (number.clone(), 0_u8..4).prop_map(|(number, kind)| Step::Lookup(number, kind)),
        1 => (index(), number).prop_map(|(index, number)| Step::Rebind(index, number)),
        3 => index().prop_map(Step::Remove),
        1 => (index(), any::<u32>()).prop_map(|(index, epoch)| Step::Update(index, epoch)),
        1 => (0_u64..1500).prop_map(Step::Wait),
    ]
}

fn numbered(number: u32, kind: u8) -> Session {
    match kind {
        0 | 1 => session(number),
        2 => session6(number),
        _ => nat64(number),
    }
}
