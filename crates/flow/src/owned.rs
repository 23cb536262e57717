//! Which ports of the shared outside addresses are masq's.
//!
//! An outside address that the host uses too has packets for both. A packet to a port (or with an
//! ICMP identifier, or of a protocol) that masq owns is looked up or punted; any other is the
//! host's and passes untouched. One bit each, in an array of words that the eBPF programs read.
//!
//! A second bit is a *hint*: the host itself, or another translator on it, has sent something from such
//! a port. The programs set it, and only where it is set they look for the packet among the flows of
//! the host ([`crate::maps::HOST_FLOWS`]). A hint too many costs a look-up. One that is lost, because
//! two processors wrote the same word at once, is set again by the flow's next packet.

use masq_wire::Protocol;
use zerocopy::{FromBytes, IntoBytes};

use crate::word::Word64;

/// The bitmap, as it lies in shared memory.
#[derive(FromBytes, IntoBytes)]
#[repr(C)]
pub struct Owned {
    /// Rows of 65,536 bits: identifiers, TCP ports, UDP ports; in the fourth, protocols and their hints;
    /// two that are kept for static ports; hints of TCP and UDP ports, and of identifiers.
    words: [Word64; ROWS * ROW],
}

const _: () = assert!(size_of::<Owned>() == 64 << 10);

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

    #[inline(always)]
    const fn hint_row(self) -> usize {
        match self {
            Self::Tcp | Self::Udp => 6,
            Self::Icmp => 7,
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

    /// Whether the host may have flows with the port (or identifier).
    #[inline(always)]
    #[must_use]
    pub fn hints_port(&self, shared: Shared, port: u16) -> bool {
        self.has(shared.hint_row(), port)
    }

    /// Whether the host may have flows of a protocol without ports.
    #[inline(always)]
    #[must_use]
    pub fn hints_protocol(&self, protocol: Protocol) -> bool {
        self.has(PROTOCOLS, PROTOCOL_HINTS + protocol.0 as u16)
    }

    /// Notes that the host has flows with the port (or identifier).
    #[inline(always)]
    pub fn hint_port(&self, shared: Shared, port: u16) {
        self.hint(shared.hint_row(), port);
    }

    /// Notes that the host has flows of a protocol without ports.
    #[inline(always)]
    pub fn hint_protocol(&self, protocol: Protocol) {
        self.hint(PROTOCOLS, PROTOCOL_HINTS + protocol.0 as u16);
    }

    #[inline(always)]
    fn hint(&self, row: usize, number: u16) {
        let word = &self.words[place(row, number)];
        // A plain store: see the module.
        word.store(word.load() | 1 << (number % 64));
    }

    #[inline(always)]
    fn has(&self, row: usize, number: u16) -> bool {
        self.words[place(row, number)].load() & 1 << (number % 64) != 0
    }
}

/// The word of a number's bit.
#[inline(always)]
fn place(row: usize, number: u16) -> usize {
    let place = row * ROW + usize::from(number) / 64;
    // The verifier wants to see the bound, and that of a number whose bytes were swapped is lost on kernels
    // before 6.18. The compiler knows it, and would leave the mask out.
    #[cfg(target_arch = "bpf")]
    let place = core::hint::black_box(place);
    place & (ROWS * ROW - 1)
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

    /// Forgets every hint but those that `keep` gives again.
    #[cfg(any(feature = "std", test))]
    pub fn set_hints(&self, keep: impl IntoIterator<Item = Hint>) {
        let mut words = vec![0_u64; ROWS * ROW];
        let mut keep_bit =
            |row: usize, number: u16| words[place(row, number)] |= 1 << (number % 64);
        for hint in keep {
            match hint {
                Hint::Port(shared, port) => keep_bit(shared.hint_row(), port),
                Hint::Protocol(protocol) => {
                    keep_bit(PROTOCOLS, PROTOCOL_HINTS + u16::from(protocol.0));
                }
            }
        }
        let hints = PROTOCOLS * ROW + usize::from(PROTOCOL_HINTS) / 64;
        let protocols = hints..hints + 256 / 64;
        for at in protocols.chain(HINTS * ROW..ROWS * ROW) {
            self.words[at].store(words[at]);
        }
    }

    fn set(&self, row: usize, number: u16, owned: bool) {
        let word = &self.words[place(row, number)];
        let bit = 1 << (number % 64);
        if owned { word.set_bits(bit) } else { word.clear_bits(bit) }
    }
}

impl Default for Owned {
    fn default() -> Self {
        Self { words: [const { Word64::new(0) }; ROWS * ROW] }
    }
}

/// What the host may have flows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hint {
    /// A port, or an identifier.
    Port(Shared, u16),
    /// A protocol without ports.
    Protocol(Protocol),
}

const ROWS: usize = 8;
const ROW: usize = 65_536 / 64;
const PROTOCOLS: usize = 3;
/// Where hints of protocols begin in the row of protocols.
const PROTOCOL_HINTS: u16 = 256;
/// The first row of hints.
#[cfg(any(feature = "std", test))]
const HINTS: usize = 6;

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
    fn hints_are_apart_from_what_is_owned_and_are_forgotten_together() {
        let owned = Owned::default();
        owned.set_port(Shared::Tcp, 5000, true);
        owned.set_protocol(Protocol::GRE, true);
        owned.hint_port(Shared::Udp, 6000);
        owned.hint_port(Shared::Icmp, 7);
        owned.hint_protocol(Protocol::ESP);
        assert!(owned.hints_port(Shared::Udp, 6000) && owned.hints_port(Shared::Icmp, 7));
        assert!(owned.hints_protocol(Protocol::ESP) && !owned.has_protocol(Protocol::ESP));
        assert!(!owned.hints_port(Shared::Icmp, 6000) && !owned.hints_protocol(Protocol::GRE));

        owned.set_hints([Hint::Port(Shared::Icmp, 7)]);

        assert!(owned.hints_port(Shared::Icmp, 7));
        assert!(!owned.hints_port(Shared::Udp, 6000) && !owned.hints_protocol(Protocol::ESP));
        assert!(owned.has_port(Shared::Tcp, 5000) && owned.has_protocol(Protocol::GRE));
    }

    #[test]
    fn protocols_without_ports_are_owned_whole() {
        let owned = Owned::default();
        owned.set_protocol(Protocol::GRE, true);
        assert!(owned.has_protocol(Protocol::GRE));
        assert!(!owned.has_protocol(Protocol::ESP));
        owned.set_protocol(Protocol::GRE, false);
        assert!(!owned.has_protocol(Protocol::GRE));
    }
}
