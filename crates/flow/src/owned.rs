//! Which ports of the shared outside addresses are masq's.
//!
//! An outside address that the host uses too has packets for both. A packet to a port (or with an
//! ICMP identifier, or of a protocol) that masq owns is looked up or punted; any other is the
//! host's and passes untouched. One bit each, in an array of words that the eBPF programs read.

use masq_wire::Protocol;
use zerocopy::{FromBytes, IntoBytes};

use crate::word::Word64;

/// The bitmap, as it lies in shared memory.
#[derive(FromBytes, IntoBytes)]
#[repr(C)]
pub struct Owned {
    /// Four rows of 65,536 bits: identifiers, TCP ports, UDP ports; and in the last, protocols.
    words: [Word64; ROWS * ROW],
}

const _: () = assert!(size_of::<Owned>() == 32 << 10);

/// The protocols that share by port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shared {
    /// Queries of ICMP, by identifier.
    Icmp,
    /// TCP, by port.
    Tcp,
    /// UDP, by port.
    Udp,
}

impl Shared {
    /// How this protocol shares, if it does by port.
    #[inline(always)]
    #[must_use]
    pub const fn of(protocol: Protocol) -> Option<Self> {
        match protocol {
            Protocol::ICMP | Protocol::ICMPV6 => Some(Self::Icmp),
            Protocol::TCP => Some(Self::Tcp),
            Protocol::UDP => Some(Self::Udp),
            _ => None,
        }
    }

    #[inline(always)]
    const fn row(self) -> usize {
        match self {
            Self::Icmp => 0,
            Self::Tcp => 1,
            Self::Udp => 2,
        }
    }
}

impl Owned {
    /// Whether masq owns the port (or identifier).
    #[inline(always)]
    #[must_use]
    pub fn has_port(&self, shared: Shared, port: u16) -> bool {
        self.has(shared.row(), port)
    }

    /// Whether masq owns everything of a protocol without ports.
    #[inline(always)]
    #[must_use]
    pub fn has_protocol(&self, protocol: Protocol) -> bool {
        self.has(PROTOCOLS, protocol.0 as u16)
    }

    #[inline(always)]
    fn has(&self, row: usize, number: u16) -> bool {
        // The mask is for the eBPF verifier, which wants to see the bound at the access.
        let word = (row * ROW + number as usize / 64) & (ROWS * ROW - 1);
        self.words[word].load() & 1 << (number % 64) != 0
    }
}

#[cfg(not(target_arch = "bpf"))]
impl Owned {
    /// Takes a port, or gives it back to the host.
    pub fn set_port(&self, shared: Shared, port: u16, owned: bool) {
        self.set(shared.row(), port, owned);
    }

    /// Takes or gives back a range of ports, ends included.
    pub fn set_ports(&self, shared: Shared, ports: core::ops::RangeInclusive<u16>, owned: bool) {
        for port in ports {
            self.set_port(shared, port, owned);
        }
    }

    /// Takes a protocol, or gives it back to the host.
    pub fn set_protocol(&self, protocol: Protocol, owned: bool) {
        self.set(PROTOCOLS, u16::from(protocol.0), owned);
    }

    /// Gives everything back to the host.
    pub fn clear(&self) {
        for word in &self.words {
            word.store(0);
        }
    }

    fn set(&self, row: usize, number: u16, owned: bool) {
        let word = &self.words[row * ROW + usize::from(number) / 64];
        let bit = 1 << (number % 64);
        if owned { word.set_bits(bit) } else { word.clear_bits(bit) }
    }
}

impl Default for Owned {
    fn default() -> Self {
        Self { words: [const { Word64::new(0) }; ROWS * ROW] }
    }
}

const ROWS: usize = 4;
const ROW: usize = 65_536 / 64;
const PROTOCOLS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_its_own() {
        let owned = Owned::default();
        for port in [0, 63, 64, 1024, 65_535] {
            owned.set_port(Shared::Tcp, port, true);
            assert!(owned.has_port(Shared::Tcp, port));
            assert!(!owned.has_port(Shared::Udp, port) && !owned.has_port(Shared::Icmp, port));
            owned.set_port(Shared::Tcp, port, false);
            assert!(!owned.has_port(Shared::Tcp, port));
        }
        assert!(owned.words.iter().all(|word| word.load() == 0));
    }

    #[test]
    fn a_range_includes_both_ends() {
        let owned = Owned::default();
        owned.set_ports(Shared::Udp, 1024..=65_535, true);
        assert!(!owned.has_port(Shared::Udp, 1023));
        assert!((1024..=65_535).all(|port| owned.has_port(Shared::Udp, port)));
        owned.set_ports(Shared::Udp, 2000..=2000, false);
        assert!(owned.has_port(Shared::Udp, 1999) && !owned.has_port(Shared::Udp, 2000));
    }

    #[test]
    fn protocols_without_ports_are_owned_whole() {
        let owned = Owned::default();
        owned.set_protocol(Protocol::GRE, true);
        assert!(owned.has_protocol(Protocol::GRE));
        assert!(!owned.has_protocol(Protocol::ESP));
        owned.clear();
        assert!(!owned.has_protocol(Protocol::GRE));
    }
}
