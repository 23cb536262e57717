//! Namespaces for the tests of this crate: nothing of a test is seen outside its own thread.

use core::time::Duration;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use crate::attach::{Attachment, has_tcx};
use crate::clock;

/// Runs a test on a thread of its own with its own network and mounts: an empty `/run/masq` with a
/// BPF file system, and no interface but the loopback.
pub(crate) fn in_namespaces<R: Send>(test: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(UnshareFlags::NEWNET | UnshareFlags::NEWNS);
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            rustix::mount::mount_change("/", private).unwrap();
            rustix::mount::mount("run", "/run", "tmpfs", MountFlags::empty(), None).unwrap();
            let bpf = Path::new("/run/masq/bpf");
            std::fs::create_dir_all(bpf).unwrap();
            rustix::mount::mount("bpf", bpf, "bpf", MountFlags::empty(), None).unwrap();
            run("ip link set lo up");
            test()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The same for a test that expects XDP to redirect, where the kernel says what takes it.
pub(crate) fn in_namespaces_with_xdp(test: impl FnOnce() + Send) {
    match masq_lab::lacks_xdp_redirects() {
        None => in_namespaces(test),
        Some(reason) => skip(&reason),
    }
}

/// The same for a test of tcx links, where the kernel has them.
pub(crate) fn in_namespaces_with_tcx(test: impl FnOnce() + Send) {
    if has_tcx() { in_namespaces(test) } else { skip("this kernel has no tcx links; 6.6 does") }
}

/// How programs can be attached here.
pub(crate) fn attachments() -> impl Iterator<Item = Attachment> {
    [Attachment::Clsact].into_iter().chain(has_tcx().then_some(Attachment::Tcx))
}

#[expect(clippy::print_stderr, reason = "a test that did nothing says why")]
fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

/// Runs a command in the namespaces of this thread and returns what it printed.
pub(crate) fn run(command: &str) -> String {
    let mut words = command.split_ascii_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {text}{said}");
    text
}

/// Runs several commands, one a line.
pub(crate) fn run_all(commands: &str) {
    commands.lines().map(str::trim).filter(|line| !line.is_empty()).for_each(|line| {
        run(line);
    });
}

#[expect(unsafe_code, reason = "the thread was made for it")]
fn unshare(flags: UnshareFlags) {
    // SAFETY: no file descriptor table is unshared, so nothing that other threads own is affected.
    unsafe { rustix::thread::unshare_unsafe(flags) }.expect("tests of the dataplane need root");
}

/// Makes three hosts: the gateway, which is this thread's namespace, and two beside it.
///
/// ```text
///   inside ─── lan  gateway  wan ─── outside
///   192.168.1.3   .1     203.0.113.1   .178
/// ```
pub(crate) fn gateway_topology() {
    run_all(
        "
        ip netns add inside
        ip netns add outside
        ip link add lan type veth peer name eth0 netns inside
        ip link add wan type veth peer name eth0 netns outside
        ip address add 192.168.1.1/24 dev lan
        ip address add 203.0.113.1/24 dev wan
        ip link set lan up
        ip link set wan up
        ip netns exec inside ip link set lo up
        ip netns exec inside ip link set eth0 up
        ip netns exec inside ip address add 192.168.1.3/24 dev eth0
        ip netns exec inside ip route add default via 192.168.1.1
        ip netns exec outside ip link set lo up
        ip netns exec outside ip link set eth0 up
        ip netns exec outside ip address add 203.0.113.178/24 dev eth0
        ",
    );
}

/// Whether a command succeeds in the namespaces of this thread.
pub(crate) fn succeeds(command: &str) -> bool {
    let mut words = command.split_ascii_whitespace();
    Command::new(words.next().unwrap()).args(words).output().unwrap().status.success()
}

/// Whether a command succeeds soon, as one does that waits for the gateway, or for the kernel's
/// links, to notice something.
pub(crate) fn tries(command: &str) -> bool {
    comes_true(|| succeeds(command))
}

/// Whether something holds soon.
pub(crate) fn comes_true(what: impl Fn() -> bool) -> bool {
    let end = clock::now() + Duration::from_secs(5);
    loop {
        if what() {
            return true;
        }
        if clock::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Leaves the network of this thread for an empty one; mounts stay.
pub(crate) fn enter_new_network() {
    unshare(UnshareFlags::NEWNET);
}

/// Runs a function in the network of a host made by [`gateway_topology`], on a thread of its own.
pub(crate) fn on_host<R: Send>(name: &str, function: impl FnOnce() -> R + Send) -> R {
    let namespace = std::fs::File::open(Path::new("/run/netns").join(name)).unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let network = Some(LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(namespace.as_fd(), network).unwrap();
            function()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
