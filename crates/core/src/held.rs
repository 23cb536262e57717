//! Packets that wait until the link address of their next hop is known.
//!
//! A packet given to the kernel for an absent neighbour stays charged to our socket for seconds,
//! and a few thousand of them stop everybody else's. So the engine sends only to neighbours that are
//! known, asks for the others, and keeps their packets here (RFC 1122 §2.3.2.2: at least the latest
//! one of each):
//!
//! ```text
//!  hold ──► [p1 p2 p3] next hop 7 ──► release (resolved): all, in the order of arrival
//!       ──► [p1]       next hop 9 ──► release (failed): all, for an ICMP host unreachable each
//!              │                  └─► expire: nobody answered in time, the same as failed
//!              └ over a bound: the oldest of this next hop, or of the next hop that holds most
//! ```
//!
//! Bounds are per next hop and in total, in packets and bytes. Whoever floods an absent host thus
//! loses packets of that flood, and a host that is being resolved keeps its first few.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::time::{Duration, Instant};

/// How much may wait, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLimits {
    /// Packets for one next hop.
    pub packets_per_next_hop: usize,
    /// Packets in all.
    pub packets: usize,
    /// Bytes in all.
    pub bytes: usize,
    /// Longest wait of a packet.
    pub patience: Duration,
}

impl Default for HeldLimits {
    /// Three seconds are what Linux gives an address resolution (three probes, one second each).
    fn default() -> Self {
        Self {
            packets_per_next_hop: 32,
            packets: 1024,
            bytes: 2 << 20,
            patience: Duration::from_secs(3),
        }
    }
}

/// A packet that waited, with what its owner needs to go on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPacket<C> {
    /// The packet as it was when it had to wait.
    pub bytes: Vec<u8>,
    /// What the engine noted with it.
    pub context: C,
    /// When it came.
    pub since: Instant,
}

/// What became of a packet to be held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// It is the first one for its next hop, so the resolution is to be started.
    pub first: bool,
    /// Packets that were dropped to make room, itself among them if it is too long for any bound.
    pub dropped: usize,
}

/// The waiting packets of every next hop, known by a number `N`.
#[derive(Debug)]
pub struct HeldPackets<N, C> {
    limits: HeldLimits,
    queues: BTreeMap<N, VecDeque<HeldPacket<C>>>,
    /// Next hops by the number of packets that wait for them.
    by_length: BTreeSet<(usize, N)>,
    /// Next hops by the arrival of their oldest packet.
    by_age: BTreeSet<(Instant, N)>,
    packets: usize,
    bytes: usize,
}

impl<N: Copy + Ord, C> HeldPackets<N, C> {
    /// Starts with nothing held.
    #[must_use]
    pub const fn new(limits: HeldLimits) -> Self {
        Self {
            limits,
            queues: BTreeMap::new(),
            by_length: BTreeSet::new(),
            by_age: BTreeSet::new(),
            packets: 0,
            bytes: 0,
        }
    }

    /// Changes the limits; they apply to the packets that come.
    pub const fn set_limits(&mut self, limits: HeldLimits) {
        self.limits = limits;
    }

    /// Keeps a copy of a packet until its next hop is known.
    pub fn hold(&mut self, now: Instant, next_hop: N, bytes: &[u8], context: C) -> Holding {
        let limits = self.limits;
        if bytes.len() > limits.bytes || limits.packets == 0 || limits.packets_per_next_hop == 0 {
            return Holding { first: false, dropped: 1 };
        }
        let first = self.waiting(next_hop) == 0;
        let mut dropped = 0;
        while self.waiting(next_hop) >= limits.packets_per_next_hop {
            self.drop_oldest(next_hop);
            dropped += 1;
        }
        while self.packets >= limits.packets || self.bytes + bytes.len() > limits.bytes {
            let Some((_, fullest)) = self.by_length.last().copied() else { break };
            self.drop_oldest(fullest);
            dropped += 1;
        }
        let mut queue = self.take(next_hop);
        queue.push_back(HeldPacket { bytes: bytes.to_vec(), context, since: now });
        self.packets += 1;
        self.bytes += bytes.len();
        self.put(next_hop, queue);
        Holding { first, dropped }
    }

    /// Gives out all packets of a next hop, oldest first: it is resolved, or it has failed.
    pub fn release(&mut self, next_hop: N) -> VecDeque<HeldPacket<C>> {
        let queue = self.take(next_hop);
        self.packets -= queue.len();
        self.bytes -= queue.iter().map(|packet| packet.bytes.len()).sum::<usize>();
        queue
    }

    /// Gives out one packet that has waited too long, the oldest first.
    pub fn expire(&mut self, now: Instant) -> Option<(N, HeldPacket<C>)> {
        let (since, next_hop) = self.by_age.first().copied()?;
        if since + self.limits.patience > now {
            return None;
        }
        self.drop_oldest(next_hop).map(|packet| (next_hop, packet))
    }

    /// Returns when [`HeldPackets::expire`] will have something to give.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.by_age.first().map(|(since, _)| *since + self.limits.patience)
    }

    /// Returns the number of packets that wait for a next hop.
    #[must_use]
    pub fn waiting(&self, next_hop: N) -> usize {
        self.queues.get(&next_hop).map_or(0, VecDeque::len)
    }

    /// Returns the number of packets held.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.packets
    }

    /// Says whether nothing is held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.packets == 0
    }

    fn drop_oldest(&mut self, next_hop: N) -> Option<HeldPacket<C>> {
        let mut queue = self.take(next_hop);
        let oldest = queue.pop_front();
        if let Some(packet) = &oldest {
            self.packets -= 1;
            self.bytes -= packet.bytes.len();
        }
        self.put(next_hop, queue);
        oldest
    }

    /// Takes a queue out of the map and of both orders.
    fn take(&mut self, next_hop: N) -> VecDeque<HeldPacket<C>> {
        let queue = self.queues.remove(&next_hop).unwrap_or_default();
        if let Some(oldest) = queue.front() {
            self.by_length.remove(&(queue.len(), next_hop));
            self.by_age.remove(&(oldest.since, next_hop));
        }
        queue
    }

    /// Puts a queue back, unless it is empty.
    fn put(&mut self, next_hop: N, queue: VecDeque<HeldPacket<C>>) {
        if let Some(oldest) = queue.front() {
            self.by_length.insert((queue.len(), next_hop));
            self.by_age.insert((oldest.since, next_hop));
            self.queues.insert(next_hop, queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Instant = Instant::ZERO;

    #[test]
    fn packets_are_released_in_order_of_arrival() {
        let mut held = HeldPackets::new(HeldLimits::default());
        assert_eq!(held.hold(START, 7, b"one", 1), Holding { first: true, dropped: 0 });
        assert_eq!(held.hold(START, 9, b"other", 2), Holding { first: true, dropped: 0 });
        assert_eq!(held.hold(START, 7, b"two", 3), Holding { first: false, dropped: 0 });

        let released: Vec<_> = held.release(7).into_iter().map(|p| (p.bytes, p.context)).collect();
        assert_eq!(released, [(b"one".to_vec(), 1), (b"two".to_vec(), 3)]);
        assert_eq!((held.len(), held.waiting(9)), (1, 1));
        assert!(held.release(7).is_empty());
    }

    #[test]
    fn the_oldest_of_a_full_next_hop_is_dropped() {
        let limits = HeldLimits { packets_per_next_hop: 2, ..HeldLimits::default() };
        let mut held = HeldPackets::new(limits);
        for n in 0..5u8 {
            held.hold(START, 7, &[n], ());
        }

        let released: Vec<_> = held.release(7).into_iter().map(|packet| packet.bytes).collect();
        assert_eq!(released, [vec![3], vec![4]]);
    }

    #[test]
    fn absent_hosts_do_not_displace_the_packets_of_others() {
        let limits = HeldLimits { packets: 100, packets_per_next_hop: 50, ..HeldLimits::default() };
        let mut held = HeldPackets::new(limits);
        held.hold(START, 1, b"first of a host that will answer", ());
        for n in 0..100_000u32 {
            held.hold(START, 2 + n % 3, b"flood", ());
        }

        assert_eq!(held.len(), 100);
        assert_eq!(held.waiting(1), 1);
    }

    #[test]
    fn bytes_are_bounded() {
        let limits = HeldLimits { bytes: 1000, ..HeldLimits::default() };
        let mut held = HeldPackets::new(limits);
        for _ in 0..10 {
            held.hold(START, 1, &[0; 300], ());
        }
        assert_eq!((held.len(), held.bytes), (3, 900));

        assert_eq!(held.hold(START, 2, &[0; 1001], ()), Holding { first: false, dropped: 1 });
        assert_eq!(held.len(), 3, "what can never fit displaces nothing");
    }

    #[test]
    fn a_packet_waits_no_longer_than_patience() {
        let mut held = HeldPackets::new(HeldLimits::default());
        assert_eq!(held.poll_timeout(), None);
        held.hold(START + Duration::from_secs(1), 9, b"b", ());
        held.hold(START, 7, b"a", ());
        held.hold(START + Duration::from_secs(2), 7, b"c", ());

        let first = START + Duration::from_secs(3);
        assert_eq!(held.poll_timeout(), Some(first));
        assert_eq!(
            held.expire(first).map(|(id, packet)| (id, packet.bytes)),
            Some((7, b"a".to_vec()))
        );
        assert_eq!(held.expire(first), None);
        assert_eq!(held.poll_timeout(), Some(START + Duration::from_secs(4)));
        let late = START + Duration::from_secs(10);
        assert_eq!(held.expire(late).map(|(id, _)| id), Some(9));
        assert_eq!(held.expire(late).map(|(id, _)| id), Some(7));
        assert!(held.is_empty());
    }

    proptest! {
        #[test]
        fn the_counts_are_those_of_the_queues(
            steps in prop::collection::vec((0..6u8, 0..4u8, 0..400usize), 0..200),
        ) {
            let limits = HeldLimits {
                packets_per_next_hop: 5,
                packets: 12,
                bytes: 2_000,
                patience: Duration::from_secs(3),
            };
            let mut held = HeldPackets::new(limits);
            let mut now = START;
            for (step, next_hop, size) in steps {
                match step {
                    0 => drop(held.release(next_hop)),
                    1 => while held.expire(now).is_some() {},
                    2 => now += Duration::from_millis(size as u64 * 10),
                    _ => {
                        held.hold(now, next_hop, &vec![0; size], ());
                    }
                }
                let queues = held.queues.values();
                prop_assert_eq!(held.packets, queues.clone().map(VecDeque::len).sum::<usize>());
                prop_assert_eq!(held.bytes, queues.flatten().map(|p| p.bytes.len()).sum::<usize>());
                prop_assert!(held.packets <= limits.packets && held.bytes <= limits.bytes);
                prop_assert_eq!(held.by_age.len(), held.queues.len());
                prop_assert_eq!(held.by_length.len(), held.queues.len());
                prop_assert!(held.queues.values().all(|queue| queue.len() <= 5));
            }
        }
    }
}
