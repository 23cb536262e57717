//! What a policy means for each session.
//!
//! - It *stays*, if its inside host is still one and its outside address still ours;
//! - it *moves* to another address of the same outside, if nobody has answered it yet: the remote
//!   does not know the old one, so the host's next attempt simply works (`ip_dynaddr` of Linux 2.2);
//! - else it *ends*: the remote's packets go to an address that is not ours any more.
//!
//! Where the filter of an outside address becomes another, a session that a remote began and that
//! its inside host has never answered ends too: only the former filter let it in. If the present one
//! would as well, the remote's next packet begins another.

use core::net::IpAddr;
use std::collections::BTreeSet;

use masq_flow::{Activity, Direction, Flags, Session};

use crate::event::EndReason;
use crate::policy::{Difference, InForce, Policy};
use crate::pool::Filtering;
use crate::session::{Kind, Sessions, arrival_port, inside_addresses, outside_addresses};

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

impl Plan {
    /// Says what a policy would do to these sessions in the place of the one in force.
    ///
    /// That needs no engine, so that whoever can read the table can ask without holding packets up.
    #[must_use]
    pub fn forecast(
        present: &Policy,
        next: &Policy,
        sessions: impl Iterator<Item = (Session, Activity)>,
    ) -> Self {
        let (present, next) = (InForce::new(present.clone()), InForce::new(next.clone()));
        let difference = Difference::between(&present, &next);
        let mut plan = Self::of_addresses(&present, &next);
        if !difference.concerns_sessions() {
            plan.kept = sessions.count();
            return plan;
        }
        for (session, activity) in sessions {
            match Fate::of(&next, &difference.filtering, &session, &activity) {
                Fate::End(_) => plan.ended += 1,
                Fate::Keep => plan.kept += 1,
                Fate::Move => plan.moved += 1,
            }
        }
        plan
    }

    /// Which addresses come and go.
    pub(crate) fn of_addresses(present: &Policy, next: &Policy) -> Self {
        let (old, new) = (addresses(present), addresses(next));
        Self {
            addresses_added: new.difference(&old).copied().collect(),
            addresses_removed: old.difference(&new).copied().collect(),
            ..Self::default()
        }
    }
}

/// What becomes of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    End(EndReason),
    Keep,
    Move,
}

impl Fate {
    /// What a policy makes of a session, where the filter of some addresses has become another.
    pub(crate) fn of(
        policy: &InForce,
        filtering: &BTreeSet<IpAddr>,
        session: &Session,
        activity: &Activity,
    ) -> Self {
        if !inside_addresses(session).all(|address| policy.is_inside(address)) {
            return Self::End(EndReason::Policy);
        }
        let ours = outside_addresses(session).all(|address| policy.outside_of(address).is_some());
        match Kind::of(session) {
            Kind::Mapped if session.flags.contains(Flags::HAIRPIN) => {
                if ours {
                    Self::Keep
                } else {
                    Self::End(EndReason::AddressGone)
                }
            }
            Kind::Mapped => Self::of_mapped(policy, filtering, session, activity),
            Kind::Plain => Self::of_plain(policy, session),
        }
    }

    /// An end that has become an address of ours is spoken to in another way.
    fn of_plain(policy: &InForce, session: &Session) -> Self {
        let ends = [session.original.source.addr, session.original.destination.addr];
        let ours = ends.into_iter().any(|address| policy.outside_of(address).is_some());
        if ours { Self::End(EndReason::Policy) } else { Self::Keep }
    }

    fn of_mapped(
        policy: &InForce,
        filtering: &BTreeSet<IpAddr>,
        session: &Session,
        activity: &Activity,
    ) -> Self {
        let address = session.reply.destination.addr;
        let guest = session.flags.contains(Flags::FORWARDED);
        if let Some(outside) = policy.outside_of(address) {
            let filters = outside.pool.filtering != Filtering::EndpointIndependent;
            let answered = activity.sides.egress.packets > 0;
            let uninvited = guest && !answered && filters && filtering.contains(&address);
            return if uninvited { Self::End(EndReason::Policy) } else { Self::Keep };
        }
        let has_successor = policy
            .outside(arrival_port(session, Direction::Ingress))
            .is_some_and(|outside| !outside.pool.addresses.is_empty());
        if has_successor && !Sessions::is_answered(activity) && !guest {
            Self::Move
        } else {
            Self::End(EndReason::AddressGone)
        }
    }
}

/// Every outside address.
fn addresses(policy: &Policy) -> BTreeSet<IpAddr> {
    policy.outsides.iter().flat_map(|outside| outside.pool.addresses.iter().copied()).collect()
}
