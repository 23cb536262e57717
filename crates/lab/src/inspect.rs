//! The judge of what may be seen outside, independent of the code that it judges.
//!
//! Everything private in the lab is inside, so a packet from the gateway betrays the inside when a
//! private address (RFC 1918) is its source, stands in its IP options, is the sender of an ARP
//! message, or is quoted in an ICMP error as either end of the packet in error.

use core::fmt::Write;
use core::net::Ipv4Addr;

/// Ethertype of IPv4.
pub(crate) const IPV4: u16 = 0x0800;
/// Ethertype of ARP.
pub(crate) const ARP: u16 = 0x0806;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Says which inside address a packet shows, if it does. The packet begins with its network header
/// and may be cut short.
pub(crate) fn leak(ethertype: u16, packet: &[u8]) -> Option<String> {
    match ethertype {
        ARP => {
            let sender = address(packet, 14)?;
            sender.is_private().then(|| format!("ARP sender is {sender}"))
        }
        IPV4 => leak_in_ipv4(packet),
        _ => None,
    }
}

fn leak_in_ipv4(packet: &[u8]) -> Option<String> {
    let header = header_length(packet)?;
    let source = address(packet, 12)?;
    if source.is_private() {
        return Some(format!("source is {source}"));
    }
    if let Some(inside) = addresses_in_options(packet.get(20..header)?).find(Ipv4Addr::is_private) {
        return Some(format!("IP options hold {inside}"));
    }
    let quoted = quoted(packet)?;
    let ends = [address(quoted, 12)?, address(quoted, 16)?];
    let inside = ends.into_iter().find(Ipv4Addr::is_private)?;
    Some(format!("an ICMP error quotes {inside}"))
}

/// The packet inside an ICMP error, or what of it is there.
pub(crate) fn quoted(packet: &[u8]) -> Option<&[u8]> {
    let icmp = packet.get(header_length(packet)?..)?;
    let is_error = matches!(icmp.first()?, 3 | 4 | 5 | 11 | 12);
    (packet.get(9) == Some(&ICMP) && fragment_offset(packet)? == 0 && is_error)
        .then(|| icmp.get(8..))?
}

/// The addresses that record-route, source-route and timestamp options carry, and some that
/// are none: every aligned word after the three or four octets of an option's head.
fn addresses_in_options(options: &[u8]) -> impl Iterator<Item = Ipv4Addr> {
    let mut rest = options;
    let mut found = Vec::new();
    while let [kind, after @ ..] = rest
        && *kind != 0
    {
        if *kind == 1 {
            rest = after;
            continue;
        }
        let length = after.first().map_or(0, |length| usize::from(*length));
        let Some((option, next)) = rest.split_at_checked(length.max(2)) else { break };
        let head = if *kind == 68 { 4 } else { 3 };
        for word in option.get(head..).unwrap_or_default().chunks_exact(4) {
            found.push(Ipv4Addr::new(word[0], word[1], word[2], word[3]));
        }
        rest = next;
    }
    found.into_iter()
}

/// One line about a packet, as tcpdump would print it.
pub(crate) fn describe(ethertype: u16, packet: &[u8]) -> String {
    match ethertype {
        ARP => describe_arp(packet).unwrap_or_else(|| "ARP, truncated".to_owned()),
        IPV4 => describe_ipv4(packet).unwrap_or_else(|| "IPv4, truncated".to_owned()),
        other => format!("ethertype {other:#06x}"),
    }
}

fn describe_arp(packet: &[u8]) -> Option<String> {
    let (sender, target) = (address(packet, 14)?, address(packet, 24)?);
    Some(match word(packet, 6)? {
        1 => format!("ARP who has {target}, tell {sender}"),
        _ => format!("ARP {sender} is here, for {target}"),
    })
}

fn describe_ipv4(packet: &[u8]) -> Option<String> {
    let header = header_length(packet)?;
    let (source, destination) = (address(packet, 12)?, address(packet, 16)?);
    let (total, identification) = (word(packet, 2)?, word(packet, 4)?);
    let (ttl, protocol) = (*packet.get(8)?, *packet.get(9)?);
    let offset = fragment_offset(packet)?;
    let transport = packet.get(header..)?;
    let mut line = String::new();
    let ports = |transport: &[u8]| Some((word(transport, 0)?, word(transport, 2)?));
    match (protocol, ports(transport)) {
        (TCP | UDP, Some((from, to))) if offset == 0 => {
            let _ = write!(line, "{source}:{from} > {destination}:{to} ");
            if protocol == TCP {
                let flags = transport.get(13).copied().unwrap_or(0);
                let letters = ["F", "S", "R", "P", ".", "U"].into_iter().enumerate();
                let set = letters.filter(|(bit, _)| flags >> bit & 1 == 1).map(|(_, l)| l);
                let _ = write!(line, "TCP {}", set.collect::<String>());
            } else {
                line.push_str("UDP");
            }
        }
        (ICMP, Some((kind, _))) if offset == 0 => {
            let _ = write!(line, "{source} > {destination} ICMP {}/{}", kind >> 8, kind & 0xff);
            if let Some(quoted) = quoted(packet) {
                let _ = write!(line, " about [{}]", describe(IPV4, quoted));
            }
        }
        _ => {
            let _ = write!(line, "{source} > {destination} protocol {protocol}");
        }
    }
    let _ = write!(line, " length {total} ttl {ttl}");
    let more = packet.get(6)? & 0x20 != 0;
    if more || offset > 0 {
        let plus = if more { "+" } else { "" };
        let _ = write!(line, " fragment {offset}{plus} of {identification}");
    }
    Some(line)
}

fn header_length(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let length = usize::from(first & 0xf) * 4;
    (first >> 4 == 4 && (20..=packet.len()).contains(&length)).then_some(length)
}

fn fragment_offset(packet: &[u8]) -> Option<usize> {
    Some(usize::from(word(packet, 6)? & 0x1fff) * 8)
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(octets.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSIDE: [u8; 4] = [192, 168, 1, 3];
    const OUTSIDE: [u8; 4] = [203, 0, 113, 1];
    const REMOTE: [u8; 4] = [203, 0, 113, 178];

    #[test]
    fn an_inside_source_is_a_leak_and_an_outside_one_is_not() {
        let leaked = ipv4(17, INSIDE, REMOTE, &[0; 8]);
        assert_eq!(leak(IPV4, &leaked).unwrap(), "source is 192.168.1.3");
        assert_eq!(leak(IPV4, &ipv4(17, OUTSIDE, REMOTE, &[0; 8])), None);
    }

    #[test]
    fn an_inside_address_quoted_in_an_error_is_a_leak() {
        for quoted in [ipv4(17, REMOTE, INSIDE, &[0; 8]), ipv4(17, INSIDE, REMOTE, &[0; 8])] {
            let error = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &quoted].concat();
            let found = leak(IPV4, &ipv4(1, OUTSIDE, REMOTE, &error)).unwrap();
            assert_eq!(found, "an ICMP error quotes 192.168.1.3");
        }
    }

    #[test]
    fn an_echo_may_carry_what_it_likes() {
        let echo = [&[8, 0, 0, 0, 0, 0, 0, 0][..], &ipv4(17, INSIDE, REMOTE, &[])].concat();
        assert_eq!(leak(IPV4, &ipv4(1, OUTSIDE, REMOTE, &echo)), None);
    }

    #[test]
    fn a_recorded_route_is_a_leak() {
        let mut packet = ipv4(17, OUTSIDE, REMOTE, &[]);
        packet[0] = 0x47;
        packet.extend([7, 7, 8, 192, 168, 1, 1, 0]);
        assert_eq!(leak(IPV4, &packet).unwrap(), "IP options hold 192.168.1.1");
    }

    #[test]
    fn cut_packets_are_described_and_never_panic() {
        let error = [&[11, 0, 0, 0, 0, 0, 0, 0][..], &ipv4(6, OUTSIDE, REMOTE, &[0; 20])].concat();
        let whole = ipv4(1, REMOTE, OUTSIDE, &error);
        for length in 0..whole.len() {
            describe(IPV4, &whole[..length]);
            describe(ARP, &whole[..length]);
            leak(IPV4, &whole[..length]);
            leak(ARP, &whole[..length]);
        }
        assert!(describe(IPV4, &whole).contains("ICMP 11/0 about [203.0.113.1:0 >"));
    }

    fn ipv4(protocol: u8, source: [u8; 4], destination: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let total = (20 + payload.len()) as u16;
        let mut packet = vec![0x45, 0, 0, 0, 0, 7, 0, 0, 64, protocol, 0, 0];
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        packet.extend(source);
        packet.extend(destination);
        packet.extend(payload);
        packet
    }
}
