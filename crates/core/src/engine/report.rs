//! ICMP errors that the gateway originates: from which address, to which side.

use core::net::IpAddr;

use masq_wire::Packet;
use masq_wire::icmp::error::Report;

use super::Engine;
use super::arrival::Arrival;
use crate::icmp::{ErrorRates, ErrorSender, ErrorTos, MAX_LEN, Silence};
use crate::policy::Realm;
use crate::random::Random;
use crate::routes::PortId;
use crate::time::Instant;

/// The senders of both sides, which must not watch each other.
#[derive(Debug)]
pub(crate) struct Reporters {
    inside: ErrorSender,
    outside: ErrorSender,
    enabled: bool,
}

impl Reporters {
    pub(crate) fn new(random: &mut Random, rates: Option<ErrorRates>) -> Self {
        let enabled = rates.is_some();
        let rates = rates.unwrap_or_default();
        let mut sender = || ErrorSender::new(random.split(), rates, ErrorTos::Copied);
        Self { inside: sender(), outside: sender(), enabled }
    }

    pub(crate) fn configure(&mut self, rates: Option<ErrorRates>) {
        self.enabled = rates.is_some();
        let rates = rates.unwrap_or_default();
        self.inside.configure(rates, ErrorTos::Copied);
        self.outside.configure(rates, ErrorTos::Copied);
    }
}

impl Engine {
    /// Tells the sender of a packet, which must be as it arrived, what is wrong with it.
    pub(crate) fn report(&mut self, arrival: &Arrival<'_>, about: &Packet<'_>, report: Report) {
        self.report_at(arrival.now, arrival.port, about, report);
    }

    pub(crate) fn report_at(
        &mut self,
        now: Instant,
        port: PortId,
        about: &Packet<'_>,
        report: Report,
    ) {
        if !self.reporters.enabled {
            return;
        }
        let Some((realm, IpAddr::V4(source))) = self.own_address(port, about) else { return };
        let sender = match realm {
            Realm::Inside => &mut self.reporters.inside,
            Realm::Outside => &mut self.reporters.outside,
        };
        let mut buffer = [0; MAX_LEN];
        match sender.originate(now, report, about, source, &mut buffer) {
            Ok(length) => {
                if self.outbox.push_own(buffer[..length].to_vec()) {
                    self.stats.icmp_sent += 1;
                }
            }
            Err(Silence::Spent(_)) => self.stats.icmp_suppressed += 1,
            Err(Silence::BufferTooSmall(_) | Silence::NotPermitted) => {}
        }
    }

    /// The address by which a packet's sender knows its gateway.
    fn own_address(&self, port: PortId, about: &Packet<'_>) -> Option<(Realm, IpAddr)> {
        if let Some(inside) = self.policy.inside(port) {
            return Some((Realm::Inside, inside.address?));
        }
        // While an outside is away, nothing answers for its addresses.
        let outside = self.policy.outside(port).filter(|outside| !outside.away)?;
        let named = IpAddr::V4(about.destination());
        let address = if self.policy.shares(port, named) {
            named
        } else {
            *outside.pool.addresses.first()?
        };
        Some((Realm::Outside, address))
    }
}
