//! The order in which a generator goes through its flows.
//!
//! It steps through them by a fixed number without a common divisor, so that every flow has its turn and
//! neighbours in time are not neighbours in any table: real traffic does not arrive sorted, and a cache
//! must not be helped by packets that do.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Flows that a generator sends packets of.
#[derive(
    Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Stream {
    /// The first flow's number.
    pub first: u32,
    /// How many flows there are; 0 for no packets at all.
    pub flows: u32,
    /// How far it is from one flow to the next in turn.
    pub step: u32,
    /// Whose turn it is, counted from `first`.
    pub turn: u32,
    /// Packets sent, which is also the next packet's sequence number.
    pub sent: u32,
    /// Which of the [`Numbering`](crate::Numbering)s the numbers mean.
    pub numbering: u32,
}

/// What one generator sends: a main stream, and a packet of another now and then.
#[derive(
    Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Streams {
    /// Most packets.
    pub main: Stream,
    /// The others.
    pub other: Stream,
    /// Every so many packets, one is of the other stream; 0 for (as good as) never.
    pub every: u32,
    /// Packets of the main stream since then.
    pub since: u32,
}

impl Stream {
    /// Flows in a scattered order.
    #[must_use]
    pub fn scattered(first: u32, flows: u32, numbering: u32) -> Self {
        Self { first, flows, step: scatter(flows), turn: 0, sent: 0, numbering }
    }

    /// Flows one after the other.
    #[must_use]
    pub fn in_order(first: u32, flows: u32, numbering: u32) -> Self {
        Self { first, flows, step: 1, turn: 0, sent: 0, numbering }
    }

    /// The flow whose turn it is and the packet's sequence number.
    #[inline(always)]
    pub fn advance(&mut self) -> (u32, u32) {
        let (turn, sequence) = (self.turn, self.sent);
        let next = turn.wrapping_add(self.step);
        self.turn = if next >= self.flows { next.wrapping_sub(self.flows) } else { next };
        self.sent = sequence.wrapping_add(1);
        (self.first.wrapping_add(turn), sequence)
    }
}

impl Streams {
    /// The stream whose turn it is.
    #[inline(always)]
    pub fn choose(&mut self) -> &mut Stream {
        self.since = self.since.wrapping_add(1);
        if self.since == self.every {
            self.since = 0;
            &mut self.other
        } else {
            &mut self.main
        }
    }
}

/// A step of about the golden section without a common divisor with `flows`.
fn scatter(flows: u32) -> u32 {
    if flows <= 2 {
        return flows.min(1);
    }
    let near = (u64::from(flows) * 618_034 / 1_000_000) as u32;
    (near.max(1)..flows).find(|step| divisor(*step, flows) == 1).unwrap_or(1)
}

fn divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_flow_has_its_turn() {
        for flows in [1, 2, 3, 10, 4096, 10_000] {
            let mut stream = Stream::scattered(100, flows, 0);
            let seen: BTreeSet<_> = (0..flows).map(|_| stream.advance().0).collect();
            assert_eq!(seen, (100..100 + flows).collect::<BTreeSet<_>>());
            assert_eq!(stream.advance(), (100, flows), "and then the first again");
        }
    }

    #[test]
    fn neighbours_in_time_are_not_neighbours_in_number() {
        let mut stream = Stream::scattered(0, 4096, 0);
        let turns: std::vec::Vec<_> = (0..100).map(|_| stream.advance().0).collect();
        assert!(turns.windows(2).all(|two| two[0].abs_diff(two[1]) > 1000));
    }

    #[test]
    fn the_other_stream_has_its_share() {
        let stream = |numbering| Stream::in_order(0, 10, numbering);
        let (main, other) = (stream(0), stream(1));
        let mut streams = Streams { main, other, every: 7, since: 0 };
        let others = (0..70).filter(|_| streams.choose().numbering == 1).count();
        assert_eq!(others, 10);
        let mut never = Streams { every: 0, ..streams };
        assert!((0..70).all(|_| never.choose().numbering == 0));
    }

    #[test]
    fn in_order_is_in_order() {
        let mut stream = Stream::in_order(5, 3, 0);
        let turns: std::vec::Vec<_> = (0..5).map(|_| stream.advance()).collect();
        assert_eq!(turns, [(5, 0), (6, 1), (7, 2), (5, 3), (6, 4)]);
    }
}
