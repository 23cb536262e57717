//! Bytes of memory per IPv4 session, with a million of them.
//!
//! masq takes its memory at the start, so a gateway with room for a million sessions is compared with one
//! that has room for next to none, when the first is full but for a sixty-fourth: all its maps, and all that
//! its process has for itself. The kernel's masquerade takes memory as connections come: what its slab caches
//! grow by, and the table of its hash.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::bench::Bench;
use crate::gateway::{CONNECTIONS, Counters, Setup};
use crate::result::{Direction, Sample, Series};
use crate::rig::{Plan, Rig};
use crate::scenario::Scenario;
use crate::subject::Subject;

/// The scenario.
#[derive(Debug)]
pub struct Memory;

impl Scenario for Memory {
    fn id(&self) -> &'static str {
        "memory"
    }

    fn about(&self) -> &'static str {
        "bytes of memory per session with 1 million of them"
    }

    fn run(&self, bench: &mut Bench) -> Result<()> {
        let sessions = if bench.options.quick { 32_768 } else { 1_000_000 };
        // Memory does not vary from round to round as time does.
        for subject in bench.subjects(&[Subject::Nft, Subject::MasqTc]) {
            let sample = if subject.is_masq() {
                masq(bench, sessions)?
            } else {
                connections(bench, sessions)?
            };
            let title = "bytes of memory per session";
            let series = Series::new(self.id(), title, "bytes", Direction::Egress, subject);
            bench.add(series.with("flows", sessions.into()), sample);
        }
        Ok(())
    }
}

fn masq(bench: &Bench, sessions: u32) -> Result<Sample> {
    let used = |sessions: u32, flows: u32| {
        let plan = Plan { setup: Setup::new(sessions), ..Plan::new(flows) };
        let mut rig = Rig::new(Subject::MasqTc, &plan, &bench.options.masq)?;
        rig.establish(flows)?;
        rig.answer(flows)?;
        let maps = rig.gateway.map_memory(&rig.lab)?;
        let daemon = rig.gateway.daemon().context("there is no daemon")?;
        let pid = daemon.process().context("it has ended")?.pid();
        Ok::<_, anyhow::Error>((maps, anonymous(pid.as_raw_nonzero().get())?))
    };
    let (few_maps, few_own) = used(1, 1)?;
    let (maps, own) = used(sessions, sessions - sessions / 64)?;
    let (maps, own) = (maps.saturating_sub(few_maps), own.saturating_sub(few_own));
    ensure!(maps > 0, "the maps do not grow with the sessions");
    let value = (maps + own) as f64 / f64::from(sessions);
    let mut sample = Sample::new(value, Counters::new());
    sample.proof.insert("map-bytes".to_owned(), maps);
    sample.proof.insert("process-bytes".to_owned(), own);
    Ok(sample)
}

fn connections(bench: &Bench, sessions: u32) -> Result<Sample> {
    let mut rig = Rig::new(Subject::Nft, &Plan::new(sessions), &bench.options.masq)?;
    let before = slab()?;
    rig.establish(sessions)?;
    let slab = slab()?.saturating_sub(before);
    let counters = rig.gateway.counters(&rig.lab)?;
    let held = counters.get(CONNECTIONS).copied().unwrap_or(0);
    ensure!(held >= sessions.into(), "the kernel holds {held} connections of {sessions}");
    let buckets = fs::read_to_string("/sys/module/nf_conntrack/parameters/hashsize");
    let buckets: u64 = buckets.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let hash = buckets * 8;
    let value = (slab + hash) as f64 / f64::from(sessions);
    let mut sample = Sample::new(value, Counters::new());
    sample.proof.insert("slab-bytes".to_owned(), slab);
    sample.proof.insert("hash-bytes".to_owned(), hash);
    sample.proof.insert(CONNECTIONS.to_owned(), held);
    Ok(sample.note("nf_conntrack and kmalloc caches, which other programs use a little too"))
}

/// Bytes of a process's own memory.
fn anonymous(pid: i32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("reading a status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: u64 = kilobytes.context("no RssAnon")?.trim().parse()?;
    Ok(kilobytes * 1024)
}

/// Bytes of the slab caches that connections live in: their own, and those of their extensions.
fn slab() -> Result<u64> {
    let text = fs::read_to_string("/proc/slabinfo").context("reading the slab caches")?;
    Ok(text.lines().filter_map(slab_bytes).sum())
}

/// A line of `/proc/slabinfo`: `name active total size per-slab pages-per-slab : … : slabdata active total …`.
fn slab_bytes(line: &str) -> Option<u64> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    if !name.starts_with("nf_conntrack") && !name.starts_with("kmalloc") {
        return None;
    }
    let pages: u64 = words.nth(4)?.parse().ok()?;
    let slabs: u64 = words.skip_while(|word| *word != "slabdata").nth(2)?.parse().ok()?;
    Some(slabs * pages * 4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_slabinfo_is_read() {
        let line = "nf_conntrack  128 192 256 16 1 : tunables 0 0 0 : slabdata 10 12 0";
        assert_eq!(slab_bytes(line), Some(12 * 4096));
        assert_eq!(slab_bytes("dentry 1 1 192 21 1 : tunables 0 0 0 : slabdata 1 1 0"), None);
        assert_eq!(slab_bytes("# name <active_objs>"), None);
    }
}
