//! A subject in its lab, with ordinary sockets at both ends.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use masq_lab::Host;

use crate::bench::Bench;
use crate::ends::Ends;
use crate::gateway::{
    Counters, Gateway, KERNEL_FORWARDED, PUNTED, Setup, TRANSLATED_TC, TRANSLATED_XDP, difference,
};
use crate::lab::{Lab, RECEIVER};
use crate::subject::Subject;

/// A subject in its lab.
#[derive(Debug)]
pub struct Site {
    /// What stands in the middle.
    pub subject: Subject,
    lab: Lab,
    gateway: Gateway,
}

/// What the hosts leave to their network cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packets {
    /// Checksums and the cutting of segments: what veth interfaces offer as they are made. Packets cross
    /// the gateway uncut, with checksums that are not there yet.
    Offloaded,
    /// Nothing: packets are cut and complete when they leave the hosts, as they are on a cable. Who
    /// receives them may join them again, as with any network card (GRO).
    Complete,
}

impl Site {
    /// Builds the lab and starts the subject.
    ///
    /// # Errors
    ///
    /// When something does not start.
    pub fn new(subject: Subject, packets: Packets, setup: &Setup, masq: &Path) -> Result<Self> {
        let lab = Lab::new(1)?;
        match packets {
            Packets::Offloaded => offload(&lab)?,
            Packets::Complete => join(&lab)?,
        }
        let gateway = Gateway::start(&lab, subject, setup, masq)
            .with_context(|| format!("starting {}", subject.title()))?;
        Ok(Self { subject, lab, gateway })
    }

    /// Builds one for each subject that is wanted and can run here, and tells about the others.
    ///
    /// # Errors
    ///
    /// When something does not start.
    pub fn all(
        bench: &mut Bench,
        subjects: &[Subject],
        packets: Packets,
        setup: &Setup,
    ) -> Result<Vec<Self>> {
        let subjects = bench.subjects(subjects);
        let site = |subject: Subject| Self::new(subject, packets, setup, &bench.options.masq);
        subjects.into_iter().map(site).collect()
    }

    /// The two ends.
    #[must_use]
    pub fn ends(&self) -> Ends<'_> {
        Ends {
            client: self.lab.sender.namespace(),
            server: self.lab.receiver.namespace(),
            address: RECEIVER,
        }
    }

    /// Runs a workload, and says how far the gateway's counters went meanwhile.
    ///
    /// # Errors
    ///
    /// Those of the workload.
    pub fn watch<T>(&self, work: impl FnOnce(&Ends<'_>) -> Result<T>) -> Result<(T, Counters)> {
        let before = self.gateway.counters(&self.lab)?;
        let done = work(&self.ends()).with_context(|| self.subject.title())?;
        let after = self.gateway.counters(&self.lab)?;
        Ok((done, difference(&before, &after)))
    }

    /// Whether counters prove that this subject carried what was carried, nearly alone.
    ///
    /// # Errors
    ///
    /// With what else did.
    pub fn check(&self, counters: &Counters) -> Result<()> {
        let all: u64 = CARRIERS.iter().map(|name| count(counters, name)).sum();
        ensure!(all > 0, "{}: nothing was counted: {counters:?}", self.subject.title());
        self.gateway.check(counters, all).with_context(|| self.subject.title())
    }

    /// The same where the engine has its part: in the beginning of connections.
    ///
    /// # Errors
    ///
    /// With what else carried packets.
    pub fn check_with_engine(&self, counters: &Counters) -> Result<()> {
        let fast = match self.subject {
            Subject::MasqTc => TRANSLATED_TC,
            Subject::MasqXdp => TRANSLATED_XDP,
            Subject::Forward
            | Subject::Nft
            | Subject::NftFlowtable
            | Subject::BareTcRedirect
            | Subject::BareRedirect
            | Subject::Drop => return self.check(counters),
        };
        let (fast, slow) = (count(counters, fast), count(counters, PUNTED));
        let all: u64 = CARRIERS.iter().map(|name| count(counters, name)).sum();
        if slow == 0 || fast == 0 || all > (fast + slow) / 50 * 51 {
            bail!("{}: others carried packets: {counters:?}", self.subject.title());
        }
        Ok(())
    }
}

fn count(counters: &Counters, name: &str) -> u64 {
    counters.get(name).copied().unwrap_or(0)
}

/// Has hosts leave to hardware what they can, and takes the gateway's interfaces as they are made.
fn offload(lab: &Lab) -> Result<()> {
    let set = |host: &Host, interface: &str, features: &[&str]| {
        let arguments = [&["-K", interface][..], features].concat();
        host.program("ethtool", &arguments).map(drop)
    };
    let on = ["tx", "on", "sg", "on", "tso", "on", "gso", "on"];
    set(&lab.sender, "inside", &on)?;
    set(&lab.receiver, "outside", &on)?;
    set(&lab.gateway, "lan", &["gro", "off"])?;
    set(&lab.gateway, "wan", &["gro", "off"])?;
    Ok(())
}

/// Has hosts join what arrives in pieces, as any network card does. It also lets XDP hand packets to a
/// veth interface at all.
fn join(lab: &Lab) -> Result<()> {
    lab.sender.program("ethtool", &["-K", "inside", "gro", "on"])?;
    lab.receiver.program("ethtool", &["-K", "outside", "gro", "on"])?;
    Ok(())
}

const CARRIERS: [&str; 4] = [KERNEL_FORWARDED, TRANSLATED_TC, TRANSLATED_XDP, PUNTED];
