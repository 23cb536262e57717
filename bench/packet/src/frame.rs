//! A frame of 60 bytes, the shortest that Ethernet carries: Ethernet, IPv4, UDP, 18 bytes of payload.
//!
//! Frames are recycled as forwarding left them, so a generator writes every byte of each one. Its UDP
//! checksum is real, and so is that of the answer: a gateway that updates it wrongly is found out.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::numbering::Ends;

/// A whole frame. Header fields hold network order, the payload's hold the machine's.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C, packed)]
pub struct Frame {
    /// The station that it is for.
    pub destination: [u8; 6],
    /// The station that sent it.
    pub source: [u8; 6],
    /// IPv4.
    pub ethertype: u16,
    /// Version 4, a header of 20 bytes, service 0.
    pub version: u16,
    /// 46.
    pub total_length: u16,
    /// Different for neighbours.
    pub identification: u16,
    /// May not be fragmented.
    pub fragment: u16,
    /// Time to live and protocol.
    pub ttl_protocol: u16,
    /// Of the header.
    pub header_checksum: u16,
    /// Where it comes from.
    pub source_address: u32,
    /// Where it goes to.
    pub destination_address: u32,
    /// The port there.
    pub source_port: u16,
    /// The port here.
    pub destination_port: u16,
    /// 26.
    pub udp_length: u16,
    /// Never 0: there is one.
    pub udp_checksum: u16,
    /// The flow's number.
    pub flow: u32,
    /// Which packet of its stream it is.
    pub sequence: u32,
    /// Which numbering the flow's number belongs to.
    pub numbering: u16,
    /// [`MAGIC`].
    pub magic: u64,
}

/// The length of every frame.
pub const LENGTH: usize = 60;
/// What tells the bench's packets from others.
pub const MAGIC: u64 = u64::from_ne_bytes(*b"bench/60");
/// The time to live with which packets are sent.
pub const TTL: u8 = 64;

const _: () = assert!(size_of::<Frame>() == LENGTH);

const ETHERTYPE: u16 = 0x0800u16.to_be();
const VERSION: u16 = 0x4500u16.to_be();
const TOTAL_LENGTH: u16 = (LENGTH as u16 - 14).to_be();
const DONT_FRAGMENT: u16 = 0x4000u16.to_be();
const UDP: u8 = 17;
const UDP_LENGTH: u16 = (LENGTH as u16 - 34).to_be();

/// What is wrong with a packet that arrived.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Wrong {
    /// Its headers are not those that were sent, or its time to live is not what it should be.
    Header = 0,
    /// The header's checksum.
    HeaderChecksum = 1,
    /// The UDP checksum, or there is none.
    UdpChecksum = 2,
    /// The address that was or should have been translated.
    Address = 3,
    /// The port that was or should have been translated: another one than the flow was given.
    Port = 4,
    /// The other end's address or port, which nobody should touch.
    OtherEnd = 5,
    /// Its payload says that it is of no flow that there is.
    Flow = 6,
}

impl Wrong {
    /// Every kind, by number.
    pub const ALL: [Self; 7] = [
        Self::Header,
        Self::HeaderChecksum,
        Self::UdpChecksum,
        Self::Address,
        Self::Port,
        Self::OtherEnd,
        Self::Flow,
    ];

    /// A name for messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::HeaderChecksum => "header-checksum",
            Self::UdpChecksum => "udp-checksum",
            Self::Address => "address",
            Self::Port => "port",
            Self::OtherEnd => "other-end",
            Self::Flow => "flow",
        }
    }
}

/// Which packet it is, whoever it is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Label {
    /// The flow's number.
    pub flow: u32,
    /// Which packet of its stream it is.
    pub sequence: u32,
    /// Which numbering the number belongs to.
    pub numbering: u16,
}

impl Frame {
    /// A whole packet from inside to the remote, or `from_remote` the other way.
    #[inline(always)]
    #[must_use]
    pub fn write(
        source: [u8; 6],
        destination: [u8; 6],
        ends: &Ends,
        from_remote: bool,
        label: Label,
    ) -> Self {
        let (from, to) = ((ends.inside, ends.inside_port), (ends.remote, ends.remote_port));
        let (from, to) = if from_remote { (to, from) } else { (from, to) };
        let mut frame = Self {
            destination,
            source,
            ethertype: ETHERTYPE,
            version: VERSION,
            total_length: TOTAL_LENGTH,
            identification: label.sequence as u16,
            fragment: DONT_FRAGMENT,
            ttl_protocol: u16::from_ne_bytes([TTL, UDP]),
            header_checksum: 0,
            source_address: from.0,
            destination_address: to.0,
            source_port: from.1,
            destination_port: to.1,
            udp_length: UDP_LENGTH,
            udp_checksum: 0,
            flow: label.flow,
            sequence: label.sequence,
            numbering: label.numbering,
            magic: MAGIC,
        };
        frame.header_checksum = !fold(frame.header_sum());
        frame.udp_checksum = match !fold(frame.udp_sum()) {
            // Zero would say that there is none (RFC 768).
            0 => 0xffff,
            checksum => checksum,
        };
        frame
    }

    /// Which packet it is, if it is one of ours at all.
    #[inline(always)]
    #[must_use]
    pub fn label(&self) -> Option<Label> {
        if self.magic != MAGIC {
            return None;
        }
        Some(Label { flow: self.flow, sequence: self.sequence, numbering: self.numbering })
    }

    /// What every packet must have, whichever way it went.
    #[inline(always)]
    #[must_use]
    pub fn fault(&self, ttl: u8) -> Option<Wrong> {
        let fixed = self.version == VERSION
            && self.total_length == TOTAL_LENGTH
            && self.fragment == DONT_FRAGMENT
            && self.udp_length == UDP_LENGTH
            && self.identification == self.sequence as u16
            && self.ttl_protocol == u16::from_ne_bytes([ttl, UDP]);
        if !fixed {
            return Some(Wrong::Header);
        }
        if fold(self.header_sum() + u32::from(self.header_checksum)) != 0xffff {
            return Some(Wrong::HeaderChecksum);
        }
        if self.udp_checksum == 0 || fold(self.udp_sum() + u32::from(self.udp_checksum)) != 0xffff {
            return Some(Wrong::UdpChecksum);
        }
        None
    }

    #[inline(always)]
    fn header_sum(&self) -> u32 {
        u32::from(self.version)
            + u32::from(self.total_length)
            + u32::from(self.identification)
            + u32::from(self.fragment)
            + u32::from(self.ttl_protocol)
            + halves(self.source_address)
            + halves(self.destination_address)
    }

    /// The sum of pseudo-header, header and payload without the checksum.
    #[inline(always)]
    fn udp_sum(&self) -> u32 {
        halves(self.source_address)
            + halves(self.destination_address)
            + u32::from(u16::from_ne_bytes([0, UDP]))
            + u32::from(self.udp_length) * 2
            + u32::from(self.source_port)
            + u32::from(self.destination_port)
            + halves(self.flow)
            + halves(self.sequence)
            + u32::from(self.numbering)
            + halves(self.magic as u32)
            + halves((self.magic >> 32) as u32)
    }
}

/// Both 16-bit halves. Every 32-bit field lies at an even distance from where its sum begins, so
/// halves are the words that RFC 1071 sums, in whichever order.
#[inline(always)]
const fn halves(word: u32) -> u32 {
    (word & 0xffff) + (word >> 16)
}

#[inline(always)]
const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: Ends = Ends {
        inside: u32::from_ne_bytes([10, 16, 0, 3]),
        inside_port: 5000u16.to_be(),
        remote: u32::from_ne_bytes([203, 0, 113, 178]),
        remote_port: 9u16.to_be(),
    };

    #[test]
    fn both_checksums_verify_by_the_book() {
        for (sequence, from_remote) in (0..70_000).step_by(7).zip([false, true].into_iter().cycle())
        {
            let frame = frame(sequence, from_remote);
            let bytes = frame.as_bytes();
            assert_eq!(sum(&bytes[14..34], 0), 0xffff);
            let pseudo = sum(&bytes[26..34], 17 + 26);
            assert_eq!(sum(&bytes[34..], pseudo), 0xffff);
            assert_ne!({ frame.udp_checksum }, 0);
            assert_eq!(frame.fault(TTL), None);
        }
    }

    #[test]
    fn fields_stand_where_the_protocols_have_them() {
        let frame = frame(0x0102, false);
        let bytes = frame.as_bytes();
        assert_eq!(bytes[12..18], [8, 0, 0x45, 0, 0, 46]);
        assert_eq!(bytes[22..24], [64, 17]);
        assert_eq!(bytes[26..38], [10, 16, 0, 3, 203, 0, 113, 178, 0x13, 0x88, 0, 9]);
    }

    #[test]
    fn a_flipped_bit_is_found_anywhere_behind_the_link_header() {
        let whole = frame(77, false);
        for bit in 14 * 8..LENGTH * 8 {
            let mut bytes = [0; LENGTH];
            bytes.copy_from_slice(whole.as_bytes());
            bytes[bit / 8] ^= 1 << (bit % 8);
            let changed = Frame::read_from_bytes(&bytes).unwrap();
            assert!(changed.fault(TTL).is_some(), "bit {bit}");
        }
    }

    #[test]
    fn another_time_to_live_is_wrong_even_with_its_checksum() {
        let mut frame = frame(1, false);
        frame.ttl_protocol = u16::from_ne_bytes([63, UDP]);
        frame.header_checksum = !fold(frame.header_sum());
        assert_eq!(frame.fault(64), Some(Wrong::Header));
        assert_eq!(frame.fault(63), None);
    }

    #[test]
    fn kinds_of_wrong_are_numbered_by_their_place() {
        for (number, wrong) in (0..).zip(Wrong::ALL) {
            assert_eq!(wrong as u32, number);
        }
    }

    fn frame(sequence: u32, from_remote: bool) -> Frame {
        let label = Label { flow: sequence.wrapping_mul(2_654_435_761), sequence, numbering: 1 };
        Frame::write([1; 6], [2; 6], &ENDS, from_remote, label)
    }

    /// RFC 1071, as it stands there.
    fn sum(bytes: &[u8], start: u16) -> u16 {
        let mut sum = u32::from(start);
        for pair in bytes.chunks_exact(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }
}
