//! Unsolicited connection attempts from outside (RFC 5382 REQ-4).
//!
//! Two hosts behind translators connect by each sending a SYN to the other's outside endpoint at the
//! same time. The first one to arrive finds no mapping yet. An answer would spoil the attempt, so
//! there is silence for six seconds; if the matching SYN leaves in that time, nothing was. Only then
//! the attempt was a mistake, and is answered with an error that quotes it.
//!
//! The memory is bounded: attempts beyond it are never answered.

use std::collections::{BTreeMap, VecDeque};

use masq_wire::Tuple;

use crate::routes::PortId;
use crate::time::Instant;

/// Attempts that are remembered.
const MOST: usize = 256;
/// A SYN that is longer is not remembered.
const LONGEST: usize = 576;

/// The attempts that may yet be matched.
#[derive(Debug, Default)]
pub(crate) struct InboundSyns {
    waiting: BTreeMap<Tuple, Attempt>,
    /// In the order of time. An entry whose attempt is gone, or is another one, means nothing.
    order: VecDeque<(Instant, Tuple)>,
}

#[derive(Debug)]
struct Attempt {
    until: Instant,
    port: PortId,
    packet: Vec<u8>,
}

impl InboundSyns {
    /// Remembers an attempt; its retransmissions change nothing.
    pub(crate) fn add(&mut self, until: Instant, tuple: Tuple, port: PortId, packet: &[u8]) {
        let full = self.order.len() >= MOST || packet.len() > LONGEST;
        if full || self.waiting.contains_key(&tuple) {
            return;
        }
        // A shorter time may have been configured since the last one came.
        let until = self.order.back().map_or(until, |(last, _)| until.max(*last));
        self.waiting.insert(tuple, Attempt { until, port, packet: packet.to_vec() });
        self.order.push_back((until, tuple));
    }

    /// The matching attempt was made from inside.
    pub(crate) fn forget(&mut self, tuple: &Tuple) {
        self.waiting.remove(tuple);
    }

    /// Takes an attempt that nobody has matched in time: where it arrived, and the packet.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<(PortId, Vec<u8>)> {
        loop {
            let (until, tuple) = *self.order.front()?;
            if until > now {
                return None;
            }
            self.order.pop_front();
            if self.waiting.get(&tuple).is_some_and(|attempt| attempt.until == until)
                && let Some(attempt) = self.waiting.remove(&tuple)
            {
                return Some((attempt.port, attempt.packet));
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.order.front().map(|(until, _)| *until)
    }
}

#[cfg(test)]
mod tests {
    use masq_wire::{Protocol, make};

    use super::*;

    fn tuple(port: u16) -> Tuple {
        let remote = make::at("198.51.100.1:80").with_port(port);
        Tuple::new(Protocol::TCP, remote, make::at("203.0.113.1:5000"))
    }

    #[test]
    fn an_attempt_comes_back_when_its_time_is_up_unless_it_was_matched() {
        let mut syns = InboundSyns::default();
        let until = Instant::from_secs(6);
        syns.add(until, tuple(1), PortId(2), b"one");
        syns.add(until, tuple(2), PortId(2), b"two");
        syns.add(Instant::from_secs(9), tuple(1), PortId(2), b"again");
        syns.forget(&tuple(2));
        assert_eq!(syns.poll_timeout(), Some(until));
        assert_eq!(syns.expire(Instant::from_secs(5)), None);
        assert_eq!(syns.expire(until), Some((PortId(2), b"one".to_vec())));
        assert_eq!(syns.expire(until), None);
        assert_eq!(syns.poll_timeout(), None);
    }

    #[test]
    fn a_flood_is_not_remembered() {
        let mut syns = InboundSyns::default();
        for port in 0..1000 {
            syns.add(Instant::from_secs(6), tuple(port), PortId(2), b"syn");
            syns.forget(&tuple(port));
        }
        assert!(syns.order.len() <= MOST);
    }
}
