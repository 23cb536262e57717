//! A network namespace as an open file.
//!
//! `unshare` on a short-lived thread makes the namespace, and the open `/proc/thread-self/ns/net`
//! keeps it. It has no name: nothing appears in `/run/netns`, nothing needs cleaning, and a killed
//! process leaves nothing behind, since the kernel ends a namespace with its last reference.
//!
//! ```text
//!   thread ── unshare(NEWNET) ── open(/proc/thread-self/ns/net) ──► ends
//!                                          │ OwnedFd
//!   run(|| …) ── scoped thread ── setns(fd) ── … ──► ends, its sockets stay where they were opened
//!   ip link add … peer name eth0 netns /proc/PID/fd/N        moves a link by path
//! ```
//!
//! A socket belongs for ever to the namespace it was opened in. So a test opens sockets in several
//! namespaces and then holds them all in one function.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::{fs, io, panic, process, thread};

use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use crate::error::Context;
use crate::{Result, sys};

/// A network namespace, and for some hosts a mount namespace with it.
#[derive(Debug)]
pub struct Namespace {
    net: OwnedFd,
    mounts: Option<OwnedFd>,
}

impl Namespace {
    /// Makes an empty network namespace that has nothing but a loopback interface, which is down.
    ///
    /// # Errors
    ///
    /// When the system does not permit it, which takes CAP_SYS_ADMIN.
    pub fn new() -> Result<Self> {
        let net = in_new_thread(|| {
            sys::unshare(UnshareFlags::NEWNET)?;
            File::open("/proc/thread-self/ns/net").map(OwnedFd::from)
        })
        .context(|| "making a network namespace".to_owned())?;
        Ok(Self { net, mounts: None })
    }

    /// Gives the namespace a view of the file system of its own: an empty `/run`, and a `/sys` that
    /// shows this namespace's interfaces. Other mounts stay visible; changes to them stay inside.
    ///
    /// `prepare` runs inside and may mount more.
    ///
    /// # Errors
    ///
    /// When a mount fails.
    pub fn with_own_mounts(
        mut self,
        prepare: impl FnOnce() -> io::Result<()> + Send,
    ) -> Result<Self> {
        let net = &self.net;
        let mounts = in_new_thread(|| {
            sys::unshare(UnshareFlags::NEWNS)?;
            enter(net, LinkNameSpaceType::Network)?;
            rustix::mount::mount_change(
                "/",
                MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
            )?;
            mount("tmpfs", "/run")?;
            mount("sysfs", "/sys")?;
            prepare()?;
            File::open("/proc/thread-self/ns/mnt").map(OwnedFd::from)
        })
        .context(|| "making a mount namespace".to_owned())?;
        self.mounts = Some(mounts);
        Ok(self)
    }

    /// Runs `work` inside, on a thread of its own, and returns what it returns.
    ///
    /// # Panics
    ///
    /// With the panic of `work`; and if the namespace cannot be entered, which cannot happen to a
    /// process that made it unless it gave up its rights since.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        in_new_thread(|| {
            self.enter().expect("a process may enter the namespaces that it made");
            work()
        })
    }

    /// Moves the calling thread inside, for good. For threads that exist for this namespace.
    pub(crate) fn enter(&self) -> io::Result<()> {
        if let Some(mounts) = &self.mounts {
            // Threads share working directory and root; a thread that shares cannot change mounts.
            sys::unshare(UnshareFlags::FS)?;
            enter(mounts, LinkNameSpaceType::Mount)?;
        }
        enter(&self.net, LinkNameSpaceType::Network)
    }

    /// The path by which other programs may name the network namespace while this process lives.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", process::id(), self.net.as_raw_fd()))
    }

    /// The same for the mount namespace, when the namespace has its own.
    #[must_use]
    pub fn mounts_path(&self) -> Option<PathBuf> {
        let mounts = self.mounts.as_ref()?;
        Some(PathBuf::from(format!("/proc/{}/fd/{}", process::id(), mounts.as_raw_fd())))
    }

    /// Another handle for the same namespace.
    ///
    /// # Errors
    ///
    /// When the process is out of descriptors.
    pub fn try_clone(&self) -> Result<Self> {
        let again = |fd: &OwnedFd| fd.try_clone().context(|| "keeping a namespace".to_owned());
        Ok(Self { net: again(&self.net)?, mounts: self.mounts.as_ref().map(again).transpose()? })
    }

    /// Reads a setting below `/proc/sys` as it is inside.
    ///
    /// # Errors
    ///
    /// When there is no such setting.
    pub fn sysctl(&self, name: &str) -> Result<String> {
        let path = sysctl_path(name);
        let value = self
            .run(|| fs::read_to_string(&path))
            .context(|| format!("reading {}", path.display()))?;
        Ok(value.trim_end().to_owned())
    }

    /// Sets something below `/proc/sys`, inside.
    ///
    /// # Errors
    ///
    /// When there is no such setting, or it refuses the value.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<()> {
        self.set_sysctls(&[(name, value)])
    }

    /// Sets several at once, with one thread.
    ///
    /// # Errors
    ///
    /// With the first that fails.
    pub fn set_sysctls(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.run(|| {
            settings.iter().try_for_each(|(name, value)| {
                fs::write(sysctl_path(name), value).context(|| format!("setting {name}={value}"))
            })
        })
    }
}

/// Says why this system cannot carry a lab, or `None` when it can.
#[must_use]
pub fn unavailable() -> Option<String> {
    let failed = Namespace::new().err()?;
    Some(format!("{failed}; the lab needs root, or CAP_SYS_ADMIN and CAP_NET_ADMIN"))
}

fn sysctl_path(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(name.replace('.', "/"))
}

/// Mounts a file system of a kind on a directory.
pub(crate) fn mount(kind: &str, target: &str) -> io::Result<()> {
    rustix::mount::mount("none", target, kind, MountFlags::empty(), None).map_err(|error| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("mounting {kind} on {target}: {error}"))
    })
}

fn enter(namespace: &OwnedFd, kind: LinkNameSpaceType) -> io::Result<()> {
    rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(kind)).map_err(Into::into)
}

/// A thread whose namespace has changed is never used for anything else again.
fn in_new_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        scope.spawn(work).join().unwrap_or_else(|panicked| panic::resume_unwind(panicked))
    })
}
