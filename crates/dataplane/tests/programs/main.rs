//! The eBPF programs on the kernel that is there: packet in, verdict and packet out.
//!
//! Most tests hand one frame to one program (`BPF_PROG_TEST_RUN`) and look at what it made of it:
//! the verdict, the frame, the one counter that rose. Nothing is sent; the interfaces only have to
//! exist. What shows only when packets travel (devices without link-layer header, VLAN tags that the
//! kernel strips, segmentation) runs over real devices in `wire`.
//!
//! Loading programs takes root. Without it a test says so and does nothing, unless
//! `MASQ_REQUIRE_NETNS` is set.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod between;
mod deliver;
mod devices;
mod egress;
mod fast;
mod host;
mod ingress;
mod measure;
mod reinject;
mod rig;
mod sessions;
mod tokens;
mod wire;

use masq_lab::{Namespace, unavailable};

/// Runs a test on a thread of its own in an empty network.
#[expect(clippy::print_stderr, reason = "a test that did nothing says why")]
pub(crate) fn in_network(test: impl FnOnce() + Send) {
    let Some(reason) = unavailable() else {
        return Namespace::new().unwrap().run(test);
    };
    let required = std::env::var_os("MASQ_REQUIRE_NETNS").is_some();
    assert!(!required, "cannot be skipped here: {reason}");
    eprintln!("skipped: {reason}");
}
