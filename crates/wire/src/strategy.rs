//! Arbitrary packets, for property tests.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use proptest::collection::vec;
use proptest::prelude::*;

use crate::icmp::error::Report;
use crate::icmp::{Class, class};
use crate::tcp::Flags;
use crate::{Endpoint, Protocol, make};

/// Any address that a single host could have.
pub fn ipv4_addr() -> impl Strategy<Value = IpAddr> + Clone {
    prop_oneof![
        (1_u8..127, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d)),
        (128_u8..224, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d)),
        // Words that are zero or all ones are the corners of one's complement arithmetic.
        Just(Ipv4Addr::new(10, 0, 0, 0)),
        Just(Ipv4Addr::new(10, 0, 255, 255)),
    ]
    .prop_map(IpAddr::V4)
}

/// Any endpoint, corners of the port range included.
pub fn endpoint() -> impl Strategy<Value = Endpoint> + Clone {
    let port = prop_oneof![4 => any::<u16>(), 1 => Just(0_u16), 1 => Just(u16::MAX)];
    (ipv4_addr(), port).prop_map(|(addr, port)| Endpoint { addr, port })
}

/// Data of any length up to a limit, odd ones included.
pub fn payload(max: usize) -> impl Strategy<Value = Vec<u8>> + Clone {
    vec(any::<u8>(), 0..=max)
}

/// Well-formed options of an IPv4 header, up to forty bytes.
pub fn ip_options() -> impl Strategy<Value = Vec<u8>> {
    let option = prop_oneof![
        Just(Vec::from([1])),
        (2_u8..=255, vec(any::<u8>(), 0..8)).prop_map(|(kind, data)| {
            let len = data.len() as u8 + 2;
            [&[kind, len], data.as_slice()].concat()
        }),
    ];
    vec(option, 0..4).prop_map(|options| options.concat())
}

/// TCP segments, with or without options.
pub fn tcp() -> impl Strategy<Value = Vec<u8>> {
    let options = vec(any::<[u8; 4]>(), 0..=10).prop_map(|words| words.concat());
    (endpoint(), endpoint(), any::<u8>(), any::<(u32, u32)>(), options, payload(200)).prop_map(
        |(source, destination, flags, (seq, ack), options, payload)| {
            let flags = Flags::from_bits_retain(flags);
            make::tcp_with_options(source, destination, flags, seq, ack, &options, &payload)
        },
    )
}

/// UDP datagrams, some without checksum.
pub fn udp() -> impl Strategy<Value = Vec<u8>> {
    (endpoint(), endpoint(), payload(200), prop::bool::weighted(0.2)).prop_map(
        |(source, destination, payload, without)| {
            if without {
                make::udp_without_checksum(source, destination, &payload)
            } else {
                make::udp(source, destination, &payload)
            }
        },
    )
}

/// Requests and replies of ICMP.
pub fn icmp_query() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(&[0_u8, 8, 13, 14, 15, 16, 17, 18]);
    (ipv4_addr(), ipv4_addr(), kind, any::<[u8; 4]>(), payload(200)).prop_map(
        |(source, destination, kind, rest, payload)| {
            make::icmp(source, destination, kind, 0, rest, &payload)
        },
    )
}

/// Packets of protocols that are translated by address alone.
pub fn other() -> impl Strategy<Value = Vec<u8>> {
    let protocol = any::<u8>().prop_map(Protocol).prop_filter("one without ports", |protocol| {
        !protocol.has_ports() && ![Protocol::DCCP, Protocol::UDP_LITE].contains(protocol)
    });
    (ipv4_addr(), ipv4_addr(), protocol, payload(200)).prop_map(
        |(source, destination, protocol, payload)| {
            make::ip(protocol, source, destination, &payload)
        },
    )
}

/// Whole datagrams that have a tuple: any protocol, with and without IPv4 options.
pub fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let plain = prop_oneof![3 => tcp(), 3 => udp(), 2 => icmp_query(), 1 => other()];
    let options = prop_oneof![3 => Just(Vec::new()), 1 => ip_options()];
    (plain, options).prop_map(|(packet, options)| make::with_options(&packet, &options))
}

/// ICMP errors about such datagrams: whole or cut, with and without extensions.
pub fn icmp_error() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(&[3_u8, 4, 5, 11, 12]);
    let extensions = prop_oneof![3 => Just(Vec::new()), 1 => vec(any::<u8>(), 1..64)];
    (
        ipv4_addr(),
        ipv4_addr(),
        kind,
        any::<u8>(),
        datagram(),
        any::<prop::sample::Index>(),
        extensions,
    )
        .prop_map(|(source, destination, kind, code, about, cut, extensions)| {
            let shortest = (usize::from(about[0] & 0x0f) * 4 + 8).min(about.len());
            let quoted = &about[..shortest + cut.index(about.len() - shortest + 1)];
            let report = Report { kind, code, rest: [0; 4] };
            let has_length = [3, 11, 12].contains(&kind);
            if extensions.is_empty() || !has_length {
                make::icmp_error(source, destination, report, quoted)
            } else {
                make::icmp_error_with_extensions(source, destination, report, quoted, &extensions)
            }
        })
}

/// ICMP messages that are neither queries nor errors.
pub fn icmp_other() -> impl Strategy<Value = Vec<u8>> {
    let kind =
        any::<u8>().prop_filter("neither query nor error", |kind| class(*kind) == Class::Other);
    (ipv4_addr(), ipv4_addr(), kind, any::<u8>(), any::<[u8; 4]>(), payload(64)).prop_map(
        |(source, destination, kind, code, rest, body)| {
            make::icmp(source, destination, kind, code, rest, &body)
        },
    )
}

/// Fragments of such datagrams, first and later ones.
pub fn fragment() -> impl Strategy<Value = Vec<u8>> {
    (datagram(), any::<prop::sample::Index>()).prop_filter_map(
        "long enough to be cut",
        |(datagram, pick)| {
            let header_len = usize::from(datagram[0] & 0x0f) * 4;
            let fragments = make::fragments(&datagram, header_len + 24);
            (fragments.len() > 1).then(|| pick.get(&fragments).clone())
        },
    )
}

/// Any valid packet.
pub fn packet() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => datagram(), 1 => icmp_error(), 1 => icmp_other(), 1 => fragment()]
}
