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
//!   where it leaves    the next hop's entry says "takes redirects" Facts::leaving
//! ```

mod choice;

use std::collections::{BTreeMap, BTreeSet};

pub use choice::{FastPath, Why};

pub(crate) use choice::Facts;

use crate::attach::Programs;
use crate::netlink::XdpFeatureWatch;
use crate::routes::Link;

/// What carries the packets that arrive on the interfaces that are served.
#[derive(Debug)]
pub(crate) struct Carriers {
    watch: Option<XdpFeatureWatch>,
    arriving: BTreeMap<u32, Result<(), Why>>,
    leaving: BTreeMap<u32, Result<(), Why>>,
}

impl Carriers {
    /// Begins with XDP nowhere, in the network namespace of the calling thread.
    pub(crate) fn new() -> Self {
        let watch = XdpFeatureWatch::open()
            .inspect_err(|error| {
                tracing::debug!(%error, "the kernel does not say what takes redirects");
            })
            .ok();
        Self { watch, arriving: BTreeMap::new(), leaving: BTreeMap::new() }
    }

    /// What announces that interfaces can do more or less than before.
    pub(crate) fn watch(&self) -> Option<&XdpFeatureWatch> {
        self.watch.as_ref()
    }

    /// Chooses anew; true if other interfaces than before take redirects.
    pub(crate) fn choose(
        &mut self,
        mode: FastPath,
        links: &[&Link],
        programs: &mut Programs,
    ) -> bool {
        let before = self.taking_redirects();
        let served: BTreeSet<u32> = links.iter().map(|link| link.index).collect();
        self.arriving.retain(|index, _| served.contains(index));
        self.leaving.retain(|index, _| served.contains(index));
        let facts = self.survey(links);
        for (link, facts) in links.iter().zip(&facts) {
            self.settle(mode, link, facts, programs);
        }
        // A program of its own is what some drivers need to take redirects.
        let facts = self.survey(links);
        for (link, facts) in links.iter().zip(&facts) {
            self.leaving.insert(link.index, facts.leaving());
        }
        self.taking_redirects() != before
    }

    /// The interfaces that take what XDP redirects to them.
    pub(crate) fn taking_redirects(&self) -> BTreeSet<u32> {
        let taking = self.leaving.iter().filter(|(_, leaving)| leaving.is_ok());
        taking.map(|(index, _)| *index).collect()
    }

    /// Attaches or detaches XDP on an interface.
    fn settle(&mut self, mode: FastPath, link: &Link, facts: &Facts, programs: &mut Programs) {
        let (index, interface) = (link.index, &link.name);
        let was = self.arriving.get(&index);
        let mut choice = facts.arriving(mode);
        if choice == Ok(()) && was != Some(&Ok(())) {
            match programs.attach_xdp(index, interface) {
                Ok(_) => tracing::info!(interface, "XDP carries what arrives"),
                Err(error) => {
                    let error = crate::control::Chain(&error).to_string();
                    tracing::warn!(interface, error, "XDP cannot be attached; TC carries packets");
                    choice = Err(Why::Refused { error });
                }
            }
        } else if choice.is_err() && was.is_none_or(Result::is_ok) {
            // A predecessor may have attached it.
            programs.detach_xdp(index);
        }
        self.arriving.insert(index, choice);
    }

    fn survey(&self, links: &[&Link]) -> Vec<Facts> {
        let features = self.watch.as_ref().and_then(|watch| watch.all().ok());
        let facts = |link: &&Link| Facts {
            kind: link.kind.clone(),
            layer3: link.layer3,
            mtu: link.mtu,
            features: features.as_ref().and_then(|all| all.get(&link.index)).copied(),
        };
        links.iter().map(facts).collect()
    }
}
