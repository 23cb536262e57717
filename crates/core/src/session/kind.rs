//! What kind of session one is.
//!
//! Everything that treats sessions differently asks here: where its packets arrive, whose addresses it
//! depends on, whether it has a mapping. The kind follows from the record's flags alone, so that a
//! successor finds the same.
//!
//! | kind | original | reply | mapping and port | where |
//! |---|---|---|---|---|
//! | `Mapped` | inside → remote | remote → outside | yes | inside and outside; a hairpin only inside |
//! | `Plain` | a → b | b → a | no | between insides, or to where the kernel forwards; a began |
//!
//! A `Plain` session towards an interface that is not served has no interface for its way back: the
//! kernel forwards its answers, and nobody here sees them.

use core::net::IpAddr;

use masq_flow::{Direction, Flags, Session};

use crate::policy::Realm;

/// What a session is to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A mapping with a remote.
    Mapped,
    /// Two ends that see each other's own addresses.
    Plain,
}

impl Kind {
    /// The kind of a session.
    #[must_use]
    pub const fn of(session: &Session) -> Self {
        if session.flags.contains(Flags::UNTRANSLATED) { Self::Plain } else { Self::Mapped }
    }
}

/// On which side packets of a session's direction arrive.
pub(crate) fn realm_of_arrival(session: &Session, direction: Direction) -> Realm {
    match (Kind::of(session), direction) {
        (Kind::Mapped, Direction::Ingress) if !session.flags.contains(Flags::HAIRPIN) => {
            Realm::Outside
        }
        (Kind::Mapped | Kind::Plain, Direction::Egress | Direction::Ingress) => Realm::Inside,
    }
}

/// The addresses that have to be those of inside hosts, or the session is over.
pub(crate) fn inside_addresses(session: &Session) -> impl Iterator<Item = IpAddr> + use<> {
    let both = match Kind::of(session) {
        Kind::Mapped => session.flags.contains(Flags::HAIRPIN),
        Kind::Plain => session.interfaces.ingress != 0,
    };
    let ends = [Some(session.original.source.addr), both.then_some(session.reply.source.addr)];
    ends.into_iter().flatten()
}

/// The addresses that have to be among those that we share, or the session is over.
pub(crate) fn outside_addresses(session: &Session) -> impl Iterator<Item = IpAddr> + use<> {
    let (own, target) = (session.reply.destination.addr, session.original.destination.addr);
    let ends = match Kind::of(session) {
        Kind::Mapped => [Some(own), session.flags.contains(Flags::HAIRPIN).then_some(target)],
        Kind::Plain => [None, None],
    };
    ends.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use masq_flow::{NextHopId, PerDirection};
    use masq_wire::{Protocol, Tuple, make};

    use super::*;

    fn session(flags: Flags) -> Session {
        let original =
            Tuple::new(Protocol::UDP, make::at("192.168.1.3:1"), make::at("203.0.113.9:2"));
        let reply = match flags.contains(Flags::UNTRANSLATED) {
            true => original.reversed(),
            false => Tuple::new(Protocol::UDP, original.destination, make::at("203.0.113.1:1")),
        };
        Session {
            original,
            reply,
            flags,
            class: 0,
            state: 0,
            next_hops: PerDirection::new(NextHopId::NONE, NextHopId::NONE),
            interfaces: PerDirection::new(1, 2),
            epoch: 0,
            rule_path: 0,
            created: 0,
        }
    }

    #[test]
    fn what_a_session_depends_on_follows_from_its_kind() {
        let depends = |session: &Session| {
            (inside_addresses(session).count(), outside_addresses(session).count())
        };
        let plain = session(Flags::UNTRANSLATED);
        let unseen = Session { interfaces: PerDirection::new(1, 0), ..plain };
        assert_eq!(depends(&session(Flags::empty())), (1, 1));
        assert_eq!(depends(&session(Flags::HAIRPIN)), (2, 2));
        assert_eq!(depends(&plain), (2, 0));
        assert_eq!(depends(&unseen), (1, 0));
    }

    #[test]
    fn only_answers_to_a_mapping_arrive_outside() {
        let arrives = |flags| {
            let session = session(flags);
            Direction::ALL.map(|direction| realm_of_arrival(&session, direction))
        };
        assert_eq!(arrives(Flags::empty()), [Realm::Inside, Realm::Outside]);
        assert_eq!(arrives(Flags::HAIRPIN), [Realm::Inside; 2]);
        assert_eq!(arrives(Flags::UNTRANSLATED), [Realm::Inside; 2]);
    }
}
