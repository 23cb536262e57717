//! A NAT so simple that it can be seen to be right: a list of flows, looked through from the front.
//!
//! It knows UDP only, one outside address and no hairpins. It does not choose ports: it says which
//! choices are allowed, and takes note of the one made.

use masq_core::{Duration, Filtering, Instant, Mapping};
use masq_wire::Endpoint;

/// Three endpoints that have to do with each other (RFC 4787 §4 and §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) inside: Endpoint,
    pub(super) outside: Endpoint,
    pub(super) remote: Endpoint,
    /// When a packet of either direction was translated last.
    pub(super) seen: Instant,
    pub(super) sent: bool,
    pub(super) received: bool,
}

/// What may become of a packet from inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Out {
    /// It leaves from this endpoint.
    From(Endpoint),
    /// It leaves from an endpoint that is nobody's; or, if that is said, it may be refused.
    New { refusable: bool },
}

/// What becomes of a packet from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum In {
    /// The mapping's inside endpoint gets it.
    To(Endpoint),
    /// The mapping is there, and its filter says no.
    Filtered,
    /// There is no mapping.
    Nobody,
}

/// The flows.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) mapping: Mapping,
    pub(super) filtering: Filtering,
    pub(super) timeout: Duration,
    /// How long a port rests.
    pub(super) rest: Duration,
    pub(super) ports: core::ops::RangeInclusive<u16>,
    flows: Vec<Flow>,
    /// Ports that were given back, and when.
    freed: Vec<(u16, Instant)>,
}

impl Model {
    pub(super) fn new(mapping: Mapping, filtering: Filtering) -> Self {
        Self {
            mapping,
            filtering,
            timeout: Duration::from_secs(300),
            rest: Duration::from_secs(30),
            ports: 2000..=2011,
            flows: Vec::new(),
            freed: Vec::new(),
        }
    }

    /// Forgets what is over.
    pub(super) fn pass(&mut self, now: Instant) {
        let timeout = self.timeout;
        let over = |flow: &Flow| flow.seen + timeout <= now;
        let ended: Vec<_> = self.flows.iter().copied().filter(over).collect();
        self.flows.retain(|flow| !over(flow));
        for flow in ended {
            self.note_freed(flow.outside.port, flow.seen + timeout);
        }
        let rest = self.rest;
        self.freed.retain(|(_, when)| *when + rest + SLACK > now);
    }

    /// Somebody else needed the room.
    pub(super) fn give_up(&mut self, inside: Endpoint, remote: Endpoint, now: Instant) {
        let found =
            self.flows.iter().position(|flow| flow.inside == inside && flow.remote == remote);
        let flow = self.flows.remove(found.expect("what is given up was there"));
        assert!(!(flow.sent && flow.received), "a flow that was answered is given up: {flow:?}");
        self.note_freed(flow.outside.port, now);
    }

    pub(super) fn judge_out(&self, inside: Endpoint, remote: Endpoint) -> Out {
        let same = |flow: &&Flow| {
            flow.inside == inside
                && match self.mapping {
                    Mapping::EndpointIndependent => true,
                    Mapping::AddressDependent => flow.remote.addr == remote.addr,
                    Mapping::AddressAndPortDependent => flow.remote == remote,
                }
        };
        match self.flows.iter().find(same) {
            Some(flow) => Out::From(flow.outside),
            None => Out::New { refusable: self.is_short_of_ports() },
        }
    }

    pub(super) fn judge_in(&self, remote: Endpoint, outside: Endpoint) -> In {
        let mut inside = None;
        for flow in self.flows.iter().filter(|flow| flow.outside == outside) {
            let lets_in = match self.filtering {
                Filtering::EndpointIndependent => true,
                Filtering::AddressDependent => flow.remote.addr == remote.addr,
                Filtering::AddressAndPortDependent => flow.remote == remote,
            };
            if lets_in {
                return In::To(flow.inside);
            }
            inside = Some(flow.inside);
        }
        if inside.is_some() { In::Filtered } else { In::Nobody }
    }

    /// A packet went from inside to outside, from this endpoint.
    pub(super) fn went_out(&mut self, now: Instant, ends: [Endpoint; 3]) {
        self.note(now, ends).sent = true;
    }

    /// A packet went from outside to inside.
    pub(super) fn went_in(&mut self, now: Instant, ends: [Endpoint; 3]) {
        self.note(now, ends).received = true;
    }

    /// Who has an outside endpoint, if anybody.
    pub(super) fn owner(&self, outside: Endpoint) -> Option<Endpoint> {
        self.flows.iter().find(|flow| flow.outside == outside).map(|flow| flow.inside)
    }

    pub(super) fn flows(&self) -> &[Flow] {
        &self.flows
    }

    fn note(&mut self, now: Instant, [inside, outside, remote]: [Endpoint; 3]) -> &mut Flow {
        let same = |flow: &Flow| flow.inside == inside && flow.remote == remote;
        let place = match self.flows.iter().position(same) {
            Some(place) => place,
            None => {
                let (sent, received) = (false, false);
                self.flows.push(Flow { inside, outside, remote, seen: now, sent, received });
                self.flows.len() - 1
            }
        };
        let flow = &mut self.flows[place];
        flow.seen = now;
        flow
    }

    fn note_freed(&mut self, port: u16, when: Instant) {
        if self.flows.iter().all(|flow| flow.outside.port != port) {
            self.freed.push((port, when));
        }
    }

    /// Whether there may be no port of some kind: of each parity (RFC 4787 REQ-4) one must be free
    /// that nobody had lately.
    fn is_short_of_ports(&self) -> bool {
        let free = |port: &u16| {
            self.flows.iter().all(|flow| flow.outside.port != *port)
                && self.freed.iter().all(|(freed, _)| freed != port)
        };
        let free: Vec<u16> = self.ports.clone().filter(free).collect();
        !(free.iter().any(|port| port % 2 == 0) && free.iter().any(|port| port % 2 == 1))
    }
}

/// A port may rest a little longer than it has to.
const SLACK: Duration = Duration::from_secs(60);
