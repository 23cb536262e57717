//! A set of port numbers that can name its n-th member of one class and parity in constant time.
//!
//! The allocator's question is "a free port, uniformly at random, of the same class (0-1023 or
//! 1024-65535) and the same parity". Probing at random answers it quickly while most ports are free
//! and spins when nearly none are; probing onward from a random start always ends but favours the
//! ports behind long runs of taken ones, which makes them guessable (RFC 6056 §3.3.1). Counting is
//! uniform and costs the same at every load:
//!
//! ```text
//! port ──► plane = parity            2 planes of 32,768 bits: bit n of plane p is port 2n + p
//!      └─► group = port / 1024       64 groups a plane, 512 bits (8 words) each, with a count
//!
//! n-th member:  64 counts at most, then 8 words at most, then one word's bits
//! ```
//!
//! Group 0 of each plane is exactly the class 0-1023, so class and parity are both ranges of groups.

use core::ops::{Range, RangeInclusive};

/// Ports of one group share the number divided by this.
const GROUP_PORTS: u16 = 1024;
/// Groups in a plane.
const GROUPS: usize = 64;
/// 64-bit words of one group in one plane.
const GROUP_WORDS: usize = 8;
/// 64-bit words of one plane.
const PLANE_WORDS: usize = GROUPS * GROUP_WORDS;

/// RFC 4787 REQ-3a: the two port classes that a translation keeps apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortClass {
    /// 0-1023, which many systems let only privileged programs use.
    System,
    /// 1024-65535.
    User,
}

impl PortClass {
    /// Both classes.
    pub const ALL: [Self; 2] = [Self::System, Self::User];

    /// Returns the class of a port.
    #[must_use]
    pub const fn of(port: u16) -> Self {
        if port < GROUP_PORTS { Self::System } else { Self::User }
    }

    /// The least number of the class and parity, and how many there are; the others follow at
    /// distances of two.
    pub(crate) const fn numbers(self, parity: Parity) -> (u16, u16) {
        match self {
            Self::System => (parity as u16, GROUP_PORTS / 2),
            Self::User => (GROUP_PORTS + parity as u16, (u16::MAX - GROUP_PORTS) / 2 + 1),
        }
    }

    const fn groups(self) -> Range<usize> {
        match self {
            Self::System => 0..1,
            Self::User => 1..GROUPS,
        }
    }
}

/// RFC 4787 REQ-4: RTP takes even ports and RTCP the odd ones beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Parity {
    /// Divisible by two.
    Even,
    /// Not divisible by two.
    Odd,
}

impl Parity {
    /// Both parities.
    pub const ALL: [Self; 2] = [Self::Even, Self::Odd];

    /// Returns the parity of a port.
    #[must_use]
    pub const fn of(port: u16) -> Self {
        if port.is_multiple_of(2) { Self::Even } else { Self::Odd }
    }

    /// Returns the other parity.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Even => Self::Odd,
            Self::Odd => Self::Even,
        }
    }
}

/// A set of 16-bit port numbers.
#[derive(Clone, PartialEq, Eq)]
pub struct PortSet {
    planes: Box<[[u64; PLANE_WORDS]; 2]>,
    counts: [[u16; GROUPS]; 2],
    /// Members by parity and class, so that an empty area is seen without a look at its groups.
    totals: [[u32; 2]; 2],
}

impl PortSet {
    /// The memory of a set beside itself, in bytes.
    pub(crate) const HEAP: usize = size_of::<[[u64; PLANE_WORDS]; 2]>();

    /// Returns the set without members.
    #[must_use]
    pub fn new() -> Self {
        Self {
            planes: Box::new([[0; PLANE_WORDS]; 2]),
            counts: [[0; GROUPS]; 2],
            totals: [[0; 2]; 2],
        }
    }

    /// Returns the set of all numbers in some ranges.
    #[must_use]
    pub fn from_ranges(ranges: impl IntoIterator<Item = RangeInclusive<u16>>) -> Self {
        let mut set = Self::new();
        for range in ranges {
            set.insert_range(range);
        }
        set
    }

    /// Adds a port; false if it was a member.
    pub fn insert(&mut self, port: u16) -> bool {
        let at = Position::of(port);
        let word = &mut self.planes[at.plane][at.word];
        let added = *word & at.bit == 0;
        if added {
            *word |= at.bit;
            self.counts[at.plane][at.group()] += 1;
            self.totals[at.plane][PortClass::of(port) as usize] += 1;
        }
        added
    }

    /// Takes a port out; false if it was not a member.
    pub fn remove(&mut self, port: u16) -> bool {
        let at = Position::of(port);
        let word = &mut self.planes[at.plane][at.word];
        let removed = *word & at.bit != 0;
        if removed {
            *word &= !at.bit;
            self.counts[at.plane][at.group()] -= 1;
            self.totals[at.plane][PortClass::of(port) as usize] -= 1;
        }
        removed
    }

    /// Adds every port of a range.
    pub fn insert_range(&mut self, range: RangeInclusive<u16>) {
        for port in range {
            self.insert(port);
        }
    }

    /// Takes every port of a range out.
    pub fn remove_range(&mut self, range: RangeInclusive<u16>) {
        for port in range {
            self.remove(port);
        }
    }

    /// Takes the members of another set out.
    pub fn subtract(&mut self, other: &Self) {
        for plane in 0..2 {
            for (word, theirs) in self.planes[plane].iter_mut().zip(&other.planes[plane]) {
                *word &= !theirs;
            }
        }
        self.recount();
    }

    /// Says whether a port is a member.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        let at = Position::of(port);
        self.planes[at.plane][at.word] & at.bit != 0
    }

    /// Returns the number of members.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.totals.iter().flatten().sum()
    }

    /// Says whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of members of one class and parity.
    #[must_use]
    pub fn len_of(&self, class: PortClass, parity: Parity) -> u32 {
        self.totals[parity as usize][class as usize]
    }

    /// Returns the `n`-th member (from 0, in rising order) of one class and parity.
    #[must_use]
    pub fn nth(&self, class: PortClass, parity: Parity, n: u32) -> Option<u16> {
        self.nth_counted(class, parity, n).0
    }

    /// Visits the members in rising order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0..=u16::MAX).filter(|port| self.contains(*port))
    }

    /// Like [`PortSet::nth`], and tells how many counts and words were looked at.
    fn nth_counted(&self, class: PortClass, parity: Parity, mut n: u32) -> (Option<u16>, usize) {
        if n >= self.len_of(class, parity) {
            return (None, 1);
        }
        let plane = parity as usize;
        let mut inspected = 1;
        for group in class.groups() {
            inspected += 1;
            let members = u32::from(self.counts[plane][group]);
            if n >= members {
                n -= members;
                continue;
            }
            for index in group * GROUP_WORDS..(group + 1) * GROUP_WORDS {
                inspected += 1;
                let word = self.planes[plane][index];
                if n >= word.count_ones() {
                    n -= word.count_ones();
                    continue;
                }
                let port = 2 * (64 * index as u32 + nth_bit(word, n)) + plane as u32;
                return (Some(port as u16), inspected);
            }
        }
        (None, inspected)
    }

    fn recount(&mut self) {
        self.totals = [[0; 2]; 2];
        for plane in 0..2 {
            for group in 0..GROUPS {
                let words = &self.planes[plane][group * GROUP_WORDS..(group + 1) * GROUP_WORDS];
                let members: u32 = words.iter().map(|word| word.count_ones()).sum();
                self.counts[plane][group] = members as u16;
                self.totals[plane][usize::from(group > 0)] += members;
            }
        }
    }
}

impl Default for PortSet {
    fn default() -> Self {
        Self::new()
    }
}

impl FromIterator<u16> for PortSet {
    fn from_iter<I: IntoIterator<Item = u16>>(ports: I) -> Self {
        let mut set = Self::new();
        for port in ports {
            set.insert(port);
        }
        set
    }
}

/// Prints runs of ports as ranges, as an administrator writes them.
impl core::fmt::Debug for PortSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut list = f.debug_set();
        let mut ports = self.iter().peekable();
        while let Some(first) = ports.next() {
            let mut last = first;
            while let Some(next) = ports.next_if(|port| *port == last + 1) {
                last = next;
            }
            list.entry(&(first..=last));
        }
        list.finish()
    }
}

/// Where a port's bit is.
struct Position {
    plane: usize,
    word: usize,
    bit: u64,
}

impl Position {
    const fn of(port: u16) -> Self {
        let index = (port / 2) as usize;
        Self { plane: (port % 2) as usize, word: index / 64, bit: 1 << (index % 64) }
    }

    const fn group(&self) -> usize {
        self.word / GROUP_WORDS
    }
}

/// Returns the place of the `n`-th set bit, by halving.
fn nth_bit(word: u64, mut n: u32) -> u32 {
    let mut place = 0;
    let mut width = 32;
    while width > 0 {
        let low = (word >> place) & ((1 << width) - 1);
        if n >= low.count_ones() {
            n -= low.count_ones();
            place += width;
        }
        width /= 2;
    }
    place
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Counts and words that a search may look at: totals, a plane's groups, one group's words.
    const MOST_WORK: usize = 1 + GROUPS + GROUP_WORDS;

    #[test]
    fn the_nth_member_costs_the_same_bound_at_every_load() {
        for kept in [1, 2, 500, 1023, 60_000] {
            let mut set = PortSet::from_ranges([0..=u16::MAX]);
            set.remove_range(0..=u16::MAX - kept);
            for class in PortClass::ALL {
                for parity in Parity::ALL {
                    let members = set.len_of(class, parity);
                    for n in [0, members / 2, members.saturating_sub(1), members] {
                        let (port, inspected) = set.nth_counted(class, parity, n);
                        assert_eq!(port.is_some(), n < members);
                        assert!(inspected <= MOST_WORK, "{inspected} for {n} of {members}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_empty_set_is_known_after_one_look() {
        let (port, inspected) = PortSet::new().nth_counted(PortClass::User, Parity::Odd, 0);

        assert_eq!((port, inspected), (None, 1));
    }

    #[test]
    fn the_classes_meet_between_1023_and_1024() {
        let set = PortSet::from_ranges([1022..=1025]);

        assert_eq!(set.nth(PortClass::System, Parity::Even, 0), Some(1022));
        assert_eq!(set.nth(PortClass::System, Parity::Odd, 0), Some(1023));
        assert_eq!(set.nth(PortClass::User, Parity::Even, 0), Some(1024));
        assert_eq!(set.nth(PortClass::User, Parity::Odd, 0), Some(1025));
    }

    #[test]
    fn it_prints_ranges() {
        let set = PortSet::from_ranges([7..=9, 80..=80, 65535..=65535]);

        assert_eq!(format!("{set:?}"), "{7..=9, 80..=80, 65535..=65535}");
    }

    #[test]
    fn the_full_set_has_every_port() {
        let set = PortSet::from_ranges([0..=u16::MAX]);

        assert_eq!(set.len(), 65_536);
        assert_eq!(set.len_of(PortClass::System, Parity::Odd), 512);
        assert_eq!(set.len_of(PortClass::User, Parity::Even), 32_256);
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_tree_set(
            steps in prop::collection::vec((any::<bool>(), port()), 0..200),
            gone in prop::collection::vec(port(), 0..20),
        ) {
            let (mut set, mut model) = (PortSet::new(), BTreeSet::new());
            for (insert, port) in steps {
                if insert {
                    prop_assert_eq!(set.insert(port), model.insert(port));
                } else {
                    prop_assert_eq!(set.remove(port), model.remove(&port));
                }
            }
            set.subtract(&gone.iter().copied().collect());
            model.retain(|port| !gone.contains(port));

            prop_assert!(set.iter().eq(model.iter().copied()));
            prop_assert_eq!(set.len() as usize, model.len());
            for class in PortClass::ALL {
                for parity in Parity::ALL {
                    let members: Vec<u16> = model
                        .iter()
                        .copied()
                        .filter(|port| PortClass::of(*port) == class && Parity::of(*port) == parity)
                        .collect();
                    prop_assert_eq!(set.len_of(class, parity) as usize, members.len());
                    for (n, port) in members.iter().enumerate() {
                        prop_assert_eq!(set.nth(class, parity, n as u32), Some(*port));
                    }
                    prop_assert_eq!(set.nth(class, parity, members.len() as u32), None);
                }
            }
        }

        #[test]
        fn bits_are_selected_in_order(word in any::<u64>()) {
            let places: Vec<u32> = (0..64).filter(|place| word >> place & 1 == 1).collect();
            for (n, place) in places.iter().enumerate() {
                prop_assert_eq!(nth_bit(word, n as u32), *place);
            }
        }
    }

    fn port() -> impl Strategy<Value = u16> {
        prop_oneof![any::<u16>(), 1000..1050u16, Just(0), Just(u16::MAX)]
    }
}
