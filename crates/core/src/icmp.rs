//! ICMP errors that the gateway sends itself: whether, how many, and how they travel.
//!
//! ```text
//!  a packet that cannot go on ──► may it be answered? ──► is there budget? ──► the error
//!                                   (RFC 1812 §4.3.2.7)     (§4.3.2.8)           in a buffer
//! ```
//!
//! Errors are about the packet as its sender sent it: whoever calls undoes a translation first, and
//! gives the address by which the sender knows its gateway. Errors towards the inside and errors
//! towards the outside have an [`ErrorSender`] each, for the reason that [`ErrorBudget`] gives.
//!
//! An error has the DSCP of the packet that it is about, as RFC 5508 REQ-10 (d) recommends, or
//! precedence 6, as RFC 1812 §4.3.2.5 does. Its ECN bits are zero, since no sender slows down for
//! a mark on an error (RFC 3168 §6.1.5 has the same reason for retransmissions).

mod budget;

use core::net::Ipv4Addr;

use masq_wire::Packet;
use masq_wire::icmp::error::{self, Envelope, INTERNETWORK_CONTROL};
use masq_wire::ipv4::BufferTooSmall;
use thiserror::Error;

use crate::random::Random;
use crate::time::Instant;

pub use masq_wire::icmp::error::{MAX_LEN, Report};

pub use self::budget::{ErrorBudget, ErrorRates, Spent};

/// The DSCP's place in the type-of-service byte; the other two bits are ECN's.
const DSCP: u8 = 0b1111_1100;
/// Time to live of what we send, as RFC 1700 recommends.
const TTL: u8 = 64;

/// Why no error is sent about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Silence {
    /// The buffer does not hold the error; one of [`MAX_LEN`] does.
    #[error(transparent)]
    BufferTooSmall(#[from] BufferTooSmall),
    /// It is an error itself, a later fragment, or not from and to a single host.
    #[error("the packet is not one to be answered with an error")]
    NotPermitted,
    /// Enough errors were sent.
    #[error(transparent)]
    Spent(#[from] Spent),
}

/// The type-of-service byte of the errors sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorTos {
    /// The DSCP of the packet that the error is about.
    #[default]
    Copied,
    /// Precedence 6.
    InternetworkControl,
}

impl ErrorTos {
    const fn about(self, tos: u8) -> u8 {
        match self {
            Self::Copied => tos & DSCP,
            Self::InternetworkControl => INTERNETWORK_CONTROL,
        }
    }
}

/// Sends ICMP errors towards one side.
#[derive(Debug)]
pub struct ErrorSender {
    budget: ErrorBudget,
    tos: ErrorTos,
    random: Random,
}

impl ErrorSender {
    /// Starts with a full budget.
    #[must_use]
    pub fn new(mut random: Random, rates: ErrorRates, tos: ErrorTos) -> Self {
        Self { budget: ErrorBudget::new(random.split(), rates), tos, random }
    }

    /// Changes what is configured; what has been sent still counts.
    pub const fn configure(&mut self, rates: ErrorRates, tos: ErrorTos) {
        self.budget.set_rates(rates);
        self.tos = tos;
    }

    /// Writes an error about a packet into a buffer, and returns its length.
    ///
    /// # Errors
    ///
    /// Why none is sent.
    pub fn originate(
        &mut self,
        now: Instant,
        report: Report,
        about: &Packet<'_>,
        source: Ipv4Addr,
        buffer: &mut [u8],
    ) -> Result<usize, Silence> {
        if !error::is_permitted(about) {
            return Err(Silence::NotPermitted);
        }
        self.budget.spend(now, about.source().into())?;
        let envelope = Envelope {
            source,
            tos: self.tos.about(about.tos()),
            ttl: TTL,
            identification: self.random.next_u32() as u16,
        };
        Ok(error::build(report, envelope, about, buffer)?)
    }
}

#[cfg(test)]
mod tests {
    use masq_wire::icmp::unreachable;
    use masq_wire::{Endpoint, Transport, make};

    use super::*;
    use crate::time::Duration;

    const START: Instant = Instant::ZERO;
    const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

    #[test]
    fn an_error_quotes_the_packet_and_goes_to_its_source() {
        let mut about = datagram("192.168.1.3:5000", 40);
        let mut error = originate(Report::fragmentation_needed(1280), &mut about).unwrap();

        let packet = Packet::parse(&mut error).unwrap();
        assert_eq!((packet.source(), packet.destination()), (GATEWAY, C1.parse().unwrap()));
        assert_eq!(packet.payload()[8..], about);
        let Transport::IcmpError(icmp) = packet.transport() else { panic!("{packet:?}") };
        assert_eq!((icmp.kind, icmp.code, icmp.mtu), (3, 4, Some(1280)));
    }

    #[test]
    fn rfc_1812_4_3_2_3_an_error_has_at_most_576_bytes() {
        let mut about = datagram("192.168.1.3:5000", 8000);
        let error = originate(Report::TTL_EXCEEDED, &mut about).unwrap();

        assert_eq!(error.len(), 576);
        assert_eq!(error[28..], about[..548]);
    }

    #[test]
    fn rfc_5508_req_10d_the_dscp_is_copied_and_ecn_is_not() {
        let about = datagram("192.168.1.3:5000", 40);
        for (tos, configured, expected) in [
            (46 << 2 | 0b11, ErrorTos::Copied, 46 << 2),
            (46 << 2, ErrorTos::InternetworkControl, 0xc0),
        ] {
            let mut about = make::with_tos(&about, tos);
            let mut sender =
                ErrorSender::new(Random::from_u64(1), ErrorRates::default(), configured);
            let error = send(&mut sender, START, Report::TTL_EXCEEDED, &mut about).unwrap();
            assert_eq!(error[1], expected);
        }
    }

    #[test]
    fn rfc_1812_4_3_2_7_forbidden_errors_are_not_sent_and_cost_nothing() {
        let host = datagram("192.168.1.3:5000", 40);
        let mut error = originate(Report::TTL_EXCEEDED, &mut host.clone()).unwrap();
        let mut late = make::fragment(&host, 8, &[0; 16], false);
        let mut sender = sender();
        for about in [
            &mut error,
            &mut late,
            &mut datagram("0.0.0.0:5000", 40),
            &mut datagram("127.0.0.1:5000", 40),
            &mut datagram("224.0.0.1:5000", 40),
            &mut datagram("240.0.0.1:5000", 40),
            &mut datagram("255.255.255.255:5000", 40),
            &mut make::udp(make::at("192.168.1.3:5000"), make::at("224.0.0.251:53"), &[]),
            &mut make::udp(make::at("192.168.1.3:5000"), make::at("255.255.255.255:67"), &[]),
        ] {
            let sent = send(&mut sender, START, Report::TTL_EXCEEDED, about);
            assert_eq!(sent, Err(Silence::NotPermitted), "{about:?}");
        }

        let burst = ErrorRates::default().destination.burst;
        for _ in 0..burst {
            assert!(send(&mut sender, START, Report::TTL_EXCEEDED, &mut host.clone()).is_ok());
        }
    }

    #[test]
    fn rfc_1812_4_3_2_8_ten_thousand_expired_packets_get_a_bounded_number_of_errors() {
        let mut sender = sender();
        let mut about = datagram("192.168.1.3:5000", 40);
        let mut sent = 0;
        for n in 0..10_000 {
            let now = START + Duration::from_micros(100 * n);
            match send(&mut sender, now, Report::TTL_EXCEEDED, &mut about) {
                Ok(_) => sent += 1,
                Err(silence) => assert_eq!(silence, Silence::Spent(Spent::Destination)),
            }
        }

        assert!((20..=40).contains(&sent), "{sent}");
    }

    #[test]
    fn every_report_that_the_engine_uses_is_well_formed() {
        for code in [
            unreachable::NETWORK,
            unreachable::HOST,
            unreachable::PORT,
            unreachable::HOST_PROHIBITED,
            unreachable::ADMINISTRATIVELY_PROHIBITED,
        ] {
            let mut about = datagram("192.168.1.3:5000", 40);
            let mut error = originate(Report::unreachable(code), &mut about).unwrap();
            let packet = Packet::parse(&mut error).unwrap();
            let Transport::IcmpError(icmp) = packet.transport() else { panic!("{packet:?}") };
            assert_eq!((icmp.kind, icmp.code), (3, code));
        }
    }

    const C1: &str = "192.168.1.3";

    fn datagram(source: &str, len: usize) -> Vec<u8> {
        let destination: Endpoint = make::at("198.51.100.7:53");
        make::udp(make::at(source), destination, &vec![7; len])
    }

    fn parsed(packet: &mut [u8]) -> Packet<'_> {
        Packet::parse(packet).unwrap()
    }

    fn sender() -> ErrorSender {
        ErrorSender::new(Random::from_u64(1), ErrorRates::default(), ErrorTos::Copied)
    }

    fn originate(report: Report, about: &mut [u8]) -> Result<Vec<u8>, Silence> {
        send(&mut sender(), START, report, about)
    }

    fn send(
        sender: &mut ErrorSender,
        now: Instant,
        report: Report,
        about: &mut [u8],
    ) -> Result<Vec<u8>, Silence> {
        let mut buffer = [0; MAX_LEN];
        let about = parsed(about);
        let length = sender.originate(now, report, &about, GATEWAY, &mut buffer)?;
        Ok(buffer[..length].to_vec())
    }
}
