//! Cutting a datagram into fragments, and making one of them again (RFC 791 §3.2).
//!
//! ```text
//!   datagram   header │ options │ payload ……………………………………………………………………│
//!   first      header │ options │ as many multiples of 8 as fit │                     more
//!   later      header │ copied  │                               │ the next … │        more
//!   last       header │ copied  │                                            │ rest │ more as it was
//! ```
//!
//! [`Fragments`] holds sizes only, so it can be kept beside the datagram while fragments are sent one by
//! one. A fragment can be cut again: its pieces keep their places in the datagram. Whether a
//! datagram may be cut (its "don't fragment" flag) is the caller's to decide, and so is the identification.

use core::ops::Range;

use crate::ipv4::{self, BufferTooSmall, HeaderOption, HeaderOptions};
use crate::rewrite::{put_u16, u16_at};
use crate::{Malformed, Packet};

/// The MTU does not hold the header and eight bytes of payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("MTU {mtu} does not hold a header of {header_len} bytes and 8 bytes of payload")]
pub struct MtuTooSmall {
    pub mtu: usize,
    pub header_len: usize,
}

/// One fragment to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Where its data belongs in the datagram, in bytes.
    pub offset: usize,
    /// Where its data lies in the payload of the packet that is cut.
    pub range: Range<usize>,
    /// Whether fragments follow it.
    pub more: bool,
}

/// How a packet is cut; iterates over the fragments in order.
#[derive(Debug, Clone)]
pub struct Fragments {
    mtu: usize,
    header_len: usize,
    payload_len: usize,
    /// Where the payload of the packet that is cut belongs, if it is a fragment itself.
    base: usize,
    more_after: bool,
    /// The options that every fragment carries, padded to words.
    copied: [u8; ipv4::MAX_OPTIONS_LEN],
    copied_len: usize,
    next: usize,
    done: bool,
}

impl Fragments {
    /// Plans fragments of at most `mtu` bytes each.
    ///
    /// # Errors
    ///
    /// If no payload fits.
    pub fn new(packet: &Packet<'_>, mtu: usize) -> Result<Self, MtuTooSmall> {
        let header_len = packet.header_len();
        if mtu < header_len + 8 {
            return Err(MtuTooSmall { mtu, header_len });
        }
        let (copied, copied_len) = copied_options(packet.options());
        Ok(Self {
            mtu,
            header_len,
            payload_len: packet.payload().len(),
            base: packet.fragment_offset(),
            more_after: packet.more_fragments(),
            copied,
            copied_len,
            next: 0,
            done: false,
        })
    }

    /// Writes a fragment: its header and its part of the payload. Returns its length.
    ///
    /// # Errors
    ///
    /// If the buffer is shorter than the fragment; one of MTU size never is.
    ///
    /// # Panics
    ///
    /// If `packet` is shorter than the packet that the fragments were planned for.
    pub fn write(
        &self,
        fragment: &Fragment,
        packet: &[u8],
        out: &mut [u8],
    ) -> Result<usize, BufferTooSmall> {
        let header_len = self.header_len_of(fragment.range.start);
        let total_len = header_len + fragment.range.len();
        let out = out.get_mut(..total_len).ok_or(BufferTooSmall { needed: total_len })?;
        let (header, payload) = out.split_at_mut(header_len);

        if fragment.range.start == 0 {
            header.copy_from_slice(&packet[..header_len]);
        } else {
            header[..ipv4::HEADER_LEN].copy_from_slice(&packet[..ipv4::HEADER_LEN]);
            header[ipv4::HEADER_LEN..].copy_from_slice(&self.copied[..self.copied_len]);
            // The header has at most fifteen words.
            header[0] = 0x40 | (header_len / 4) as u8;
        }
        payload.copy_from_slice(&packet[self.header_len..][fragment.range.clone()]);

        let flags =
            u16_at(packet, ipv4::offset::FRAGMENT) & (ipv4::RESERVED_FLAG | ipv4::DONT_FRAGMENT);
        let more = if fragment.more { ipv4::MORE_FRAGMENTS } else { 0 };
        // Lengths and offsets of a valid packet fit their fields.
        put_u16(header, ipv4::offset::TOTAL_LEN, total_len as u16);
        put_u16(header, ipv4::offset::FRAGMENT, flags | more | (fragment.offset / 8) as u16);
        ipv4::fill_checksum(header);
        Ok(total_len)
    }

    const fn header_len_of(&self, start: usize) -> usize {
        if start == 0 { self.header_len } else { ipv4::HEADER_LEN + self.copied_len }
    }
}

impl Iterator for Fragments {
    type Item = Fragment;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let start = self.next;
        let room = self.mtu - self.header_len_of(start);
        let left = self.payload_len - start;
        let len = if left <= room { left } else { room / 8 * 8 };
        self.next = start + len;
        self.done = self.next == self.payload_len;
        Some(Fragment {
            offset: self.base + start,
            range: start..self.next,
            more: self.more_after || !self.done,
        })
    }
}

/// Makes a whole datagram of the first fragment's header and all of the payload behind it.
///
/// The buffer's length becomes the total length; "don't fragment" stays as it was.
///
/// # Errors
///
/// If the buffer does not begin with a header, or is longer than a datagram can be.
pub fn reassembled(buffer: &mut [u8]) -> Result<(), Malformed> {
    if buffer.len() < ipv4::HEADER_LEN {
        return Err(Malformed::Truncated);
    }
    let header_len = usize::from(buffer[0] & 0x0f) * 4;
    if header_len < ipv4::HEADER_LEN {
        return Err(Malformed::HeaderLength);
    }
    if header_len > buffer.len() {
        return Err(Malformed::HeaderBeyondPacket);
    }
    let total_len = u16::try_from(buffer.len()).map_err(|_| Malformed::FragmentTooFar)?;
    let flags =
        u16_at(buffer, ipv4::offset::FRAGMENT) & (ipv4::RESERVED_FLAG | ipv4::DONT_FRAGMENT);
    put_u16(buffer, ipv4::offset::TOTAL_LEN, total_len);
    put_u16(buffer, ipv4::offset::FRAGMENT, flags);
    ipv4::fill_checksum(&mut buffer[..header_len]);
    Ok(())
}

fn copied_options(options: HeaderOptions<'_>) -> ([u8; ipv4::MAX_OPTIONS_LEN], usize) {
    let mut copied = [HeaderOption::END; ipv4::MAX_OPTIONS_LEN];
    let mut len = 0;
    for option in options.filter(HeaderOption::is_copied) {
        copied[len..][..option.bytes.len()].copy_from_slice(option.bytes);
        len += option.bytes.len();
    }
    (copied, len.next_multiple_of(4))
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::make::{self, at};
    use crate::strategy;

    #[test]
    fn datagram_is_cut_at_multiples_of_eight() {
        let datagram = udp(100);

        // 31 bytes of payload fit, of which 24 can be used.
        let fragments = plan(&datagram, 51);

        assert_eq!(fragments.len(), 5);
        for (index, fragment) in fragments.iter().enumerate() {
            assert_eq!(fragment.offset, index * 24);
            assert_eq!(fragment.range, index * 24..(index * 24 + 24).min(108));
            assert_eq!(fragment.more, index < 4);
        }
    }

    #[test]
    fn last_fragment_takes_all_that_fits() {
        // 20 bytes of header, 8 of UDP, 23 of data: 31 bytes need not be a multiple of eight.
        assert_eq!(plan(&udp(23), 51).len(), 1);
        assert_eq!(plan(&udp(24), 51).len(), 2);
    }

    #[test]
    fn datagram_that_fits_is_its_only_fragment() {
        let datagram = udp(23);

        assert_eq!(make::fragments(&datagram, 51), [datagram]);
    }

    #[test]
    fn empty_payload_is_one_fragment() {
        let datagram = make::ip(crate::Protocol::GRE, [10, 0, 0, 1], [10, 0, 0, 2], &[]);

        assert_eq!(make::fragments(&datagram, 68), [datagram]);
    }

    #[test]
    fn largest_datagram_survives_the_smallest_mtu() {
        let datagram = udp(65_507);

        let fragments = make::fragments(&datagram, 68);

        assert_eq!(fragments.len(), 65_515_usize.div_ceil(48));
        assert_eq!(join(&fragments), datagram);
    }

    #[test]
    fn fragment_cut_again_keeps_its_place() {
        let datagram = udp(400);
        let once = make::fragments(&datagram, 220);

        let twice: Vec<_> =
            once.iter().flat_map(|fragment| make::fragments(fragment, 100)).collect();

        assert!(twice.len() > once.len());
        assert_eq!(join(&twice), datagram);
        assert!(twice[..twice.len() - 1].iter().all(|fragment| fragment[6] & 0x20 != 0));
    }

    #[test]
    fn rfc_791_only_options_with_the_copied_flag_are_in_every_fragment() {
        let options = [1, 7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 131, 3, 4];
        let datagram = make::with_options(&udp(100), &options);

        let fragments = make::fragments(&datagram, 68);

        assert_eq!(fragments[0][..36][20..], datagram[20..36]);
        for fragment in &fragments[1..] {
            assert_eq!(fragment[0], 0x47);
            assert_eq!(fragment[20..28], [148, 4, 0, 0, 131, 3, 4, 0]);
        }
        assert_eq!(join(&fragments), datagram);
    }

    #[test]
    fn dont_fragment_flag_stays() {
        // The caller has decided to cut the datagram; the flag tells the next router its sender's wish.
        let fragments = make::fragments(&make::with_dont_fragment(&udp(100)), 68);

        assert!(fragments.iter().all(|fragment| fragment[6] & 0x40 != 0));
    }

    #[test]
    fn mtu_must_hold_eight_bytes() {
        let mut datagram = make::with_options(&udp(100), &[1; 40]);
        let packet = Packet::parse(&mut datagram).unwrap();

        assert_eq!(
            Fragments::new(&packet, 67).err(),
            Some(MtuTooSmall { mtu: 67, header_len: 60 })
        );
        assert!(Fragments::new(&packet, 68).is_ok());
    }

    #[test]
    fn short_buffer_is_refused() {
        let mut datagram = udp(100);
        let packet = Packet::parse(&mut datagram).unwrap();
        let mut fragments = Fragments::new(&packet, 68).unwrap();
        let first = fragments.next().unwrap();

        assert_eq!(
            fragments.write(&first, packet.bytes(), &mut [0; 67]),
            Err(BufferTooSmall { needed: 68 })
        );
    }

    #[test]
    fn what_is_no_datagram_cannot_be_reassembled() {
        assert_eq!(reassembled(&mut [0x45; 19]), Err(Malformed::Truncated));
        assert_eq!(reassembled(&mut [0x44; 40]), Err(Malformed::HeaderLength));
        assert_eq!(reassembled(&mut [0x4f; 40]), Err(Malformed::HeaderBeyondPacket));
        assert_eq!(reassembled(&mut vec![0x45; 65_536]), Err(Malformed::FragmentTooFar));
    }

    proptest! {
        #[test]
        fn fragments_make_the_datagram_again(
            datagram in strategy::datagram(),
            mtu in 68_usize..300,
        ) {
            let fragments = make::fragments(&datagram, mtu);

            for fragment in &fragments {
                prop_assert!(fragment.len() <= mtu);
            }
            prop_assert_eq!(join(&fragments), datagram);
        }

        #[test]
        fn every_fragment_is_a_valid_packet(
            datagram in strategy::datagram(),
            mtu in 80_usize..300,
        ) {
            for mut fragment in make::fragments(&datagram, mtu) {
                let len = fragment.len();
                prop_assert_eq!(Packet::parse(&mut fragment).unwrap().total_len(), len);
            }
        }
    }

    fn plan(datagram: &[u8], mtu: usize) -> Vec<Fragment> {
        let mut datagram = datagram.to_vec();
        Fragments::new(&Packet::parse(&mut datagram).unwrap(), mtu).unwrap().collect()
    }

    /// Reassembles fragments that are in order.
    fn join(fragments: &[Vec<u8>]) -> Vec<u8> {
        let mut datagram = fragments[0].clone();
        for fragment in &fragments[1..] {
            datagram.extend_from_slice(&fragment[usize::from(fragment[0] & 0x0f) * 4..]);
        }
        reassembled(&mut datagram).unwrap();
        datagram
    }

    fn udp(len: usize) -> Vec<u8> {
        make::udp(at("192.168.1.3:40000"), at("203.0.113.178:8888"), &vec![7; len])
    }
}
