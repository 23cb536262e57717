//! Packets in one line, in the manner of tcpdump.

use core::fmt;

use crate::icmp::{kind, time_exceeded, unreachable};
use crate::quoted;
use crate::transport::{IcmpError, IcmpQuery, Tcp, Transport};
use crate::{Malformed, Packet, Protocol, Tuple};

impl fmt::Display for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, destination) = (self.source(), self.destination());
        match self.transport() {
            Transport::FragmentTail | Transport::Other => {
                write!(f, "{source} > {destination}: {}", self.protocol())?;
                write!(f, ", length {}", self.payload().len())?;
            }
            Transport::IcmpError(error) => {
                write!(f, "{source} > {destination}: icmp ")?;
                write_error(f, &error, self.payload())?;
                write!(f, ", length {}", self.payload().len())?;
            }
            Transport::IcmpOther { kind, code } => {
                write!(f, "{source} > {destination}: icmp type {kind} code {code}")?;
                write!(f, ", length {}", self.payload().len())?;
            }
            Transport::IcmpQuery(query) => {
                write!(f, "{source} > {destination}: icmp ")?;
                write_query(f, &query)?;
                write!(f, ", length {}", self.payload().len())?;
            }
            Transport::Tcp(tcp) => {
                write!(
                    f,
                    "{source}.{} > {destination}.{}: ",
                    tcp.source_port, tcp.destination_port
                )?;
                write_tcp(f, &tcp)?;
            }
            Transport::Udp(udp) => {
                write!(
                    f,
                    "{source}.{} > {destination}.{}: ",
                    udp.source_port, udp.destination_port
                )?;
                write!(f, "udp, length {}", udp.payload_len)?;
            }
        }
        if self.is_fragment() {
            let more = if self.more_fragments() { "+" } else { "" };
            let (id, len, at) =
                (self.identification(), self.payload().len(), self.fragment_offset());
            write!(f, " (frag {id}:{len}@{at}{more})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for quoted::Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_quoted(f, Ok((self.protocol(), self.tuple())))
    }
}

fn write_tcp(f: &mut fmt::Formatter<'_>, tcp: &Tcp) -> fmt::Result {
    write!(f, "tcp [")?;
    // The letters of tcpdump, in its order.
    for (bit, letter) in "FSRP.UEW".chars().enumerate() {
        if tcp.flags.bits() >> bit & 1 == 1 {
            write!(f, "{letter}")?;
        }
    }
    write!(f, "], seq {}, ack {}, win {}", tcp.sequence, tcp.acknowledgment, tcp.window)?;
    write!(f, ", length {}", tcp.payload_len)
}

fn write_query(f: &mut fmt::Formatter<'_>, query: &IcmpQuery) -> fmt::Result {
    let name = match query.kind {
        kind::ECHO_REPLY | kind::ECHO_REQUEST => "echo",
        kind::TIMESTAMP_REPLY | kind::TIMESTAMP_REQUEST => "timestamp",
        kind::MASK_REPLY | kind::MASK_REQUEST => "address mask",
        _ => "information",
    };
    let direction = if query.request { "request" } else { "reply" };
    write!(f, "{name} {direction}, id {}, seq {}", query.id, query.sequence)
}

fn write_error(f: &mut fmt::Formatter<'_>, error: &IcmpError, message: &[u8]) -> fmt::Result {
    match (error.kind, error.code) {
        (kind::DESTINATION_UNREACHABLE, unreachable::NETWORK) => write!(f, "network unreachable")?,
        (kind::DESTINATION_UNREACHABLE, unreachable::HOST) => write!(f, "host unreachable")?,
        (kind::DESTINATION_UNREACHABLE, unreachable::PROTOCOL) => {
            write!(f, "protocol unreachable")?;
        }
        (kind::DESTINATION_UNREACHABLE, unreachable::PORT) => write!(f, "port unreachable")?,
        (kind::DESTINATION_UNREACHABLE, unreachable::FRAGMENTATION_NEEDED) => {
            write!(f, "fragmentation needed, mtu {}", error.mtu.unwrap_or(0))?;
        }
        (
            kind::DESTINATION_UNREACHABLE,
            unreachable::NETWORK_PROHIBITED
            | unreachable::HOST_PROHIBITED
            | unreachable::ADMINISTRATIVELY_PROHIBITED,
        ) => write!(f, "prohibited (code {})", error.code)?,
        (kind::DESTINATION_UNREACHABLE, code) => write!(f, "unreachable (code {code})")?,
        (kind::TIME_EXCEEDED, time_exceeded::TTL) => write!(f, "time exceeded in transit")?,
        (kind::TIME_EXCEEDED, _) => write!(f, "time exceeded in reassembly")?,
        (kind::PARAMETER_PROBLEM, code) => write!(f, "parameter problem (code {code})")?,
        (kind::REDIRECT, code) => write!(f, "redirect (code {code})")?,
        (_, _) => write!(f, "source quench")?,
    }
    write!(f, " about [")?;
    write_quoted(f, quoted::peek(message))?;
    write!(f, "]")
}

fn write_quoted(
    f: &mut fmt::Formatter<'_>,
    quoted: Result<(Protocol, Option<Tuple>), Malformed>,
) -> fmt::Result {
    match quoted {
        Ok((_, Some(tuple))) => write!(f, "{tuple}"),
        Ok((protocol, None)) => write!(f, "{protocol}"),
        Err(malformed) => write!(f, "{malformed}"),
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use super::*;
    use crate::icmp::error::Report;
    use crate::make::{self, at};
    use crate::tcp::Flags;

    #[test]
    fn packets_in_one_line() {
        let (inside, remote) = (at("192.168.1.3:40000"), at("203.0.113.178:8888"));
        let from = |report| {
            let about = make::udp(inside, remote, b"data");
            make::icmp_error([198, 51, 100, 1], inside.addr, report, &about)
        };
        let expected = [
            (
                make::tcp(inside, remote, Flags::SYN | Flags::ECE, 1, 2, b"abc"),
                "192.168.1.3.40000 > 203.0.113.178.8888: tcp [SE], seq 1, ack 2, win 64240, length 3",
            ),
            (
                make::udp(inside, remote, b"data"),
                "192.168.1.3.40000 > 203.0.113.178.8888: udp, length 4",
            ),
            (
                make::echo_request(inside, remote.addr, 7, &[0; 56]),
                "192.168.1.3 > 203.0.113.178: icmp echo request, id 40000, seq 7, length 64",
            ),
            (
                make::echo_reply(remote.addr, inside, 7, &[0; 56]),
                "203.0.113.178 > 192.168.1.3: icmp echo reply, id 40000, seq 7, length 64",
            ),
            (
                make::icmp(inside.addr, remote.addr, 10, 0, [0; 4], &[]),
                "192.168.1.3 > 203.0.113.178: icmp type 10 code 0, length 8",
            ),
            (
                make::ip(Protocol::GRE, inside.addr, remote.addr, &[0; 12]),
                "192.168.1.3 > 203.0.113.178: gre, length 12",
            ),
            (
                from(Report::fragmentation_needed(1280)),
                "198.51.100.1 > 192.168.1.3: icmp fragmentation needed, mtu 1280 \
                 about [udp 192.168.1.3:40000 -> 203.0.113.178:8888], length 40",
            ),
            (
                from(Report::TTL_EXCEEDED),
                "198.51.100.1 > 192.168.1.3: icmp time exceeded in transit \
                 about [udp 192.168.1.3:40000 -> 203.0.113.178:8888], length 40",
            ),
        ];
        for (packet, line) in expected {
            assert_eq!(line_of(packet), line);
        }
    }

    #[test]
    fn fragments_in_one_line() {
        let datagram = make::udp(at("192.168.1.3:40000"), at("203.0.113.178:8888"), &[0; 64]);

        let lines: Vec<_> = make::fragments(&datagram, 60).into_iter().map(line_of).collect();

        assert_eq!(
            lines,
            [
                "192.168.1.3.40000 > 203.0.113.178.8888: udp, length 64 (frag 4660:40@0+)",
                "192.168.1.3 > 203.0.113.178: udp, length 32 (frag 4660:32@40)",
            ]
        );
    }

    #[test]
    fn every_error_has_words() {
        let words = |kind, code| {
            let report = Report { kind, code, rest: [0; 4] };
            line_of(make::icmp_error([10, 0, 0, 1], [10, 0, 0, 2], report, &[]))
        };
        let expected = [
            ((3, 0), "network unreachable"),
            ((3, 1), "host unreachable"),
            ((3, 2), "protocol unreachable"),
            ((3, 3), "port unreachable"),
            ((3, 4), "fragmentation needed, mtu 0"),
            ((3, 5), "unreachable (code 5)"),
            ((3, 13), "prohibited (code 13)"),
            ((4, 0), "source quench"),
            ((5, 1), "redirect (code 1)"),
            ((11, 0), "time exceeded in transit"),
            ((11, 1), "time exceeded in reassembly"),
            ((12, 0), "parameter problem (code 0)"),
        ];
        for ((kind, code), text) in expected {
            let about = "about [ICMP error quotes too little of its packet]";
            let line = format!("10.0.0.1 > 10.0.0.2: icmp {text} {about}, length 8");
            assert_eq!(words(kind, code), line);
        }
    }

    #[test]
    fn quoted_packet_prints_its_tuple() {
        let about = make::udp(at("192.168.1.3:40000"), at("203.0.113.178:8888"), b"data");
        let mut error =
            make::icmp_error([10, 0, 0, 1], [10, 0, 0, 2], Report::TTL_EXCEEDED, &about);
        let mut packet = Packet::parse(&mut error).unwrap();

        let quoted = packet.quoted().unwrap().unwrap();

        assert_eq!(format!("{quoted:?}"), "udp 192.168.1.3:40000 -> 203.0.113.178:8888");
    }

    fn line_of(mut packet: Vec<u8>) -> String {
        Packet::parse(&mut packet).unwrap().to_string()
    }
}
