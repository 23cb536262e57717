//! A datagram that leaves in fragments, one at a time.
//!
//! Fragments leave in order (RFC 4787 REQ-13 (a)), with the same identification, and with the
//! options that RFC 791 has copied into each. The datagram stays here whole until the last one is
//! written, so that a full send queue costs no copy.

use masq_wire::fragment::{Fragment, Fragments, MtuTooSmall};
use masq_wire::ipv4::BufferTooSmall;
use masq_wire::{Malformed, Packet};
use thiserror::Error;

/// A datagram and how it is cut.
#[derive(Clone, Debug)]
pub struct Split {
    packet: Vec<u8>,
    plan: Fragments,
    next: Option<Fragment>,
}

/// A datagram cannot be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SplitError {
    /// It is no valid packet.
    #[error("the datagram is malformed: {0}")]
    Malformed(Malformed),
    /// The way out carries nothing.
    #[error(transparent)]
    MtuTooSmall(#[from] MtuTooSmall),
}

impl Split {
    /// Plans fragments of at most `mtu` bytes; one that fits leaves whole.
    ///
    /// The identification is one from [`super::Identifications`], since for the receiver we are the
    /// source of these fragments (RFC 6864 §5.3.1).
    ///
    /// # Errors
    ///
    /// If the packet is not valid, or the MTU does not hold its header and eight bytes.
    pub fn new(mut packet: Vec<u8>, mtu: usize, identification: u16) -> Result<Self, SplitError> {
        let mut view = Packet::parse(&mut packet).map_err(SplitError::Malformed)?;
        view.set_identification(identification);
        let mut plan = Fragments::new(&view, mtu)?;
        let next = plan.next();
        Ok(Self { packet, plan, next })
    }

    /// Writes the next fragment into a buffer and returns its length; none after the last.
    ///
    /// # Errors
    ///
    /// If the buffer is too short; the fragment is still the next one then.
    pub fn write_next(&mut self, out: &mut [u8]) -> Result<Option<usize>, BufferTooSmall> {
        let Some(fragment) = &self.next else { return Ok(None) };
        let length = self.plan.write(fragment, &self.packet, out)?;
        self.next = self.plan.next();
        Ok(Some(length))
    }
}

#[cfg(test)]
mod tests {
    use masq_wire::make;
    use proptest::prelude::*;

    use super::*;
    use crate::fragment::{Fragment as Arrived, Progress, Reassembler, ReassemblyLimits};
    use crate::routes::PortId;
    use crate::time::Instant;

    #[test]
    fn rfc_4787_req_13a_fragments_leave_in_order_with_one_identification() {
        let fragments = cut(&datagram(3000), 1280);

        assert_eq!(fragments.len(), 3);
        let mut end = 0;
        for mut bytes in fragments {
            assert!(bytes.len() <= 1280);
            let fragment = Packet::parse(&mut bytes).unwrap();
            assert_eq!((fragment.identification(), fragment.fragment_offset()), (0x1234, end));
            end += fragment.payload().len();
        }
        assert_eq!(end, 3008);
    }

    #[test]
    fn what_fits_leaves_whole() {
        let mut fragments = cut(&datagram(100), 1500);

        let packet = Packet::parse(&mut fragments[0]).unwrap();
        assert!(!packet.is_fragment());
        assert_eq!(fragments.len(), 1);
    }

    #[test]
    fn a_buffer_that_is_too_short_loses_no_fragment() {
        let mut split = Split::new(datagram(3000), 1280, 1).unwrap();
        let mut first = [0; 1280];

        assert!(split.write_next(&mut [0; 100]).is_err());
        let length = split.write_next(&mut first).unwrap().unwrap();
        assert_eq!(Packet::parse(&mut first[..length]).unwrap().fragment_offset(), 0);
    }

    #[test]
    fn an_mtu_without_room_for_data_is_refused() {
        assert!(matches!(Split::new(datagram(100), 27, 1), Err(SplitError::MtuTooSmall(_))));
        assert!(matches!(Split::new(vec![0; 40], 1500, 1), Err(SplitError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn what_is_cut_is_put_together_again(len in 0..9000usize, mtu in 68..3000usize) {
            let mut original = datagram(len);
            let mut reassembler =
                Reassembler::new(ReassemblyLimits { pieces: 1000, ..ReassemblyLimits::default() });
            let mut whole = None;
            for mut bytes in cut(&original, mtu) {
                let packet = Packet::parse(&mut bytes).unwrap();
                if !packet.is_fragment() {
                    whole = Some(packet.bytes().to_vec());
                    break;
                }
                let arrived = Arrived::of(&packet, PortId(1));
                if let Progress::Complete(datagram) =
                    reassembler.insert(Instant::ZERO, &arrived).unwrap()
                {
                    whole = Some(datagram.packet);
                }
            }
            Packet::parse(&mut original).unwrap().set_identification(0x1234);
            prop_assert_eq!(whole, Some(original));
        }
    }

    fn datagram(len: usize) -> Vec<u8> {
        let payload: Vec<u8> = (0..len).map(|n| (n / 7) as u8).collect();
        make::udp(make::at("203.0.113.1:5000"), make::at("198.51.100.7:53"), &payload)
    }

    fn cut(packet: &[u8], mtu: usize) -> Vec<Vec<u8>> {
        let mut split = Split::new(packet.to_vec(), mtu, 0x1234).unwrap();
        let mut fragments = Vec::new();
        let mut buffer = vec![0; mtu];
        while let Some(length) = split.write_next(&mut buffer).unwrap() {
            fragments.push(buffer[..length].to_vec());
        }
        fragments
    }
}
