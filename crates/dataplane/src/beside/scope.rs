//! Which packets a rule of another translator is about, as far as masq wants to know it: by protocol,
//! destination port and source address. Every other condition (an interface, a set of addresses, a
//! connection mark) is taken to be met, so that a scope holds too much rather than too little.

use core::ops::RangeInclusive;

/// What is looked at of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Port,
    Protocol,
    Source,
}

impl Field {
    pub(crate) const ALL: [Self; 3] = [Self::Port, Self::Protocol, Self::Source];

    /// The number of its bytes.
    pub(crate) const fn width(self) -> usize {
        match self {
            Self::Port => 2,
            Self::Protocol => 1,
            Self::Source => 4,
        }
    }

    /// Its largest value.
    pub(crate) const fn most(self) -> u32 {
        match self {
            Self::Port => u16::MAX as u32,
            Self::Protocol => u8::MAX as u32,
            Self::Source => u32::MAX,
        }
    }
}

/// Values in ascending order.
pub(crate) type Ranges = Vec<RangeInclusive<u32>>;

/// A set of packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    fields: [Ranges; 3],
}

impl Scope {
    /// Every packet.
    pub(crate) fn any() -> Self {
        Self { fields: Field::ALL.map(|field| vec![0..=field.most()]) }
    }

    /// What a field may be.
    pub(crate) fn of(&self, field: Field) -> &[RangeInclusive<u32>] {
        &self.fields[field as usize]
    }

    /// Whether a field may be anything.
    pub(crate) fn is_any(&self, field: Field) -> bool {
        self.of(field) == [0..=field.most()]
    }

    /// Leaves those packets in whose field has one of these values.
    pub(crate) fn narrow(&mut self, field: Field, ranges: &[RangeInclusive<u32>]) {
        let narrowed = intersection(self.of(field), ranges);
        self.fields[field as usize] = narrowed;
    }

    /// Leaves those packets in that another scope holds too.
    pub(crate) fn narrow_by(&mut self, other: &Self) {
        for field in Field::ALL {
            self.narrow(field, other.of(field));
        }
    }

    /// Whether there is such a packet.
    pub(crate) fn is_empty(&self) -> bool {
        self.fields.iter().any(Vec::is_empty)
    }
}

/// The values of either.
pub(crate) fn union(mut ranges: Ranges) -> Ranges {
    ranges.sort_unstable_by_key(|range| (*range.start(), *range.end()));
    let mut joined: Ranges = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if *range.start() <= last.end().saturating_add(1) => {
                *last = *last.start()..=*last.end().max(range.end());
            }
            Some(_) | None => joined.push(range),
        }
    }
    joined
}

/// The values, up to `most`, that are in none of these ranges.
pub(crate) fn complement(ranges: Ranges, most: u32) -> Ranges {
    let mut next = Some(0);
    let mut others = Vec::new();
    for range in union(ranges) {
        if let Some(first) = next.filter(|first| first < range.start()) {
            others.push(first..=range.start() - 1);
        }
        next = range.end().checked_add(1).filter(|next| *next <= most);
    }
    others.extend(next.map(|first| first..=most));
    others
}

fn intersection(one: &[RangeInclusive<u32>], two: &[RangeInclusive<u32>]) -> Ranges {
    let common = |a: &RangeInclusive<u32>, b: &RangeInclusive<u32>| {
        let both = *a.start().max(b.start())..=*a.end().min(b.end());
        (!both.is_empty()).then_some(both)
    };
    union(one.iter().flat_map(|a| two.iter().filter_map(move |b| common(a, b))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_joined_turned_round_and_intersected() {
        assert_eq!(union(vec![5..=9, 0..=3, 10..=12]), [0..=3, 5..=12]);
        assert_eq!(complement(vec![0..=3, 5..=9], 255), [4..=4, 10..=255]);
        assert_eq!(complement(vec![], 255), [0..=255]);
        assert_eq!(complement(vec![7..=u32::MAX], u32::MAX), [0..=6]);
        assert_eq!(intersection(&[0..=5, 8..=20], &[4..=9]), [4..=5, 8..=9]);
        let mut scope = Scope::any();
        scope.narrow(Field::Port, &[80..=80]);
        assert!(scope.is_any(Field::Source) && !scope.is_any(Field::Port) && !scope.is_empty());
        scope.narrow(Field::Port, &[81..=90]);
        assert!(scope.is_empty());
    }
}
