//! The elements of a set or map: which values are in it, and where a verdict map leads.

use std::collections::BTreeMap;
use std::io;

use super::wire::{self, Object, attribute, attributes, find, number};

/// A set of a table.
pub(super) type Name = (u8, String, String);

/// One element, or one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Element {
    /// Its first and last key; for a concatenation each part by itself.
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
    /// What it maps to, as an attribute of data.
    pub(super) data: Option<Vec<u8>>,
}

/// Sets that were asked for.
#[derive(Debug, Default)]
pub(super) struct Sets(BTreeMap<Name, Vec<Element>>);

impl Sets {
    /// The elements of a set; none if it has gone.
    pub(super) fn elements(&mut self, name: &Name) -> &[Element] {
        let read = || elements(name).unwrap_or_default();
        self.0.entry(name.clone()).or_insert_with(read)
    }
}

fn elements((family, table, set): &Name) -> io::Result<Vec<Element>> {
    const TABLE: u16 = 1;
    const SET: u16 = 2;
    const ELEMENTS: u16 = 3;
    let question = [attribute(TABLE, table), attribute(SET, set)].concat();
    let mut found = Vec::new();
    wire::list(Object::Element, *family, &question, |_, answer| {
        let list = find(answer, ELEMENTS).unwrap_or_default();
        found.extend(attributes(list).filter_map(|(_, element)| Told::parse(element)));
    })?;
    Ok(join(found))
}

/// An element as the kernel tells it: the end of an interval is one by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    key: Vec<u8>,
    /// Before what begins at the same key.
    begins: bool,
    last: Option<Vec<u8>>,
    data: Option<Vec<u8>>,
}

impl Told {
    fn parse(element: &[u8]) -> Option<Self> {
        const KEY: u16 = 1;
        const DATA: u16 = 2;
        const FLAGS: u16 = 3;
        const KEY_END: u16 = 10;
        const VALUE: u16 = 1;
        const INTERVAL_END: u32 = 1;
        let value = |kind| find(find(element, kind)?, VALUE).map(<[u8]>::to_vec);
        let flags = find(element, FLAGS).and_then(number).unwrap_or(0);
        Some(Self {
            key: value(KEY)?,
            begins: flags & INTERVAL_END == 0,
            last: value(KEY_END),
            data: find(element, DATA).map(<[u8]>::to_vec),
        })
    }
}

fn join(mut told: Vec<Told>) -> Vec<Element> {
    told.sort_unstable();
    let intervals = told.iter().any(|element| !element.begins);
    let mut elements = Vec::new();
    for (place, Told { key, last, data, .. }) in told.iter().enumerate().filter(|(_, t)| t.begins) {
        let to = match (last, intervals) {
            (Some(last), _) => last.clone(),
            (None, false) => key.clone(),
            // Where one begins right behind another, the kernel need not say that the other ends.
            (None, true) => match told.get(place + 1) {
                Some(next) => before(&next.key),
                None => vec![u8::MAX; key.len()],
            },
        };
        elements.push(Element { from: key.clone(), to, data: data.clone() });
    }
    elements
}

/// The key before this one.
fn before(key: &[u8]) -> Vec<u8> {
    let mut key = key.to_vec();
    for byte in key.iter_mut().rev() {
        let (less, borrowed) = byte.overflowing_sub(1);
        *byte = less;
        if !borrowed {
            break;
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_put_together() {
        let told = |key: u16, begins| Told {
            key: key.to_be_bytes().to_vec(),
            begins,
            last: None,
            data: None,
        };
        let keys = [(256, false), (80, true), (300, true), (301, true), (0, false), (90, true)];
        let found = join(keys.map(|(key, begins)| told(key, begins)).into());
        let ports = |element: &Element| {
            let port = |key: &[u8]| u16::from_be_bytes(*key.first_chunk().unwrap());
            (port(&element.from), port(&element.to))
        };
        assert_eq!(
            found.iter().map(ports).collect::<Vec<_>>(),
            [(80, 89), (90, 255), (300, 300), (301, 65_535)]
        );
        assert_eq!(ports(&join(vec![told(7, true)])[0]), (7, 7), "no interval, but a value");
    }
}
