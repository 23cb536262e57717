//! Who talks to whom: protocols, endpoints and the tuple that a packet carries.
//!
//! A query of ICMP has an identifier in the place of ports. A request carries it as the port of its source
//! and a reply as the port of its destination; the other port is zero. So a ping looks like UDP from
//! "port identifier", and [`Tuple::reversed`] of the request is the tuple of the reply. Protocols without
//! ports (and those whose ports are not translated) have zero in both places.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use core::str::FromStr;

use zerocopy::FromBytes as _;
use zerocopy::network_endian::U16;

use crate::ipv4;

/// A protocol of the internet layer's payload, by its assigned number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Protocol(pub u8);

impl Protocol {
    pub const ICMP: Self = Self(1);
    pub const IGMP: Self = Self(2);
    /// IPv4 in IPv4 (RFC 2003).
    pub const IPIP: Self = Self(4);
    pub const TCP: Self = Self(6);
    pub const UDP: Self = Self(17);
    pub const DCCP: Self = Self(33);
    /// IPv6 in IPv4 (RFC 4213).
    pub const IPV6: Self = Self(41);
    pub const GRE: Self = Self(47);
    pub const ESP: Self = Self(50);
    pub const AH: Self = Self(51);
    pub const ICMPV6: Self = Self(58);
    pub const OSPF: Self = Self(89);
    pub const SCTP: Self = Self(132);
    pub const UDP_LITE: Self = Self(136);

    /// Numbers and names; a name is what `/etc/protocols` calls it, in lower case.
    const NAMES: [(Self, &'static str); 14] = [
        (Self::ICMP, "icmp"),
        (Self::IGMP, "igmp"),
        (Self::IPIP, "ipip"),
        (Self::TCP, "tcp"),
        (Self::UDP, "udp"),
        (Self::DCCP, "dccp"),
        (Self::IPV6, "ipv6"),
        (Self::GRE, "gre"),
        (Self::ESP, "esp"),
        (Self::AH, "ah"),
        (Self::ICMPV6, "ipv6-icmp"),
        (Self::OSPF, "ospf"),
        (Self::SCTP, "sctp"),
        (Self::UDP_LITE, "udplite"),
    ];

    /// The name, for protocols that have a constant here.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Self::NAMES.iter().find(|(protocol, _)| *protocol == self).map(|(_, name)| *name)
    }

    /// Whether a tuple of this protocol has ports (or the identifier of ICMP queries).
    #[inline(always)]
    #[must_use]
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::ICMP | Self::TCP | Self::UDP)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => self.0.fmt(f),
        }
    }
}

/// A protocol is neither a name we know nor a number up to 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a protocol: neither a known name nor a number from 0 to 255")]
pub struct UnknownProtocol;

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    /// Reads a name in either case, or a number.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(number) = text.parse() {
            return Ok(Self(number));
        }
        if text.eq_ignore_ascii_case("icmpv6") {
            return Ok(Self::ICMPV6);
        }
        Self::NAMES
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(text))
            .map(|(protocol, _)| *protocol)
            .ok_or(UnknownProtocol)
    }
}

/// An address and a port (the identifier, for queries of ICMP; zero where there is none).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    pub addr: IpAddr,
    pub port: u16,
}

impl Endpoint {
    #[inline(always)]
    #[must_use]
    pub const fn new(addr: IpAddr, port: u16) -> Self {
        Self { addr, port }
    }

    #[inline(always)]
    #[must_use]
    pub const fn v4(addr: Ipv4Addr, port: u16) -> Self {
        Self { addr: IpAddr::V4(addr), port }
    }

    /// The same port at another address.
    #[inline(always)]
    #[must_use]
    pub const fn with_addr(self, addr: IpAddr) -> Self {
        Self { addr, port: self.port }
    }

    /// Another port of the same address.
    #[inline(always)]
    #[must_use]
    pub const fn with_port(self, port: u16) -> Self {
        Self { addr: self.addr, port }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::from(*self).fmt(f)
    }
}

impl FromStr for Endpoint {
    type Err = core::net::AddrParseError;

    /// Reads `192.0.2.1:80` or `[2001:db8::1]:80`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<SocketAddr>().map(Self::from)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(socket: SocketAddr) -> Self {
        Self { addr: socket.ip(), port: socket.port() }
    }
}

impl From<SocketAddrV4> for Endpoint {
    fn from(socket: SocketAddrV4) -> Self {
        SocketAddr::V4(socket).into()
    }
}

impl From<SocketAddrV6> for Endpoint {
    fn from(socket: SocketAddrV6) -> Self {
        SocketAddr::V6(socket).into()
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(endpoint: Endpoint) -> Self {
        Self::new(endpoint.addr, endpoint.port)
    }
}

/// Protocol, source and destination, as one packet carries them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    pub protocol: Protocol,
    pub source: Endpoint,
    pub destination: Endpoint,
}

impl Tuple {
    #[inline(always)]
    #[must_use]
    pub const fn new(protocol: Protocol, source: Endpoint, destination: Endpoint) -> Self {
        Self { protocol, source, destination }
    }

    /// The tuple that a packet of TCP or UDP seems to have, without any check: for guesses only.
    #[must_use]
    pub fn peek(packet: &[u8]) -> Option<Self> {
        let (header, rest) = ipv4::Header::ref_from_prefix(packet).ok()?;
        let ([source, destination], _) = <[U16; 2]>::ref_from_prefix(rest).ok()?;
        let protocol = header.protocol();
        let plain = header.version() == 4 && header.header_len() == ipv4::HEADER_LEN;
        if !plain || !matches!(protocol, Protocol::TCP | Protocol::UDP) {
            return None;
        }
        let source = Endpoint::v4(header.source(), source.get());
        let destination = Endpoint::v4(header.destination(), destination.get());
        Some(Self { protocol, source, destination })
    }

    /// The tuple of an answer to this packet.
    #[inline(always)]
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self { protocol: self.protocol, source: self.destination, destination: self.source }
    }
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.protocol, self.source, self.destination)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        text.parse().unwrap()
    }

    #[test]
    fn protocols_print_and_parse_by_name() {
        for (protocol, name) in Protocol::NAMES {
            assert_eq!(protocol.to_string(), name);
            assert_eq!(name.parse(), Ok(protocol));
            assert_eq!(name.to_uppercase().parse(), Ok(protocol));
        }
        assert_eq!("icmpv6".parse(), Ok(Protocol::ICMPV6));
    }

    #[test]
    fn other_protocols_print_and_parse_as_numbers() {
        assert_eq!(Protocol(253).to_string(), "253");
        assert_eq!("253".parse(), Ok(Protocol(253)));
        assert_eq!("6".parse(), Ok(Protocol::TCP));
        assert_eq!("256".parse::<Protocol>(), Err(UnknownProtocol));
        assert_eq!("tpc".parse::<Protocol>(), Err(UnknownProtocol));
    }

    #[test]
    fn endpoints_print_as_sockets_do() {
        assert_eq!(endpoint("192.0.2.1:80").to_string(), "192.0.2.1:80");
        assert_eq!(endpoint("[2001:db8::1]:80").to_string(), "[2001:db8::1]:80");
    }

    #[test]
    fn tuple_prints_in_the_direction_of_the_packet() {
        let tuple = Tuple::new(
            Protocol::TCP,
            endpoint("192.168.1.3:40000"),
            endpoint("203.0.113.178:8888"),
        );

        assert_eq!(tuple.to_string(), "tcp 192.168.1.3:40000 -> 203.0.113.178:8888");
        assert_eq!(tuple.reversed().to_string(), "tcp 203.0.113.178:8888 -> 192.168.1.3:40000");
        assert_eq!(tuple.reversed().reversed(), tuple);
    }
}
