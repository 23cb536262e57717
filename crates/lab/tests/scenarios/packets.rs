//! Packets made octet by octet, right ones and wrong ones.

use core::net::Ipv4Addr;

/// Packets of every kind that nobody should send, from the port of an echo service to a port in use and
/// the other way round. Header checksums are right except where that is the point.
pub(crate) fn malformed(from: Ipv4Addr, to: Ipv4Addr) -> Vec<Vec<u8>> {
    let udp = |length: u16| {
        let mut head = vec![0x9c, 0x40, 0, 7];
        head.extend(length.to_be_bytes());
        head.extend([0, 0, b'x', b'x']);
        head
    };
    let tcp = |offset: u8| {
        let mut head = vec![0x9c, 0x40, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0, offset << 4, 2];
        head.extend([0xff, 0xff, 0, 0, 0, 0]);
        head
    };
    let whole = |protocol, payload: &[u8]| ipv4(from, to, protocol, payload);
    let changed = |at: usize, value: u8| {
        let mut packet = whole(17, &udp(10));
        packet[at] = value;
        checksum(&mut packet);
        packet
    };
    let mut packets = vec![
        changed(0, 0x55),                          // version 5
        changed(0, 0x44),                          // header of 16 octets
        changed(0, 0x4f),                          // header beyond the packet
        changed(3, 19),                            // total length less than the header
        changed(2, 0xff),                          // total length beyond the packet
        changed(8, 0),                             // no time to live
        whole(17, &udp(7)),                        // UDP length less than its header
        whole(17, &udp(0)),                        // UDP length zero
        whole(17, &udp(500)),                      // UDP length beyond the packet
        whole(17, &[0x9c, 0x40]),                  // half of the ports
        whole(17, &[]),                            // nothing at all
        whole(6, &tcp(4)),                         // TCP header of 16 octets
        whole(6, &tcp(15)),                        // TCP header beyond the packet
        whole(6, &tcp(5)[..10]),                   // TCP cut off
        whole(1, &[8, 0]),                         // ICMP cut off
        whole(1, &[8, 0, 0, 0, 0, 0, 0, 0]),       // bad ICMP checksum
        whole(1, &[3, 3, 0xfc, 0xfc, 0, 0, 0, 0]), // an error about nothing
        vec![0x45],
        Vec::from([0x45; 20]),
    ];
    // A wrong header checksum.
    let mut packet = whole(17, &udp(10));
    packet[10] ^= 0xff;
    packets.push(packet);
    // Options whose length is zero, or beyond their end.
    for length in [0, 1, 40] {
        let mut packet = whole(17, &udp(10));
        packet.splice(20..20, [7, length, 4, 0]);
        packet[0] = 0x46;
        packet[3] += 4;
        checksum(&mut packet);
        packets.push(packet);
    }
    // A fragment that would end beyond 64 KB, and a first fragment without whole ports.
    for (high, low, payload) in [(0x1f, 0xff, &udp(10)[..]), (0x20, 0, &[0x9c, 0x40])] {
        let mut packet = whole(17, payload);
        packet[6] = high;
        packet[7] = low;
        checksum(&mut packet);
        packets.push(packet);
    }
    // From itself to itself, from everybody, from nobody, from a group, from this host.
    let sources = [
        to,
        Ipv4Addr::BROADCAST,
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::new(224, 0, 0, 1),
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::new(240, 0, 0, 1),
    ];
    packets.extend(sources.map(|source| ipv4(source, to, 17, &udp(10))));
    packets
}

/// An IPv4 packet with a right header checksum.
pub(crate) fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 64, protocol, 0, 0];
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(payload);
    packet[2..4].copy_from_slice(&((20 + payload.len()) as u16).to_be_bytes());
    checksum(&mut packet);
    packet
}

/// The header checksum of what the first octet says is the header, as far as it is there.
pub(crate) fn checksum(packet: &mut [u8]) {
    let header = (usize::from(packet[0] & 0xf) * 4).clamp(20, packet.len());
    packet[10..12].fill(0);
    let words = packet[..header].chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    packet[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
}

/// A UDP datagram without a checksum, from one port to another.
pub(crate) fn udp(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::from(from.1.to_be_bytes());
    datagram.extend(to.1.to_be_bytes());
    datagram.extend(((8 + payload.len()) as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    ipv4(from.0, to.0, 17, &datagram)
}
