//! Has the kernel run an XDP program on frames of its own making (`BPF_PROG_RUN` in live frame mode).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// How a program is run.
pub(crate) struct LiveRun<'a> {
    /// What frames begin with, and a mark before it for the program to see.
    pub(crate) data: &'a [u8],
    /// How much of that is the mark: a multiple of four bytes.
    pub(crate) mark: usize,
    /// The interface at which frames seem to arrive; its driver must have an XDP program.
    pub(crate) interface: u32,
    /// How often it is run: as many frames as are sent at once.
    pub(crate) times: u32,
}

impl LiveRun<'_> {
    /// Runs the program. What becomes of each frame is the program's affair, and not told.
    pub(crate) fn run(&self, program: impl AsFd) -> io::Result<()> {
        let data = self.data;
        let context = Context {
            data: self.mark as u32,
            data_end: data.len() as u32,
            ingress_ifindex: self.interface,
            ..Context::default()
        };
        let mut attributes = Attributes {
            program: program.as_fd().as_raw_fd() as u32,
            data_size_in: data.len() as u32,
            data_in: data.as_ptr().expose_provenance() as u64,
            repeat: self.times,
            ctx_size_in: size_of::<Context>() as u32,
            ctx_in: (&raw const context).expose_provenance() as u64,
            flags: LIVE_FRAMES,
            batch_size: self.times,
            ..Attributes::default()
        };
        // SAFETY: the kernel reads attributes of the size given, and what they point to, which lives
        // as long as the call and is as long as they say; it writes what it reports into them only.
        let status = unsafe {
            libc::syscall(libc::SYS_bpf, PROG_RUN, &raw mut attributes, size_of::<Attributes>())
        };
        if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// `struct xdp_md` of linux/bpf.h.
#[derive(Default)]
#[repr(C)]
struct Context {
    data: u32,
    data_end: u32,
    data_meta: u32,
    ingress_ifindex: u32,
    rx_queue_index: u32,
    egress_ifindex: u32,
}

/// The part of `union bpf_attr` that the command reads, up to what Linux 5.18 added.
#[derive(Default)]
#[repr(C)]
struct Attributes {
    program: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    rest: u32,
}

const PROG_RUN: libc::c_long = 10;
/// `BPF_F_TEST_XDP_LIVE_FRAMES`.
const LIVE_FRAMES: u32 = 1 << 1;
