//! A session gets another outside endpoint, because the address of its own is not ours any more.

use masq_flow::{Direction, NextHopId, PerDirection, Session, Slot};
use masq_wire::{Endpoint, Tuple};

use super::{Scope, Sessions, arrival_port, space_of};
use crate::event::{EndReason, Event};
use crate::limits::Usage;
use crate::mapping::Book;
use crate::ports::Release;
use crate::routes::Routes;

impl Sessions {
    /// Takes a session out of its mapping.
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

    /// Gives a session an endpoint of another outside address. Gives it as it is from here on; if it
    /// cannot be done, the session ends.
    pub(crate) fn relocate(
        &mut self,
        scope: &mut Scope<'_>,
        routes: &dyn Routes,
        slot: Slot,
        session: Session,
    ) -> Option<Session> {
        self.leave(scope, slot, &session);
        let moved = self.new_place(scope, routes, slot, &session);
        if moved.is_none() {
            self.timers.disarm(slot);
            self.reclaim.remove(slot);
            self.table.remove(scope.now.as_nanos(), slot);
            self.hosts.session_ended(scope.now, session.original.source.addr);
            scope.stats.removed += 1;
            let reason = EndReason::AddressGone;
            scope.events.push(Event::SessionRemoved { slot, session, reason });
        }
        moved
    }

    fn new_place(
        &mut self,
        scope: &mut Scope<'_>,
        routes: &dyn Routes,
        slot: Slot,
        session: &Session,
    ) -> Option<Session> {
        let Tuple { protocol, source: inside, destination: remote } = session.original;
        let port = arrival_port(session, Direction::Ingress);
        let outside = scope.policy.outside(port)?;
        let book = Book { table: &self.table, policy: scope.policy };
        let usable = |endpoint| !routes.host_has(&Tuple::new(protocol, remote, endpoint));
        let head = self.mappings.of_inside(book, &outside.pool, protocol, inside, remote, usable);
        let endpoint = match head.and_then(|head| self.table.session(head)) {
            Some(first) => first.reply.destination,
            None if outside.away => return None,
            None => {
                let original = &session.original;
                let address = self.address_for(scope.now, routes, &outside.pool, original).ok()?;
                let reply = Tuple::new(protocol, remote, Endpoint::new(address, 0));
                self.take_endpoint(scope, routes, inside.port, &reply).ok()?
            }
        };
        let moved = Session {
            reply: Tuple::new(protocol, remote, endpoint),
            next_hops: PerDirection::new(NextHopId::NONE, NextHopId::NONE),
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
            return None;
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
        Some(moved)
    }
}
