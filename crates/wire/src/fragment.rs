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
