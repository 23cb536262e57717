//! A table that a predecessor left pinned, and that was damaged since.

use aya::maps::MapData;
use masq_flow::maps;
use masq_flow::{Header, Record};

use super::*;
use crate::sys::maps::region;

#[test]
fn a_damaged_record_ends_its_session_and_no_other() {
    in_namespaces(|| {
        let sessions = begin_sessions();
        let records =
            region::<Record>(pinned(maps::RECORDS).fd(), layout().slots as usize).unwrap();
        let used = |record: &&Record| record.activity.load().last_seen_ns() != 0;
        let victim = records.iter().position(|record| used(&record)).unwrap();
        // The second address of the original tuple: the deltas are those of another one.
        let word = &records.words()[victim * size_of::<Record>() / 4 + 3];
        word.store(word.load() ^ 0x0100_0000);

        let heir = gateway();

        assert_eq!(heir.stats().unwrap().worker.engine.adopted, sessions - 1);
        assert!(tries("ip netns exec inside ping -c 1 -W 1 203.0.113.178"));
    });
}

#[test]
fn a_table_that_is_not_understood_is_given_up_and_the_gateway_starts() {
    // The magic, the version, the size of a record.
    for (word, value) in [(0, 0x1234_5678), (2, 99), (83, 4096)] {
        in_namespaces(|| {
            begin_sessions();
            let header = region::<Header>(pinned(maps::HEADER).fd(), 1).unwrap();
            header.words()[word].store(value);

            let heir = gateway();

            assert_eq!(heir.stats().unwrap().worker.engine.adopted, 0, "word {word}");
            assert!(tries("ip netns exec inside ping -c 1 -W 1 203.0.113.178"), "word {word}");
            let check = region::<Header>(pinned(maps::HEADER).fd(), 1).unwrap();
            assert_eq!(check[0].check(layout()), Ok(()), "and leaves one that is");
        });
    }
}

#[test]
fn sessions_outlive_damage_to_how_far_their_index_had_grown() {
    in_namespaces(|| {
        let sessions = begin_sessions();
        let header = region::<Header>(pinned(maps::HEADER).fd(), 1).unwrap();
        header.words()[4].store(7);

        let heir = gateway();

        assert_eq!(heir.stats().unwrap().worker.engine.adopted, sessions);
        assert!(tries("ip netns exec inside ping -c 1 -W 1 203.0.113.178"));
    });
}

#[test]
fn a_table_of_another_size_goes_on_as_it_is() {
    in_namespaces(|| {
        let sessions = begin_sessions();
        let layout = Layout::for_sessions(2 * 4096);
        let heir = start(Options { layout, ..options() }, Box::new(PLAIN)).unwrap();
        assert_eq!(heir.stats().unwrap().worker.engine.adopted, sessions);
        assert!(tries("ip netns exec inside ping -c 1 -W 1 203.0.113.178"));
    });
}

/// Makes some sessions and has their gateway go; how many there are.
fn begin_sessions() -> u64 {
    gateway_topology();
    let gateway = gateway();
    assert!(tries("ip netns exec inside ping -c 1 -W 1 203.0.113.178"));
    for identifier in 2000..2005 {
        run(&format!("ip netns exec inside ping -e {identifier} -c 1 -W 1 203.0.113.178"));
    }
    let sessions = gateway.flows().sessions().count() as u64;
    assert!(sessions >= 6, "{sessions}");
    gateway.stop();
    sessions
}

fn pinned(map: &str) -> MapData {
    MapData::from_pin(format!("/run/masq/bpf/test/{map}")).unwrap()
}

fn layout() -> Layout {
    options().layout
}
