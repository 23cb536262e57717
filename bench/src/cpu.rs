//! Which processor does what.
//!
//! The generator's system call runs the whole path in its softirqs, on its own processor. Programs that
//! work beside it (the gateway's worker) are kept off it, as long as there is another.

use std::fs;

use anyhow::{Context as _, Result};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors that this process may use.
#[must_use]
pub fn all() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    let cpus: Vec<_> = (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect();
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// Where the generator runs, and with it the path.
#[must_use]
pub fn of_path(cpus: &[usize]) -> usize {
    cpus[0]
}

/// Where the gateway's worker runs: elsewhere, if that is possible.
#[must_use]
pub fn of_worker(cpus: &[usize]) -> usize {
    cpus[cpus.len() - 1]
}

/// Keeps the calling thread, and what it will start, on one processor.
///
/// # Errors
///
/// When there is no such processor.
pub fn pin(cpu: usize) -> Result<()> {
    pin_thread(None, &[cpu])
}

/// Does something whose threads and programs stay on one processor.
///
/// # Errors
///
/// When there is no such processor, and those of `work`.
pub fn pinned<T>(cpu: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = all();
    pin(cpu)?;
    let done = work();
    pin_thread(None, &before)?;
    done
}

/// Keeps the kernel's threads of a name on one processor, and says how many there are.
///
/// # Errors
///
/// When one refuses.
pub fn pin_kernel_threads(prefix: &str, cpu: usize) -> Result<usize> {
    let mut found = 0;
    for entry in fs::read_dir("/proc").context("looking for threads")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if name.starts_with(prefix) {
            pin_thread(Pid::from_raw(pid), &[cpu])?;
            found += 1;
        }
    }
    Ok(found)
}

fn pin_thread(pid: Option<Pid>, cpus: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(*cpu));
    sched_setaffinity(pid, &set).with_context(|| format!("keeping a thread on {cpus:?}"))
}
