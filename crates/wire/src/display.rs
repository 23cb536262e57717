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
