//! Every check that bytes must pass to be a packet, in the order of the headers.
//!
//! Transport checksums are not among them: they are the receiver's to check. The exception is the error of
//! ICMP, on whose content the gateway itself acts (RFC 5508 REQ-3).
//!
//! # Fragments
//!
//! A first fragment (offset zero, more to come) has a transport header that describes the whole datagram:
//! its lengths are never held against the size of the fragment, nor is a checksum over the whole verified.
//! Later fragments have no transport header at all. Two kinds are refused, for they exist only to slip past
//! filters: a first fragment of TCP that ends within the fixed header (RFC 1858), and one at offset eight
//! that would overwrite its flags (RFC 3128).

use zerocopy::FromBytes;

use crate::checksum::Sum;
use crate::rewrite::Kind;
use crate::{Malformed, Protocol, icmp, ipv4, tcp, udp};

/// Makes every check; returns what the packet carries and how long it is.
pub(crate) fn check(buffer: &[u8]) -> Result<(Kind, usize), Malformed> {
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

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::icmp::error::Report;
    use crate::make::{self, at};
    use crate::tcp::Flags;
    use crate::{Packet, Transport, strategy};

    #[test]
    fn fewer_than_twenty_bytes_are_truncated() {
        let packet = udp();

        for len in 0..ipv4::HEADER_LEN {
            assert_eq!(fault(&packet[..len]), Some(Malformed::Truncated));
        }
    }

    #[test]
    fn only_version_four_is_taken() {
        let mut packet = udp();
        for version in (0..16).filter(|version| *version != 4) {
            packet[0] = version << 4 | 5;
            make::fill_header_checksum(&mut packet);

            assert_eq!(fault(&packet), Some(Malformed::Version));
        }
    }

    #[test]
    fn header_length_below_five_words() {
        let mut packet = udp();
        for words in 0..5 {
            packet[0] = 0x40 | words;

            assert_eq!(fault(&packet), Some(Malformed::HeaderLength));
        }
    }

    #[test]
    fn header_length_beyond_the_packet() {
        let mut packet = udp();
        packet[0] = 0x4f;

        assert_eq!(fault(&packet), Some(Malformed::HeaderBeyondPacket));
    }

    #[test]
    fn total_length_below_the_header() {
        for len in 0..20 {
            assert_eq!(
                fault(&with_total_len(&udp(), len)),
                Some(Malformed::TotalLengthBelowHeader)
            );
        }
        let with_options = make::with_options(&udp(), &[1; 8]);
        assert_eq!(
            fault(&with_total_len(&with_options, 24)),
            Some(Malformed::TotalLengthBelowHeader)
        );
    }

    #[test]
    fn total_length_beyond_the_packet() {
        let packet = udp();

        for len in 20..packet.len() {
            assert_eq!(fault(&packet[..len]), Some(Malformed::TotalLengthBeyondPacket));
        }
    }

    #[test]
    fn any_flipped_bit_of_the_header_is_noticed() {
        let packet = make::with_options(&udp(), &[1, 1, 1, 1]);
        for bit in 0..24 * 8 {
            let mut packet = packet.clone();
            packet[bit / 8] ^= 1 << (bit % 8);

            assert!(fault(&packet).is_some(), "bit {bit}");
        }
        let mut packet = packet;
        packet[12] ^= 1;
        assert_eq!(fault(&packet), Some(Malformed::HeaderChecksum));
    }

    #[test]
    fn options_past_the_end_of_the_header() {
        for options in [[7, 5, 0, 0], [7, 1, 0, 0], [7, 0, 0, 0], [1, 1, 1, 7], [131, 255, 4, 0]] {
            let packet = make::with_options(&udp(), &options);

            assert_eq!(fault(&packet), Some(Malformed::Options), "{options:?}");
        }
    }

    #[test]
    fn longest_options_are_taken() {
        let record_route = [&[7, 39, 4][..], &[0; 37]].concat();

        assert_eq!(fault(&make::with_options(&udp(), &record_route)), None);
    }

    #[test]
    fn trailer_after_the_total_length_is_left_out() {
        let mut frame = udp();
        let len = frame.len();
        frame.extend_from_slice(&[0xaa; 18]);

        let packet = Packet::parse(&mut frame).unwrap();

        assert_eq!(packet.total_len(), len);
        assert_eq!(packet.transport_payload(), b"payload");
    }

    #[test]
    fn fragment_without_data() {
        for more in [true, false] {
            let packet = make::fragment(&udp(), 8, &[], more);

            assert_eq!(fault(&packet), Some(Malformed::FragmentLength));
        }
    }

    #[test]
    fn fragment_before_the_last_of_odd_length() {
        let data = [0; 17];

        assert_eq!(
            fault(&make::fragment(&udp(), 16, &data, true)),
            Some(Malformed::FragmentLength)
        );
        assert_eq!(fault(&make::fragment(&udp(), 16, &data, false)), None);
    }

    #[test]
    fn fragment_beyond_the_largest_datagram() {
        assert_eq!(
            fault(&make::fragment(&udp(), 65_528, &[0; 8], false)),
            Some(Malformed::FragmentTooFar)
        );
        // 20 bytes of header and 65,515 of payload are the most.
        assert_eq!(fault(&make::fragment(&udp(), 65_512, &[0; 3], false)), None);
        assert_eq!(
            fault(&make::fragment(&udp(), 65_512, &[0; 4], false)),
            Some(Malformed::FragmentTooFar)
        );
    }

    #[test]
    fn rfc_1858_tiny_first_fragment_of_tcp() {
        let tcp = tcp();

        for len in [8, 16] {
            let packet = make::fragment(&tcp, 0, &tcp[20..][..len], true);

            assert_eq!(fault(&packet), Some(Malformed::TinyFragment));
        }
        assert_eq!(fault(&make::fragment(&tcp, 0, &tcp[20..][..24], true)), None);
    }

    #[test]
    fn rfc_3128_tcp_fragment_at_offset_eight() {
        for more in [true, false] {
            let packet = make::fragment(&tcp(), 8, &[0; 16], more);

            assert_eq!(fault(&packet), Some(Malformed::FragmentWithinTcpHeader));
        }
        assert_eq!(fault(&make::fragment(&udp(), 8, &[0; 16], false)), None);
        assert_eq!(fault(&make::fragment(&tcp(), 24, &[0; 16], false)), None);
    }

    #[test]
    fn tcp_and_udp_headers_cut_off() {
        for protocol in [Protocol::TCP, Protocol::UDP] {
            let needed = if protocol == Protocol::TCP { 20 } else { 8 };
            for len in 0..needed {
                let payload = [0; 20];
                let packet = make::ip(protocol, [10, 0, 0, 1], [10, 0, 0, 2], &payload[..len]);

                assert_eq!(fault(&packet), Some(Malformed::TransportTruncated), "{protocol} {len}");
            }
        }
    }

    #[test]
    fn tcp_data_offset_below_five_words_or_beyond_the_segment() {
        let mut packet = make::tcp(inside(), remote(), Flags::SYN, 1, 0, &[]);
        for words in (0..16).filter(|words| *words != 5) {
            packet[20 + tcp::offset::DATA_OFFSET] = words << 4;

            assert_eq!(fault(&packet), Some(Malformed::TcpDataOffset), "{words} words");
        }
    }

    #[test]
    fn tcp_first_fragment_may_end_within_the_options() {
        let options = [1; 40];
        let whole = make::tcp_with_options(inside(), remote(), Flags::SYN, 1, 0, &options, b"x");
        let mut packet = make::fragment(&whole, 0, &whole[20..][..24], true);

        let packet = Packet::parse(&mut packet).unwrap();

        let Transport::Tcp(tcp) = packet.transport() else { panic!("not TCP: {packet}") };
        assert_eq!((tcp.header_len, tcp.payload_len), (60, 0));
        assert_eq!(packet.transport_payload(), []);
        assert_eq!(packet.tuple().map(|tuple| tuple.source), Some(inside()));
    }

    #[test]
    fn udp_length_below_the_header_or_beyond_the_datagram() {
        let datagram = udp();
        let right = (datagram.len() - 20) as u16;
        for length in [0, 1, 7, right + 1, u16::MAX] {
            assert_eq!(
                fault(&with_udp_length(&datagram, length)),
                Some(Malformed::UdpLength),
                "{length}"
            );
        }
    }

    #[test]
    fn rfc_9868_udp_length_may_leave_room_for_options() {
        let mut packet = with_udp_length(&udp(), 10);

        let packet = Packet::parse(&mut packet).unwrap();

        assert_eq!(packet.transport_payload(), b"pa");
    }

    #[test]
    fn udp_first_fragment_has_the_length_of_the_datagram() {
        // FreeBSD-EN-22:06: a check of this length against the fragment's broke all of them.
        let datagram = make::udp(inside(), remote(), &[7; 4000]);
        let mut first = make::fragments(&datagram, 1500).swap_remove(0);

        let packet = Packet::parse(&mut first).unwrap();

        let Transport::Udp(udp) = packet.transport() else { panic!("not UDP: {packet}") };
        assert_eq!(udp.payload_len, 4000);
        assert_eq!(packet.transport_payload().len(), 1480 - 8);
        let mut first = make::fragment(&with_udp_length(&datagram, 7), 0, &[0; 8], true);
        first[20 + udp::offset::LENGTH + 1] = 7;
        assert_eq!(fault(&first), Some(Malformed::UdpLength));
    }

    #[test]
    fn shortest_first_fragments_are_taken() {
        let echo = make::echo_request(inside(), [192, 0, 2, 9], 1, &[0; 64]);
        let error = make::icmp_error([10, 0, 0, 1], [10, 0, 0, 2], Report::TTL_EXCEEDED, &udp());
        for whole in [udp(), echo, error] {
            assert_eq!(fault(&make::fragment(&whole, 0, &whole[20..28], true)), None);
        }
    }

    #[test]
    fn icmp_below_eight_bytes() {
        for len in 0..8 {
            let message = [8; 8];
            let packet = make::ip(Protocol::ICMP, [10, 0, 0, 1], [10, 0, 0, 2], &message[..len]);

            assert_eq!(fault(&packet), Some(Malformed::IcmpTruncated));
        }
    }

    #[test]
    fn rfc_5508_req_3_bad_checksum_of_an_error() {
        let mut error =
            make::icmp_error([10, 0, 0, 1], [10, 0, 0, 2], Report::TTL_EXCEEDED, &udp());
        error[40] ^= 1;

        assert_eq!(fault(&error), Some(Malformed::IcmpChecksum));
    }

    #[test]
    fn bad_checksum_of_a_query_is_for_its_receiver() {
        let mut echo = make::echo_request(inside(), [192, 0, 2, 9], 1, b"data");
        echo[22] ^= 1;

        assert_eq!(fault(&echo), None);
    }

    #[test]
    fn bad_transport_checksum_is_for_the_receiver() {
        for mut packet in [udp(), tcp()] {
            let last = packet.len() - 1;
            packet[last] ^= 1;

            assert_eq!(fault(&packet), None);
        }
    }

    #[test]
    fn icmpv6_in_ipv4_is_just_another_protocol() {
        // CVE-2009-0687.
        let mut packet = make::ip(Protocol::ICMPV6, [10, 0, 0, 1], [10, 0, 0, 2], &[]);

        assert_eq!(Packet::parse(&mut packet).unwrap().transport(), Transport::Other);
    }

    #[test]
    fn largest_datagram_is_taken() {
        let datagram = make::udp(inside(), remote(), &[0; 65_507]);

        assert_eq!(datagram.len(), ipv4::MAX_TOTAL_LEN);
        assert_eq!(fault(&datagram), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn packets_made_are_valid(packet in strategy::packet()) {
            prop_assert_eq!(fault(&packet), None);
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            exercise(&bytes);
        }

        #[test]
        fn arbitrary_payloads_do_no_harm(
            protocol in prop::sample::select(&[1_u8, 6, 17, 33, 47, 132, 136]),
            fragment in any::<u16>(),
            payload in proptest::collection::vec(any::<u8>(), 0..120),
        ) {
            let mut packet = make::ip(Protocol(0), [10, 0, 0, 1], [10, 0, 0, 2], &payload);
            packet[ipv4::offset::PROTOCOL] = protocol;
            packet[ipv4::offset::FRAGMENT..][..2].copy_from_slice(&fragment.to_be_bytes());
            make::fill_header_checksum(&mut packet);
            exercise(&packet);
        }

        #[test]
        fn mutated_packets_do_no_harm(
            mut packet in strategy::packet(),
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
            mend in any::<bool>(),
        ) {
            for (index, byte) in edits {
                let index = index.index(packet.len());
                packet[index] = byte;
            }
            exercise(&packet[..cut.index(packet.len() + 1)]);
            // With right checksums a fault gets further in.
            if mend && usize::from(packet[0] & 0x0f) * 4 <= packet.len() && packet[0] & 0x0f >= 5 {
                make::fill_header_checksum(&mut packet);
                if packet.len() >= 28 && packet[ipv4::offset::PROTOCOL] == 1 {
                    make::fill_checksums(&mut packet);
                }
                exercise(&packet);
            }
        }
    }

    /// Calls everything on what parsing lets through.
    fn exercise(bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let Ok(mut packet) = Packet::parse(&mut bytes) else { return };
        let _ = (packet.header(), packet.options().count(), packet.transport_payload().len());
        let _ = (alloc::format!("{packet}"), packet.transport(), packet.tuple());
        let _ = icmp::error::is_permitted(&packet);
        packet.decrement_ttl();
        packet.set_tos(0xb8);
        packet.set_identification(7);
        packet.set_dont_fragment(true);
        packet.rewrite_source(at("203.0.113.1:5000"));
        packet.rewrite_destination(at("192.168.1.3:6000"));
        if let Ok(Some(mut quoted)) = packet.quoted() {
            let _ = (alloc::format!("{quoted:?}"), quoted.tuple(), quoted.tcp_sequence());
            quoted.rewrite_source(at("203.0.113.1:5000"));
            quoted.rewrite_destination(at("192.168.1.3:6000"));
        }
        let kept = packet.into_bytes().to_vec();
        assert_eq!(check(&kept).map(|(_, len)| len), Ok(kept.len()), "{kept:02x?}");
    }

    fn fault(packet: &[u8]) -> Option<Malformed> {
        Packet::parse(&mut packet.to_vec()).err()
    }

    fn inside() -> crate::Endpoint {
        at("192.168.1.3:40000")
    }

    fn remote() -> crate::Endpoint {
        at("203.0.113.178:8888")
    }

    fn udp() -> Vec<u8> {
        make::udp(inside(), remote(), b"payload")
    }

    fn tcp() -> Vec<u8> {
        make::tcp(inside(), remote(), Flags::ACK, 1000, 2000, b"some more payload")
    }

    fn with_total_len(packet: &[u8], len: u16) -> Vec<u8> {
        let mut packet = packet.to_vec();
        packet[ipv4::offset::TOTAL_LEN..][..2].copy_from_slice(&len.to_be_bytes());
        make::fill_header_checksum(&mut packet);
        packet
    }

    fn with_udp_length(packet: &[u8], length: u16) -> Vec<u8> {
        let mut packet = packet.to_vec();
        packet[20 + udp::offset::LENGTH..][..2].copy_from_slice(&length.to_be_bytes());
        packet
    }
}
