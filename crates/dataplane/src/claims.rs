//! Which instance has an interface of this network namespace.
//!
//! Names and pins say nothing of namespaces: several of them may share `/run/masq`, and each numbers
//! its interfaces by itself. So a tcx link is told by the program that the kernel finds on *this*
//! interface, and a clsact filter by a note in the state of an instance that lives in *this*
//! namespace. Whoever follows a message's advice to free an interface ends nobody else's gateway.

use core::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{SchedClassifier, TcAttachType};
use rustix::fs::FlockOperation;

use crate::attach::{Hook, Pins, Programs};
use crate::instance;
use crate::state::State;

/// What an instance asks about others.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    run: PathBuf,
    own: String,
    namespace: Option<u64>,
}

/// Who has an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// An instance of this host.
    Instance(String),
    /// A masq whose files are not here: it has a `/run` of its own, as in a container.
    Stranger,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(name) => {
                write!(f, "masq instance {name}; free it with: masq detach --instance {name}")
            }
            Self::Stranger => f.write_str(
                "a masq whose /run/masq is not this one; detach it where it was started",
            ),
        }
    }
}

impl Claims {
    /// `own` asks; it lives in the network namespace of that cookie.
    pub(crate) fn new(run: &Path, own: &str, namespace: Option<u64>) -> Self {
        Self { run: run.to_owned(), own: own.to_owned(), namespace }
    }

    /// Keeps every other instance from taking an interface while what this gives is kept: between the
    /// look at who has it and the program that takes it, nobody comes. Without it if the directory
    /// cannot be locked.
    pub(crate) fn turn(&self) -> Option<File> {
        let directory = File::open(&self.run).ok()?;
        rustix::fs::flock(&directory, FlockOperation::LockExclusive).ok()?;
        Some(directory)
    }

    /// Who has the interface, if it is another.
    pub(crate) fn holder(&self, programs: &Programs, index: u32, name: &str) -> Option<Holder> {
        let linked = programs.foreign(index, name);
        if linked.is_empty() {
            return self.noted(index).map(Holder::Instance);
        }
        let named = self.others("bpf", "").find(|other| {
            let pin = Pins::of(&self.run.join("bpf"), other).link(Hook::Ingress, index);
            program_of(&pin).is_some_and(|id| linked.contains(&id))
        });
        Some(named.map_or(Holder::Stranger, Holder::Instance))
    }

    /// The instance that notes a filter on an interface of this namespace.
    fn noted(&self, index: u32) -> Option<String> {
        self.others("", ".state").find(|other| {
            let state = State::read(&self.run.join(format!("{other}.state")));
            state.is_ok_and(|state| {
                state.namespace() == self.namespace && state.filters().contains_key(&index)
            })
        })
    }

    /// The instances, other than the own, that have a file of that ending there.
    fn others(&self, directory: &str, ending: &str) -> impl Iterator<Item = String> {
        let names = instance::names_in(&self.run.join(directory), ending);
        names.into_iter().filter(|name| *name != self.own)
    }
}

impl Programs {
    /// The programs of other masq instances that the kernel runs, by tcx, on what arrives there.
    pub(crate) fn foreign(&self, index: u32, name: &str) -> Vec<u32> {
        let Ok((_, attached)) = SchedClassifier::query_tcx(name, TcAttachType::Ingress) else {
            return Vec::new();
        };
        // Where a pin was removed a moment ago, the program itself may still be there.
        let own = [program_of(&self.pins().link(Hook::Ingress, index)), self.ingress_id()];
        let foreign = attached.iter().filter(|program| {
            program.name_as_str() == Some(Hook::Ingress.program())
                && !own.contains(&Some(program.id()))
        });
        foreign.map(|program| program.id()).collect()
    }
}

/// The program of a pinned link.
fn program_of(pin: &Path) -> Option<u32> {
    let link = PinnedLink::from_pin(pin).ok()?;
    Some(FdLink::from(link).info().ok()?.program_id())
}

#[cfg(test)]
mod tests {
    use aya::programs::{SchedClassifier, TcAttachType};

    use crate::testing::{comes_true, gateway_topology, in_namespaces, on_host, run, run_all};
    use crate::tests::{PLAIN, Plain, options};
    use crate::{Attachment, Handle, Options, ReloadError, start};

    fn begin(instance: &str, attachment: Attachment, wanted: &Plain) -> Handle {
        let options = Options { instance: instance.to_owned(), attachment, ..options() };
        start(options, Box::new(wanted.clone())).unwrap()
    }

    fn number(name: &str) -> String {
        crate::sys::interface_index(name).unwrap().to_string()
    }

    #[test]
    fn the_advice_names_the_instance_that_has_this_interface_here() {
        for attachment in [Attachment::Tcx, Attachment::Clsact] {
            in_namespaces(|| {
                gateway_topology();
                // Under the same numbers in another namespace, and first by name.
                let numbers = (number("lan"), number("wan"));
                let _healthy = on_host("outside", || {
                    run(&format!("ip link add there1 index 7{} type bridge", numbers.0));
                    run(&format!("ip link add there2 index 7{} type bridge", numbers.1));
                    begin(
                        "aaa",
                        attachment,
                        &Plain { inside: "there1", outside: "there2", ..PLAIN },
                    )
                });
                run_all("ip link add spare1 type bridge \n ip link add spare2 type bridge");
                for (name, like) in [("lan7", &numbers.0), ("wan7", &numbers.1)] {
                    run(&format!("ip link add {name} index 7{like} type bridge"));
                }
                let _holder =
                    begin("zzz", attachment, &Plain { inside: "lan7", outside: "wan7", ..PLAIN });
                let other = begin(
                    "mmm",
                    attachment,
                    &Plain { inside: "spare1", outside: "spare2", ..PLAIN },
                );
                let wanted = Plain { inside: "spare1", outside: "wan7", ..PLAIN };

                let refusals = [
                    other.plan(Box::new(wanted.clone())).unwrap_err().to_string(),
                    other.reload(Box::new(wanted.clone())).unwrap_err().to_string(),
                    start(
                        Options { instance: "nnn".to_owned(), attachment, ..options() },
                        Box::new(Plain { inside: "lan", ..wanted }),
                    )
                    .unwrap_err()
                    .to_string(),
                ];

                for refusal in refusals {
                    assert!(refusal.contains("masq detach --instance zzz"), "{refusal}");
                    assert!(!refusal.contains("aaa"), "{refusal}");
                }
            });
        }
    }

    #[test]
    fn a_reload_takes_nothing_that_another_instance_has() {
        for attachment in [Attachment::Tcx, Attachment::Clsact] {
            in_namespaces(|| {
                gateway_topology();
                run_all("ip link add lan2 type bridge \n ip link add wan2 type bridge");
                let _first = begin("first", attachment, &PLAIN);
                let own = Plain { inside: "lan2", outside: "up+", ..PLAIN };
                let second = begin("second", attachment, &own);
                let before = programs_on("wan");

                let taken = Plain { outside: "wan", ..own };
                let refused = second.reload(Box::new(taken)).unwrap_err();

                assert!(matches!(refused, ReloadError::Claimed { .. }), "{refused}");
                assert_eq!(programs_on("wan"), before);
            });
        }
    }

    #[test]
    fn an_interface_that_comes_late_is_taken_by_one_of_those_that_want_it() {
        for attachment in [Attachment::Tcx, Attachment::Clsact] {
            in_namespaces(|| {
                gateway_topology();
                run("ip link add lan2 type bridge");
                let wanted = Plain { outside: "late+", ..PLAIN };
                let both = [
                    begin("first", attachment, &wanted),
                    begin("second", attachment, &Plain { inside: "lan2", ..wanted.clone() }),
                ];
                for n in 0..10 {
                    let name = format!("late{n}");
                    run(&format!("ip link add {name} type bridge"));
                    // Both have heard of it when both know it.
                    let served = |handle: &Handle| {
                        let ports = handle.ports().unwrap();
                        let port = ports.into_iter().find(|port| port.port.name == name)?;
                        Some(port.attachment.is_some())
                    };
                    assert!(comes_true(|| both.iter().all(|one| served(one).is_some())));
                    let takers = both.iter().filter(|one| served(one) == Some(true)).count();
                    let programs = programs_on(&name);
                    assert_eq!((takers, programs.len()), (1, 1), "{attachment:?}: {programs:?}");
                }
            });
        }
    }

    /// The programs on what arrives at an interface, however they are attached.
    fn programs_on(name: &str) -> Vec<String> {
        let linked = SchedClassifier::query_tcx(name, TcAttachType::Ingress);
        let linked = linked.into_iter().flat_map(|(_, programs)| programs);
        let filters = run(&format!("tc filter show dev {name} ingress"));
        let filters = filters.lines().filter(|line| line.contains("masq_ingress"));
        linked.map(|program| program.id().to_string()).chain(filters.map(str::to_owned)).collect()
    }
}
