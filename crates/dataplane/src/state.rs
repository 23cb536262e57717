//! What has to be remembered between runs and cannot be seen in the kernel: which settings masq
//! changed and what they were before, which interfaces it told to leave VLAN tags alone, by which names it
//! serves interfaces, which filters it put on those where links cannot be pinned, and in which network
//! namespace the instance lives.
//!
//! A small text file `<run>/<instance>.state`, one fact a line, written before the change is made, so
//! that a crash in between restores too much rather than too little.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::sysctl;

/// The remembered facts.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    facts: Facts,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Facts {
    /// The cookie of the network namespace.
    namespace: Option<u64>,
    /// Interfaces with a clsact filter, and whether masq made the queueing discipline too.
    filters: BTreeMap<u32, bool>,
    /// Interfaces that are served, and the names that they were served by last.
    served: BTreeMap<u32, String>,
    /// Interfaces that were told to leave VLAN tags in what arrives.
    untagging: BTreeSet<u32>,
    /// Settings as they were before masq changed them.
    saved: BTreeMap<String, String>,
}

impl State {
    /// Reads the file; one that is not there says nothing.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let facts = match std::fs::read_to_string(path) {
            Ok(text) => Facts::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Facts::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), facts })
    }

    /// The network namespace that the instance belongs to, if it ever ran.
    pub(crate) fn namespace(&self) -> Option<u64> {
        self.facts.namespace
    }

    /// Notes the network namespace.
    pub(crate) fn set_namespace(&mut self, namespace: u64) -> io::Result<()> {
        self.facts.namespace = Some(namespace);
        self.write()
    }

    /// The interfaces with a filter, and whether the queueing discipline was made for it.
    pub(crate) fn filters(&self) -> &BTreeMap<u32, bool> {
        &self.facts.filters
    }

    /// Notes that an interface has, or is about to get, a filter.
    pub(crate) fn add_filter(&mut self, index: u32, discipline: bool) -> io::Result<()> {
        if self.facts.filters.contains_key(&index) {
            return Ok(());
        }
        self.facts.filters.insert(index, discipline);
        self.write()
    }

    /// Notes that an interface has no filter any more.
    pub(crate) fn remove_filter(&mut self, index: u32) -> io::Result<()> {
        match self.facts.filters.remove(&index) {
            Some(_) => self.write(),
            None => Ok(()),
        }
    }

    /// The name that an interface was served by last, if it was.
    pub(crate) fn served(&self, index: u32) -> Option<&str> {
        self.facts.served.get(&index).map(String::as_str)
    }

    /// Notes that an interface is served by a name.
    pub(crate) fn set_served(&mut self, index: u32, name: &str) -> io::Result<()> {
        if self.served(index) == Some(name) {
            return Ok(());
        }
        self.facts.served.insert(index, name.to_owned());
        self.write()
    }

    /// Notes that an interface has nothing of ours any more.
    pub(crate) fn remove_served(&mut self, index: u32) -> io::Result<()> {
        match self.facts.served.remove(&index) {
            Some(_) => self.write(),
            None => Ok(()),
        }
    }

    /// The interfaces that were told to leave VLAN tags in what arrives, and took them off before.
    pub(crate) fn untagging(&self) -> &BTreeSet<u32> {
        &self.facts.untagging
    }

    /// Notes that an interface is about to be told to leave VLAN tags in.
    pub(crate) fn add_untagging(&mut self, index: u32) -> io::Result<()> {
        if self.facts.untagging.insert(index) { self.write() } else { Ok(()) }
    }

    /// Notes that an interface does as it did.
    pub(crate) fn remove_untagging(&mut self, index: u32) -> io::Result<()> {
        if self.facts.untagging.remove(&index) { self.write() } else { Ok(()) }
    }

    /// Changes a kernel setting, remembering what it was before the first change.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> io::Result<()> {
        let before = sysctl::read(name)?;
        if before == value {
            return Ok(());
        }
        if !self.facts.saved.contains_key(name) {
            self.facts.saved.insert(name.to_owned(), before);
            self.write()?;
        }
        sysctl::write(name, value)
    }

    /// What a setting was before masq changed it, or is if it did not.
    pub(crate) fn original(&self, name: &str) -> io::Result<String> {
        self.facts.saved.get(name).map_or_else(|| sysctl::read(name), |value| Ok(value.clone()))
    }

    /// Restores every changed setting and removes the file. All of it is tried; the errors come
    /// back.
    pub(crate) fn restore(self) -> Vec<io::Error> {
        let mut errors = Vec::new();
        for (name, value) in &self.facts.saved {
            // The kernel reads an empty line as "none", and no bytes as nothing to do.
            errors.extend(sysctl::write(name, &format!("{value}\n")).err());
        }
        errors.extend(self.forget());
        errors
    }

    /// Removes the file and leaves the settings as they are; says why not.
    pub(crate) fn forget(self) -> Option<io::Error> {
        let error = std::fs::remove_file(&self.path).err()?;
        (error.kind() != io::ErrorKind::NotFound).then_some(error)
    }

    fn write(&self) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let fresh = self.path.with_extension("state.new");
        std::fs::write(&fresh, self.facts.to_text())?;
        std::fs::rename(fresh, &self.path)
    }
}

impl Facts {
    fn parse(text: &str) -> Self {
        let mut facts = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("netns", cookie)) => facts.namespace = cookie.parse().ok(),
                Some(("filter", filter)) => {
                    let (index, discipline) = filter.split_once(' ').unwrap_or((filter, ""));
                    if let Ok(index) = index.parse() {
                        facts.filters.insert(index, discipline == DISCIPLINE);
                    }
                }
                Some(("served", served)) => {
                    let (index, name) = served.split_once(' ').unwrap_or((served, ""));
                    if let Ok(index) = index.parse() {
                        facts.served.insert(index, name.to_owned());
                    }
                }
                Some(("vlan-tags", index)) => facts.untagging.extend(index.parse::<u32>().ok()),
                Some(("sysctl", setting)) => {
                    let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
                    facts.saved.insert(name.to_owned(), value.to_owned());
                }
                Some(_) | None => {}
            }
        }
        facts
    }

    fn to_text(&self) -> String {
        let namespace = self.namespace.iter().map(|cookie| format!("netns {cookie}\n"));
        let filters = self.filters.iter().map(|(index, discipline)| {
            format!("filter {index}{}\n", if *discipline { " qdisc" } else { "" })
        });
        let served = self.served.iter().map(|(index, name)| format!("served {index} {name}\n"));
        let untagging = self.untagging.iter().map(|index| format!("vlan-tags {index}\n"));
        let saved = self.saved.iter().map(|(name, value)| format!("sysctl {name}={value}\n"));
        namespace.chain(filters).chain(served).chain(untagging).chain(saved).collect()
    }
}

const DISCIPLINE: &str = "qdisc";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_survive_being_written_and_read() {
        let filters = [(3, false), (4, true)].into();
        let untagging = [5].into();
        let served = [(3, "eth1".to_owned()), (4, "a b".to_owned())].into();
        let mut facts =
            Facts { namespace: Some(77), filters, served, untagging, ..Facts::default() };
        facts.saved.insert("net/ipv4/ip_forward".to_owned(), "0".to_owned());
        facts.saved.insert("net/ipv4/ip_local_reserved_ports".to_owned(), String::new());
        assert_eq!(Facts::parse(&facts.to_text()), facts);
        assert_eq!(Facts::parse("something else\n\n"), Facts::default());
    }
}
