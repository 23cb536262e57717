//! What becomes of a packet, and why one is dropped.
//!
//! Every drop has a reason, and the reason is the counter, the log field and the text that people
//! read. There is no other way to lose a packet.

use masq_wire::Malformed;

use crate::routes::{NextHopId, PortId};

/// What becomes of a packet that was handed to the engine.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is dropped.
    Drop(DropReason),
    /// It has been translated in place and is to be sent.
    Forward(Egress),
    /// The engine has kept a copy: a fragment that waits for others, a packet that waits for its
    /// neighbour's address, or one that leaves in pieces. What comes of it comes from
    /// [`poll_transmit`](crate::Engine::poll_transmit).
    Held,
    /// It is unchanged and goes to the host's own network stack.
    Local,
}

/// The way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Egress {
    /// The neighbour.
    pub next_hop: NextHopId,
    /// The interface it is behind.
    pub port: PortId,
}

/// What to do with a packet that the engine gives out by itself.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// Send it.
    Forward(Egress),
    /// Give it to the host's own network stack as if it had arrived at this interface.
    Local(PortId),
}

/// Declares the reasons with names and texts, so that none can lack one.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident $name:literal $text:literal,)*) => {
        /// Why a packet is dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DropReason {
            $($(#[$doc])* #[doc = $text] $variant,)*
            /// The packet is not well-formed.
            Malformed(Malformed),
        }

        impl DropReason {
            /// Every reason, those of malformed packets last.
            pub const ALL: [Self; Self::COUNT] = {
                let mut all = [Self::Malformed(Malformed::Version); Self::COUNT];
                let named = [$(Self::$variant),*];
                let mut i = 0;
                while i < named.len() {
                    all[i] = named[i];
                    i += 1;
                }
                let mut kind = 0;
                while kind < Malformed::ALL.len() {
                    all[named.len() + kind] = Self::Malformed(Malformed::ALL[kind]);
                    kind += 1;
                }
                all
            };

            const NAMED: usize = [$($name),*].len();

            /// Returns the reason's name, in kebab case.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Malformed(malformed) => malformed.as_str(),
                }
            }

            /// Returns the reason in words.
            #[must_use]
            pub fn text(self) -> String {
                match self {
                    $(Self::$variant => $text.to_owned(),)*
                    Self::Malformed(malformed) => malformed.to_string(),
                }
            }

            /// Returns the place among all reasons, for counters.
            #[must_use]
            pub fn index(self) -> usize {
                let named = [$(Self::$variant),*];
                match self {
                    Self::Malformed(malformed) => {
                        let place = Malformed::ALL.iter().position(|kind| *kind == malformed);
                        Self::NAMED + place.unwrap_or(0)
                    }
                    other => named.iter().position(|reason| *reason == other).unwrap_or(0),
                }
            }
        }
    };
}

reasons! {
    /// RFC 5508 §7.3: a translator must not let inside addresses out in them.
    AddressOption "address-option" "an IP option holds addresses of the path (source route, record route or timestamp)",
    Blackhole "blackhole" "a blackhole route swallows it",
    Broadcast "broadcast" "the destination is a broadcast or multicast address, which is not forwarded",
    CannotFragment "cannot-fragment" "it is too long for the way out and must not be fragmented; the sender was told",
    ContradictingFragments "contradicting-fragments" "its datagram has overlapping or contradicting fragments",
    DuplicateFragment "duplicate-fragment" "the fragment is here already",
    /// RFC 4787 §5.
    Filtered "filtered" "the mapping exists, but its filter does not let this remote in",
    FragmentLimit "fragment-limit" "too many datagrams or bytes are under reassembly",
    HairpinToItself "hairpin-to-itself" "an inside endpoint talks to its own outside endpoint",
    HeldTooLong "held-too-long" "its next hop did not answer in time",
    HostMappings "host-mappings" "the inside host has as many mappings as it may have",
    HostRate "host-rate" "the inside host opens sessions faster than it may",
    HostSessions "host-sessions" "the inside host has as many sessions as it may have",
    Hosts "hosts" "more inside hosts than allowed have sessions",
    /// RFC 5508 REQ-4 and REQ-5.
    IcmpErrorForNobody "icmp-error-for-nobody" "an ICMP error quotes a packet of no session",
    IcmpReplyForNobody "icmp-reply-for-nobody" "an ICMP reply answers no request",
    /// RFC 5508 REQ-10 and REQ-11.
    IcmpType "icmp-type" "this type of ICMP message is not translated",
    InboundToInside "inbound-to-inside" "it came from outside and names an inside host by its own address",
    /// RFC 5382 REQ-4.
    InboundSyn "inbound-syn" "an unsolicited SYN from outside waits for a matching one from inside",
    MartianDestination "martian-destination" "nothing is forwarded to such a destination",
    MartianSource "martian-source" "no host has such a source address",
    NeighbourFailed "neighbour-failed" "the next hop does not answer",
    NoOutsideAddress "no-outside-address" "the outside interface has no address to share",
    NoRoute "no-route" "there is no route to the destination",
    PortsExhausted "ports-exhausted" "no outside port is free",
    Prohibited "prohibited" "a route prohibits the destination",
    QueueFull "queue-full" "too many packets wait to be sent",
    ReassemblyTimeout "reassembly-timeout" "the rest of its datagram did not come in time",
    /// Only one inside host can use a protocol without ports with the same remote.
    RemoteTaken "remote-taken" "another inside host talks to the same remote with this protocol",
    ResolvingTooMany "resolving-too-many" "too many packets wait for their next hop's address",
    Spoofed "spoofed" "the source address does not belong behind the interface",
    TableFull "table-full" "the session table is full",
    TcpNotOpening "tcp-not-opening" "a TCP segment belongs to no session and does not open one",
    TtlExpired "ttl-expired" "its time to live has run out",
    UnknownInterface "unknown-interface" "it came by an interface that is neither inside nor outside",
    /// With a mapping that depends on the remote, and a filter that does not.
    TupleTaken "tuple-taken" "the inside host talks to the same remote through another outside endpoint",
    Unreachable "unreachable" "a route says that the destination is unreachable",
    Unsolicited "unsolicited" "no mapping has this outside endpoint",
    /// What the host itself uses is never an inside host's.
    RemoteOfHost "remote-of-host" "the gateway itself talks to the same remote with this protocol",
}

impl DropReason {
    /// How many reasons there are.
    pub const COUNT: usize = Self::NAMED + Malformed::ALL.len();
}

impl core::fmt::Display for DropReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.text())
    }
}

impl From<Malformed> for DropReason {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_has_its_own_place_name_and_text() {
        for (place, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), place, "{reason:?}");
        }
        let names: BTreeSet<_> = DropReason::ALL.map(DropReason::as_str).into();
        let texts: BTreeSet<_> = DropReason::ALL.map(DropReason::text).into();
        assert_eq!((names.len(), texts.len()), (DropReason::COUNT, DropReason::COUNT));
        assert!(texts.iter().all(|text| !text.ends_with('.')));
    }
}
