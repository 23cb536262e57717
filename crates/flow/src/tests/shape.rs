//! The index as [`Shape`] tells of it.

use super::*;
use crate::key::AnyKey;
use crate::{Entry, Reader, Shape};

#[test]
fn an_empty_index_has_a_shape_too() {
    let writer = Writer::format(Memory::heap(Layout::for_sessions(64)), SECRET);
    let shape = Reader::new(writer.memory().clone()).unwrap().shape();
    assert_eq!(shape, Shape { places: 256, ..Shape::default() });
    assert_eq!(shape.longest_probe(), 1);
}

#[test]
fn entries_are_counted_where_they_lie() {
    let mut writer = Writer::format(Memory::heap(Layout { slots: 1400, buckets: 512 }), SECRET);
    let mut random = Random(7);
    let sessions: Vec<_> = (0..1400).map(|_| random.session()).collect();
    for session in &sessions {
        writer.insert(0, session).unwrap();
    }
    let shape = Reader::new(writer.memory().clone()).unwrap().shape();
    assert_eq!((shape.entries, shape.looked_at), (2800, 2800));
    let mut second = 0;
    for session in sessions {
        for tuple in [session.original, session.reply] {
            let place = writer.place(&AnyKey::new(&tuple).unwrap());
            let first = &writer.memory().buckets()[place.first as usize];
            let (slot, direction) = writer.lookup(&tuple).unwrap();
            let is_it = |entry: Entry| (entry.slot(), entry.direction()) == (slot, direction);
            second += u64::from(!first.entries().any(is_it));
        }
    }
    assert_eq!(shape.second, second);
    assert!((1..1000).contains(&second), "{second} in their second bucket");
    assert_eq!(shape.fullest, 8, "of some that are full");
}
