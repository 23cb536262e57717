//! The keys of the index: tuples as they lie in a packet.
//!
//! The eBPF programs fill a [`Key4`] or [`Key6`] with words loaded straight from the headers. The
//! engine makes its key from a [`Tuple`]. Both hash the same bytes, so both find the same entries.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use masq_wire::Tuple;

use crate::bucket::Slot;
use crate::direction::Direction;
use crate::index::Source;
use crate::multilinear::Keys;
use crate::record::Record;

/// A tuple as it lies in a packet, ready to be hashed and compared with records.
pub trait Key {
    /// The hash that chooses buckets and fingerprint.
    fn hash(&self, keys: &Keys) -> u64;

    /// Whether packets with this tuple travel in `direction` of the session in `record`, which
    /// begins at `slot`.
    fn matches<S: Source + ?Sized>(
        &self,
        source: &S,
        slot: Slot,
        record: &Record,
        direction: Direction,
    ) -> bool;
}

/// The key of an IPv4 tuple.
///
/// It finds the sessions that are IPv4 on both sides; those that are IPv6 on the other side (NAT64)
/// are found by the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key4 {
    /// The source address: four bytes of the packet, loaded as they are.
    pub source: u32,
    /// The destination address, loaded as it is.
    pub destination: u32,
    /// The first four bytes of a TCP or UDP header, loaded as they are; or [`pack_ports`].
    pub ports: u32,
    /// The IP protocol.
    pub protocol: u8,
}

impl Key for Key4 {
    #[inline(always)]
    fn hash(&self, keys: &Keys) -> u64 {
        keys.hash([self.source, self.destination, self.ports, u32::from(self.protocol)])
    }

    #[inline(always)]
    fn matches<S: Source + ?Sized>(
        &self,
        _source: &S,
        _slot: Slot,
        record: &Record,
        direction: Direction,
    ) -> bool {
        record.is_narrow_of(self.protocol)
            && record.narrow_addresses(direction) == (self.source, self.destination)
            && record.ports(direction) == self.ports
    }
}

/// The key of an IPv6 tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key6 {
    /// The source address: sixteen bytes of the packet, loaded as they are.
    pub source: [u32; 4],
    /// The destination address, loaded as it is.
    pub destination: [u32; 4],
    /// The first four bytes of a TCP or UDP header, loaded as they are; or [`pack_ports`].
    pub ports: u32,
    /// The protocol of the last header.
    pub protocol: u8,
}

impl Key for Key6 {
    #[inline(always)]
    fn hash(&self, keys: &Keys) -> u64 {
        let [s0, s1, s2, s3] = self.source;
        let [d0, d1, d2, d3] = self.destination;
        keys.hash([s0, s1, s2, s3, d0, d1, d2, d3, self.ports, u32::from(self.protocol)])
    }

    #[inline(always)]
    fn matches<S: Source + ?Sized>(
        &self,
        source: &S,
        slot: Slot,
        record: &Record,
        direction: Direction,
    ) -> bool {
        let Some(rest) = source.record(slot.continuation()) else { return false };
        record.is_wide_of(direction, true, self.protocol)
            && rest.is_continuation()
            && record.wide_addresses(rest, direction) == (self.source, self.destination)
            && record.ports(direction) == self.ports
    }
}

/// The key of any tuple, which finds sessions of every shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnyKey {
    /// An IPv4 tuple.
    V4(Key4),
    /// An IPv6 tuple.
    V6(Key6),
}

impl AnyKey {
    /// The key of a tuple; none if its two addresses are of different families, as in no packet.
    #[must_use]
    pub fn new(tuple: &Tuple) -> Option<Self> {
        let ports = pack_ports(tuple.source.port, tuple.destination.port);
        let protocol = tuple.protocol.0;
        match (tuple.source.addr, tuple.destination.addr) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Some(Self::V4(Key4 {
                source: pack_v4(source),
                destination: pack_v4(destination),
                ports,
                protocol,
            })),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Some(Self::V6(Key6 {
                source: pack_v6(source),
                destination: pack_v6(destination),
                ports,
                protocol,
            })),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        }
    }
}

impl Key for AnyKey {
    #[inline]
    fn hash(&self, keys: &Keys) -> u64 {
        match self {
            Self::V4(key) => key.hash(keys),
            Self::V6(key) => key.hash(keys),
        }
    }

    #[inline]
    fn matches<S: Source + ?Sized>(
        &self,
        source: &S,
        slot: Slot,
        record: &Record,
        direction: Direction,
    ) -> bool {
        match self {
            Self::V4(key) => {
                key.matches(source, slot, record, direction)
                    || matches_nat64(key, source, slot, record, direction)
            }
            Self::V6(key) => key.matches(source, slot, record, direction),
        }
    }
}

/// Two ports as the first four bytes of a TCP or UDP header hold them.
#[inline(always)]
#[must_use]
pub const fn pack_ports(source: u16, destination: u16) -> u32 {
    let ([a, b], [c, d]) = (source.to_be_bytes(), destination.to_be_bytes());
    u32::from_ne_bytes([a, b, c, d])
}

/// The source and destination port of [`pack_ports`].
#[inline(always)]
#[must_use]
pub const fn unpack_ports(ports: u32) -> (u16, u16) {
    let [a, b, c, d] = ports.to_ne_bytes();
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

/// An IPv4 address as a load from a packet gives it.
#[inline(always)]
#[must_use]
pub const fn pack_v4(address: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(address.octets())
}

/// The address of [`pack_v4`].
#[inline(always)]
#[must_use]
pub const fn unpack_v4(word: u32) -> Ipv4Addr {
    let [a, b, c, d] = word.to_ne_bytes();
    Ipv4Addr::new(a, b, c, d)
}

/// An IPv6 address as loads from a packet give it.
#[must_use]
pub fn pack_v6(address: Ipv6Addr) -> [u32; 4] {
    zerocopy::transmute!(address.octets())
}

/// The address of [`pack_v6`].
#[must_use]
pub fn unpack_v6(words: [u32; 4]) -> Ipv6Addr {
    let octets: [u8; 16] = zerocopy::transmute!(words);
    Ipv6Addr::from(octets)
}

fn matches_nat64<S: Source + ?Sized>(
    key: &Key4,
    source: &S,
    slot: Slot,
    record: &Record,
    direction: Direction,
) -> bool {
    let Some(rest) = source.record(slot.continuation()) else { return false };
    record.is_wide_of(direction, false, key.protocol)
        && rest.is_continuation()
        && record.wide_addresses(rest, direction)
            == ([key.source, 0, 0, 0], [key.destination, 0, 0, 0])
        && record.ports(direction) == key.ports
}
