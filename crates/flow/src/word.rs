//! The words that shared memory is made of.
//!
//! On the host they are ordinary atomics. The BPF target has no 32-bit atomics and no
//! compare-and-swap in Rust's eyes, so there they are volatile accesses and one atomic add; the
//! methods are the same. Every access is relaxed; order is made by the [`acquire`] and [`release`]
//! fences around a sequence number, because a reader may have the memory mapped read-only, where
//! only relaxed loads are promised to work.
//!
//! The BPF target has no fences either: there they keep the compiler from reordering, and the
//! processor's own order (total store order on x86-64) does the rest.

#[cfg(target_arch = "bpf")]
mod bpf;
#[cfg(not(target_arch = "bpf"))]
mod host;

#[cfg(target_arch = "bpf")]
pub use bpf::{Word8, Word16, Word32, Word64, acquire, release};
#[cfg(not(target_arch = "bpf"))]
pub use host::{Word8, Word16, Word32, Word64, acquire, release};

#[cfg(all(test, not(target_arch = "bpf")))]
pub(crate) use host::fuse;
