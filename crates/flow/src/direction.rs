//! The two directions of a session.

use core::fmt;
use core::ops::{Index, IndexMut};

/// Which way a packet of a session travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// As the session's first packet did: it arrives with the original tuple.
    Egress,
    /// The answers: they arrive with the reply tuple.
    Ingress,
}

impl Direction {
    /// Both directions.
    pub const ALL: [Self; 2] = [Self::Egress, Self::Ingress];

    /// The other direction.
    #[inline(always)]
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::Egress => Self::Ingress,
            Self::Ingress => Self::Egress,
        }
    }

    /// 0 for egress, 1 for ingress.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Egress => 0,
            Self::Ingress => 1,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
        })
    }
}

/// One value for each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PerDirection<T> {
    /// The value for packets that travel as the session's first did.
    pub egress: T,
    /// The value for the answers.
    pub ingress: T,
}

impl<T> PerDirection<T> {
    /// A value for each direction.
    pub const fn new(egress: T, ingress: T) -> Self {
        Self { egress, ingress }
    }
}

impl<T> Index<Direction> for PerDirection<T> {
    type Output = T;

    #[inline(always)]
    fn index(&self, direction: Direction) -> &T {
        match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        }
    }
}

impl<T> IndexMut<Direction> for PerDirection<T> {
    #[inline(always)]
    fn index_mut(&mut self, direction: Direction) -> &mut T {
        match direction {
            Direction::Egress => &mut self.egress,
            Direction::Ingress => &mut self.ingress,
        }
    }
}
