//! Whether a packet belongs to a socket of the host.
//!
//! The gateway's ports and the host's are kept apart, but both sides are only asked to: a program may
//! bind a port after masq has taken it, or may have bound it before masq was started. Its packets
//! must still reach it.

use core::mem::size_of;

use aya_ebpf::bindings::{
    bpf_sock, bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1,
    bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1,
};
use aya_ebpf::helpers::{bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp};
use masq_flow::key::Key4;
use masq_wire::Protocol;

use crate::skb::Skb;

/// The namespace of the interface on which the packet arrived (`BPF_F_CURRENT_NETNS`).
const THIS_NAMESPACE: u64 = u64::MAX;

/// Whether a socket of this host would receive a packet with this tuple: a connection, one that is
/// being made or ended, or a listener.
#[inline(always)]
pub(crate) fn host_has(skb: Skb<'_>, key: &Key4) -> bool {
    let [s0, s1, d0, d1] = key.ports.to_ne_bytes();
    let mut tuple = bpf_sock_tuple {
        __bindgen_anon_1: bpf_sock_tuple__bindgen_ty_1 {
            ipv4: bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 {
                saddr: key.source,
                daddr: key.destination,
                sport: u16::from_ne_bytes([s0, s1]),
                dport: u16::from_ne_bytes([d0, d1]),
            },
        },
    };
    let size = size_of::<bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1>() as u32;
    let ctx = skb.raw().cast();
    let found: *mut bpf_sock = match Protocol(key.protocol) {
        // SAFETY: the tuple is a live value of the size given, the context the kernel's.
        Protocol::TCP => unsafe {
            bpf_skc_lookup_tcp(ctx, &raw mut tuple, size, THIS_NAMESPACE, 0)
        },
        // SAFETY: as above.
        Protocol::UDP => unsafe { bpf_sk_lookup_udp(ctx, &raw mut tuple, size, THIS_NAMESPACE, 0) },
        _ => return false,
    };
    if found.is_null() {
        return false;
    }
    // SAFETY: the socket was handed to us with a reference, which is given back once, here.
    unsafe { bpf_sk_release(found.cast()) };
    true
}
