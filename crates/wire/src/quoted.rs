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

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::icmp::error::Report;
    use crate::icmp::unreachable;
    use crate::make::{self, at};
    use crate::tcp::Flags;
    use crate::{Packet, Transport, strategy};

    const ROUTER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
    const GATEWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

    #[test]
    fn packets_that_are_no_errors_quote_nothing() {
        for mut packet in [
            make::udp(inside(), remote(), b"data"),
            make::echo_request(inside(), remote().addr, 1, b"data"),
        ] {
            assert!(Packet::parse(&mut packet).unwrap().quoted().unwrap().is_none());
        }
    }

    #[test]
    fn rfc_5508_req_4_sender_sees_what_it_sent() {
        for (sent, left) in pairs() {
            let mut error = error_about(&left);
            let mut packet = Packet::parse(&mut error).unwrap();
            let mut quoted = packet.quoted().unwrap().unwrap();

            assert_eq!(quoted.tuple().map(|tuple| tuple.source), Some(outside()));
            quoted.rewrite_source(inside());

            assert_eq!(quoted.bytes(), sent);
            assert_eq!(error, error_about(&sent));
        }
    }

    #[test]
    fn eight_bytes_of_transport_are_enough() {
        for (sent, left) in pairs() {
            let mut error = error_about(&left[..28]);
            let mut packet = Packet::parse(&mut error).unwrap();
            let mut quoted = packet.quoted().unwrap().unwrap();

            quoted.rewrite_source(inside());

            assert_eq!(quoted.bytes(), &sent[..28]);
            assert_eq!(error, error_about(&sent[..28]));
        }
    }

    #[test]
    fn fewer_than_eight_bytes_of_transport_are_too_few() {
        for (_, left) in pairs() {
            for len in 0..28 {
                assert_eq!(fault(&error_about(&left[..len])), Some(Malformed::QuotedTruncated));
            }
        }
        let short = make::ip(Protocol::UDP, outside().addr, remote().addr, &[0; 7]);
        assert_eq!(fault(&error_about(&short)), Some(Malformed::QuotedTruncated));
    }

    #[test]
    fn header_alone_is_enough_where_there_are_no_ports() {
        let gre = make::ip(Protocol::GRE, outside().addr, remote().addr, &[0; 64]);
        let tail = make::fragments(&make::udp(outside(), remote(), &[0; 64]), 44).swap_remove(1);

        assert_eq!(fault(&error_about(&gre[..20])), None);
        assert_eq!(fault(&error_about(&tail[..20])), None);
    }

    #[test]
    fn rfc_5508_req_3b_inner_options_are_walked() {
        for words in 1..=10 {
            let options = &[1; 40][..words * 4];
            let sent = make::with_options(&make::udp(inside(), remote(), b"data"), options);
            let left = make::with_options(&make::udp(outside(), remote(), b"data"), options);
            for len in [sent.len(), 20 + words * 4 + 8] {
                let mut error = error_about(&left[..len]);
                let mut packet = Packet::parse(&mut error).unwrap();

                packet.quoted().unwrap().unwrap().rewrite_source(inside());

                assert_eq!(error, error_about(&sent[..len]), "{words} words, {len} bytes");
            }
            let cut = &left[..20 + words * 4 - 1];
            assert_eq!(fault(&error_about(cut)), Some(Malformed::QuotedTruncated));
        }
    }

    #[test]
    fn rfc_5508_req_3a_bad_inner_header_checksum() {
        let mut left = make::udp(outside(), remote(), b"data");
        left[10] ^= 1;

        assert_eq!(fault(&error_about(&left)), Some(Malformed::QuotedHeaderChecksum));
    }

    #[test]
    fn rfc_5508_req_3c_bad_inner_transport_checksum_is_not_our_business() {
        let corrupted = |source| {
            let mut packet = make::tcp(source, remote(), Flags::ACK, 7, 8, b"data");
            let last = packet.len() - 1;
            packet[last] ^= 1;
            packet
        };
        let mut error = error_about(&corrupted(outside()));
        let mut packet = Packet::parse(&mut error).unwrap();

        packet.quoted().unwrap().unwrap().rewrite_source(inside());

        assert_eq!(error, error_about(&corrupted(inside())));
    }

    #[test]
    fn rfc_5508_req_3d_extensions_and_padding_stay_as_they_are() {
        // A version 2 header and an MPLS label stack object (RFC 4950).
        let extensions = [0x20, 0, 0x8a, 0x4b, 0, 8, 1, 1, 0x01, 0xf4, 0x01, 0x01];
        let error_about = |quoted: &[u8]| {
            make::icmp_error_with_extensions(
                ROUTER,
                GATEWAY,
                Report::TTL_EXCEEDED,
                quoted,
                &extensions,
            )
        };
        for (sent, left) in pairs() {
            let mut error = error_about(&left);
            let mut packet = Packet::parse(&mut error).unwrap();
            let Transport::IcmpError(view) = packet.transport() else { panic!("{packet}") };
            assert_eq!((view.quoted_len, view.extensions_len), (128, extensions.len()));

            packet.quoted().unwrap().unwrap().rewrite_source(inside());

            assert_eq!(packet.payload()[8 + 128..], extensions);
            assert_eq!(error, error_about(&sent));
        }
    }

    #[test]
    fn checksum_of_a_short_packet_is_not_looked_for_in_its_padding() {
        // The TCP checksum would be sixteen bytes in, where there is padding.
        let sent = make::tcp(inside(), remote(), Flags::ACK, 7, 8, b"data");
        let left = make::tcp(outside(), remote(), Flags::ACK, 7, 8, b"data");
        let padded = |packet: &[u8]| {
            let extensions = [0x20, 0, 0xdf, 0xff];
            let report = Report::TTL_EXCEEDED;
            make::icmp_error_with_extensions(ROUTER, GATEWAY, report, packet, &extensions)
        };
        let shortened = |packet: &[u8]| {
            let mut packet = packet[..28].to_vec();
            packet[3] = 28;
            make::fill_header_checksum(&mut packet);
            packet
        };
        let mut error = padded(&shortened(&left));
        let mut packet = Packet::parse(&mut error).unwrap();

        packet.quoted().unwrap().unwrap().rewrite_source(inside());

        assert_eq!(error, padded(&shortened(&sent)));
    }

    #[test]
    fn length_beyond_the_message_is_no_length() {
        let left = make::udp(outside(), remote(), b"data");
        let report = Report { rest: [0, 255, 0, 0], ..Report::TTL_EXCEEDED };
        let mut error = make::icmp_error(ROUTER, GATEWAY, report, &left);
        let mut packet = Packet::parse(&mut error).unwrap();

        assert_eq!(packet.quoted().unwrap().unwrap().bytes(), left);
    }

    #[test]
    fn quoted_udp_without_checksum_stays_so() {
        let mut error = error_about(&make::udp_without_checksum(outside(), remote(), b"data"));
        let mut packet = Packet::parse(&mut error).unwrap();

        packet.quoted().unwrap().unwrap().rewrite_source(inside());

        assert_eq!(error, error_about(&make::udp_without_checksum(inside(), remote(), b"data")));
    }

    #[test]
    fn destination_is_restored_for_errors_from_inside() {
        let arrived = make::udp(remote(), outside(), b"data");
        let forwarded = make::udp(remote(), inside(), b"data");
        let mut error = error_about(&forwarded);
        let mut packet = Packet::parse(&mut error).unwrap();
        let mut quoted = packet.quoted().unwrap().unwrap();

        quoted.rewrite_destination(outside());

        assert_eq!(error, error_about(&arrived));
    }

    #[test]
    fn quoted_fault_of_version_lengths() {
        let left = make::udp(outside(), remote(), b"data");
        let with = |at: usize, byte| {
            let mut packet = left.clone();
            packet[at] = byte;
            error_about(&packet)
        };

        assert_eq!(fault(&with(0, 0x65)), Some(Malformed::QuotedVersion));
        assert_eq!(fault(&with(0, 0x44)), Some(Malformed::QuotedHeaderLength));
        assert_eq!(fault(&with(0, 0x4f)), Some(Malformed::QuotedTruncated));
        let mut short = left.clone();
        short[3] = 19;
        make::fill_header_checksum(&mut short);
        assert_eq!(fault(&error_about(&short)), Some(Malformed::QuotedTotalLength));
    }

    #[test]
    fn error_about_an_error_is_told() {
        let inner = error_about(&make::udp(outside(), remote(), b"data"));
        let mut error = error_about(&inner);
        let mut packet = Packet::parse(&mut error).unwrap();
        let quoted = packet.quoted().unwrap().unwrap();

        assert!(quoted.is_icmp_error());
        assert_eq!(quoted.tuple(), None);
    }

    #[test]
    fn quoted_later_fragment_has_no_tuple() {
        let tail = make::fragments(&make::udp(outside(), remote(), &[0; 64]), 44).swap_remove(1);
        let mut error = error_about(&tail);
        let mut packet = Packet::parse(&mut error).unwrap();
        let quoted = packet.quoted().unwrap().unwrap();

        assert_eq!(quoted.tuple(), None);
        assert_eq!(quoted.fragment_offset(), 24);
        assert_eq!((quoted.source(), quoted.protocol()), (GATEWAY, Protocol::UDP));
    }

    #[test]
    fn sequence_number_of_a_segment_is_read() {
        let left = make::tcp(outside(), remote(), Flags::ACK, 0x0102_0304, 8, b"data");
        let mut error = error_about(&left[..28]);
        let mut packet = Packet::parse(&mut error).unwrap();

        assert_eq!(packet.quoted().unwrap().unwrap().tcp_sequence(), Some(0x0102_0304));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn rewriting_keeps_the_message_valid_and_the_way_back_is_identity(
            before in strategy::icmp_error(),
            source in strategy::endpoint(),
            destination in strategy::endpoint(),
        ) {
            let mut bytes = before.clone();
            let mut packet = Packet::parse(&mut bytes).unwrap();
            let mut quoted = packet.quoted().unwrap().unwrap();
            let was = quoted.tuple().unwrap();

            quoted.rewrite_source(source);
            quoted.rewrite_destination(destination);

            prop_assert_eq!(quoted.tuple().unwrap().source.addr, source.addr);
            prop_assert!(make::checksums_verify(&bytes));
            let mut full = bytes.clone();
            make::fill_checksums(&mut full);
            prop_assert_eq!(&bytes, &full);
            let mut packet = Packet::parse(&mut bytes).unwrap();
            let mut quoted = packet.quoted().unwrap().unwrap();
            quoted.rewrite_source(was.source);
            quoted.rewrite_destination(was.destination);
            prop_assert_eq!(bytes, before);
        }

        #[test]
        fn quoted_rewrite_equals_the_rewrite_of_the_packet(
            about in strategy::datagram(),
            cut in any::<prop::sample::Index>(),
            source in strategy::endpoint(),
        ) {
            // What the gateway let out is restored to what it got, however much of it is quoted.
            let mut left = about.clone();
            let mut packet = Packet::parse(&mut left).unwrap();
            let was = packet.tuple().unwrap().source;
            packet.rewrite_source(source);
            let shortest = (usize::from(about[0] & 0x0f) * 4 + 8).min(about.len());
            let len = shortest + cut.index(about.len() - shortest + 1);
            // Half a checksum cannot be restored: the carry from its other half is not known.
            let transport = usize::from(about[0] & 0x0f) * 4;
            if about[9] == 6 && len == transport + tcp::offset::CHECKSUM + 1 {
                return Ok(());
            }
            let mut error = error_about(&left[..len]);
            let mut packet = Packet::parse(&mut error).unwrap();

            packet.quoted().unwrap().unwrap().rewrite_source(was);

            prop_assert_eq!(error, error_about(&about[..len]));
        }
    }

    /// Packets as an inside host sent them and as they left the gateway.
    fn pairs() -> Vec<(Vec<u8>, Vec<u8>)> {
        let make = |source| {
            [
                make::udp(source, remote(), b"odd data!"),
                make::tcp(source, remote(), Flags::SYN, 1, 0, &[]),
                make::echo_request(source, remote().addr, 1, b"odd data!"),
            ]
        };
        make(inside()).into_iter().zip(make(outside())).collect()
    }

    fn error_about(quoted: &[u8]) -> Vec<u8> {
        make::icmp_error(ROUTER, GATEWAY, Report::unreachable(unreachable::HOST), quoted)
    }

    fn fault(error: &[u8]) -> Option<Malformed> {
        let mut error = error.to_vec();
        let mut packet = Packet::parse(&mut error).unwrap();
        packet.quoted().err()
    }

    fn inside() -> Endpoint {
        at("192.168.1.3:40000")
    }

    fn outside() -> Endpoint {
        at("203.0.113.1:61000")
    }

    fn remote() -> Endpoint {
        at("203.0.113.178:8888")
    }
}
