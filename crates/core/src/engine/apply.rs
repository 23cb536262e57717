//! A new policy, or other addresses, or other sockets of the host.
//!
//! Every session is judged by the new policy before it takes effect:
//!
//! - it *stays*, if its inside host is still one and its outside address still ours;
//! - it *moves* to another address of the same outside, if nobody has answered it yet: the remote
//!   does not know the old one, so the host's next attempt simply works (`ip_dynaddr` of Linux 2.2);
//! - else it *ends*: the remote's packets go to an address that is not ours any more.

use core::net::IpAddr;
use std::collections::BTreeSet;
use std::sync::Arc;

use masq_flow::owned::Shared;
use masq_flow::{Flags, PerDirection, Session, Slot};
use masq_wire::{Protocol, Tuple};

use super::Engine;
use crate::event::{EndReason, Event};
use crate::limits::Usage;
use crate::mapping::Book;
use crate::policy::{HostPort, InForce, Policy};
use crate::port_set::PortSet;
use crate::ports::{PortSpace, Release};
use crate::session::{Scope, Sessions, space_of};
use crate::time::Instant;

/// What a policy means for the sessions there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Sessions that go on as they are.
    pub kept: usize,
    /// Sessions that nobody has answered and that get another outside address.
    pub moved: usize,
    /// Sessions that end.
    pub ended: usize,
    /// Outside addresses that are shared from here on.
    pub addresses_added: Vec<IpAddr>,
    /// Outside addresses that are not shared any more.
    pub addresses_removed: Vec<IpAddr>,
}

/// What becomes of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    End(EndReason),
    Keep,
    Move,
}

impl Engine {
    /// Says what a policy would do, and changes nothing.
    #[must_use]
    pub fn plan(&self, policy: &Policy) -> Plan {
        self.plan_for(&InForce::new(policy.clone()))
    }

    fn plan_for(&self, policy: &InForce) -> Plan {
        let mut plan = Plan::default();
        for (slot, session) in self.sessions.table.sessions() {
            match self.fate(policy, slot, &session) {
                Fate::End(_) => plan.ended += 1,
                Fate::Keep => plan.kept += 1,
                Fate::Move => plan.moved += 1,
            }
        }
        let (old, new) = (addresses(&self.policy), addresses(policy));
        plan.addresses_added = new.difference(&old).copied().collect();
        plan.addresses_removed = old.difference(&new).copied().collect();
        plan
    }

    /// Puts a policy into force, and says what it did.
    pub fn apply(&mut self, now: Instant, policy: Policy) -> Plan {
        if policy == *self.policy.policy() {
            return Plan { kept: self.sessions.table.len(), ..Plan::default() };
        }
        let policy = InForce::new(policy);
        let mut plan = self.plan_for(&policy);
        let slots: Vec<Slot> = self.sessions.table.slots().collect();
        let mut moving = Vec::new();
        for slot in slots {
            let Some(session) = self.sessions.table.session(slot) else { continue };
            let fate = self.fate(&policy, slot, &session);
            let (sessions, mut scope) = self.sessions(now);
            match fate {
                Fate::Keep => {}
                Fate::End(reason) => {
                    sessions.remove(&mut scope, slot, reason);
                }
                Fate::Move => {
                    sessions.leave(&mut scope, slot, &session);
                    moving.push((slot, session));
                }
            }
        }
        let moved: BTreeSet<Slot> = moving.iter().map(|(slot, _)| *slot).collect();
        self.put_into_force(policy, &plan);
        self.rejudge(now, &moved);
        for (slot, session) in moving {
            let (sessions, mut scope) = self.sessions(now);
            if !sessions.relocate(&mut scope, slot, session) {
                plan.moved -= 1;
                plan.ended += 1;
            }
        }
        self.set_owned();
        plan
    }

    /// Has the way of every session looked at again, because routes have changed or time has passed:
    /// its next packet in each direction comes to the engine, and the fast path has the others.
    pub fn handle_routes(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        self.sessions.table.set_min_epoch(self.epoch);
    }

    /// Takes the ports that sockets of the host use; they are given to no mapping from here on.
    pub fn handle_sockets(&mut self, ports: BTreeSet<HostPort>) {
        if ports != self.host_ports {
            self.host_ports = ports;
            self.set_ports();
            self.set_owned();
        }
    }

    fn fate(&self, policy: &InForce, slot: Slot, session: &Session) -> Fate {
        let hairpin = session.flags.contains(Flags::HAIRPIN);
        if !policy.is_inside(session.original.source.addr)
            || hairpin && !policy.is_inside(session.reply.source.addr)
        {
            return Fate::End(EndReason::Policy);
        }
        let kept = policy.outside_of(session.reply.destination.addr).is_some();
        if hairpin {
            let both = kept && policy.outside_of(session.original.destination.addr).is_some();
            return if both { Fate::Keep } else { Fate::End(EndReason::AddressGone) };
        }
        if kept {
            return Fate::Keep;
        }
        let activity = self.sessions.table.activity(slot).unwrap_or_default();
        let has_successor = policy
            .outside(crate::session::arrival_port(session, masq_flow::Direction::Ingress))
            .is_some_and(|outside| !outside.addresses.is_empty());
        if has_successor
            && !Sessions::is_answered(&activity)
            && !session.flags.contains(Flags::FORWARDED)
        {
            Fate::Move
        } else {
            Fate::End(EndReason::AddressGone)
        }
    }

    /// Replaces the policy, and everything that was set up by the old one.
    fn put_into_force(&mut self, policy: InForce, plan: &Plan) {
        self.policy = policy;
        self.epoch = self.epoch.wrapping_add(1);
        for address in &plan.addresses_removed {
            self.sessions.ports.remove_address(*address);
            self.sessions.reclaim.remove_address(*address);
            self.events.push(Event::AddressChanged { address: *address, present: false });
        }
        for address in &plan.addresses_added {
            self.events.push(Event::AddressChanged { address: *address, present: true });
        }
        self.sessions.ports.set_hold_down(self.policy.hold_down);
        self.sessions.hosts.set_limits(self.policy.hosts);
        self.reassembler.set_limits(self.policy.reassembly);
        self.held.set_limits(self.policy.held);
        self.reporters.configure(self.policy.icmp_errors);
        self.set_ports();
    }

    /// Builds mappings and timers anew, since both depend on the policy, and marks every session as
    /// judged by it.
    fn rejudge(&mut self, now: Instant, except: &BTreeSet<Slot>) {
        let epoch = self.epoch;
        let (sessions, scope) = self.sessions(now);
        sessions.mappings.clear();
        sessions.pins.clear();
        let slots: Vec<Slot> = sessions.table.slots().collect();
        for slot in slots {
            let Some(mut session) = sessions.table.session(slot) else { continue };
            session.epoch = epoch;
            sessions.table.update(slot, &session);
            if except.contains(&slot) {
                continue;
            }
            let book = Book { table: &sessions.table, policy: scope.policy };
            let (protocol, outside) = (session.original.protocol, session.reply.destination);
            let head = sessions.mappings.of_outside(book, protocol, outside);
            sessions.mappings.link(book, slot, &session, head);
            sessions.pins.add(slot, &session);
            let activity = sessions.table.activity(slot).unwrap_or_default();
            sessions.arm(&scope, slot, &session, &activity);
        }
        self.sessions.table.set_min_epoch(epoch);
    }

    /// Tells the allocator which ports of which addresses it may give out.
    pub(crate) fn set_ports(&mut self) {
        let all = Arc::new(PortSet::from_ranges([0..=u16::MAX]));
        for outside in &self.policy.outsides {
            let allowed = |protocol| {
                let mut allowed = outside.ports.to_set();
                if outside.shared_with_host {
                    allowed.subtract(&self.policy.reserved.to_set());
                    let used = self.host_ports.iter().filter(|used| used.protocol == protocol);
                    for used in used {
                        allowed.remove(used.port);
                    }
                }
                Arc::new(allowed)
            };
            let (tcp, udp) = (allowed(Protocol::TCP), allowed(Protocol::UDP));
            for address in &outside.addresses {
                let ports = &mut self.sessions.ports;
                ports.set_allowed(*address, PortSpace::Tcp, Arc::clone(&tcp));
                ports.set_allowed(*address, PortSpace::Udp, Arc::clone(&udp));
                ports.set_allowed(*address, PortSpace::Icmp, Arc::clone(&all));
            }
        }
    }

    /// Tells the fast path which ports and protocols of shared addresses are ours.
    pub(crate) fn set_owned(&self) {
        let Some(owned) = &self.sessions.owned else { return };
        let outsides = self.policy.outsides.iter().filter(|outside| outside.shared_with_host);
        let addresses: Vec<IpAddr> =
            outsides.flat_map(|outside| outside.addresses.iter().copied()).collect();
        let ports = &self.sessions.ports;
        let spaces = [
            (PortSpace::Tcp, Shared::Tcp),
            (PortSpace::Udp, Shared::Udp),
            (PortSpace::Icmp, Shared::Icmp),
        ];
        for (space, shared) in spaces {
            for port in 0..=u16::MAX {
                let ours = addresses.iter().any(|address| {
                    ports.is_allowed(*address, space, port) || ports.in_use(*address, space, port)
                });
                owned[0].set_port(shared, port, ours);
            }
        }
        for number in 0..=u8::MAX {
            let protocol = Protocol(number);
            owned[0].set_protocol(protocol, self.sessions.portless.contains_key(&protocol));
        }
    }
}

impl Sessions {
    /// Takes a session that is going to move out of its mapping.
    fn leave(&mut self, scope: &mut Scope<'_>, slot: Slot, session: &Session) {
        let book = Book { table: &self.table, policy: scope.policy };
        let (protocol, inside, outside) =
            (session.original.protocol, session.original.source, session.reply.destination);
        if self.mappings.unlink(book, slot, session) {
            self.hosts.mapping_ended(scope.now, inside.addr);
            match space_of(protocol) {
                Some(space) => {
                    let (address, port) = (outside.addr, outside.port);
                    self.ports.release(scope.now, address, space, port, Release::Ended);
                }
                None => self.disown_protocol(protocol),
            }
            scope.events.push(Event::MappingRemoved { protocol, inside, outside });
        }
    }

    /// Gives a session that has left its mapping an endpoint of another outside address; whether
    /// it could be done, or else the session has ended.
    fn relocate(&mut self, scope: &mut Scope<'_>, slot: Slot, session: Session) -> bool {
        let relocated = self.new_place(scope, slot, &session);
        if !relocated {
            self.timers.disarm(slot);
            self.table.remove(scope.now.as_nanos(), slot);
            self.hosts.session_ended(scope.now, session.original.source.addr);
            scope.stats.removed += 1;
            let reason = EndReason::AddressGone;
            scope.events.push(Event::SessionRemoved { slot, session, reason });
        }
        relocated
    }

    fn new_place(&mut self, scope: &mut Scope<'_>, slot: Slot, session: &Session) -> bool {
        let Tuple { protocol, source: inside, destination: remote } = session.original;
        let port = crate::session::arrival_port(session, masq_flow::Direction::Ingress);
        let Some(outside) = scope.policy.outside(port) else { return false };
        let book = Book { table: &self.table, policy: scope.policy };
        let head = self.mappings.of_inside(book, outside, protocol, inside, remote);
        let endpoint = match head.and_then(|head| self.table.session(head)) {
            Some(first) => first.reply.destination,
            None => match self.choose(scope, outside, protocol, inside, remote) {
                Ok(endpoint) => endpoint,
                Err(_) => return false,
            },
        };
        let moved = Session {
            reply: Tuple::new(protocol, remote, endpoint),
            next_hops: PerDirection::default(),
            epoch: scope.epoch,
            ..*session
        };
        if self.table.rebind(slot, &moved).is_err() {
            if head.is_none()
                && let Some(space) = space_of(protocol)
            {
                let (address, port) = (endpoint.addr, endpoint.port);
                self.ports.release(scope.now, address, space, port, Release::Unused);
            }
            return false;
        }
        let book = Book { table: &self.table, policy: scope.policy };
        self.mappings.link(book, slot, &moved, head);
        self.reclaim.push_unanswered(&moved, slot);
        scope.stats.moved += 1;
        if head.is_none() {
            self.hosts.restore(scope.now, inside.addr, Usage { sessions: 0, mappings: 1 });
            if !protocol.has_ports() {
                self.own_protocol(protocol);
            }
            let outside = endpoint;
            scope.events.push(Event::MappingCreated { protocol, inside, outside });
        }
        true
    }
}

/// Every outside address.
fn addresses(policy: &Policy) -> BTreeSet<IpAddr> {
    policy.outsides.iter().flat_map(|outside| outside.addresses.iter().copied()).collect()
}
