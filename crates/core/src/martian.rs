//! Which addresses may stand in a forwarded packet: the special-purpose ranges of RFC 6890.
//!
//! RFC 1812 §5.3.7 calls a packet with an impossible address a martian and has routers drop it.
//! What is impossible differs by field and by side:
//!
//! | range                                   | as source | as destination | leaves to the outside    |
//! |-----------------------------------------|-----------|----------------|--------------------------|
//! | 0/8, 127/8, 169.254/16, 240/4           | never     | never          | never                    |
//! | 224/4, 255.255.255.255                  | never     | not forwarded  | never                    |
//! | 10/8, 172.16/12, 192.168/16, 100.64/10  | inside    | yes            | as the policy says       |
//! | documentation, benchmarks, the rest     | yes       | yes            | yes                      |
//!
//! Private destinations are not martians: the outside of a home router is often the inside of
//! another one. Documentation and benchmark ranges are the outside of laboratories, ours among them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressKind {
    /// 255.255.255.255.
    Broadcast,
    /// Anything without a special purpose that forbids forwarding.
    Global,
    /// 169.254.0.0/16 (RFC 3927), fe80::/10.
    LinkLocal,
    /// 127.0.0.0/8, ::1.
    Loopback,
    /// ::ffff:0:0/96, an IPv4 address in a program's clothes; not seen on a wire.
    Mapped,
    /// 224.0.0.0/4, ff00::/8.
    Multicast,
    /// RFC 1918, and fc00::/7 (RFC 4193).
    Private,
    /// 240.0.0.0/4 (RFC 1112 §4).
    Reserved,
    /// 100.64.0.0/10, between a carrier's NAT and its customers' (RFC 6598).
    Shared,
    /// 0.0.0.0/8 (RFC 1122 §3.2.1.3), ::.
    ThisNetwork,
}

impl AddressKind {
    /// Classifies an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    /// Says whether a packet from such an address may be forwarded at all.
    #[must_use]
    pub const fn is_source(self) -> bool {
        match self {
            Self::Global | Self::Private | Self::Shared => true,
            Self::Broadcast
            | Self::LinkLocal
            | Self::Loopback
            | Self::Mapped
            | Self::Multicast
            | Self::Reserved
            | Self::ThisNetwork => false,
        }
    }

    /// Says whether a packet to such an address may be forwarded as unicast.
    #[must_use]
    pub const fn is_destination(self) -> bool {
        self.is_source()
    }

    /// Says whether the address has a meaning beyond its own site.
    #[must_use]
    pub const fn is_global(self) -> bool {
        matches!(self, Self::Global)
    }

    const fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [255, 255, 255, 255] => Self::Broadcast,
            [0, ..] => Self::ThisNetwork,
            [127, ..] => Self::Loopback,
            [169, 254, ..] => Self::LinkLocal,
            [224..=239, ..] => Self::Multicast,
            [240..=255, ..] => Self::Reserved,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Self::Private,
            [100, 64..=127, ..] => Self::Shared,
            _ => Self::Global,
        }
    }

    const fn of_v6(address: Ipv6Addr) -> Self {
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0] => Self::ThisNetwork,
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            [0, 0, 0, 0, 0, 0xffff, ..] => Self::Mapped,
            [0xfe80..=0xfebf, ..] => Self::LinkLocal,
            [0xff00..=0xffff, ..] => Self::Multicast,
            [0xfc00..=0xfdff, ..] => Self::Private,
            _ => Self::Global,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_range_is_known_from_its_first_to_its_last_address() {
        let ranges = [
            ("0.0.0.0", "0.255.255.255", AddressKind::ThisNetwork),
            ("1.0.0.0", "9.255.255.255", AddressKind::Global),
            ("10.0.0.0", "10.255.255.255", AddressKind::Private),
            ("11.0.0.0", "100.63.255.255", AddressKind::Global),
            ("100.64.0.0", "100.127.255.255", AddressKind::Shared),
            ("100.128.0.0", "126.255.255.255", AddressKind::Global),
            ("127.0.0.0", "127.255.255.255", AddressKind::Loopback),
            ("128.0.0.0", "169.253.255.255", AddressKind::Global),
            ("169.254.0.0", "169.254.255.255", AddressKind::LinkLocal),
            ("169.255.0.0", "172.15.255.255", AddressKind::Global),
            ("172.16.0.0", "172.31.255.255", AddressKind::Private),
            ("172.32.0.0", "192.167.255.255", AddressKind::Global),
            ("192.168.0.0", "192.168.255.255", AddressKind::Private),
            ("192.169.0.0", "223.255.255.255", AddressKind::Global),
            ("224.0.0.0", "239.255.255.255", AddressKind::Multicast),
            ("240.0.0.0", "255.255.255.254", AddressKind::Reserved),
            ("255.255.255.255", "255.255.255.255", AddressKind::Broadcast),
            ("::", "::", AddressKind::ThisNetwork),
            ("::1", "::1", AddressKind::Loopback),
            ("::ffff:0:0", "::ffff:ffff:ffff", AddressKind::Mapped),
            ("2001:db8::", "2001:db8:ffff::1", AddressKind::Global),
            ("fc00::", "fdff:ffff::", AddressKind::Private),
            ("fe80::", "febf:ffff::", AddressKind::LinkLocal),
            ("ff00::", "ffff::", AddressKind::Multicast),
        ];
        for (first, last, kind) in ranges {
            assert_eq!(AddressKind::of(first.parse().unwrap()), kind, "{first}");
            assert_eq!(AddressKind::of(last.parse().unwrap()), kind, "{last}");
        }
    }

    #[test]
    fn rfc_1812_5_3_7_martians_are_neither_source_nor_destination() {
        for martian in
            ["0.1.2.3", "127.0.0.1", "169.254.1.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"]
        {
            let kind = AddressKind::of(martian.parse().unwrap());
            assert!(!kind.is_source() && !kind.is_destination(), "{martian}");
        }
    }

    #[test]
    fn laboratory_and_private_addresses_are_forwarded() {
        for address in ["192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "10.0.0.1"] {
            assert!(AddressKind::of(address.parse().unwrap()).is_source(), "{address}");
        }
        assert!(!AddressKind::of("192.168.1.3".parse().unwrap()).is_global());
        assert!(!AddressKind::of("100.64.0.1".parse().unwrap()).is_global());
        assert!(AddressKind::of("203.0.113.1".parse().unwrap()).is_global());
    }
}
