//! The rig with sessions of the tests' own in its table.

use core::ops::{Deref, DerefMut};

use masq_dataplane::rig;
pub(crate) use masq_dataplane::rig::{
    Became, Context, GATEWAY_INSIDE, OUTSIDE, Outcome, POOL, Port, Role, SERVER, TO_SERVER,
    TO_WORKSTATION, UNRESOLVED, WORKSTATION, index, ip, next_hop, run, settings,
};
use masq_flow::{Flags, Layout, PerDirection, Secret, Session, Slot, Writer};
use masq_wire::make::at;
use masq_wire::{Endpoint, Protocol, Tuple};

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
        self.table.insert(1, session).unwrap()
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
