//! Flow numbers and the endpoints that they stand for.
//!
//! ```text
//!   number   ┌──── the rest ────┬── port_bits ──┬── host_bits ──┐
//!            │ remote port       │ inside port   │ inside host    │
//!            └──────────────────┴───────────────┴───────────────┘
//! ```
//!
//! Neighbouring numbers are neighbouring hosts, so that a few flows are spread over many hosts, and
//! endpoints inside are used up before another remote port is called: with `host_bits + port_bits` of 15,
//! 32,768 mappings carry a million sessions to 31 remote ports.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How numbers become endpoints.
#[derive(
    Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Numbering {
    /// The first inside host's address, in host order.
    pub first_host: u32,
    /// How many bits of a number choose the host.
    pub host_bits: u32,
    /// The first port of each inside host.
    pub first_port: u32,
    /// How many bits choose its port.
    pub port_bits: u32,
    /// The remote's address, in host order.
    pub remote: u32,
    /// Its first port.
    pub first_remote_port: u32,
}

/// Both ends of a flow, in network order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ends {
    /// The inside host.
    pub inside: u32,
    /// Its port.
    pub inside_port: u16,
    /// Whom it speaks to.
    pub remote: u32,
    /// The port there.
    pub remote_port: u16,
}

impl Numbering {
    /// The ends of a flow.
    #[inline(always)]
    #[must_use]
    pub const fn ends(&self, flow: u32) -> Ends {
        let host = flow & mask(self.host_bits);
        let port = flow.unbounded_shr(self.host_bits) & mask(self.port_bits);
        let remote_port = flow.unbounded_shr(self.host_bits + self.port_bits);
        Ends {
            inside: (self.first_host + host).to_be(),
            inside_port: ((self.first_port + port) as u16).to_be(),
            remote: self.remote.to_be(),
            remote_port: ((self.first_remote_port + remote_port) as u16).to_be(),
        }
    }

    /// How many flows have ends of their own.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        let remote_ports = 0x1_0000 - self.first_remote_port as u64;
        remote_ports << (self.host_bits + self.port_bits)
    }
}

#[inline(always)]
const fn mask(bits: u32) -> u32 {
    1u32.unbounded_shl(bits).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::BTreeSet;

    use super::*;

    const NUMBERING: Numbering = Numbering {
        first_host: 0x0a10_0000,
        host_bits: 2,
        first_port: 1024,
        port_bits: 3,
        remote: 0xcb00_71b2,
        first_remote_port: 9,
    };

    #[test]
    fn every_flow_has_ends_of_its_own() {
        let ends = |flow| {
            let Ends { inside, inside_port, remote, remote_port } = NUMBERING.ends(flow);
            (inside, inside_port, remote, remote_port)
        };
        let all: BTreeSet<_> = (0..1000).map(ends).collect();
        assert_eq!(all.len(), 1000);
    }

    #[test]
    fn endpoints_inside_are_used_up_before_another_remote_port() {
        let endpoint = |flow| (NUMBERING.ends(flow).inside, NUMBERING.ends(flow).inside_port);
        let first: BTreeSet<_> = (0..32).map(endpoint).collect();
        assert_eq!(first.len(), 32);
        assert!((0..32).all(|flow| NUMBERING.ends(flow).remote_port == 9u16.to_be()));
        assert_eq!(endpoint(32), endpoint(0));
        assert_eq!(NUMBERING.ends(32).remote_port, 10u16.to_be());
    }

    #[test]
    fn numbers_stand_in_network_order() {
        let ends = NUMBERING.ends(1);
        assert_eq!(ends.inside.to_ne_bytes(), [10, 16, 0, 1]);
        assert_eq!(ends.inside_port.to_ne_bytes(), [4, 0]);
    }

    #[test]
    fn capacity_ends_with_the_remote_ports() {
        let last = u32::try_from(NUMBERING.capacity() - 1).unwrap();
        assert_eq!(NUMBERING.ends(last).remote_port, u16::MAX.to_be());
    }
}
