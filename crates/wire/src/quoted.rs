//! The packet inside an ICMP error (RFC 792, RFC 5508 §4).
//!
//! ```text
//!   IPv4 header │ type code checksum – – – – │ IPv4 header, options │ transport … │ padding │ extensions
//!               └─ the message ──────────────┴─ the quoted packet, perhaps cut ───┴─ RFC 4884 ──────────┘
//! ```
//!
//! The quoted packet is the one that the error's sender saw, hence the one that left the gateway. Rewriting
//! it restores what its sender sent: address, port, header checksum, and the transport checksum if it is
//! among the quoted bytes. Eight bytes of transport are enough (RFC 792), and more is not needed. The
//! message's own checksum is mended by the sum of all that, so it stays right without touching padding or extensions,
//! and stays wrong if it was wrong.
//!
//! The transport checksum is never verified (RFC 5508 REQ-3c): most of what it covers is cut off.

use core::net::Ipv4Addr;

use zerocopy::FromBytes;

use crate::checksum::Sum;
use crate::packet::{header, tuple};
use crate::rewrite::{self, End, Kind, MIN_TRANSPORT_LEN, u32_at};
use crate::transport::IcmpError;
use crate::{Endpoint, Malformed, Protocol, Tuple, icmp, ipv4, tcp};

/// The quoted packet, in place.
pub struct Quoted<'p> {
    /// The ICMP message.
    message: &'p mut [u8],
    /// Where the quoted packet ends within the message.
    end: usize,
    kind: Kind,
}

impl<'p> Quoted<'p> {
    pub(crate) fn parse(message: &'p mut [u8]) -> Result<Self, Malformed> {
        let (kind, len) = check(message)?;
        Ok(Self { message, end: icmp::HEADER_LEN + len, kind })
    }

    /// The quoted packet, as far as it goes, without padding and extensions.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.message[icmp::HEADER_LEN..self.end]
    }

    /// The fixed header.
    #[must_use]
    pub fn header(&self) -> &ipv4::Header {
        header(self.bytes())
    }

    #[must_use]
    pub fn source(&self) -> Ipv4Addr {
        self.header().source()
    }

    #[must_use]
    pub fn destination(&self) -> Ipv4Addr {
        self.header().destination()
    }

    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.header().protocol()
    }

    /// Where the quoted packet's payload belongs in its datagram, in bytes.
    #[must_use]
    pub fn fragment_offset(&self) -> usize {
        self.header().fragment_offset()
    }

    /// Whether the quoted packet is itself an ICMP error, which nobody may answer with one (RFC 1122
    /// §3.2.2).
    #[must_use]
    pub fn is_icmp_error(&self) -> bool {
        self.kind == Kind::IcmpError
    }

    /// Who talked to whom. There is none for later fragments, nor for ICMP messages other than queries.
    #[must_use]
    pub fn tuple(&self) -> Option<Tuple> {
        tuple(self.bytes(), self.kind)
    }

    /// The sequence number of a quoted TCP segment, by which a forged error can be told.
    #[must_use]
    pub fn tcp_sequence(&self) -> Option<u32> {
        (self.kind == Kind::Tcp)
            .then(|| u32_at(self.bytes(), self.header().header_len() + tcp::offset::SEQUENCE))
    }

    /// Replaces source address and port of the quoted packet, and mends the checksums inside and outside.
    ///
    /// # Panics
    ///
    /// If the address is not IPv4.
    pub fn rewrite_source(&mut self, to: Endpoint) {
        self.rewrite(End::Source, to);
    }

    /// Replaces destination address and port of the quoted packet, and mends the checksums inside and
    /// outside.
    ///
    /// # Panics
    ///
    /// If the address is not IPv4.
    pub fn rewrite_destination(&mut self, to: Endpoint) {
        self.rewrite(End::Destination, to);
    }

    fn rewrite(&mut self, end: End, to: Endpoint) {
        let header_len = self.header().header_len();
        let packet = &mut self.message[icmp::HEADER_LEN..self.end];
        let delta = rewrite::rewrite(packet, header_len, self.kind, end, to);
        rewrite::mend(self.message, icmp::offset::CHECKSUM, |checksum| delta.apply(checksum));
    }
}

/// What the packet that an error quotes carries, and its tuple, for those who only look.
pub(crate) fn peek(message: &[u8]) -> Result<(Protocol, Option<Tuple>), Malformed> {
    let (kind, len) = check(message)?;
    let packet = &message[icmp::HEADER_LEN..][..len];
    Ok((header(packet).protocol(), tuple(packet, kind)))
}

/// Checks the quoted packet; returns its kind and its length without padding.
fn check(message: &[u8]) -> Result<(Kind, usize), Malformed> {
    let quoted = &message[icmp::HEADER_LEN..][..IcmpError::read(message).quoted_len];
    let (header, _) =
        ipv4::Header::ref_from_prefix(quoted).map_err(|_| Malformed::QuotedTruncated)?;
    if header.version() != 4 {
        return Err(Malformed::QuotedVersion);
    }
    let header_len = header.header_len();
    if header_len < ipv4::HEADER_LEN {
        return Err(Malformed::QuotedHeaderLength);
    }
    if header_len > quoted.len() {
        return Err(Malformed::QuotedTruncated);
    }
    if !Sum::ZERO.add_bytes(&quoted[..header_len]).verifies() {
        return Err(Malformed::QuotedHeaderChecksum);
    }
    let total_len = usize::from(header.total_len.get());
    if total_len < header_len {
        return Err(Malformed::QuotedTotalLength);
    }

    let len = total_len.min(quoted.len());
    let transport = &quoted[header_len..len];
    if header.protocol().has_ports()
        && header.fragment_offset() == 0
        && transport.len() < MIN_TRANSPORT_LEN
    {
        return Err(Malformed::QuotedTruncated);
    }
    Ok((Kind::of(header, transport), len))
}
