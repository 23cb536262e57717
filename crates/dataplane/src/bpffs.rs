//! Where the programs' maps and links are pinned: a BPF file system at `<run>/bpf`.
//!
//! Pins keep the programs attached and the flow table alive while no daemon runs. They live as long
//! as the file system is mounted somewhere, so it has to be mounted where it stays: in a private
//! mount namespace, as `ip netns exec` and some service managers make one, a mount would vanish
//! together with the process, and every flow with it. masq refuses to mount there; a file system
//! that was mounted outside before is visible inside and serves well.
//!
//! Whoever removes the last instance removes the mount as well, if it was masq that made it. The
//! mount itself tells: its source, which means nothing to a BPF file system, is then "masq".

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
    rustix::mount::mount(SOURCE, &path, "bpf", MountFlags::empty(), Some(c"mode=0700"))
        .map_err(|source| BpffsError::Mount { path, source: source.into() })
}

/// Unmounts the file system there if masq has mounted it and nothing is pinned in it.
pub(crate) fn remove_own(path: &Path) {
    let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
    let source = source_of(&mounts, path);
    if source != Some(SOURCE) || is_in_use(path) {
        return;
    }
    // It stays if somebody has just come to use it.
    if rustix::mount::unmount(path, rustix::mount::UnmountFlags::empty()).is_ok() {
        let _ = std::fs::remove_dir(path);
    }
}

/// What is mounted at a place, by the text of a mountinfo file: the source of the topmost BPF file
/// system there, if that is what can be seen.
fn source_of<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    // 36 35 0:31 / /run/masq/bpf rw,relatime shared:1 - bpf masq rw,mode=700
    let line = mounts
        .lines()
        .rfind(|line| line.split(' ').nth(4).is_some_and(|place| Path::new(place) == path))?;
    let mut kind = line.split_once(" - ")?.1.split(' ');
    (kind.next() == Some("bpf")).then(|| kind.next())?
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

/// Where the mounts that masq makes come from.
const SOURCE: &str = "masq";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_of_ours_is_told_from_others() {
        let line = |place: &str, source: &str| {
            format!("36 35 0:31 / {place} rw,relatime shared:1 - bpf {source} rw,mode=700\n")
        };
        let root = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n".to_owned();
        let path = Path::new("/run/masq/bpf");
        let source = |mounts: &[String]| source_of(&mounts.concat(), path).map(str::to_owned);
        let (ours, theirs) = (line("/run/masq/bpf", "masq"), line("/run/masq/bpf", "bpf"));
        let elsewhere = line("/sys/fs/bpf", "masq");
        assert_eq!(source(&[root.clone(), elsewhere]), None);
        assert_eq!(source(&[root.clone(), ours.clone()]).as_deref(), Some("masq"));
        assert_eq!(source(&[root.clone(), theirs.clone()]).as_deref(), Some("bpf"));
        assert_eq!(source(&[ours, theirs]).as_deref(), Some("bpf"), "the topmost is what is seen");
        let other = "36 35 0:31 / /run/masq/bpf rw - tmpfs masq rw\n".to_owned();
        assert_eq!(source(&[root, other]), None);
    }
}
