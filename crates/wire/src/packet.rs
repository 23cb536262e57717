//! One IPv4 packet: checked once, then read and rewritten without failing.
//!
//! [`Packet::parse`] makes every check there is, in the order of the headers. What it lets through has a
//! right header checksum, lengths that agree with each other and the transport header that its protocol
//! needs, so nothing after it can fail. Transport checksums are not among the checks: they are the
//! receiver's, and rewriting only ever adds a difference to them (see [`checksum`](crate::checksum)), so a packet
//! that arrived corrupted leaves corrupted. The exception is the error of ICMP, whose content the gateway
//! itself acts upon (RFC 5508 REQ-3).
//!
//! # Fragments
//!
//! A first fragment (offset zero, more to come) has a transport header that describes the whole datagram:
//! its lengths are never held against the size of the fragment, nor is a checksum over the whole verified.
//! Later fragments have no transport header at all. Two kinds are refused since they exist
//! only to slip past filters: a first fragment of TCP that ends within the fixed header (RFC 1858), and one
//! at offset eight that would overwrite its flags (RFC 3128).

use core::net::Ipv4Addr;

use zerocopy::FromBytes;

use crate::checksum::{Delta, Sum};
use crate::quoted::Quoted;
use crate::rewrite::{self, End, Kind, put_u16, u16_at};
use crate::transport::{IcmpError, IcmpQuery, Tcp, Transport, Udp};
use crate::{Endpoint, Malformed, Protocol, Tuple, icmp, ipv4, tcp, udp};

/// A valid IPv4 packet in a buffer.
pub struct Packet<'a> {
    /// From the version to the last byte that the total length counts.
    bytes: &'a mut [u8],
    kind: Kind,
}

impl<'a> Packet<'a> {
    /// Checks the packet at the start of a buffer. What follows it (an Ethernet trailer) is left out of the
    /// view.
    ///
    /// # Errors
    ///
    /// The first fault found.
    pub fn parse(buffer: &'a mut [u8]) -> Result<Self, Malformed> {
        let (kind, total_len) = check(buffer)?;
        let (bytes, _trailer) = buffer.split_at_mut(total_len);
        Ok(Self { bytes, kind })
    }

    /// The whole packet, header included.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// Ends the view and returns the bytes of the packet.
    #[must_use]
    pub fn into_bytes(self) -> &'a mut [u8] {
        self.bytes
    }

    /// The fixed header.
    #[must_use]
    pub fn header(&self) -> &ipv4::Header {
        header(self.bytes)
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

    #[must_use]
    pub fn ttl(&self) -> u8 {
        self.header().ttl
    }

    #[must_use]
    pub fn tos(&self) -> u8 {
        self.header().tos
    }

    #[must_use]
    pub fn identification(&self) -> u16 {
        self.header().identification.get()
    }

    #[must_use]
    pub fn dont_fragment(&self) -> bool {
        self.header().dont_fragment()
    }

    #[must_use]
    pub fn more_fragments(&self) -> bool {
        self.header().more_fragments()
    }

    /// Where the payload belongs in its datagram, in bytes.
    #[must_use]
    pub fn fragment_offset(&self) -> usize {
        self.header().fragment_offset()
    }

    /// Whether this is only a part of a datagram.
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        self.header().is_fragment()
    }

    /// Length of the IPv4 header with its options.
    #[must_use]
    pub fn header_len(&self) -> usize {
        self.header().header_len()
    }

    #[must_use]
    pub fn total_len(&self) -> usize {
        self.bytes.len()
    }

    #[must_use]
    pub fn has_options(&self) -> bool {
        self.header_len() > ipv4::HEADER_LEN
    }

    /// The options of the IPv4 header.
    #[must_use]
    pub fn options(&self) -> ipv4::HeaderOptions<'_> {
        ipv4::HeaderOptions::new(&self.bytes[ipv4::HEADER_LEN..self.header_len()])
    }

    /// What follows the IPv4 header: transport header and data, or the data of a later fragment.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.header_len()..]
    }

    /// What follows the header of TCP or UDP; for everything else, [`Packet::payload`].
    #[must_use]
    pub fn transport_payload(&self) -> &[u8] {
        let payload = self.payload();
        let (start, end) = match self.transport() {
            Transport::Tcp(tcp) => (tcp.header_len.min(payload.len()), payload.len()),
            Transport::Udp(udp) => {
                let end = udp::HEADER_LEN + udp.payload_len;
                (udp::HEADER_LEN, end.min(payload.len()))
            }
            Transport::FragmentTail
            | Transport::IcmpError(_)
            | Transport::IcmpOther { .. }
            | Transport::IcmpQuery(_)
            | Transport::Other => (0, payload.len()),
        };
        &payload[start..end]
    }

    /// What the packet carries, as values.
    #[must_use]
    pub fn transport(&self) -> Transport {
        let payload = self.payload();
        match self.kind {
            Kind::AddressChecksummed | Kind::Other => Transport::Other,
            Kind::FragmentTail => Transport::FragmentTail,
            Kind::IcmpError => Transport::IcmpError(IcmpError::read(payload)),
            Kind::IcmpOther => {
                let header: &icmp::Header = prefix(payload);
                Transport::IcmpOther { kind: header.kind, code: header.code }
            }
            Kind::IcmpReply => Transport::IcmpQuery(IcmpQuery::read(prefix(payload), false)),
            Kind::IcmpRequest => Transport::IcmpQuery(IcmpQuery::read(prefix(payload), true)),
            Kind::Tcp => Transport::Tcp(Tcp::read(prefix(payload), payload.len())),
            Kind::Udp => Transport::Udp(Udp::read(prefix(payload))),
        }
    }

    /// Who talks to whom. There is none for later fragments, nor for ICMP messages other than queries.
    #[must_use]
    pub fn tuple(&self) -> Option<Tuple> {
        tuple(self.bytes, self.kind)
    }

    /// The packet inside an ICMP error; none if this packet is something else.
    ///
    /// # Errors
    ///
    /// If the error quotes too little, or not a valid header (RFC 5508 REQ-3).
    pub fn quoted(&mut self) -> Result<Option<Quoted<'_>>, Malformed> {
        if self.kind != Kind::IcmpError {
            return Ok(None);
        }
        let header_len = self.header_len();
        Quoted::parse(&mut self.bytes[header_len..]).map(Some)
    }

    /// Replaces source address and port (the identifier of a request), and mends the checksums.
    ///
    /// Where the packet has no such port, the endpoint's is ignored.
    ///
    /// # Panics
    ///
    /// If the address is not IPv4.
    pub fn rewrite_source(&mut self, to: Endpoint) {
        rewrite::rewrite(self.bytes, header(self.bytes).header_len(), self.kind, End::Source, to);
    }

    /// Replaces destination address and port (the identifier of a reply), and mends the checksums.
    ///
    /// Where the packet has no such port, the endpoint's is ignored.
    ///
    /// # Panics
    ///
    /// If the address is not IPv4.
    pub fn rewrite_destination(&mut self, to: Endpoint) {
        let header_len = self.header_len();
        rewrite::rewrite(self.bytes, header_len, self.kind, End::Destination, to);
    }

    /// Takes one from the time to live and returns what is left; zero stays zero.
    pub fn decrement_ttl(&mut self) -> u8 {
        let ttl = self.ttl().saturating_sub(1);
        self.set_ttl(ttl);
        ttl
    }

    pub fn set_ttl(&mut self, ttl: u8) {
        self.set_word(ipv4::offset::TTL, u16::from_be_bytes([ttl, self.protocol().0]));
    }

    pub fn set_tos(&mut self, tos: u8) {
        let version_ihl = self.header().version_ihl;
        self.set_word(0, u16::from_be_bytes([version_ihl, tos]));
    }

    pub fn set_identification(&mut self, identification: u16) {
        self.set_word(ipv4::offset::IDENTIFICATION, identification);
    }

    pub fn set_dont_fragment(&mut self, dont_fragment: bool) {
        let flag = if dont_fragment { ipv4::DONT_FRAGMENT } else { 0 };
        let word = self.header().fragment.get() & !ipv4::DONT_FRAGMENT | flag;
        self.set_word(ipv4::offset::FRAGMENT, word);
    }

    /// Replaces a word of the header and mends its checksum.
    fn set_word(&mut self, at: usize, word: u16) {
        let delta = Delta::of_u16(u16_at(self.bytes, at), word);
        put_u16(self.bytes, at, word);
        rewrite::mend(self.bytes, ipv4::offset::CHECKSUM, |checksum| delta.apply(checksum));
    }
}

/// Makes every check; returns what the packet carries and how long it is.
fn check(buffer: &[u8]) -> Result<(Kind, usize), Malformed> {
    let (header, _) = ipv4::Header::ref_from_prefix(buffer).map_err(|_| Malformed::Truncated)?;
    if header.version() != 4 {
        return Err(Malformed::Version);
    }
    let header_len = header.header_len();
    if header_len < ipv4::HEADER_LEN {
        return Err(Malformed::HeaderLength);
    }
    if header_len > buffer.len() {
        return Err(Malformed::HeaderBeyondPacket);
    }
    let total_len = usize::from(header.total_len.get());
    if total_len < header_len {
        return Err(Malformed::TotalLengthBelowHeader);
    }
    if total_len > buffer.len() {
        return Err(Malformed::TotalLengthBeyondPacket);
    }
    if !Sum::ZERO.add_bytes(&buffer[..header_len]).verifies() {
        return Err(Malformed::HeaderChecksum);
    }
    if !ipv4::HeaderOptions::new(&buffer[ipv4::HEADER_LEN..header_len]).are_well_formed() {
        return Err(Malformed::Options);
    }
    let payload = &buffer[header_len..total_len];
    check_fragment(header, payload.len())?;
    Ok((check_transport(header, payload)?, total_len))
}

fn check_fragment(header: &ipv4::Header, payload_len: usize) -> Result<(), Malformed> {
    if !header.is_fragment() {
        return Ok(());
    }
    if payload_len == 0 || header.more_fragments() && !payload_len.is_multiple_of(8) {
        return Err(Malformed::FragmentLength);
    }
    if header.header_len() + header.fragment_offset() + payload_len > ipv4::MAX_TOTAL_LEN {
        return Err(Malformed::FragmentTooFar);
    }
    Ok(())
}

fn check_transport(header: &ipv4::Header, payload: &[u8]) -> Result<Kind, Malformed> {
    // The lengths in a first fragment's transport header are those of the whole datagram.
    let whole = !header.is_fragment();
    if header.fragment_offset() > 0 {
        if header.protocol() == Protocol::TCP && header.fragment_offset() == 8 {
            return Err(Malformed::FragmentWithinTcpHeader);
        }
        return Ok(Kind::FragmentTail);
    }

    match header.protocol() {
        Protocol::TCP => {
            let Ok((tcp, _)) = tcp::Header::ref_from_prefix(payload) else {
                return Err(if whole {
                    Malformed::TransportTruncated
                } else {
                    Malformed::TinyFragment
                });
            };
            if tcp.header_len() < tcp::HEADER_LEN || whole && tcp.header_len() > payload.len() {
                return Err(Malformed::TcpDataOffset);
            }
        }
        Protocol::UDP => {
            let (udp, _) =
                udp::Header::ref_from_prefix(payload).map_err(|_| Malformed::TransportTruncated)?;
            let length = usize::from(udp.length.get());
            // Less than the payload is legal: what follows are options (RFC 9868).
            if length < udp::HEADER_LEN || whole && length > payload.len() {
                return Err(Malformed::UdpLength);
            }
        }
        Protocol::ICMP if payload.len() < icmp::HEADER_LEN => {
            return Err(Malformed::IcmpTruncated);
        }
        _ => {}
    }

    let kind = Kind::of(header, payload);
    if kind == Kind::IcmpError && whole && !Sum::ZERO.add_bytes(payload).verifies() {
        return Err(Malformed::IcmpChecksum);
    }
    Ok(kind)
}

/// Who talks to whom in a packet of this kind.
pub(crate) fn tuple(packet: &[u8], kind: Kind) -> Option<Tuple> {
    match kind {
        Kind::FragmentTail | Kind::IcmpError | Kind::IcmpOther => None,
        Kind::AddressChecksummed
        | Kind::IcmpReply
        | Kind::IcmpRequest
        | Kind::Other
        | Kind::Tcp
        | Kind::Udp => {
            let header = header(packet);
            Some(Tuple {
                protocol: header.protocol(),
                source: rewrite::endpoint(packet, header.header_len(), kind, End::Source),
                destination: rewrite::endpoint(packet, header.header_len(), kind, End::Destination),
            })
        }
    }
}

pub(crate) fn header(packet: &[u8]) -> &ipv4::Header {
    prefix(packet)
}

/// The header at the start of bytes that parsing found to hold it.
fn prefix<T: FromBytes + zerocopy::KnownLayout + zerocopy::Immutable + zerocopy::Unaligned>(
    bytes: &[u8],
) -> &T {
    let (header, _) = T::ref_from_prefix(bytes).expect("parsing has checked the length");
    header
}
