//! The numbers of the lab: private ones inside, documentation ones (RFC 5737) outside.

use core::net::Ipv4Addr;

/// The gateway's address on the inside network, 192.168.1.0/24.
pub const GATEWAY_INSIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
/// The gateway's address on the guests' network, 192.168.2.0/24.
pub const GATEWAY_GUEST: Ipv4Addr = Ipv4Addr::new(192, 168, 2, 1);
/// The host there.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(192, 168, 2, 3);
/// The gateway's address on the branch's network, 192.168.3.0/24.
pub const GATEWAY_BRANCH: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 1);
/// The host there.
pub const BRANCH: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 3);
/// The gateway's address on the outside network: 203.0.113.0/25, or /24 without routers.
pub const GATEWAY_OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The internet host.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 178);
/// Another internet host, on a network of its own.
pub const SECOND: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// The other internet host when there are no routers.
pub const SECOND_ON_LINK: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 179);
/// The gateway's next hop.
pub const ISP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 126);
/// The ISP's end of the transit link.
pub const ISP_TRANSIT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The exchange's end of the transit link.
pub const EXCHANGE_TRANSIT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// The exchange on the server's network, 203.0.113.128/25.
pub const EXCHANGE_SERVERS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 129);
/// The exchange on the second remote's network, 198.51.100.0/24.
pub const EXCHANGE_SECOND: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// The address of an inside host: .3 for the first, which is the workstation.
#[must_use]
pub fn workstation(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 1, index.saturating_add(3))
}

/// An address on the gateway's outside network at which there is nobody.
#[must_use]
pub fn absent(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113, 32 + index % 64)
}
