//! Fragments that arrive: reassembled if they are to be translated, else passed on as they are.

use core::net::IpAddr;

use masq_wire::{Malformed, Packet};

use super::around::Around;
use super::arrival::Arrival;
use super::{Engine, Judged};
use crate::fragment::{Datagram, DatagramKey, Fragment, FragmentError, Progress, Split};
use crate::verdict::{DropReason, Transmit, Verdict};

impl Engine {
    pub(crate) fn handle_fragment(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &mut Packet<'_>,
    ) -> Judged {
        self.check_addresses(arrival, packet)?;
        let destination = IpAddr::V4(packet.destination());
        // Of what is for a shared address, only the whole datagram says whose it is.
        if self.policy.outside_of(destination).is_none() {
            match self.way_around(arrival, packet) {
                Some(Around::Local) => return Ok(Verdict::Local),
                Some(Around::Between(hop)) => return self.forward(arrival, packet, hop),
                None if self.policy.is_inside(destination) => {
                    return Err(DropReason::InboundToInside);
                }
                None => {}
            }
        }
        let (header, payload) = packet.bytes().split_at(packet.header_len());
        let fragment = Fragment {
            key: DatagramKey {
                interface: arrival.port,
                source: packet.source().into(),
                destination,
                protocol: packet.protocol(),
                identification: packet.identification().into(),
            },
            offset: packet.fragment_offset(),
            more: packet.more_fragments(),
            dont_fragment: packet.dont_fragment(),
            header,
            payload,
        };
        match self.reassembler.insert(arrival.now, &fragment) {
            Ok(Progress::Complete(datagram)) => self.handle_datagram(arrival, datagram),
            Ok(Progress::Duplicate) => Err(DropReason::DuplicateFragment),
            Ok(Progress::Incomplete) => Ok(Verdict::Held),
            Err(error) => Err(reason_of(error)),
        }
    }

    /// Decides about a datagram whose last missing fragment has come.
    fn handle_datagram(&mut self, arrival: &Arrival<'_>, datagram: Datagram) -> Judged {
        let Datagram { key, packet: mut bytes, origin } = datagram;
        let arrival = Arrival { reassembled: Some(origin), ..*arrival };
        let mut packet = Packet::parse(&mut bytes)?;
        match self.translate(&arrival, &mut packet)? {
            // The host gets it in pieces, as they arrived.
            Verdict::Local => {
                let identification = key.identification as u16;
                let length = bytes.len();
                let largest = usize::from(origin.largest_fragment);
                let split = Split::new(bytes, largest, identification)
                    .map_err(|_| DropReason::CannotFragment)?;
                self.outbox.push_split(split, length, Transmit::Local(arrival.port))?;
                self.stats.local += 1;
                Ok(Verdict::Held)
            }
            verdict @ (Verdict::Drop(_) | Verdict::Forward(_) | Verdict::Held) => Ok(verdict),
        }
    }
}

const fn reason_of(error: FragmentError) -> DropReason {
    match error {
        FragmentError::Condemned
        | FragmentError::ContradictingEnd
        | FragmentError::EcnMixture
        | FragmentError::Overlap => DropReason::ContradictingFragments,
        FragmentError::Empty | FragmentError::Misaligned => {
            DropReason::Malformed(Malformed::FragmentLength)
        }
        FragmentError::Limit | FragmentError::TooManyPieces => DropReason::FragmentLimit,
        FragmentError::Tiny => DropReason::Malformed(Malformed::FragmentWithinTcpHeader),
        FragmentError::TooLong => DropReason::Malformed(Malformed::FragmentTooFar),
    }
}
