//! An instance's name, and everything on the host that carries it.
//!
//! ```text
//! <run>/bpf/<instance>/           pins, see `Pins`
//! <run>/<instance>.dataplane      locked while a daemon, or a detach, is at work
//! <run>/<instance>.state          what to restore
//! masq0-<instance>, masq1-…       the punt port (shortened, as names of interfaces are)
//! ```

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::attach::{Hook, Pins};
use crate::error::StartError;
use crate::netlink::{Netlink, PuntPair, delete_link};
use crate::punt::PUNT_MTU;
use crate::state::State;
use crate::{bpffs, sys};

/// An instance.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    run: PathBuf,
    name: String,
}

/// What an instance has at some moment.
#[derive(Debug)]
pub(crate) struct Belongings {
    pins: BTreeSet<PathBuf>,
    pair: bool,
    state: bool,
    filters: BTreeSet<u32>,
    untagging: BTreeSet<u32>,
}

/// Which of the places that all instances share there are at some moment.
#[derive(Debug)]
pub(crate) struct Places {
    run: bool,
    bpffs: bool,
    mounted: bool,
}

/// Something could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot remove {what}")]
pub struct RemoveError {
    /// What.
    pub what: String,
    /// Why not.
    #[source]
    pub source: Box<dyn core::error::Error + Send + Sync>,
}

impl Instance {
    /// The instance of that name, if it is one.
    pub(crate) fn new(run: &Path, name: &str) -> Result<Self, StartError> {
        let fits = (1..=32).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !fits {
            return Err(StartError::Name { instance: name.to_owned() });
        }
        Ok(Self { run: run.to_owned(), name: name.to_owned() })
    }

    /// Where the BPF file system is.
    pub(crate) fn bpffs(&self) -> PathBuf {
        self.run.join("bpf")
    }

    /// Where the state is remembered.
    pub(crate) fn state_path(&self) -> PathBuf {
        self.run.join(format!("{}.state", self.name))
    }

    /// Makes sure that nobody else works on the instance while the file is open.
    pub(crate) fn lock(&self) -> Result<File, StartError> {
        let path = self.lock_path();
        let failed = |source| StartError::File { path: path.clone(), source };
        std::fs::create_dir_all(&self.run).map_err(failed)?;
        loop {
            let file = File::options().create(true).truncate(false).write(true).open(&path);
            let file = file.map_err(failed)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(StartError::Running { instance: self.name.clone() });
                }
                Err(error) => return Err(failed(error.into())),
            }
            // Between opening and locking, a detach may have removed the file.
            let inode = |found: io::Result<Metadata>| found.map(|found| found.ino()).ok();
            if inode(file.metadata()) == inode(std::fs::metadata(&path)) {
                return Ok(file);
            }
        }
    }

    /// Whether the lock's file is there.
    pub(crate) fn has_lock(&self) -> bool {
        self.lock_path().exists()
    }

    /// The punt port.
    pub(crate) fn pair(&self) -> PuntPair {
        let short = shortened(&self.name);
        PuntPair {
            near: format!("masq0-{short}"),
            far: format!("masq1-{short}"),
            alias: format!("punt port of masq instance {}", self.name),
            mtu: PUNT_MTU,
        }
    }

    /// What the instance has.
    pub(crate) fn note(&self) -> Belongings {
        let state = State::read(&self.state_path()).ok();
        let filters = state.as_ref().map(|state| state.filters().keys().copied().collect());
        let untagging = state.map(|state| state.untagging().clone());
        Belongings {
            pins: Pins::of(&self.bpffs(), &self.name).list().into_iter().collect(),
            pair: self.find_pair().is_some(),
            state: self.state_path().exists(),
            filters: filters.unwrap_or_default(),
            untagging: untagging.unwrap_or_default(),
        }
    }

    /// Removes everything that the instance has got since; all of it is tried.
    pub(crate) fn remove_beyond(&self, before: &Belongings) -> Vec<RemoveError> {
        let mut errors = Vec::new();
        let mut failed = |what: String, source: Box<dyn core::error::Error + Send + Sync>| {
            errors.push(RemoveError { what, source });
        };
        let state = match State::read(&self.state_path()) {
            Ok(state) => Some(state),
            Err(error) => {
                failed(self.state_path().display().to_string(), error.into());
                None
            }
        };
        // Numbers and settings mean something in the instance's own namespace only.
        let own = sys::namespace::cookie().ok();
        let here = |state: &State| state.namespace().is_none() || state.namespace() == own;
        let (state, stray) = match state {
            Some(state) if !here(&state) => (None, Some(state)),
            state => (state, None),
        };
        if let Some(error) = stray.filter(|_| !before.state).and_then(State::forget) {
            failed("the note of changed settings".to_owned(), error.into());
        }
        let filters = state.iter().flat_map(|state| state.filters().clone());
        let filters: Vec<_> =
            filters.filter(|(index, _)| !before.filters.contains(index)).collect();
        let untagging: Vec<u32> = match &state {
            Some(state) => state.untagging().difference(&before.untagging).copied().collect(),
            None => Vec::new(),
        };
        // Forwarding is turned off, if masq turned it on, while packets still cannot pass.
        if let Some(state) = state.filter(|_| !before.state) {
            for error in state.restore() {
                failed("a changed kernel setting".to_owned(), error.into());
            }
        }
        let pins = Pins::of(&self.bpffs(), &self.name);
        for (path, error) in pins.remove_except(&before.pins) {
            failed(path.display().to_string(), error.into());
        }
        let here = Netlink::open();
        if let Ok(mut netlink) = here {
            for (index, discipline) in filters {
                remove_filter(&mut netlink, index, discipline);
            }
            for name in untagging.into_iter().filter_map(sys::interface_name) {
                if let Err(error) = sys::ethtool::strip_vlan_tags(&name, true) {
                    failed(format!("the change to VLAN tags on {name}"), error.into());
                }
            }
            if let (Some(index), false) = (self.find_pair(), before.pair)
                && let Err(error) = delete_link(&mut netlink, index)
            {
                failed(self.pair().near, error.into());
            }
        }
        errors
    }

    /// Removes everything that the instance has.
    pub(crate) fn remove(&self) -> Vec<RemoveError> {
        let nothing = Belongings {
            pins: BTreeSet::new(),
            pair: false,
            state: false,
            filters: BTreeSet::new(),
            untagging: BTreeSet::new(),
        };
        self.remove_beyond(&nothing)
    }

    /// Which of the shared places there are.
    pub(crate) fn places(&self) -> Places {
        let bpffs = self.bpffs();
        let mounted = bpffs::is_mounted(&bpffs);
        Places { run: self.run.exists(), bpffs: bpffs.exists(), mounted }
    }

    /// Removes the shared places that were not there before, unless somebody has come to use them.
    pub(crate) fn remove_places_beyond(&self, before: &Places) {
        let bpffs = self.bpffs();
        if !before.mounted && bpffs::is_mounted(&bpffs) && !bpffs::is_in_use(&bpffs) {
            let _ = rustix::mount::unmount(&bpffs, rustix::mount::UnmountFlags::empty());
        }
        // A directory that is not empty stays.
        if !before.bpffs {
            let _ = std::fs::remove_dir(&bpffs);
        }
        if !before.run {
            let _ = std::fs::remove_dir(&self.run);
        }
    }

    /// Removes the shared places, if masq has made them and no instance uses them.
    pub(crate) fn remove_own_places(&self) {
        bpffs::remove_own(&self.bpffs());
        // A directory that is not empty stays.
        let _ = std::fs::remove_dir(&self.run);
    }

    /// Whether the instance has anything on this host.
    pub(crate) fn exists(&self) -> bool {
        self.state_path().exists() || Pins::of(&self.bpffs(), &self.name).exist()
    }

    /// Removes the lock's file.
    pub(crate) fn remove_lock(&self) {
        let _ = std::fs::remove_file(self.lock_path());
    }

    /// The file that whoever works on the instance has locked.
    pub(crate) fn lock_path(&self) -> PathBuf {
        self.run.join(format!("{}.dataplane", self.name))
    }

    /// The number of the punt port's near end, if it is in this namespace.
    fn find_pair(&self) -> Option<u32> {
        sys::interface_index(&self.pair().near)
    }
}

/// Gives a lock back at once. A process that was forked meanwhile, and has not executed its program
/// yet, shares the file and would keep the lock otherwise.
pub(crate) fn unlock(lock: &File) {
    let _ = rustix::fs::flock(lock, FlockOperation::Unlock);
}

/// The instances that have a file of that ending in a directory.
pub(crate) fn names_in(directory: &Path, ending: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| Some(name.strip_suffix(ending)?.to_owned())).collect()
}

fn remove_filter(netlink: &mut Netlink, index: u32, discipline: bool) {
    if let Some(name) = sys::interface_name(index) {
        Hook::ALL.into_iter().for_each(|hook| hook.detach_clsact(&name));
        if discipline && let Err(error) = netlink.remove_clsact(index) {
            tracing::debug!(%error, name, "cannot remove the queueing discipline");
        }
    }
}

/// A name of at most nine characters, different for different names.
fn shortened(name: &str) -> String {
    if name.len() <= 9 {
        return name.to_owned();
    }
    // FNV-1a (draft-eastlake-fnv).
    let hash = name
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{}{:05x}", &name[..4], hash & 0xf_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_interfaces_fit_the_kernel_and_are_apart() {
        let pair = |name| Instance::new(Path::new("/run/masq"), name).unwrap().pair();
        assert_eq!(pair("default").near, "masq0-default");
        let (one, two) = (pair("gateway-of-berlin"), pair("gateway-of-bremen"));
        assert_ne!(one.near, two.near);
        assert!(one.near.len() <= 15 && one.far.len() <= 15, "{one:?}");
    }

    #[test]
    fn a_name_is_a_file_name_and_nothing_else() {
        for bad in ["", "..", "a/b", "a b", "ä", &"x".repeat(33)] {
            let error = Instance::new(Path::new("/run/masq"), bad).unwrap_err();
            assert!(matches!(error, StartError::Name { .. }), "{bad}");
        }
    }
}
