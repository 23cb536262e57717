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
    let mut writer = Writer::format(Memory::heap(Layout::for_sessions(1000)), SECRET);
    (0..1000).for_each(|i| {
        writer.insert(0, &session(i)).unwrap();
    });
    let shape = Reader::new(writer.memory().clone()).unwrap().shape();
    assert_eq!((shape.entries, shape.looked_at), (2000, 2000));
    let mut second = 0;
    for i in 0..1000 {
        for tuple in [session(i).original, session(i).reply] {
            let place = writer.place(&AnyKey::new(&tuple).unwrap());
            let first = &writer.memory().buckets()[place.first as usize];
            let (slot, direction) = writer.lookup(&tuple).unwrap();
            let is_it = |entry: Entry| (entry.slot(), entry.direction()) == (slot, direction);
            second += u64::from(!first.entries().any(is_it));
        }
    }
    assert_eq!(shape.second, second);
    assert!((1..1000).contains(&second), "{second} in their second bucket");
    assert!((4..=8).contains(&shape.fullest), "{}", shape.fullest);
}
