//! Packets that are not translated, by their addresses alone: to the host, to a way that is not ours, or
//! between insides.

use core::net::IpAddr;

use masq_wire::Packet;

use super::Engine;
use super::arrival::Arrival;
use crate::policy::Realm;
use crate::routes::{NextHop, Route};
use crate::verdict::{DropReason, Verdict};

impl Engine {
    /// The way of a packet that is not translated, if it has one: to the host, to a way that is not
    /// ours, or between insides.
    pub(crate) fn pass_by(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &mut Packet<'_>,
    ) -> Result<Option<Verdict>, DropReason> {
        match self.way_around(arrival, packet) {
            Some(Around::Local) => Ok(Some(Verdict::Local)),
            Some(Around::Between(hop)) => self.forward(arrival, packet, hop).map(Some),
            None => Ok(None),
        }
    }

    /// Whether a packet is not for us to translate, by its addresses alone.
    pub(crate) fn way_around(&self, arrival: &Arrival<'_>, packet: &Packet<'_>) -> Option<Around> {
        let (source, destination) = (IpAddr::V4(packet.source()), IpAddr::V4(packet.destination()));
        if let Some(outside) = self.policy.outside_of(destination) {
            return outside.pool.shared_with_host.then_some(Around::Local);
        }
        match (arrival.route(source, destination), arrival.realm) {
            (Route::Local, _) => Some(Around::Local),
            (Route::Unicast(hop), realm) => match (self.policy.realm(hop.port), realm) {
                (None, _) | (Some(Realm::Outside), Realm::Outside) => Some(Around::Local),
                (Some(Realm::Inside), Realm::Inside) => Some(Around::Between(hop)),
                (Some(Realm::Inside), Realm::Outside) | (Some(Realm::Outside), Realm::Inside) => {
                    None
                }
            },
            (
                Route::Blackhole
                | Route::Broadcast
                | Route::NoRoute
                | Route::Prohibited
                | Route::Unreachable,
                _,
            ) => None,
        }
    }
}

/// Where a packet goes that is not translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Around {
    /// Between two insides.
    Between(NextHop),
    /// To the host's own stack.
    Local,
}
