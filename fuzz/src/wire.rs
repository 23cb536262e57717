//! Bytes as a packet.
//!
//! What parses can be rewritten, and every checksum comes out as if it had been computed anew: it
//! verifies afterwards if it did before, and else it does not.

use core::net::Ipv4Addr;

use arbitrary::{Arbitrary, Unstructured};
use masq_wire::fragment::{Fragments, reassembled};
use masq_wire::{Endpoint, Malformed, Packet, Protocol, Transport, make};

/// What is done with a packet.
#[derive(Arbitrary, Debug)]
struct Input {
    source: (u32, u16),
    destination: (u32, u16),
    ttl: u8,
    tos: u8,
    mtu: u16,
    /// Checksums are made right first.
    intact: bool,
    /// The length in the header is made right first.
    whole: bool,
}

/// Reads, rewrites, quotes and cuts a packet.
pub fn run(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let Ok(input) = Input::arbitrary(&mut data) else { return };
    let mut bytes = data.take_rest().to_vec();
    if input.whole && bytes.len() >= 20 {
        bytes[0] = 0x40 | (bytes[0] & 0x0f).clamp(5, 15);
        let length = bytes.len().min(65_535) as u16;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        bytes[6..8].copy_from_slice(&[0, 0]);
        make_header_right(&mut bytes);
    }
    if Packet::parse(&mut bytes).is_err() {
        return;
    }
    if input.intact && !is_fragment(&mut bytes) {
        let length = total_len(&mut bytes);
        make::fill_checksums(&mut bytes[..length]);
        // A checksum is part of what is judged (a TCP or ICMP one is not, an IP one is).
        if Packet::parse(&mut bytes).is_err() {
            return;
        }
    }
    look(&mut bytes);
    rewrite(&input, bytes.clone());
    rewrite_quoted(&input, bytes.clone());
    cut(&input, bytes);
}

fn make_header_right(bytes: &mut [u8]) {
    let length = usize::from(bytes[0] & 0x0f) * 4;
    if bytes.len() >= length {
        make::fill_header_checksum(bytes);
    }
}

fn is_fragment(bytes: &mut [u8]) -> bool {
    Packet::parse(bytes).is_ok_and(|packet| packet.is_fragment())
}

fn total_len(bytes: &mut [u8]) -> usize {
    Packet::parse(bytes).map_or(0, |packet| packet.total_len())
}

/// Everything that can be asked.
fn look(bytes: &mut [u8]) {
    let Ok(mut packet) = Packet::parse(bytes) else { return };
    let _ = packet.to_string();
    let _ = (packet.tuple(), packet.ttl(), packet.tos(), packet.identification());
    let _ = (packet.payload().len(), packet.transport_payload().len());
    assert!(packet.header_len() <= packet.total_len());
    assert_eq!(packet.options().count(), packet.options().count());
    let _ = packet.quoted();
}

fn rewrite(input: &Input, mut bytes: Vec<u8>) {
    let end = |(address, port): (u32, u16)| Endpoint::v4(Ipv4Addr::from_bits(address), port);
    let (source, destination) = (end(input.source), end(input.destination));
    let fragment = is_fragment(&mut bytes);
    let verified = !fragment && verifies(&mut bytes);
    let almost = !fragment && !verified && is_other_zero(bytes.clone());
    let Ok(mut packet) = Packet::parse(&mut bytes) else { return };
    let before = packet.tuple();
    let tail = packet.fragment_offset() > 0;
    if before.is_none() && !fragment {
        return;
    }
    let ports = match packet.transport() {
        Transport::Tcp(_) | Transport::Udp(_) => true,
        Transport::FragmentTail
        | Transport::IcmpError(_)
        | Transport::IcmpOther { .. }
        | Transport::IcmpQuery(_)
        | Transport::Other => false,
    };
    packet.rewrite_source(source);
    packet.rewrite_destination(destination);
    if packet.ttl() > 1 {
        packet.decrement_ttl();
    }
    packet.set_ttl(input.ttl);
    packet.set_tos(input.tos);
    assert_eq!(Endpoint { addr: packet.source().into(), port: 0 }, source.with_port(0));
    assert_eq!(Endpoint { addr: packet.destination().into(), port: 0 }, destination.with_port(0));
    if let (Some(tuple), true, false) = (packet.tuple(), ports, tail) {
        assert_eq!((tuple.source, tuple.destination), (source, destination));
    }
    assert!(Packet::parse(&mut bytes).is_ok(), "still a packet");
    if !fragment {
        let verifies = verifies(&mut bytes);
        assert!(verifies == verified || almost, "right stays right, and wrong stays wrong");
        if verified {
            assert_as_computed(bytes);
        }
    }
}

/// Whether the transport checksum is wrong in nothing but which of the two zeros of one's complement
/// it is (RFC 1624 §3). An update cannot tell them apart; no sender computes the wrong one.
fn is_other_zero(mut bytes: Vec<u8>) -> bool {
    let Ok(packet) = Packet::parse(&mut bytes) else { return false };
    let at = packet.header_len()
        + match packet.protocol() {
            Protocol::TCP => 16,
            Protocol::UDP => 6,
            Protocol::ICMP => 2,
            _ => return false,
        };
    let Some(checksum) = bytes.get_mut(at..at + 2) else { return false };
    if checksum != [0; 2] && checksum != [0xff; 2] {
        return false;
    }
    checksum.iter_mut().for_each(|byte| *byte = !*byte);
    verifies(&mut bytes)
}

/// An updated checksum is the one that a sender would have computed.
fn assert_as_computed(mut bytes: Vec<u8>) {
    let length = total_len(&mut bytes);
    let mut anew = bytes[..length].to_vec();
    make::fill_checksums(&mut anew);
    if anew != bytes[..length] {
        // One's complement has two zeros: who received a checksum of all ones where zeros were due
        // keeps to it, and both verify.
        assert!(make::checksums_verify(&bytes[..length]));
        let differing: Vec<_> = (0..length).filter(|i| anew[*i] != bytes[*i]).collect();
        let zeros = differing.iter().all(|i| anew[*i] ^ bytes[*i] == 0xff);
        assert!(zeros && differing.len() == 2, "{differing:?}");
    }
}

fn verifies(bytes: &mut [u8]) -> bool {
    let length = total_len(bytes);
    make::checksums_verify(&bytes[..length])
}

fn rewrite_quoted(input: &Input, mut bytes: Vec<u8>) {
    let fragment = is_fragment(&mut bytes);
    let verified = !fragment && verifies(&mut bytes);
    let Ok(mut packet) = Packet::parse(&mut bytes) else { return };
    let end = |(address, port): (u32, u16)| Endpoint::v4(Ipv4Addr::from_bits(address), port);
    let Ok(Some(mut quoted)) = packet.quoted() else { return };
    let _ = (quoted.tuple(), quoted.tcp_sequence(), quoted.is_icmp_error());
    if quoted.tuple().is_none() {
        return;
    }
    quoted.rewrite_source(end(input.source));
    quoted.rewrite_destination(end(input.destination));
    assert_eq!(quoted.source(), Ipv4Addr::from_bits(input.source.0));
    assert_eq!(quoted.destination(), Ipv4Addr::from_bits(input.destination.0));
    if verified {
        assert!(verifies(&mut bytes), "the error's own checksum covers what it quotes");
    }
}

/// Cut and put together again is as before.
fn cut(input: &Input, mut bytes: Vec<u8>) {
    let length = total_len(&mut bytes);
    bytes.truncate(length);
    let Ok(packet) = Packet::parse(&mut bytes) else { return };
    let Ok(fragments) = Fragments::new(&packet, usize::from(input.mtu)) else { return };
    let mut out = vec![0; usize::from(input.mtu)];
    let mut together = packet.bytes()[..packet.header_len()].to_vec();
    let whole = !packet.is_fragment();
    let mut count = 0;
    for fragment in fragments.clone() {
        let written = fragments.write(&fragment, packet.bytes(), &mut out);
        let length = written.expect("a buffer of the MTU holds any fragment");
        assert!(length <= usize::from(input.mtu));
        match Packet::parse(&mut out[..length]) {
            Ok(piece) => together.extend_from_slice(piece.payload()),
            // Links this narrow are legal (68 bytes, RFC 791 §3.2). The header of TCP is cut by them: its
            // 20 bytes need three units of eight.
            Err(Malformed::TinyFragment | Malformed::FragmentWithinTcpHeader)
                if usize::from(input.mtu) < packet.header_len() + 24 =>
            {
                return;
            }
            Err(error) => panic!("a fragment is a packet: {error}"),
        }
        count += 1;
    }
    assert_eq!(together[packet.header_len()..], *packet.payload());
    if whole && count > 1 && together.len() == length {
        let _ = reassembled(&mut together);
    }
}
