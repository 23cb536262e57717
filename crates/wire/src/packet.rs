//! One IPv4 packet: checked once, then read and rewritten without failing.
//!
//! [`Packet::parse`] makes every check there is. What it lets through has a right header checksum, lengths
//! that agree with each other and the transport header that its protocol needs, so nothing after it can
//! fail. Every method that changes something mends the checksums that cover it, by the difference only (see
//! [`checksum`](crate::checksum)): a packet that arrived corrupted leaves corrupted.

use core::net::Ipv4Addr;

use zerocopy::FromBytes;

use crate::check::check;
use crate::checksum::Delta;
use crate::quoted::Quoted;
use crate::rewrite::{self, End, Kind, put_u16, u16_at};
use crate::transport::{IcmpError, IcmpQuery, Tcp, Transport, Udp};
use crate::{Endpoint, Malformed, Protocol, Tuple, icmp, ipv4, udp};

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
    /// The error's checksum has been verified, unless this is only its first fragment.
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

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::ipv4::HeaderOption;
    use crate::make::{self, at};
    use crate::strategy;

    #[test]
    fn accessors_read_the_header() {
        let mut packet = make::udp(inside(), remote(), b"data");
        packet[..20].copy_from_slice(&[
            0x45, 0xb8, 0, 32, 0x12, 0x34, 0x40, 0, 63, 17, 0, 0, 192, 168, 1, 3, 203, 0, 113, 178,
        ]);
        make::fill_checksums(&mut packet);

        let packet = Packet::parse(&mut packet).unwrap();

        assert_eq!(packet.source(), Ipv4Addr::new(192, 168, 1, 3));
        assert_eq!(packet.destination(), Ipv4Addr::new(203, 0, 113, 178));
        assert_eq!(packet.protocol(), Protocol::UDP);
        assert_eq!((packet.ttl(), packet.tos()), (63, 0xb8));
        assert_eq!(packet.identification(), 0x1234);
        assert!(packet.dont_fragment() && !packet.more_fragments() && !packet.is_fragment());
        assert_eq!((packet.header_len(), packet.total_len()), (20, 32));
        assert!(!packet.has_options());
        assert_eq!(packet.payload().len(), 12);
        assert_eq!(packet.transport_payload(), b"data");
    }

    #[test]
    fn options_are_read() {
        let mut packet = make::with_options(&udp(), &[148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0]);

        let packet = Packet::parse(&mut packet).unwrap();

        assert!(packet.has_options());
        assert_eq!(packet.header_len(), 32);
        assert!(
            packet
                .options()
                .map(|option| option.kind)
                .eq([HeaderOption::ROUTER_ALERT, HeaderOption::RECORD_ROUTE])
        );
        assert_eq!(packet.tuple().map(|tuple| tuple.source), Some(inside()));
    }

    #[test]
    fn tuple_of_a_query_has_its_identifier_where_it_came_from() {
        let host = Ipv4Addr::new(203, 0, 113, 178);
        let mut request = make::echo_request(inside(), host, 1, b"data");
        let mut reply = make::echo_reply(host, inside(), 1, b"data");
        let (request, reply) =
            (Packet::parse(&mut request).unwrap(), Packet::parse(&mut reply).unwrap());

        let tuple = request.tuple().unwrap();

        assert_eq!((tuple.source, tuple.destination), (inside(), Endpoint::v4(host, 0)));
        assert_eq!(reply.tuple(), Some(tuple.reversed()));
    }

    #[test]
    fn tuple_of_other_protocols_has_no_ports() {
        for protocol in [Protocol::GRE, Protocol::ESP, Protocol::SCTP, Protocol(253)] {
            let mut packet = make::ip(protocol, inside().addr, remote().addr, &[0xff; 12]);
            let packet = Packet::parse(&mut packet).unwrap();

            let expected = Tuple::new(protocol, inside().with_port(0), remote().with_port(0));
            assert_eq!(packet.tuple(), Some(expected));
        }
    }

    #[test]
    fn later_fragments_and_other_messages_have_no_tuple() {
        let fragments = make::fragments(&make::udp(inside(), remote(), &[0; 64]), 44);
        let solicitation = make::icmp(inside().addr, remote().addr, 10, 0, [0; 4], &[]);
        for mut packet in [fragments[1].clone(), fragments[2].clone(), solicitation] {
            assert_eq!(Packet::parse(&mut packet).unwrap().tuple(), None);
        }
    }

    #[test]
    fn ttl_is_decremented_to_zero_and_no_further() {
        let mut packet = make::with_ttl(&udp(), 2);
        let mut packet = Packet::parse(&mut packet).unwrap();

        assert_eq!(packet.decrement_ttl(), 1);
        assert_eq!(packet.decrement_ttl(), 0);
        assert_eq!(packet.decrement_ttl(), 0);
        assert!(make::checksums_verify(packet.bytes()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn setters_keep_the_header_checksum(
            packet in strategy::packet(),
            (ttl, tos, identification, dont_fragment) in any::<(u8, u8, u16, bool)>(),
        ) {
            let mut bytes = packet;
            let mut packet = Packet::parse(&mut bytes).unwrap();

            packet.set_ttl(ttl);
            packet.set_tos(tos);
            packet.set_identification(identification);
            packet.set_dont_fragment(dont_fragment);

            prop_assert_eq!((packet.ttl(), packet.tos()), (ttl, tos));
            prop_assert_eq!(packet.identification(), identification);
            prop_assert_eq!(packet.dont_fragment(), dont_fragment);
            let mut full = bytes.clone();
            make::fill_header_checksum(&mut full);
            prop_assert_eq!(bytes, full);
        }
    }

    fn inside() -> Endpoint {
        at("192.168.1.3:40000")
    }

    fn remote() -> Endpoint {
        at("203.0.113.178:8888")
    }

    fn udp() -> Vec<u8> {
        make::udp(inside(), remote(), b"payload")
    }
}
