//! Where the programs' maps and links are pinned: a BPF file system at `<run>/bpf`.
//!
//! Pins keep the programs attached and the flow table alive while no daemon runs. They live as long
//! as the file system is mounted somewhere, so it has to be mounted where it stays: in a private
//! mount namespace, as `ip netns exec` and some service managers make one, a mount would vanish
//! together with the process, and every flow with it. masq refuses to mount there; a file system
//! that was mounted outside before is visible inside and serves well.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::mount::MountFlags;

/// The BPF file system cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BpffsError {
    /// It is not mounted, and mounting it here would not last.
    #[error(
        "{path} is not mounted, and a mount made in this private mount namespace would vanish \
         with the process; mount it outside first: mkdir -p {path} && mount -t bpf bpf {path}"
    )]
    Private {
        /// Where it has to be.
        path: PathBuf,
    },
    /// Mounting it failed.
    #[error("cannot mount the BPF file system at {path}")]
    Mount {
        /// Where it has to be.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A directory in it, or for it, cannot be made or read.
    #[error("cannot use the directory {path}")]
    Directory {
        /// Which one.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Whether a BPF file system is mounted there.
pub(crate) fn is_mounted(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|fs| fs.f_type as u64 == BPF_FS_MAGIC)
}

/// Whether anything is pinned there. A fresh BPF file system shows two files of its own.
pub(crate) fn is_in_use(path: &Path) -> bool {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).any(|name| Path::new(&name).extension().is_none())
}

/// Mounts the BPF file system there, unless it is mounted; refuses where the mount would not last.
pub(crate) fn ensure(path: &Path) -> Result<(), BpffsError> {
    let path = path.to_owned();
    if is_mounted(&path) {
        return Ok(());
    }
    if in_private_mount_namespace() {
        return Err(BpffsError::Private { path });
    }
    if let Err(source) = std::fs::create_dir_all(&path) {
        return Err(BpffsError::Directory { path, source });
    }
    rustix::mount::mount("bpf", &path, "bpf", MountFlags::empty(), Some(c"mode=0700"))
        .map_err(|source| BpffsError::Mount { path, source: source.into() })
}

/// Whether mounts made by this thread are seen by nobody who was there before: its mount namespace
/// is not the one of the process that started this one, and so on up to the first process (of the
/// container, where there is one).
///
/// An ancestor that may not be looked at says nothing; the first process often is one.
pub(crate) fn in_private_mount_namespace() -> bool {
    let namespace = |path: &str| std::fs::metadata(path).map(|namespace| namespace.ino()).ok();
    let own = namespace("/proc/thread-self/ns/mnt");
    let mut process = std::process::id();
    for _ in 0..ANCESTORS {
        let theirs = namespace(&format!("/proc/{process}/ns/mnt"));
        if theirs.is_some() && theirs != own {
            return true;
        }
        let Some(parent) = parent(process) else { break };
        process = parent;
    }
    let first = namespace("/proc/1/ns/mnt");
    first.is_some() && first != own
}

fn parent(process: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
    (parent != 0).then_some(parent)
}

/// More than any chain of services and shells.
const ANCESTORS: usize = 64;

const BPF_FS_MAGIC: u64 = 0xcafe_4a11;
