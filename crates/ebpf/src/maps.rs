//! The maps, declared as `masq_flow::maps` describes them, and look-ups in their terms.
//!
//! The daemon finds them by name, sets the table's size before they are made, and pins them: they
//! outlive it, and so does what it wrote into them.

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::{Array, DevMapHash, HashMap, LruHashMap, PerCpuArray, XskMap};
use masq_flow::maps::{
    AddressFlags, Counter, EarlyDrop, HostFlow, INTERFACE_PLACES, Interface, MAX_ADDRESSES,
    MAX_HOST_FLOWS, MAX_KNOWN, MAX_NETWORKS, MAX_QUEUES, MAX_SOURCES, Settings, TokenBucket,
};
use masq_flow::owned::{Owned, Shared};
use masq_flow::{Bucket, Burst, Header, Layout, NextHop, NextHopId, Outgoing, Ready, Record};
use masq_wire::Protocol;
use zerocopy::transmute;

/// The table's size unless the daemon says otherwise.
const LAYOUT: Layout = Layout::for_sessions(Layout::DEFAULT_SESSIONS);

#[map(name = "MASQ_HEADER")]
pub(crate) static HEADER: Array<Header> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map(name = "MASQ_RECORDS")]
pub(crate) static RECORDS: Array<Record> = Array::with_max_entries(LAYOUT.slots, BPF_F_MMAPABLE);

#[map(name = "MASQ_INDEX")]
pub(crate) static INDEX: Array<Bucket> = Array::with_max_entries(LAYOUT.buckets, BPF_F_MMAPABLE);

#[map(name = "MASQ_NEXTHOPS")]
static NEXT_HOPS: Array<NextHop> = Array::with_max_entries(NextHop::COUNT, BPF_F_MMAPABLE);

#[map(name = "MASQ_OWNED")]
static OWNED: Array<Owned> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map(name = "MASQ_ADDRESSES")]
static ADDRESSES: HashMap<u32, u32> = HashMap::with_max_entries(MAX_ADDRESSES, 0);

#[map(name = "MASQ_DEVICES")]
static DEVICES: DevMapHash = DevMapHash::with_max_entries(INTERFACE_PLACES, 0);

#[map(name = "MASQ_INTERFACES")]
static INTERFACES: Array<Interface> = Array::with_max_entries(INTERFACE_PLACES, 0);

#[map(name = "MASQ_SETTINGS")]
static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);

#[map(name = "MASQ_DROPS")]
pub(crate) static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(EarlyDrop::COUNT, 0);

#[map(name = "MASQ_COUNTERS")]
pub(crate) static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);

#[map(name = "MASQ_BURST")]
static BURST: Array<Burst> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map(name = "MASQ_OUTGOING")]
static OUTGOING: Array<Outgoing> = Array::with_max_entries(Burst::MOST, BPF_F_MMAPABLE);

#[map(name = "MASQ_XSKS")]
pub(crate) static SOCKETS: XskMap = XskMap::with_max_entries(MAX_QUEUES, 0);

#[map(name = "MASQ_TOKENS")]
pub(crate) static TOKENS: LruHashMap<u32, TokenBucket> =
    LruHashMap::with_max_entries(MAX_SOURCES, 0);

#[map(name = "MASQ_HOSTFLOWS")]
pub(crate) static HOST_FLOWS: LruHashMap<HostFlow, u64> =
    LruHashMap::with_max_entries(MAX_HOST_FLOWS, 0);

#[map(name = "MASQ_NETWORKS")]
static NETWORKS: LpmTrie<u32, u32> = LpmTrie::with_max_entries(MAX_NETWORKS, 0);

#[map(name = "MASQ_KNOWN")]
static KNOWN: HashMap<u32, u32> = HashMap::with_max_entries(MAX_KNOWN, 0);

/// What the programs are told; none of it while the daemon has not spoken.
#[inline(always)]
pub(crate) fn settings() -> Settings {
    match SETTINGS.get(0) {
        Some(settings) => *settings,
        None => Settings::default(),
    }
}

/// An interface that masq serves.
#[inline(always)]
pub(crate) fn interface(ifindex: u32) -> Option<Interface> {
    for place in Interface::places(ifindex) {
        let interface = INTERFACES.get_ptr(place)?;
        // SAFETY: the look-up returned a valid, aligned value.
        if unsafe { (&raw const (*interface).index).read_volatile() } == ifindex {
            // Byte by byte it would take longer than the look-up.
            let words: *const [u64; size_of::<Interface>() / size_of::<u64>()] = interface.cast();
            // SAFETY: as above; values of maps are aligned for words. The daemon replaces them whole; a
            // reader that meets a replacement in the middle sees a mixture of an interface's old and
            // new properties.
            return Some(transmute!(unsafe { words.read_volatile() }));
        }
    }
    None
}

/// What an address is to this host; nothing if it is somebody else's.
#[inline(always)]
pub(crate) fn address(address: u32) -> AddressFlags {
    match ADDRESSES.get_ptr(address) {
        // SAFETY: the look-up returned a valid, aligned value, of a size that is not torn.
        Some(flags) => AddressFlags::from_bits_retain(unsafe { flags.read_volatile() }),
        None => AddressFlags::empty(),
    }
}

/// The inside interface behind which an address is; none if it is in no inside network.
#[inline(always)]
pub(crate) fn inside_of(address: u32) -> Option<u32> {
    NETWORKS.get(Key::new(u32::BITS, address)).copied()
}

/// Whether the daemon has looked at an interface, and attached what belongs there.
#[inline(always)]
pub(crate) fn is_known(ifindex: u32) -> bool {
    KNOWN.get_ptr(ifindex).is_some()
}

/// Whether a worker takes packets from the punt port. The kernel takes the socket of a process that
/// has ended out of the map.
#[inline(always)]
pub(crate) fn has_worker() -> bool {
    SOCKETS.get(0).is_some()
}

/// Which ports masq owns.
#[inline(always)]
pub(crate) fn owned() -> Option<&'static Owned> {
    OWNED.get(0)
}

/// Whether masq owns this port or identifier on shared addresses.
#[inline(always)]
pub(crate) fn owns_port(protocol: u8, port: u16) -> bool {
    match (owned(), Shared::of(Protocol(protocol))) {
        (Some(owned), Some(shared)) => owned.has_port(shared, port),
        _ => false,
    }
}

/// Whether masq owns this protocol on shared addresses.
#[inline(always)]
pub(crate) fn owns_protocol(protocol: u8) -> bool {
    match owned() {
        Some(owned) => owned.has_protocol(Protocol(protocol)),
        None => false,
    }
}

/// Has the frame under the program's hands redirected to an interface; none if that takes no
/// redirects. The kernel does so when the program has ended with the answer.
#[inline(always)]
pub(crate) fn redirect(ifindex: u32) -> Option<u32> {
    DEVICES.redirect(ifindex, u64::from(XDP_PASS)).ok()
}

/// The next packet that the worker sends, if there is one.
#[inline(always)]
pub(crate) fn next_outgoing() -> Option<&'static Outgoing> {
    OUTGOING.get(BURST.get(0)?.take()?)
}

/// A next hop.
#[inline(always)]
pub(crate) fn next_hop(id: NextHopId) -> Option<&'static NextHop> {
    NEXT_HOPS.get(u32::from(id.0))
}

/// A next hop that packets can be sent to, if it is still the one behind that interface, of whose
/// number the lower half is given.
#[inline(always)]
pub(crate) fn ready(id: NextHopId, link: u16) -> Option<Ready> {
    let hop = next_hop(id).and_then(NextHop::ready)?;
    if hop.ifindex as u16 == link { Some(hop) } else { None }
}
