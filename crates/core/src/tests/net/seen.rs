//! A packet that has left the gateway.

use core::fmt;
use core::net::Ipv4Addr;

use masq_wire::icmp::error::Report;
use masq_wire::{Endpoint, Packet, Transport, Tuple, make};

use super::{INSIDE, OUTSIDE};
use crate::{NextHopId, PortId};

/// Where a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tests) enum Way {
    Inside,
    /// To the gateway itself.
    Local,
    Outside,
}

impl Way {
    pub(super) fn of(port: PortId) -> Self {
        match port {
            INSIDE => Self::Inside,
            OUTSIDE => Self::Outside,
            _ => panic!("something leaves by interface {port}"),
        }
    }
}

/// A packet that has left the gateway, as the one who gets it sees it.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::tests) struct Seen {
    way: Way,
    next_hop: NextHopId,
    bytes: Vec<u8>,
}

/// An ICMP error that has left the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tests) struct SeenError {
    pub(in crate::tests) kind: u8,
    pub(in crate::tests) code: u8,
    pub(in crate::tests) mtu: Option<u16>,
    /// With padding, without extensions.
    pub(in crate::tests) quoted: Vec<u8>,
    pub(in crate::tests) extensions: Vec<u8>,
}

impl Seen {
    pub(super) const fn new(way: Way, next_hop: NextHopId, bytes: Vec<u8>) -> Self {
        Self { way, next_hop, bytes }
    }

    pub(in crate::tests) const fn way(&self) -> Way {
        self.way
    }

    pub(in crate::tests) const fn next_hop(&self) -> NextHopId {
        self.next_hop
    }

    pub(in crate::tests) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads something off the packet.
    pub(in crate::tests) fn read<T>(&self, look: impl FnOnce(Packet<'_>) -> T) -> T {
        look(Packet::parse(&mut self.bytes.clone()).expect("what leaves is well-formed"))
    }

    #[track_caller]
    pub(in crate::tests) fn tuple(&self) -> Tuple {
        self.read(|packet| packet.tuple()).expect("a packet with a tuple")
    }

    #[track_caller]
    pub(in crate::tests) fn source(&self) -> Endpoint {
        self.tuple().source
    }

    #[track_caller]
    pub(in crate::tests) fn destination(&self) -> Endpoint {
        self.tuple().destination
    }

    /// From where to where, by address.
    pub(in crate::tests) fn addresses(&self) -> (Ipv4Addr, Ipv4Addr) {
        self.read(|packet| (packet.source(), packet.destination()))
    }

    pub(in crate::tests) fn ttl(&self) -> u8 {
        self.read(|packet| packet.ttl())
    }

    pub(in crate::tests) fn identification(&self) -> u16 {
        self.read(|packet| packet.identification())
    }

    /// What follows the IP header.
    pub(in crate::tests) fn payload(&self) -> Vec<u8> {
        self.read(|packet| packet.payload().to_vec())
    }

    /// What follows the transport header.
    pub(in crate::tests) fn data(&self) -> Vec<u8> {
        self.read(|packet| packet.transport_payload().to_vec())
    }

    pub(in crate::tests) fn is_error(&self) -> bool {
        self.read(|packet| matches!(packet.transport(), Transport::IcmpError(_)))
    }

    /// The ICMP error that this is.
    #[track_caller]
    pub(in crate::tests) fn error(&self) -> SeenError {
        self.read(|packet| {
            let Transport::IcmpError(error) = packet.transport() else {
                panic!("not an ICMP error: {self:?}");
            };
            let (quoted, extensions) = packet.payload()[8..].split_at(error.quoted_len);
            SeenError {
                kind: error.kind,
                code: error.code,
                mtu: error.mtu,
                quoted: quoted.to_vec(),
                extensions: extensions.to_vec(),
            }
        })
    }
}

impl SeenError {
    /// Type and code.
    pub(in crate::tests) const fn what(&self) -> (u8, u8) {
        (self.kind, self.code)
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} by {:?}: {}", self.way, self.next_hop, line(&self.bytes))
    }
}

/// A packet on one line.
pub(super) fn line(packet: &[u8]) -> String {
    match Packet::parse(&mut packet.to_vec()) {
        Ok(packet) => {
            let df = if packet.dont_fragment() { " DF" } else { "" };
            format!("{packet} (ttl {}, {} bytes{df})", packet.ttl(), packet.total_len())
        }
        Err(malformed) => format!("{} bytes, {malformed}", packet.len()),
    }
}

/// "Destination unreachable" with a code.
pub(in crate::tests) const fn unreachable(code: u8) -> Report {
    Report::unreachable(code)
}

/// The datagram whose pieces left, which must have come in order and carry one identification.
#[track_caller]
pub(in crate::tests) fn whole(pieces: &[Seen]) -> Seen {
    let mut data = Vec::new();
    for (place, piece) in pieces.iter().enumerate() {
        piece.read(|packet| {
            assert_eq!(packet.fragment_offset(), data.len(), "not in order: {pieces:?}");
            assert_eq!(packet.more_fragments(), place + 1 < pieces.len(), "{pieces:?}");
            data.extend_from_slice(packet.payload());
        });
        assert_eq!(piece.identification(), pieces[0].identification(), "{pieces:?}");
        assert_eq!(piece.next_hop, pieces[0].next_hop, "{pieces:?}");
    }
    let first = pieces.first().expect("something left");
    let bytes = make::fragment(first.bytes(), 0, &data, false);
    assert!(make::checksums_verify(&bytes), "wrong checksum: {pieces:?}");
    Seen::new(first.way, first.next_hop, bytes)
}
