//! The bytes of a frame, behind checked reads and writes.

use aya_ebpf::programs::{TcContext, XdpContext};

/// Reads a value from the frame's beginning, if its bytes are there.
#[inline(always)]
pub(crate) fn read<T: Copy>(ctx: &XdpContext) -> Option<T> {
    let at = start_of::<T>(ctx)? as *const T;
    // SAFETY: as many bytes lie there; the types read here are plain numbers.
    Some(unsafe { at.read_unaligned() })
}

/// Writes a value to the frame's beginning, if there is room.
#[inline(always)]
pub(crate) fn write<T: Copy>(ctx: &XdpContext, value: T) -> Option<()> {
    let at = start_of::<T>(ctx)? as *mut T;
    // SAFETY: as many bytes lie there, and the frame is ours while we run.
    unsafe { at.write_unaligned(value) };
    Some(())
}

/// The same where the frame has become a packet of the kernel.
#[inline(always)]
pub(crate) fn write_packet<T: Copy>(ctx: &TcContext, value: T) -> Option<()> {
    let at = room::<T>(ctx.data(), ctx.data_end())? as *mut T;
    // SAFETY: as many bytes lie there, and the packet is ours while we run.
    unsafe { at.write_unaligned(value) };
    Some(())
}

#[inline(always)]
fn start_of<T>(ctx: &XdpContext) -> Option<usize> {
    room::<T>(ctx.data(), ctx.data_end())
}

#[inline(always)]
fn room<T>(start: usize, end: usize) -> Option<usize> {
    if start + size_of::<T>() > end { None } else { Some(start) }
}
