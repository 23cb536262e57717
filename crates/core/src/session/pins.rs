//! Mappings that hairpin sessions lead to.
//!
//! ```text
//! C1:a ──► X:p2   a hairpin session of C1's mapping, which leads to C2's mapping
//! ```
//!
//! C2 answers within C1's session, so no session of its own may see packets any more; yet its mapping
//! must last while it sends (RFC 4787 REQ-6), or it would get another outside endpoint for the next
//! remote. So the mapping is *pinned* as long as a session that leads to it is not over: its last
//! session is kept beyond its time, for the mapping's sake only.
//!
//! Sessions that are over pin nothing. Two mappings whose sessions lead to each other end together.

use std::collections::{BTreeMap, BTreeSet};

use masq_flow::{Flags, Session, Slot};
use masq_wire::{Endpoint, Protocol};

use super::{Kind, Scope, Sessions};

/// The hairpin sessions that lead to each outside endpoint.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    leading: BTreeMap<(Protocol, Endpoint), BTreeSet<Slot>>,
}

impl Pins {
    /// Notes where a session leads, if it is a hairpin session.
    pub(crate) fn add(&mut self, slot: Slot, session: &Session) {
        if let Some(target) = target(session) {
            self.leading.entry(target).or_default().insert(slot);
        }
    }

    pub(crate) fn remove(&mut self, slot: Slot, session: &Session) {
        let Some(target) = target(session) else { return };
        if let Some(slots) = self.leading.get_mut(&target) {
            slots.remove(&slot);
            if slots.is_empty() {
                self.leading.remove(&target);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.leading.is_empty()
    }

    /// Whether any session leads to the mapping of this one.
    pub(crate) fn has(&self, session: &Session) -> bool {
        mapping(session).is_some_and(|mapping| self.leading.contains_key(&mapping))
    }
}

impl Sessions {
    /// Whether a session that is not over leads to the mapping of this one.
    pub(super) fn is_pinned(&self, scope: &Scope<'_>, session: &Session) -> bool {
        let slots = mapping(session).and_then(|mapping| self.pins.leading.get(&mapping));
        let Some(slots) = slots else { return false };
        slots.iter().any(|slot| {
            let leading = self.table.session(*slot);
            leading.is_some_and(|leading| !self.is_over(scope, *slot, &leading))
        })
    }
}

fn target(session: &Session) -> Option<(Protocol, Endpoint)> {
    let hairpin = session.flags.contains(Flags::HAIRPIN);
    hairpin.then_some((session.original.protocol, session.original.destination))
}

fn mapping(session: &Session) -> Option<(Protocol, Endpoint)> {
    let mapped = Kind::of(session) == Kind::Mapped;
    mapped.then_some((session.original.protocol, session.reply.destination))
}
