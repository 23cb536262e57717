//! A new policy, or other addresses, or other sockets of the host.
//!
//! What is new is judged by the policy from the moment on that it is applied. What it means for the
//! sessions that there are (`plan`) is carried out by a walk (`walk`), if it means anything.

use core::net::IpAddr;
use std::collections::BTreeSet;
use std::sync::Arc;

use masq_flow::owned::Shared;
use masq_wire::Protocol;

use super::Engine;
use super::plan::Plan;
use crate::event::Event;
use crate::policy::{Difference, HostPort, InForce, Policy};
use crate::port_set::PortSet;
use crate::ports::PortSpace;

impl Engine {
    /// Says what a policy would do, and changes nothing. Packets wait for the answer, which may
    /// take long: [`Plan::forecast`] is for those who can read the table.
    #[must_use]
    pub fn plan(&self, policy: &Policy) -> Plan {
        let table = &self.sessions.table;
        let activity = |slot| table.activity(slot).unwrap_or_default();
        let sessions = table.sessions().map(|(slot, session)| (session, activity(slot)));
        Plan::forecast(&self.policy, policy, sessions)
    }

    /// Puts a policy into force. [`Engine::poll_plan`] says what it did, when [`Engine::walk`] has
    /// brought it to all sessions.
    ///
    /// A policy that says the same about sessions leaves them alone.
    pub fn apply(&mut self, policy: Policy) {
        let kept = self.sessions.table.len();
        if policy == *self.policy.policy() {
            return self.answer(Plan { kept, ..Plan::default() });
        }
        let policy = InForce::new(policy);
        let difference = Difference::between(&self.policy, &policy);
        let plan = Plan::of_addresses(&self.policy, &policy);
        self.put_into_force(policy, &plan);
        if difference.ports {
            self.set_ports();
            self.set_owned();
        }
        if difference.concerns_sessions() {
            self.begin_judging(difference, plan);
        } else {
            self.answer(Plan { kept, ..plan });
        }
    }

    /// Answers for a policy that changes nothing, unless one is on its way that does: its answer
    /// comes later and is for both.
    fn answer(&mut self, plan: Plan) {
        if !self.is_judging() {
            self.done = Some(plan);
        }
    }

    /// Takes the ports that sockets of the host use; they are given to no mapping from here on.
    pub fn handle_sockets(&mut self, ports: BTreeSet<HostPort>) {
        if ports != self.host_ports {
            self.host_ports = ports;
            self.set_ports();
            self.set_owned();
        }
    }

    /// Replaces the policy, and what was set up by the old one for those who come.
    fn put_into_force(&mut self, policy: InForce, plan: &Plan) {
        self.policy = policy;
        for address in &plan.addresses_removed {
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
    }

    /// Forgets the ports of addresses that are not ours any more and that no session has.
    ///
    /// Not before: the address may come back while sessions have ports of it.
    pub(crate) fn forget_addresses(&mut self) {
        let ports = &mut self.sessions.ports;
        let mut known: Vec<IpAddr> = ports.spaces().map(|(address, _)| address).collect();
        known.dedup();
        for address in known {
            if self.policy.outside_of(address).is_none() {
                ports.remove_address(address);
                self.sessions.reclaim.remove_address(address);
            }
        }
    }

    /// Tells the allocator which ports of which addresses it may give out.
    pub(crate) fn set_ports(&mut self) {
        let all = Arc::new(PortSet::from_ranges([0..=u16::MAX]));
        for outside in &self.policy.outsides {
            let allowed = |protocol| {
                let mut allowed = outside.pool.ports.to_set();
                if outside.pool.shared_with_host {
                    allowed.subtract(&self.policy.reserved.to_set());
                    let used = self.host_ports.iter().filter(|used| used.protocol == protocol);
                    for used in used {
                        allowed.remove(used.port);
                    }
                }
                Arc::new(allowed)
            };
            let (tcp, udp) = (allowed(Protocol::TCP), allowed(Protocol::UDP));
            for address in &outside.pool.addresses {
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
        let outsides = self.policy.outsides.iter().filter(|outside| outside.pool.shared_with_host);
        let addresses: Vec<IpAddr> =
            outsides.flat_map(|outside| outside.pool.addresses.iter().copied()).collect();
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
