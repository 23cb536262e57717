//! The rig with sessions of the tests' own in its table.

use core::ops::{Deref, DerefMut};

use masq_dataplane::rig;
pub(crate) use masq_dataplane::rig::{
    Became, Context, GATEWAY_INSIDE, OUTSIDE, Outcome, POOL, Port, Role, SERVER, TO_SERVER,
    TO_WORKSTATION, UNRESOLVED, WORKSTATION, index, ip, next_hop, run, settings,
};
use masq_flow::punt::{PuntHeader, Return, ReturnHeader};
use masq_flow::{Direction, Flags, Layout, PerDirection, Refused, Secret, Session, Slot, Writer};
use masq_wire::make::at;
use masq_wire::{Endpoint, Protocol, Tuple};
use zerocopy::IntoBytes;

/// Programs, maps, and a table to write to.
pub(crate) struct Rig {
    programs: rig::Rig,
    pub(crate) table: Writer,
}

impl Rig {
    /// Makes the interfaces in this thread's network, and loads the programs.
    pub(crate) fn new() -> Self {
        let programs = rig::Rig::new(Layout::for_sessions(4096));
        let table = Writer::format(programs.memory.clone(), Secret::new(77, 99));
        Self { programs, table }
    }

    /// Enters a session that begins at `inside` and is seen as `outside` by `remote`.
    pub(crate) fn session(&mut self, protocol: Protocol, ends: [&str; 3]) -> Slot {
        let [inside, outside, remote] = ends.map(at);
        self.enter(&self.masquerade(protocol, inside, outside, remote))
    }

    /// A session as the engine makes them.
    pub(crate) fn masquerade(
        &self,
        protocol: Protocol,
        inside: Endpoint,
        outside: Endpoint,
        remote: Endpoint,
    ) -> Session {
        Session {
            original: Tuple::new(protocol, inside, remote),
            reply: Tuple::new(protocol, remote, outside),
            flags: Flags::empty(),
            class: 0,
            state: 0,
            next_hops: PerDirection::new(TO_SERVER, TO_WORKSTATION),
            interfaces: PerDirection::new(self.lan.index, self.wan.index),
            epoch: 0,
            rule_path: 0,
            created: 0,
        }
    }

    pub(crate) fn enter(&mut self, session: &Session) -> Slot {
        self.try_enter(session).unwrap()
    }

    /// Enters a session none of whose packets is under way.
    pub(crate) fn try_enter(&mut self, session: &Session) -> Result<Slot, Refused> {
        let slot = self.table.insert(1, session)?;
        Direction::ALL.iter().for_each(|direction| self.table.settle(slot, *direction));
        Ok(slot)
    }
}

impl Rig {
    /// Has a punted packet come back from a worker that did nothing to it.
    pub(crate) fn come_back(&mut self, punted: &Outcome) {
        let (_, frame) = PuntHeader::split(&punted.frame).unwrap();
        let wan = self.wan;
        let to = Return::Forward { next_hop: TO_SERVER, link: wan.index as u16 };
        let header = ReturnHeader::new(to, punted.ticket());
        let frame = [header.as_bytes(), &frame[ReturnHeader::LEN..]].concat();
        let outcome = self.run("masq_return", Context::at(wan), &frame);
        assert_eq!(outcome.became, Became::Returned);
    }
}

impl Deref for Rig {
    type Target = rig::Rig;

    fn deref(&self) -> &rig::Rig {
        &self.programs
    }
}

impl DerefMut for Rig {
    fn deref_mut(&mut self) -> &mut rig::Rig {
        &mut self.programs
    }
}
