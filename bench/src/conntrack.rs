//! Room in the kernel's connection table.
//!
//! Its size is the host's, whatever namespace uses it, and its default is a quarter of a million
//! connections. An administrator who expects a million raises both settings, so the bench does, and puts
//! them back afterwards.

use std::fs;

use crate::bench::progress;

/// A wider table. Dropping this puts the old size back.
#[derive(Debug)]
pub struct Conntrack {
    before: Vec<(&'static str, String)>,
}

impl Conntrack {
    /// Makes room, from within the host's own network namespace.
    ///
    /// What could not be changed is told; the table then refuses flows, and measurements that need them
    /// say so.
    #[must_use]
    pub fn widen(connections: u64) -> Self {
        let mut before = Vec::new();
        for (path, wanted) in [(MAX, connections), (BUCKETS, connections.next_power_of_two() / 2)] {
            let Ok(old) = fs::read_to_string(path) else { continue };
            let old = old.trim().to_owned();
            if old.parse().is_ok_and(|old: u64| old >= wanted) {
                continue;
            }
            match fs::write(path, wanted.to_string()) {
                Ok(()) => before.push((path, old)),
                Err(error) => progress(&format!("{path} stays at {old}: {error}")),
            }
        }
        Self { before }
    }
}

impl Drop for Conntrack {
    fn drop(&mut self) {
        for (path, old) in &self.before {
            if let Err(error) = fs::write(path, old) {
                progress(&format!("{path} could not be set back to {old}: {error}"));
            }
        }
    }
}

const MAX: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
const BUCKETS: &str = "/sys/module/nf_conntrack/parameters/hashsize";
