//! What carries packets of established sessions, for each ordered pair of interfaces.
//!
//! # Theory of operation
//!
//! The TC program is on every interface, always, and judges every packet that nothing before it has
//! taken. So XDP is an addition that may come and go at any time: what it does not take, TC does, and
//! both repeat the same decisions. Two things have to hold for XDP to take a packet:
//!
//! ```text
//!   where it arrives   masq_xdp is attached in the driver          Facts::arriving
//!   where it leaves    the map of devices that take redirects      Facts::leaving
//! ```
//!
//! Each has reasons against it ([`Why`]), and the first one found is what is shown for the pair. An
//! interface from which no packet could go on by XDP gets no program, which would only look at
//! packets twice.
//!
//! # A redirect that nobody takes
//!
//! The kernel drops such a frame, and tells neither the program nor the gateway. A veth is the usual
//! case: it takes redirects only while its *other* end works in NAPI, which somebody in another
//! namespace may end at any time. No probe is needed to see that, and no packet is risked: the kernel
//! decides by a feature of the interface itself (`NDO_XMIT`), which follows the other end, and it
//! tells that feature to whoever asks (the `netdev` family, Linux 6.3) and announces each change of
//! it. The control thread listens. So redirects go only where the kernel says that it takes them, and
//! what is lost when it ceases to is what arrives until the announcement has been read and the
//! device taken out of the map: less than a millisecond on an idle machine. Older kernels do not say; there,
//! nothing is redirected from XDP.
//!
//! Features are announced; queueing disciplines, filters and foreign programs are looked at every two
//! seconds. While no daemon runs, nobody listens: TC and XDP go on as they are.
//!
//! # Order of changes
//!
//! An interface that is to lose its program first loses the redirects to it, because some drivers
//! take them only while they have one; then the program goes. One that gets a program gets
//! redirects when that has worked, and the kernel says so. A program is attached whole or not at all,
//! and never in the place of another's.

mod choice;
mod follow;
mod survey;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use choice::{FastPath, Why};

pub(crate) use choice::Facts;
use choice::Occupant;
pub(crate) use follow::settings;
pub(crate) use survey::Surveyor;

use core::fmt;
use core::time::Duration;

use masq_core::{Instant, Realm};

use crate::attach::Programs;
use crate::control::Chain;
use crate::netlink::XdpFeatureWatch;
use crate::routes::Links;
use crate::state::State;
use crate::sys::ethtool;

/// What carries packets of established sessions from one interface to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Where they arrive.
    pub from: String,
    /// Where they leave.
    pub to: String,
    /// What carries them.
    pub carrier: Carrier,
}

/// What carries packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// The engine, because the fast path is off.
    Engine,
    /// The TC program, because of that interface.
    Tc {
        /// The interface that XDP is not possible with.
        interface: String,
        /// Why not.
        why: Why,
    },
    /// The XDP program.
    Xdp,
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine => write!(f, "the engine, because {}", Why::Mode.of("")),
            Self::Tc { interface, why } => write!(f, "TC, because {}", why.of(interface)),
            Self::Xdp => f.write_str("XDP"),
        }
    }
}

/// An interface that is served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served<'a> {
    pub(crate) index: u32,
    pub(crate) name: &'a str,
    pub(crate) side: Realm,
}

/// What carries the packets of the interfaces that are served.
#[derive(Debug)]
pub(crate) struct Carriers {
    surveyor: Surveyor,
    mode: FastPath,
    verdicts: Verdicts,
    /// When an interface that refused the program is asked again.
    refused: BTreeMap<u32, Instant>,
    /// When an interface that ceased to take redirects is believed again that it does.
    ceased: BTreeMap<u32, Instant>,
}

/// Whether XDP may take what arrives at an interface, and whether the interface takes what XDP
/// redirects to it; or why not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdicts {
    arriving: BTreeMap<u32, Result<(), Why>>,
    leaving: BTreeMap<u32, Result<(), Why>>,
}

impl Verdicts {
    /// What is chosen if everything that is tried works.
    pub(crate) fn forecast(
        mode: FastPath,
        facts: &BTreeMap<u32, Facts>,
        ports: &[Served<'_>],
    ) -> Self {
        let arriving = facts.iter().map(|(index, facts)| (*index, facts.arriving(mode)));
        let leaving = facts.iter().map(|(index, facts)| (*index, facts.leaving()));
        let mut verdicts = Self { arriving: arriving.collect(), leaving: leaving.collect() };
        for port in ports {
            // Nothing is carried from one outside to another.
            let across = |other: &&Served<'_>| {
                other.index != port.index && [port.side, other.side] != [Realm::Outside; 2]
            };
            // A driver that takes redirects only while it has a program may do so soon.
            let may_take = |other: &Served<'_>| {
                let leaving = verdicts.leaving.get(&other.index);
                matches!(leaving, Some(Ok(()) | Err(Why::NoRedirects { veth: false })))
            };
            if verdicts.is_on(port.index) && !ports.iter().filter(across).any(may_take) {
                verdicts.arriving.insert(port.index, Err(Why::Nowhere));
            }
        }
        verdicts
    }

    /// What carries packets of sessions between those interfaces, each way.
    pub(crate) fn ways(&self, mode: FastPath, ports: &[Served<'_>]) -> Vec<Way> {
        let mut ways = Vec::new();
        for from in ports {
            for to in ports {
                // Between two outsides nothing is translated.
                if (from.side, to.side) == (Realm::Outside, Realm::Outside) {
                    continue;
                }
                let because = |served: &Served<'_>, why: &Why| Carrier::Tc {
                    interface: served.name.to_owned(),
                    why: why.clone(),
                };
                let arriving = self.arriving.get(&from.index);
                let leaving = self.leaving.get(&to.index);
                let carrier = match (mode, arriving, leaving) {
                    (FastPath::Off, ..) => Carrier::Engine,
                    (_, Some(Err(Why::Nowhere)), Some(Err(why))) => because(to, why),
                    (_, Some(Err(why)), _) => because(from, why),
                    (_, _, Some(Err(why))) => because(to, why),
                    (_, Some(Ok(())), Some(Ok(()))) => Carrier::Xdp,
                    // It is not served.
                    (_, None, _) | (_, _, None) => continue,
                };
                ways.push(Way { from: from.name.to_owned(), to: to.name.to_owned(), carrier });
            }
        }
        ways
    }

    fn taking_redirects(&self) -> BTreeSet<u32> {
        let taking = self.leaving.iter().filter(|(_, leaving)| leaving.is_ok());
        taking.map(|(index, _)| *index).collect()
    }

    fn is_on(&self, index: u32) -> bool {
        self.arriving.get(&index) == Some(&Ok(()))
    }

    fn gains(&self, before: &Self, index: u32) -> bool {
        self.is_on(index) && !before.is_on(index)
    }

    /// Of an interface that was not known before, a predecessor may have attached the program.
    fn loses(&self, before: &Self, index: u32) -> bool {
        !self.is_on(index) && (before.is_on(index) || !before.arriving.contains_key(&index))
    }
}

impl Carriers {
    /// Begins with XDP nowhere.
    pub(crate) fn new(surveyor: Surveyor) -> Self {
        let (mode, verdicts) = (FastPath::Off, Verdicts::default());
        Self { surveyor, mode, verdicts, refused: BTreeMap::new(), ceased: BTreeMap::new() }
    }

    /// What announces that interfaces can do more or less than before.
    pub(crate) fn watch(&self) -> Option<&XdpFeatureWatch> {
        self.surveyor.watch()
    }

    /// What carries packets between those interfaces.
    pub(crate) fn ways(&self, ports: &[Served<'_>]) -> Vec<Way> {
        self.verdicts.ways(self.mode, ports)
    }

    /// Chooses anew for the served links, attaches and detaches, and tells the programs which of
    /// them take redirects.
    pub(crate) fn follow(
        &mut self,
        now: Instant,
        mode: FastPath,
        (links, ports): (&Links, &[Served<'_>]),
        (programs, state): (&mut Programs, &mut State),
    ) {
        if mode != self.mode {
            (self.refused, self.ceased) = Default::default();
        }
        self.mode = mode;
        let mut facts = self.survey(links, ports);
        let mut next = Verdicts::forecast(mode, &facts, ports);
        self.remember(now, &mut next);
        let before = core::mem::take(&mut self.verdicts);

        let mut redirects = before.taking_redirects();
        redirects.retain(|index| next.leaving.get(index) == Some(&Ok(())));
        redirects.retain(|index| !next.loses(&before, *index));
        // A predecessor may have left others.
        tell(programs, &redirects);
        let mut gained = false;
        for &Served { index, name: interface, .. } in ports {
            let lost = facts.get(&index).is_some_and(|facts| facts.program == Occupant::Nobody);
            if next.is_on(index) && (lost || next.gains(&before, index)) {
                let tags_apart = facts.get(&index).is_some_and(Facts::keeps_tags_apart);
                let choice = attach(index, interface, tags_apart, programs, state);
                if choice.is_err() {
                    self.refused.insert(index, now + RETRY);
                }
                next.arriving.insert(index, choice);
                gained = true;
            } else if next.loses(&before, index) {
                detach(index, Some(interface), programs, state);
            }
        }
        if gained {
            // Some drivers take redirects since they have a program.
            facts = self.survey(links, ports);
            next.leaving = Verdicts::forecast(mode, &facts, ports).leaving;
            self.remember(now, &mut next);
        }
        tell(programs, &next.taking_redirects());
        for port in ports {
            report(mode, port, &before, &next);
        }
        self.verdicts = next;
    }

    /// Takes XDP off an interface that is not served any more; it may be gone.
    pub(crate) fn let_go(
        &mut self,
        index: u32,
        name: Option<&str>,
        programs: &mut Programs,
        state: &mut State,
    ) {
        self.verdicts.arriving.remove(&index);
        self.verdicts.leaving.remove(&index);
        tell(programs, &self.verdicts.taking_redirects());
        detach(index, name, programs, state);
    }

    fn survey(&mut self, links: &Links, ports: &[Served<'_>]) -> BTreeMap<u32, Facts> {
        match self.mode {
            FastPath::Auto | FastPath::Xdp => self.surveyor.survey(links, ports),
            // Nothing of it matters.
            FastPath::Off | FastPath::Tc => {
                ports.iter().map(|port| (port.index, Facts::default())).collect()
            }
        }
    }

    /// Keeps to what failed a short time ago.
    fn remember(&mut self, now: Instant, next: &mut Verdicts) {
        self.refused.retain(|_, due| *due > now);
        self.ceased.retain(|_, due| *due > now);
        for index in self.refused.keys() {
            let before = self.verdicts.arriving.get(index);
            if let (Some(Err(why)), true) = (before, next.is_on(*index)) {
                next.arriving.insert(*index, Err(why.clone()));
            }
        }
        for (index, leaving) in &mut next.leaving {
            let before = self.verdicts.leaving.get(index);
            match (before, &leaving) {
                (Some(Ok(())), Err(Why::NoRedirects { .. })) => {
                    self.ceased.insert(*index, now + REST);
                }
                (Some(Err(why)), Ok(())) if self.ceased.contains_key(index) => {
                    *leaving = Err(why.clone());
                }
                _ => {}
            }
        }
    }
}

/// Attaches `masq_xdp`; after an error everything is as before.
fn attach(
    index: u32,
    interface: &str,
    tags_apart: bool,
    programs: &mut Programs,
    state: &mut State,
) -> Result<(), Why> {
    // Tags that the device takes off stand beside the frame, where XDP does not see them.
    if !tags_apart && ethtool::strips_vlan_tags(interface).unwrap_or(false) {
        let noted = state.add_untagging(index).map_err(|_| Why::Tags);
        if noted
            .and_then(|()| ethtool::strip_vlan_tags(interface, false).map_err(|_| Why::Tags))
            .is_err()
        {
            detach(index, Some(interface), programs, state);
            return Err(Why::Tags);
        }
    }
    programs.attach_xdp(index, interface).map_err(|error| {
        detach(index, Some(interface), programs, state);
        Why::Refused { error: Chain(&error).to_string() }
    })
}

/// Takes `masq_xdp` off an interface, and restores what was changed for it.
fn detach(index: u32, interface: Option<&str>, programs: &mut Programs, state: &mut State) {
    programs.detach_xdp(index);
    if state.untagging().contains(&index) {
        if let Some(Err(error)) = interface.map(|name| ethtool::strip_vlan_tags(name, true)) {
            tracing::warn!(interface, %error, "VLAN tags cannot be left to the device again");
        }
        let _ = state.remove_untagging(index);
    }
}

/// Tells the programs which interfaces take redirects.
fn tell(programs: &mut Programs, redirects: &BTreeSet<u32>) {
    if let Err(error) = programs.set_redirects(redirects) {
        tracing::error!(
            error = %Chain(&error),
            "XDP cannot be told where to redirect: `fast-path.mode = \"tc\"` does without"
        );
    }
}

fn report(mode: FastPath, port: &Served<'_>, before: &Verdicts, next: &Verdicts) {
    let &Served { index, name: interface, .. } = port;
    let wanted = mode == FastPath::Xdp;
    let (was, is) = (before.arriving.get(&index), next.arriving.get(&index));
    match is {
        _ if was == is => {}
        Some(Ok(())) => tracing::info!(interface, "XDP carries what arrives"),
        // The configuration says the one, and the interface to leave by the other.
        Some(Err(Why::Mode | Why::Nowhere)) | None => {}
        Some(Err(why)) if wanted || why.is_trouble() || was == Some(&Ok(())) => {
            tracing::warn!(interface, "TC carries what arrives, because {}", why.of(interface));
        }
        Some(Err(why)) => {
            tracing::info!(interface, "TC carries what arrives, because {}", why.of(interface));
        }
    }
    let (was, is) = (before.leaving.get(&index), next.leaving.get(&index));
    match is {
        _ if was == is || mode != FastPath::Xdp && mode != FastPath::Auto => {}
        Some(Ok(())) => tracing::info!(interface, "takes what XDP redirects to it"),
        Some(Err(why)) if wanted || was == Some(&Ok(())) => {
            tracing::warn!(interface, "TC carries what leaves, because {}", why.of(interface));
        }
        Some(Err(_)) | None => {}
    }
}

/// How long an interface that refused the program is left alone.
const RETRY: Duration = Duration::from_secs(60);
/// How long an interface that ceased to take redirects gets none. Its other end may be somebody's
/// who switches to and fro.
const REST: Duration = Duration::from_secs(5);
