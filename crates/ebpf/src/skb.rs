//! A packet at a TC hook: its metadata, and what the kernel does with it for us.

use aya_ebpf::bindings::bpf_check_mtu_flags::BPF_MTU_CHK_SEGS;
use aya_ebpf::bindings::{
    __sk_buff, BPF_F_INGRESS, TC_ACT_SHOT, TC_ACT_UNSPEC, bpf_fib_lookup as bpf_fib_lookup_question,
};
use aya_ebpf::helpers::{
    bpf_check_mtu, bpf_fib_lookup, bpf_l4_csum_replace, bpf_redirect, bpf_redirect_neigh,
    bpf_skb_change_head, bpf_skb_change_tail, bpf_skb_change_type, bpf_skb_pull_data,
};
use aya_ebpf::programs::TcContext;
use masq_wire::checksum::Delta;

use crate::bytes::Bytes;

/// The packet is not ours: the next program, and then the kernel, has it.
pub(crate) const PASS: i32 = TC_ACT_UNSPEC;
/// The packet ends here.
pub(crate) const DROP: i32 = TC_ACT_SHOT as i32;

/// `PACKET_HOST` of linux/if_packet.h: the frame was sent to this station.
const PACKET_HOST: u32 = 0;

/// The packet under the program's hands.
#[derive(Clone, Copy)]
pub(crate) struct Skb<'a> {
    ctx: &'a TcContext,
}

impl<'a> Skb<'a> {
    #[inline(always)]
    pub(crate) fn new(ctx: &'a TcContext) -> Self {
        Self { ctx }
    }

    /// The kernel's structure, for helpers.
    #[inline(always)]
    pub(crate) fn raw(self) -> *mut __sk_buff {
        self.ctx.skb.skb
    }

    /// The interface on which the packet arrived.
    #[inline(always)]
    pub(crate) fn ifindex(self) -> u32 {
        // SAFETY: the kernel passes a valid context; the verifier turns this into a checked load.
        unsafe { (*self.raw()).ifindex }
    }

    /// At egress, the interface on which the packet arrived at this host; 0 if the host itself sends it.
    #[inline(always)]
    pub(crate) fn ingress_ifindex(self) -> u32 {
        // SAFETY: as for `ifindex`.
        unsafe { (*self.raw()).ingress_ifindex }
    }

    /// The EtherType, in host order.
    #[inline(always)]
    pub(crate) fn ethertype(self) -> u16 {
        // SAFETY: as for `ifindex`.
        let protocol = unsafe { (*self.raw()).protocol };
        u16::from_be(protocol as u16)
    }

    /// Whether a VLAN tag was stripped off: the frame belongs to a VLAN's own interface.
    #[inline(always)]
    pub(crate) fn has_vlan_tag(self) -> bool {
        // SAFETY: as for `ifindex`.
        unsafe { (*self.raw()).vlan_present != 0 }
    }

    /// Whether the frame was sent to this station: not a broadcast, not for a neighbour.
    #[inline(always)]
    pub(crate) fn is_to_this_station(self) -> bool {
        // SAFETY: as for `ifindex`.
        unsafe { (*self.raw()).pkt_type == PACKET_HOST }
    }

    /// The packet's mark.
    #[inline(always)]
    pub(crate) fn mark(self) -> u32 {
        // SAFETY: as for `ifindex`.
        unsafe { (*self.raw()).mark }
    }

    /// Marks the packet.
    #[inline(always)]
    pub(crate) fn set_mark(self, mark: u32) {
        self.ctx.set_mark(mark);
    }

    /// The length of the packet as it is here, before any segmentation.
    #[inline(always)]
    pub(crate) fn len(self) -> u32 {
        self.ctx.len()
    }

    /// The payload of each segment that the packet will be cut into; 0 if it stays whole.
    #[inline(always)]
    pub(crate) fn segment_size(self) -> u32 {
        // SAFETY: as for `ifindex`.
        unsafe { (*self.raw()).gso_size }
    }

    /// Brings the packet's first `wanted` bytes, or all if it is shorter, where they can be read.
    #[inline(always)]
    pub(crate) fn pull(self, wanted: u32) {
        let wanted = if wanted < self.len() { wanted } else { self.len() };
        if self.ctx.data() + wanted as usize > self.ctx.data_end() {
            // A failure shows when the bytes are read.
            // SAFETY: the context is the one the kernel passed.
            let _ = unsafe { bpf_skb_pull_data(self.raw(), wanted) };
        }
    }

    /// How many segments the packet will be cut into; 0 if it stays whole, or nobody has counted.
    #[inline(always)]
    pub(crate) fn segments(self) -> u32 {
        // SAFETY: as for `ifindex`.
        unsafe { (*self.raw()).gso_segs }
    }

    /// Whether each segment that the packet will be cut into fits an interface.
    #[inline(always)]
    pub(crate) fn segments_fit(self, ifindex: u32) -> bool {
        let mut mtu = 0;
        // SAFETY: the context is the one the kernel passed; the length is written to a live value.
        let result = unsafe {
            bpf_check_mtu(self.raw().cast(), ifindex, &raw mut mtu, 0, u64::from(BPF_MTU_CHK_SEGS))
        };
        result == 0
    }

    /// Whether a packet of a length, or each segment that it will be cut into, fits an interface.
    #[inline(always)]
    pub(crate) fn fits(self, ifindex: u32, length: u32) -> bool {
        if self.segment_size() != 0 {
            return self.segments_fit(ifindex);
        }
        let mut mtu = length;
        // SAFETY: the context is the one the kernel passed; the length is read from a live value.
        let result = unsafe { bpf_check_mtu(self.raw().cast(), ifindex, &raw mut mtu, 0, 0) };
        result == 0
    }

    /// Asks the kernel where it would forward a packet; the answer is one of `BPF_FIB_LKUP_RET_…`.
    #[inline(always)]
    pub(crate) fn ask_route(self, question: &mut bpf_fib_lookup_question) -> i64 {
        let size = size_of::<bpf_fib_lookup_question>() as i32;
        // SAFETY: the context is the one the kernel passed; the question is a live value of that size.
        unsafe { bpf_fib_lookup(self.raw().cast(), question, size, 0) }
    }

    /// Cuts off what is beyond a length, counted from the first byte: what fills a short frame up is no
    /// part of the packet, and nobody else's to see.
    #[inline(always)]
    pub(crate) fn trim(self, length: u32) -> Option<()> {
        if self.segment_size() != 0 || self.len() <= length {
            return Some(());
        }
        // SAFETY: the context is the one the kernel passed.
        let result = unsafe { bpf_skb_change_tail(self.raw(), length, 0) };
        (result == 0).then_some(())
    }

    /// Changes the transport checksum at an offset, as far as the packet has one already.
    #[inline(always)]
    pub(crate) fn mend_checksum(self, offset: usize, by: Delta, flags: u64) -> Option<()> {
        if by.is_none() {
            return Some(());
        }
        // The kernel sums words as they lie in memory.
        let by = u64::from(by.0.to_be());
        // SAFETY: the context is the one the kernel passed.
        let result = unsafe { bpf_l4_csum_replace(self.raw(), offset as u32, 0, by, flags) };
        (result == 0).then_some(())
    }

    /// Makes room for `length` zero bytes in front of the packet.
    #[inline(always)]
    pub(crate) fn grow_head(self, length: u32) -> Option<()> {
        // SAFETY: the context is the one the kernel passed.
        let result = unsafe { bpf_skb_change_head(self.raw(), length, 0) };
        (result == 0).then_some(())
    }

    /// Sends the packet out of an interface.
    #[inline(always)]
    pub(crate) fn redirect_out(self, ifindex: u32) -> i32 {
        // SAFETY: the helper takes plain numbers.
        unsafe { bpf_redirect(ifindex, 0) as i32 }
    }

    /// Sends the packet out of an interface, to the neighbour that the kernel's routes name there.
    #[inline(always)]
    pub(crate) fn redirect_to_neighbour(self, ifindex: u32) -> i32 {
        // SAFETY: without a neighbour of our own, the helper takes plain numbers.
        unsafe { bpf_redirect_neigh(ifindex, core::ptr::null_mut(), 0, 0) as i32 }
    }

    /// Lets the packet arrive on an interface.
    #[inline(always)]
    pub(crate) fn redirect_in(self, ifindex: u32) -> i32 {
        // SAFETY: the helper takes plain numbers.
        unsafe { bpf_redirect(ifindex, u64::from(BPF_F_INGRESS)) as i32 }
    }

    /// Says that the packet is for this host, whatever its Ethernet head said.
    #[inline(always)]
    pub(crate) fn address_to_this_station(self) {
        // It fails only for types that a packet from the punt port does not have.
        // SAFETY: the context is the one the kernel passed.
        let _ = unsafe { bpf_skb_change_type(self.raw(), PACKET_HOST) };
    }
}

impl Bytes for Skb<'_> {
    #[inline(always)]
    fn bounds(self) -> (usize, usize) {
        let skb = self.raw();
        // SAFETY: the kernel passes a valid context; the verifier turns this into a checked load.
        let start = unsafe { (&raw const (*skb).data).read_volatile() };
        // SAFETY: as above.
        let end = unsafe { (&raw const (*skb).data_end).read_volatile() };
        (start as usize, end as usize)
    }
}
