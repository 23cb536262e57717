//! What the engine tells those who watch it.
//!
//! Events wait in a queue of bounded length; when nobody fetches them the oldest are forgotten, and
//! counted.

use core::net::IpAddr;
use std::collections::VecDeque;

use masq_flow::{NextHopId, Session, Slot};
use masq_wire::{Endpoint, Protocol};

use crate::limits::Limit;
use crate::ports::PortSpace;

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An outside address is shared from here on, or not any more.
    AddressChanged {
        /// The address.
        address: IpAddr,
        /// Whether it is shared.
        present: bool,
    },
    /// An inside host reached a limit; told once an interval.
    LimitReached {
        /// The host.
        host: IpAddr,
        /// Which limit.
        limit: Limit,
    },
    /// An inside endpoint has an outside endpoint.
    MappingCreated {
        /// The protocol.
        protocol: Protocol,
        /// The inside endpoint.
        inside: Endpoint,
        /// The outside endpoint.
        outside: Endpoint,
    },
    /// The last session of a mapping ended.
    MappingRemoved {
        /// The protocol.
        protocol: Protocol,
        /// The inside endpoint.
        inside: Endpoint,
        /// The outside endpoint.
        outside: Endpoint,
    },
    /// No port was left; told once an interval.
    PortsExhausted {
        /// The outside address.
        address: IpAddr,
        /// The protocol.
        space: PortSpace,
    },
    /// Packets wait for a next hop whose link address is not known: somebody must ask for it.
    ResolveNextHop(NextHopId),
    /// A session began.
    SessionCreated {
        /// Its place in the table.
        slot: Slot,
        /// What was decided.
        session: Session,
    },
    /// A session ended.
    SessionRemoved {
        /// Its place in the table.
        slot: Slot,
        /// What it was.
        session: Session,
        /// Why it ended.
        reason: EndReason,
    },
    /// The session table is full; told once an interval.
    TableFull,
}

impl Event {
    /// Whether it is about a single session or mapping. There are as many of these as of flows.
    #[must_use]
    pub const fn is_detail(&self) -> bool {
        match self {
            Self::MappingCreated { .. }
            | Self::MappingRemoved { .. }
            | Self::SessionCreated { .. }
            | Self::SessionRemoved { .. } => true,
            Self::AddressChanged { .. }
            | Self::LimitReached { .. }
            | Self::PortsExhausted { .. }
            | Self::ResolveNextHop(_)
            | Self::TableFull => false,
        }
    }
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Its outside address is not ours any more.
    AddressGone,
    /// The gateway's own host has a flow whose answers arrive as the session's would.
    HostHasIt,
    /// Nothing was sent for too long.
    Idle,
    /// A new policy has no place for it.
    Policy,
    /// Room was needed for another one.
    Reclaimed,
    /// Its endpoints began a new connection.
    Reopened,
    /// Its packets take another way out, where its outside address is not ours.
    Rerouted,
}

/// The events that wait to be fetched.
#[derive(Debug)]
pub(crate) struct Events {
    queue: VecDeque<Event>,
    forgotten: u64,
    details: bool,
}

impl Default for Events {
    fn default() -> Self {
        Self { queue: VecDeque::new(), forgotten: 0, details: true }
    }
}

impl Events {
    /// Events that wait at most.
    const MOST: usize = 65_536;

    /// Tells of single sessions and mappings, or not.
    pub(crate) const fn set_details(&mut self, wanted: bool) {
        self.details = wanted;
    }

    #[inline]
    pub(crate) fn push(&mut self, event: Event) {
        if !self.details && event.is_detail() {
            return;
        }
        if self.queue.len() == Self::MOST {
            self.queue.pop_front();
            self.forgotten += 1;
        }
        self.queue.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.queue.pop_front()
    }

    /// The memory that is taken, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.queue.capacity() * size_of::<Event>()
    }

    pub(crate) const fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_events_are_forgotten_when_nobody_fetches_them() {
        let mut events = Events::default();
        for id in 0..=Events::MOST {
            events.push(Event::ResolveNextHop(NextHopId(id as u16)));
        }
        assert_eq!(events.forgotten(), 1);
        assert_eq!(events.pop(), Some(Event::ResolveNextHop(NextHopId(1))));
    }

    #[test]
    fn who_does_not_want_details_hears_of_the_rest() {
        let (inside, outside) =
            (Endpoint::v4([192, 168, 1, 3].into(), 1), Endpoint::v4([203, 0, 113, 1].into(), 1));
        let mut events = Events::default();
        events.set_details(false);
        events.push(Event::MappingCreated { protocol: Protocol::UDP, inside, outside });
        events.push(Event::TableFull);
        assert_eq!((events.pop(), events.pop()), (Some(Event::TableFull), None));
        assert_eq!(events.forgotten(), 0);
    }
}
