//! The network namespaces of this host, as far as somebody can find them: by a name in `/run/netns`, or
//! by a process that is in one. One that only an open file keeps is not found.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::sys;

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its number, which `lsns` and `ls -l /proc/PID/ns/net` show too.
    pub inode: u64,
    /// Its name in `/run/netns`, if it has one.
    pub name: Option<String>,
    /// The first process that is in it, if there is one.
    pub process: Option<u32>,
}

impl Namespace {
    /// The beginning of a command line whose rest runs in it.
    pub fn enter(&self) -> String {
        match (&self.name, self.process) {
            (Some(name), _) => format!("ip netns exec {name}"),
            (None, Some(process)) => format!("nsenter --net=/proc/{process}/ns/net"),
            (None, None) => format!("nsenter --net={OWN}"),
        }
    }

    /// That of the calling thread.
    pub(crate) fn own() -> io::Result<Self> {
        let inode = std::fs::metadata(OWN)?.ino();
        let name = named().into_iter().find(|(_, found)| *found == inode).map(|(name, _)| name);
        Ok(Self { inode, name, process: Some(std::process::id()) })
    }

    /// That of the cookie, if it can be found.
    pub(crate) fn of(cookie: u64) -> Option<Self> {
        let is_it = |found: &Self| found.run(sys::namespace::cookie).ok()?.ok();
        all().into_iter().find(|found| is_it(found) == Some(cookie))
    }

    /// Runs a function in it, on a thread of its own.
    pub(crate) fn run<R: Send>(&self, function: impl FnOnce() -> R + Send) -> io::Result<R> {
        let file = File::open(self.path())?;
        std::thread::scope(|scope| {
            let entered = scope.spawn(move || {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(function())
            });
            entered.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn path(&self) -> PathBuf {
        match (&self.name, self.process) {
            (Some(name), _) => Path::new(NAMES).join(name),
            (None, Some(process)) => PathBuf::from(format!("/proc/{process}/ns/net")),
            (None, None) => PathBuf::from(OWN),
        }
    }
}

/// Every one that can be found, by number.
fn all() -> Vec<Namespace> {
    let mut found = BTreeMap::new();
    for (name, inode) in named() {
        let fresh = || Namespace { inode, name: None, process: None };
        found.entry(inode).or_insert_with(fresh).name.get_or_insert(name);
    }
    for (process, inode) in processes() {
        let fresh = || Namespace { inode, name: None, process: None };
        found.entry(inode).or_insert_with(fresh).process.get_or_insert(process);
    }
    found.into_values().collect()
}

fn named() -> BTreeMap<String, u64> {
    let entries = std::fs::read_dir(NAMES).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| {
        // Following what is mounted there.
        let inode = std::fs::metadata(entry.path()).ok()?.ino();
        Some((entry.file_name().into_string().ok()?, inode))
    });
    named.collect()
}

fn processes() -> BTreeMap<u32, u64> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| {
        let process = entry.file_name().to_str()?.parse().ok()?;
        Some((process, std::fs::metadata(entry.path().join("ns/net")).ok()?.ino()))
    });
    processes.collect()
}

const NAMES: &str = "/run/netns";
const OWN: &str = "/proc/thread-self/ns/net";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{in_namespaces, on_host, run};

    #[test]
    fn a_namespace_is_found_by_its_cookie_and_told_by_its_name() {
        in_namespaces(|| {
            run("ip netns add side");
            let (cookie, inode) = on_host("side", || {
                (sys::namespace::cookie().unwrap(), Namespace::own().unwrap().inode)
            });

            let found = Namespace::of(cookie).unwrap();

            assert_eq!((found.inode, found.name.as_deref()), (inode, Some("side")));
            assert_eq!(found.run(sys::namespace::cookie).unwrap().unwrap(), cookie);
            assert_ne!(Namespace::own().unwrap().inode, inode);
            run("ip netns del side");
            assert_eq!(Namespace::of(cookie), None, "gone");
        });
    }
}
