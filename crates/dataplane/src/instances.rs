//! The instances of this host: those that run, and those that left programs and a table and do not.
//!
//! An instance is known by its directory of pins or by its state; which namespace it lives in is in
//! its state, and whether it runs is told by its lock, which the kernel lists with the process.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aya::maps::MapData;
use masq_flow::{Header, maps};

use crate::attach::Pins;
use crate::instance::{Instance, names_in};
use crate::namespaces::Namespace;
use crate::state::State;
use crate::sys;

/// An instance of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceFound {
    /// Its name.
    pub name: String,
    /// Where it lives.
    pub place: Place,
    /// The process that is its daemon, if one runs that can be seen from here.
    pub process: Option<u32>,
    /// The interfaces that its programs are on: by number, with the name where it can be told.
    pub interfaces: BTreeMap<u32, Option<String>>,
    /// How many sessions are in its table, if there is one.
    pub sessions: Option<u64>,
}

/// Where an instance lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this network namespace.
    Here(Namespace),
    /// In another.
    Elsewhere(Namespace),
    /// In one that cannot be found: it is gone, or only an open file keeps it.
    Lost,
}

/// The instances that have something in this place (`/run/masq`), by name.
pub fn instances(run: &Path) -> Vec<InstanceFound> {
    // The BPF file system has files of its own, with a point in their names.
    let pinned = names_in(&run.join("bpf"), "").into_iter().filter(|name| !name.contains('.'));
    let names: BTreeSet<String> = pinned.chain(names_in(run, ".state")).collect();
    names.iter().filter_map(|name| find(run, name)).collect()
}

/// The instance of that name, if it has anything.
pub(crate) fn find(run: &Path, name: &str) -> Option<InstanceFound> {
    let instance = Instance::new(run, name).ok().filter(Instance::exists)?;
    let state = State::read(&instance.state_path()).ok();
    let pins = Pins::of(&instance.bpffs(), name);
    let process = daemon(&instance.lock_path());
    let place = place(state.as_ref().and_then(State::namespace));
    let noted = state.iter().flat_map(|state| state.filters().keys().copied());
    let numbers: Vec<u32> = pins.interfaces().into_iter().chain(noted).collect();
    let names = || {
        let name = |number: &u32| (*number, sys::interface_name(*number));
        numbers.iter().map(name).collect()
    };
    let interfaces = match &place {
        Place::Here(_) => names(),
        Place::Elsewhere(namespace) => namespace.run(names).unwrap_or_default(),
        Place::Lost => numbers.iter().map(|number| (*number, None)).collect(),
    };
    Some(InstanceFound {
        name: name.to_owned(),
        place,
        process,
        interfaces,
        sessions: sessions(&pins),
    })
}

/// Which namespace has that cookie.
fn place(cookie: Option<u64>) -> Place {
    let Some(cookie) = cookie else { return Place::Lost };
    if sys::namespace::cookie().is_ok_and(|own| own == cookie) {
        return Namespace::own().map_or(Place::Lost, Place::Here);
    }
    Namespace::of(cookie).map_or(Place::Lost, Place::Elsewhere)
}

/// The process that has locked a file.
fn daemon(lock: &Path) -> Option<u32> {
    let file = std::fs::metadata(lock).ok()?;
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let (major, minor) = (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
    owner_of_lock(&locks, &format!("{major:02x}:{minor:02x}:{}", file.ino()))
}

/// `3: FLOCK  ADVISORY  WRITE 4711 00:1a:2345 0 EOF`, as proc(5) has it.
fn owner_of_lock(locks: &str, file: &str) -> Option<u32> {
    let lock = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (kind, process, place) = (words.next()?, words.nth(2)?, words.next()?);
        (kind == "FLOCK" && place == file).then(|| process.parse().ok())?
    };
    locks.lines().find_map(lock)
}

/// How many sessions the pinned table holds, by its header.
fn sessions(pins: &Pins) -> Option<u64> {
    let layout = pins.table_left()?;
    let map = MapData::from_pin(pins.map(maps::HEADER)).ok()?;
    let header = sys::maps::region::<Header>(map.fd(), 1).ok()?;
    header[0].check(layout).is_ok().then(|| header[0].stats().sessions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{gateway_topology, in_namespaces, on_host, run_all, tries};
    use crate::tests::{PLAIN, Plain, options};
    use crate::{Attachment, Options, RUN, detach, start};

    #[test]
    fn a_lock_is_found_by_its_file() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 00:1a:2345 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 4711 00:1a:2345 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 4712 00:1a:2346 0 EOF\n";
        assert_eq!(owner_of_lock(locks, "00:1a:2345"), Some(4711));
        assert_eq!(owner_of_lock(locks, "00:1a:2346"), None, "who waits has nothing");
    }

    #[test]
    fn instances_are_listed_wherever_they_live_and_whether_they_run_or_not() {
        in_namespaces(|| {
            gateway_topology();
            assert_eq!(instances(Path::new(RUN)), []);
            let here = start(options(), Box::new(PLAIN)).unwrap();
            assert!(tries("ip netns exec inside ping -c 1 -W 1 203.0.113.178"));
            let elsewhere = on_host("outside", || {
                run_all("ip link add lan3 type bridge \n ip link add wan3 type bridge");
                let wanted = Plain { inside: "lan3", outside: "wan3", ..PLAIN };
                let other = Options { instance: "other".to_owned(), ..options() };
                start(Options { attachment: Attachment::Clsact, ..other }, Box::new(wanted))
                    .unwrap()
            });

            let found = instances(Path::new(RUN));

            let names = |found: &InstanceFound| {
                found.interfaces.values().flatten().cloned().collect::<Vec<_>>().join(" ")
            };
            assert_eq!(found.len(), 2, "{found:#?}");
            let (other, test) = (&found[0], &found[1]);
            assert_eq!((other.name.as_str(), test.name.as_str()), ("other", "test"));
            assert!(matches!(&test.place, Place::Here(_)), "{test:?}");
            assert!(
                matches!(&other.place, Place::Elsewhere(found) if found.name.as_deref() == Some("outside")),
                "{other:?}"
            );
            assert_eq!((names(test), names(other)), ("lan wan".to_owned(), "lan3 wan3".to_owned()));
            let own = Some(std::process::id());
            assert_eq!((test.process, other.process), (own, own));
            assert!(test.sessions.is_some_and(|sessions| sessions > 0), "{test:?}");
            assert_eq!(other.sessions, Some(0));

            // From here, the other is left alone whatever becomes of it, until its namespace is gone.
            elsewhere.stop();
            let refused = detach(Path::new(RUN), "other").unwrap_err().to_string();
            assert!(
                refused.contains("ip netns exec outside masq detach --instance other"),
                "{refused}"
            );
            here.stop();
            let found = instances(Path::new(RUN));
            assert!(found.iter().all(|found| found.process.is_none()), "{found:#?}");
            assert_eq!(found[1].sessions, test.sessions, "the table stays");
            crate::testing::run("ip netns del outside");
            detach(Path::new(RUN), "other").unwrap();
            detach(Path::new(RUN), "test").unwrap();
            assert_eq!(instances(Path::new(RUN)), []);
        });
    }
}
