//! The maps of the eBPF programs: names, sizes, and the values that are not words.
//!
//! The programs declare these maps, the daemon finds them by name, and both take their types from
//! here. A map that outlives the daemon is recognised by its sizes before it is used again.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::bucket::Bucket;
use crate::bulk::{Burst, Outgoing};
use crate::header::Header;
use crate::key::Key4;
use crate::nexthop::NextHop;
use crate::owned::Owned;
use crate::record::Record;

/// The table's [`Header`]: one value, mmappable.
pub const HEADER: &str = "MASQ_HEADER";
/// The session [`Record`]s: mmappable.
pub const RECORDS: &str = "MASQ_RECORDS";
/// The [`Bucket`]s of the index: mmappable.
pub const INDEX: &str = "MASQ_INDEX";
/// The [`NextHop`]s: mmappable.
pub const NEXT_HOPS: &str = "MASQ_NEXTHOPS";
/// The [`Owned`] ports: one value, mmappable.
pub const OWNED: &str = "MASQ_OWNED";
/// The host's addresses: IPv4 address as in a packet → [`AddressFlags`].
pub const ADDRESSES: &str = "MASQ_ADDRESSES";
/// The interfaces that take what an XDP program redirects to them, by their numbers.
pub const DEVICES: &str = "MASQ_DEVICES";
/// The interfaces that matter: index → [`Interface`].
pub const INTERFACES: &str = "MASQ_INTERFACES";
/// The [`Settings`]: one value.
pub const SETTINGS: &str = "MASQ_SETTINGS";
/// Packets that the programs dropped, per processor, by [`EarlyDrop`].
pub const DROPS: &str = "MASQ_DROPS";
/// What the programs did with packets, per processor, by [`Counter`].
pub const COUNTERS: &str = "MASQ_COUNTERS";
/// How far [`OUTGOING`] was sent: one value, mmappable.
pub const BURST: &str = "MASQ_BURST";
/// What the worker sends at once ([`Outgoing`]): mmappable.
pub const OUTGOING: &str = "MASQ_OUTGOING";
/// The AF_XDP sockets of the punt port, by queue.
pub const XSKS: &str = "MASQ_XSKS";
/// Who may still punt misses: source address as in a packet → [`TokenBucket`].
pub const TOKENS: &str = "MASQ_TOKENS";

/// The host's own flows and those of other translators on it: [`HostFlow`] → when a packet of it was
/// last sent, in nanoseconds of `CLOCK_MONOTONIC`.
pub const HOST_FLOWS: &str = "MASQ_HOSTFLOWS";
/// The networks of the insides, by longest prefix: length and address as in a packet → interface.
pub const NETWORKS: &str = "MASQ_NETWORKS";
/// The interfaces of the host that the daemon has looked at, by number; the values mean nothing.
pub const KNOWN: &str = "MASQ_KNOWN";

/// What kind of map it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// `BPF_MAP_TYPE_ARRAY`.
    Array,
    /// `BPF_MAP_TYPE_DEVMAP_HASH`.
    DevMapHash,
    /// `BPF_MAP_TYPE_HASH`.
    Hash,
    /// `BPF_MAP_TYPE_LPM_TRIE`.
    LpmTrie,
    /// `BPF_MAP_TYPE_LRU_HASH`.
    LruHash,
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`.
    PerCpuArray,
    /// `BPF_MAP_TYPE_XSKMAP`.
    XskMap,
}

/// How a map is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapSpec {
    /// Its name in the object and its pin's file name.
    pub name: &'static str,
    /// What it is.
    pub kind: MapKind,
    /// The size of its keys in bytes.
    pub key_size: usize,
    /// The size of its values in bytes.
    pub value_size: usize,
    /// How many entries it has; 0 if the table's layout says so.
    pub max_entries: u32,
    /// Whether the daemon maps it into its own memory (`BPF_F_MMAPABLE`).
    pub mmapable: bool,
}

/// Every map there is.
pub const ALL: [MapSpec; 18] = [
    MapSpec::array::<Header>(HEADER, 1),
    MapSpec::array::<Record>(RECORDS, 0),
    MapSpec::array::<Bucket>(INDEX, 0),
    MapSpec::array::<NextHop>(NEXT_HOPS, NextHop::COUNT),
    MapSpec::array::<Owned>(OWNED, 1),
    MapSpec::plain::<AddressFlags>(ADDRESSES, MapKind::Hash, MAX_ADDRESSES),
    // An interface and a program to be run there, of which there is none.
    MapSpec::plain::<[u32; 2]>(DEVICES, MapKind::DevMapHash, INTERFACE_PLACES),
    MapSpec::plain::<Interface>(INTERFACES, MapKind::Array, INTERFACE_PLACES),
    MapSpec::plain::<Settings>(SETTINGS, MapKind::Array, 1),
    MapSpec::plain::<u64>(DROPS, MapKind::PerCpuArray, EarlyDrop::COUNT),
    MapSpec::plain::<u64>(COUNTERS, MapKind::PerCpuArray, Counter::COUNT),
    MapSpec::array::<Burst>(BURST, 1),
    MapSpec::array::<Outgoing>(OUTGOING, Burst::MOST),
    MapSpec::plain::<u32>(XSKS, MapKind::XskMap, MAX_QUEUES),
    MapSpec::plain::<TokenBucket>(TOKENS, MapKind::LruHash, MAX_SOURCES),
    MapSpec::keyed::<HostFlow, u64>(HOST_FLOWS, MapKind::LruHash, MAX_HOST_FLOWS),
    MapSpec::keyed::<[u32; 2], u32>(NETWORKS, MapKind::LpmTrie, MAX_NETWORKS),
    MapSpec::plain::<u32>(KNOWN, MapKind::Hash, MAX_KNOWN),
];

/// How many addresses the host may have.
pub const MAX_ADDRESSES: u32 = 131_072;
/// How many interfaces masq may serve at most; how many places there are for them. A power of two.
pub const INTERFACE_PLACES: u32 = 1024;
/// How many queues the punt port may have.
pub const MAX_QUEUES: u32 = 64;
/// How many sources of misses are told apart.
pub const MAX_SOURCES: u32 = 65_536;
/// How many flows of the host are remembered; beyond that the one that was silent longest is forgotten.
pub const MAX_HOST_FLOWS: u32 = 65_536;
/// How many networks the insides may have.
pub const MAX_NETWORKS: u32 = 16_384;
/// How many interfaces the host may have.
pub const MAX_KNOWN: u32 = 65_536;

impl MapSpec {
    const fn array<T>(name: &'static str, max_entries: u32) -> Self {
        Self { mmapable: true, ..Self::plain::<T>(name, MapKind::Array, max_entries) }
    }

    const fn plain<T>(name: &'static str, kind: MapKind, max_entries: u32) -> Self {
        Self::keyed::<u32, T>(name, kind, max_entries)
    }

    const fn keyed<K, T>(name: &'static str, kind: MapKind, max_entries: u32) -> Self {
        let (key_size, value_size) = (size_of::<K>(), size_of::<T>());
        Self { name, kind, key_size, value_size, max_entries, mmapable: false }
    }
}

bitflags! {
    /// What an address of the host is.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct AddressFlags: u32 {
        /// The host answers to it.
        const LOCAL = 1;
        /// Masq's sessions use it too, by [`Owned`] ports.
        const OUTSIDE_SHARED = 1 << 1;
        /// Everybody on a link answers to it.
        const BROADCAST = 1 << 2;
        /// Masq's sessions use it alone: the host does not answer to it.
        const OUTSIDE_POOL = 1 << 3;
    }
}

/// What an interface is to masq.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Interface {
    /// Its number; 0 where there is none.
    pub index: u32,
    /// One of [`Role`]'s numbers.
    pub role: u32,
    /// [`InterfaceFlags`].
    pub flags: u32,
    /// The largest packet that it takes.
    pub mtu: u32,
    /// Its link-layer address.
    pub mac: [u8; 6],
    /// Zero.
    pub reserved: [u8; 2],
}

const _: () = assert!(size_of::<Interface>() == 24);

impl Interface {
    /// How many places an interface may be in.
    pub const CHOICES: u32 = 8;

    /// Whether a frame that begins with those bytes is sent to this very interface.
    #[inline(always)]
    #[must_use]
    pub const fn is_addressed_by(&self, [a, b, c, d, e, f, ..]: [u8; 8]) -> bool {
        let [m, n, o, p, q, r] = self.mac;
        u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]) == u64::from_ne_bytes([m, n, o, p, q, r, 0, 0])
    }

    /// The places where the interface with this number may be: an array that is looked at in so few
    /// of them costs a packet a fifth of what a hash map does, whatever numbers there are.
    #[inline(always)]
    pub fn places(index: u32) -> impl Iterator<Item = u32> {
        (0..Self::CHOICES).map(move |i| index.wrapping_add(i) & (INTERFACE_PLACES - 1))
    }
}

/// Which side of the gateway an interface is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Role {
    /// Hosts whose addresses are translated.
    Inside = 1,
    /// The world that sees the outside addresses.
    Outside = 2,
}

impl Role {
    /// The role with this number.
    #[inline(always)]
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Inside),
            2 => Some(Self::Outside),
            _ => None,
        }
    }
}

bitflags! {
    /// How an interface is.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct InterfaceFlags: u32 {
        /// Packets have no link-layer header (tun, ppp, wireguard).
        const LAYER3 = 1;
        /// XDP carries sessions whose packets arrive here, as far as it can.
        const XDP = 1 << 1;
        /// It was served, and is called otherwise by now: only the host's own packets pass.
        const CLOSED = 1 << 5;
    }
}

/// What the programs are told.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Settings {
    /// [`SettingsFlags`].
    pub flags: u32,
    /// The end of the punt port that packets are redirected into; 0 while there is none.
    pub punt_ifindex: u32,
    /// Misses that one source may punt per second; 0 for any number.
    pub miss_rate: u32,
    /// Misses that one source may punt at once.
    pub miss_burst: u32,
    /// The daemon is away when its worker's last [beat](Header::beat) is older than this, in nanoseconds.
    pub away_after_ns: u64,
    /// Zero.
    pub reserved: u64,
}

const _: () = assert!(size_of::<Settings>() == 32);

impl Settings {
    /// What [`Settings::away_after_ns`] is: the worker beats at least every two seconds, and may be held
    /// up for two more on a busy machine.
    pub const AWAY_AFTER_NS: u64 = 5 * SECOND_NS;
}

bitflags! {
    /// What the programs do.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SettingsFlags: u32 {
        /// Packets of established sessions are translated by the programs.
        const FAST_PATH = 1;
    }
}

/// What the programs did with packets: passed to the host, translated, returned; and punted, which
/// is counted by [`PuntReason`](crate::punt::PuntReason) from [`Counter::PUNTED`] on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Counter {
    /// Left to the host.
    Passed = 0,
    /// Translated by the TC program.
    Translated = 1,
    /// Sent where the worker said.
    Returned = 2,
    /// Handed to the host by the worker.
    ReturnedLocal = 3,
    /// Translated by the XDP program.
    TranslatedXdp = 4,
    /// Sent on between insides by the TC program, without a session.
    Forwarded = 5,
}

impl Counter {
    /// The number of the first punt counter.
    pub const PUNTED: u32 = 8;
    /// How many counters there are.
    pub const COUNT: u32 = Self::PUNTED + 32;
}

/// Packets that the programs cannot even punt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum EarlyDrop {
    /// The kernel gave no room for the headers.
    Headroom = 0,
    /// It came back from the worker to a next hop that is gone.
    NextHop = 1,
    /// There is no punt port.
    NoPuntPort = 2,
    /// No worker is there to take it from the punt port.
    NoWorker = 3,
    /// The source sends more misses than it may.
    RateLimited = 4,
    /// It came to the punt port, but neither from the programs nor from the worker, or with a header that
    /// makes no sense.
    Stray = 5,
    /// It is larger than a frame that the punt port carries.
    TooBig = 6,
    /// It is shorter than an IPv4 header.
    Truncated = 7,
    /// The kernel would have sent it out of an outside with an inside source.
    Leak = 8,
    /// It came by an interface that was served and is called otherwise by now.
    Closed = 9,
}

impl EarlyDrop {
    /// Every reason, by number.
    pub const ALL: [Self; 10] = [
        Self::Headroom,
        Self::NextHop,
        Self::NoPuntPort,
        Self::NoWorker,
        Self::RateLimited,
        Self::Stray,
        Self::TooBig,
        Self::Truncated,
        Self::Leak,
        Self::Closed,
    ];

    /// How many places the counters have: pinned, so that a later program finds room in them.
    pub const COUNT: u32 = 32;

    /// A name for counters and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Headroom => "headroom",
            Self::NextHop => "next-hop-gone",
            Self::NoPuntPort => "no-punt-port",
            Self::NoWorker => "no-worker",
            Self::RateLimited => "rate-limited",
            Self::Stray => "stray",
            Self::TooBig => "too-big",
            Self::Truncated => "truncated",
            Self::Leak => "leak",
            Self::Closed => "closed",
        }
    }
}

/// A flow of the host, by the tuple that an answer to it arrives with, as it lies in the packet.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct HostFlow {
    /// The remote's address.
    pub source: u32,
    /// The host's.
    pub destination: u32,
    /// Both ports, as the first word of a UDP header; see [`Key4::ports`].
    pub ports: u32,
    /// The IP protocol.
    pub protocol: u32,
}

impl HostFlow {
    /// The flow whose answers arrive with this tuple.
    #[inline(always)]
    #[must_use]
    pub const fn answered_by(key: &Key4) -> Self {
        let Key4 { source, destination, ports, protocol } = *key;
        Self { source, destination, ports, protocol: protocol as u32 }
    }

    /// The flow that a packet with this tuple is of, when the host sends it.
    #[inline(always)]
    #[must_use]
    pub const fn sent_with(key: &Key4) -> Self {
        let Key4 { source, destination, ports, protocol } = *key;
        let ports = ports.rotate_left(16);
        Self { source: destination, destination: source, ports, protocol: protocol as u32 }
    }
}

/// How many misses a source may still punt.
///
/// Two processors that take from the same bucket at once may take the same token; the limit is a
/// protection, not an account.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct TokenBucket {
    /// The instant at which the bucket was (or will be) empty, in nanoseconds of `CLOCK_MONOTONIC`.
    pub empty_at_ns: u64,
}

impl TokenBucket {
    /// Takes a token, if there is one. With a rate of 0 there always is.
    ///
    /// The bucket is kept as an instant: every token taken moves it a token's time ahead, and it
    /// never lies further back than a full bucket's time.
    #[inline(always)]
    pub fn take(&mut self, now_ns: u64, rate: u32, burst: u32) -> bool {
        if rate == 0 {
            return true;
        }
        let token_ns = SECOND_NS / u64::from(rate);
        let full = now_ns.saturating_sub(token_ns * u64::from(burst));
        let empty_at_ns = if self.empty_at_ns < full { full } else { self.empty_at_ns };
        if empty_at_ns + token_ns > now_ns {
            return false;
        }
        self.empty_at_ns = empty_at_ns + token_ns;
        true
    }
}

const SECOND_NS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::punt::PuntReason;

    #[test]
    fn names_fit_the_kernel_and_are_apart() {
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|map| map.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(names.iter().all(|name| name.len() < 16), "BPF_OBJ_NAME_LEN");
    }

    #[test]
    fn mmapped_values_lie_without_gaps() {
        for map in ALL.iter().filter(|map| map.mmapable) {
            assert!(map.value_size.is_multiple_of(8), "{}", map.name);
        }
    }

    #[test]
    fn every_punt_reason_has_a_counter() {
        assert!(PuntReason::ALL.len() as u32 <= Counter::COUNT - Counter::PUNTED);
    }

    #[test]
    fn early_drops_are_numbered_by_their_place() {
        for (number, drop) in (0..).zip(EarlyDrop::ALL) {
            assert_eq!(drop as u32, number);
        }
        assert!(EarlyDrop::ALL.len() as u32 <= EarlyDrop::COUNT);
    }

    #[test]
    fn what_the_host_sends_is_of_the_flow_that_the_answer_finds() {
        let (here, there) = (0x0100_0a0a, 0x0200_0a0a);
        let ports = |source, destination| crate::key::pack_ports(source, destination);
        let sent = Key4 { source: here, destination: there, ports: ports(5000, 53), protocol: 17 };
        let answer = Key4 { source: there, destination: here, ports: ports(53, 5000), ..sent };
        assert_eq!(HostFlow::sent_with(&sent), HostFlow::answered_by(&answer));
    }

    #[test]
    fn a_source_may_send_a_burst_and_then_its_rate() {
        let mut bucket = TokenBucket::default();
        let now = 100 * SECOND_NS;
        let taken =
            |bucket: &mut TokenBucket, at| (0..100).filter(|_| bucket.take(at, 10, 20)).count();
        assert_eq!(taken(&mut bucket, now), 20);
        assert_eq!(taken(&mut bucket, now + SECOND_NS / 2), 5);
        assert_eq!(taken(&mut bucket, now + SECOND_NS), 5);
        assert_eq!(taken(&mut bucket, now + 60 * SECOND_NS), 20);
    }

    #[test]
    fn without_a_rate_there_is_no_limit() {
        let mut bucket = TokenBucket::default();
        assert!((0..1000).all(|_| bucket.take(5, 0, 0)));
    }
}
