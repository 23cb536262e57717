//! What stands in the middle of a lab, and the counters that prove that it carried the packets.

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::{Map, MapData, PerCpuArray};
use aya::util::KernelVersion;
use masq_flow::maps::{COUNTERS, Counter};
use masq_flow::punt::PuntReason;
use masq_lab::{Daemon, Host, MasqOptions, SOON, wait_until};

use crate::cpu;
use crate::lab::{INSIDE_NETWORKS, Lab, OTHER_INSIDE_NETWORK, POOL};
use crate::subject::Subject;

/// How a gateway is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many outside addresses it shares: its own, or a pool of more than one.
    pub outsides: u32,
    /// The first and the last UDP port that flows may be given; any if it is not said.
    pub ports: Option<[u16; 2]>,
    /// Whether both hosts are inside, and the outside is another: nothing is translated.
    pub between_insides: bool,
    /// How many sessions it must have room for.
    pub sessions: u32,
    /// More of masq's configuration.
    pub config: String,
}

/// A gateway that runs. It stops when it is dropped.
#[derive(Debug)]
pub struct Gateway {
    subject: Subject,
    daemon: Option<Daemon>,
}

/// Counters by name.
pub type Counters = BTreeMap<String, u64>;

impl Setup {
    /// The gateway's own outside address, and room for so many sessions.
    #[must_use]
    pub fn new(sessions: u32) -> Self {
        Self { outsides: 1, ports: None, between_insides: false, sessions, config: String::new() }
    }
}

impl Gateway {
    /// Starts a subject on the lab's gateway. What is one of the bench's own programs is attached by who
    /// loaded them.
    ///
    /// # Errors
    ///
    /// When it does not start, with what it said.
    pub fn start(lab: &Lab, subject: Subject, setup: &Setup, masq: &Path) -> Result<Self> {
        let daemon = match subject {
            Subject::Forward => {
                forward(&lab.gateway)?;
                None
            }
            Subject::Nft | Subject::NftFlowtable => {
                lab.gateway.program_with_input("nft", &["-f", "-"], &rules(subject, setup))?;
                lab.gateway.namespace().set_sysctls(&[
                    // Flows stay for as long as a bench takes.
                    ("net.netfilter.nf_conntrack_udp_timeout", "3600"),
                    ("net.netfilter.nf_conntrack_udp_timeout_stream", "3600"),
                ])?;
                forward(&lab.gateway)?;
                None
            }
            Subject::MasqTc | Subject::MasqXdp => {
                if setup.between_insides {
                    lay_uplink(&lab.gateway)?;
                }
                let options = MasqOptions::new(masq).whole_config(configuration(subject, setup));
                let cpus = cpu::all();
                let start = || Ok(Daemon::start(&lab.gateway, &options)?);
                Some(cpu::pinned(cpu::of_worker(&cpus), start)?)
            }
            Subject::BareTcRedirect | Subject::BareRedirect | Subject::Drop => None,
        };
        Ok(Self { subject, daemon })
    }

    /// Why this subject cannot run on this system, if it cannot.
    #[must_use]
    pub fn unavailable(subject: Subject) -> Option<String> {
        let has_tcx = KernelVersion::current().is_ok_and(|now| now >= KernelVersion::new(6, 6, 0));
        if subject == Subject::BareTcRedirect && !has_tcx {
            return Some("this kernel attaches no programs by tcx (Linux 6.6)".to_owned());
        }
        if subject != Subject::NftFlowtable {
            return None;
        }
        let tried = Lab::new(1).and_then(|lab| {
            Ok(lab.gateway.program_with_input(
                "nft",
                &["-f", "-"],
                &rules(subject, &Setup::new(1)),
            )?)
        });
        tried.err().map(|_| "this kernel has no flow tables (CONFIG_NF_FLOW_TABLE)".to_owned())
    }

    /// The daemon, when the gateway is one.
    pub fn daemon(&mut self) -> Option<&mut Daemon> {
        self.daemon.as_mut()
    }

    /// What its counters say since it started.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub fn counters(&self, lab: &Lab) -> Result<Counters> {
        let mut counters = Counters::new();
        counters.insert(KERNEL_FORWARDED.to_owned(), forwarded(&lab.gateway)?);
        match self.subject {
            Subject::Nft | Subject::NftFlowtable => {
                let count = lab.gateway.namespace().sysctl("net.netfilter.nf_conntrack_count")?;
                counters.insert(CONNECTIONS.to_owned(), count.parse().context("a count")?);
            }
            Subject::MasqTc | Subject::MasqXdp => counters.extend(masq_counters(&lab.gateway)?),
            Subject::Forward | Subject::BareTcRedirect | Subject::BareRedirect | Subject::Drop => {}
        }
        Ok(counters)
    }

    /// Takes away the program where packets leave by the outside, and leaves everything else.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn detach_egress(&self, lab: &Lab) -> Result<()> {
        let pin = format!("{PINS}/egress-{}", lab.wan.index);
        let attached = || lab.gateway.attached_programs("wan");
        let before = attached()?;
        lab.gateway.run(|| fs::remove_file(&pin)).with_context(|| format!("removing {pin}"))?;
        // The kernel takes a link apart when its last reference is gone, and a little later.
        let gone = || attached().is_ok_and(|now| now + 1 == before);
        Ok(wait_until("the program on the outside's egress is gone", SOON, gone)?)
    }

    /// Bytes of memory that the kernel holds for masq's maps.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub fn map_memory(&self, lab: &Lab) -> Result<u64> {
        lab.gateway.run(|| {
            let mut bytes = 0;
            for entry in fs::read_dir(PINS)?.flatten() {
                // Links are pinned beside the maps, and open as well.
                let Ok(map) = MapData::from_pin(entry.path()) else { continue };
                let about = format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd());
                let about = fs::read_to_string(about)?;
                let value = |name| about.lines().find_map(|line| line.strip_prefix(name));
                if value("map_type:").is_some() {
                    bytes +=
                        value("memlock:").context("a map without a size")?.trim().parse::<u64>()?;
                }
            }
            Ok(bytes)
        })
    }

    /// What it says of itself, for messages.
    #[must_use]
    pub fn report(&self) -> String {
        let Some(daemon) = &self.daemon else { return String::new() };
        match daemon.try_ask(&["stats"]) {
            Ok(output) => output.text(),
            Err(error) => error.to_string(),
        }
    }

    /// Whether what the counters say of `packets` that arrived proves that this subject carried them.
    ///
    /// # Errors
    ///
    /// With what it was that carried them instead.
    pub fn check(&self, counters: &Counters, packets: u64) -> Result<()> {
        let count = |name: &str| counters.get(name).copied().unwrap_or(0);
        // A few are looked at by the engine: what begins or ends connections, at least.
        let few = packets / 50 + 500;
        let nearly_all = packets.saturating_sub(few);
        let carrier = match self.subject {
            Subject::Forward | Subject::Nft | Subject::NftFlowtable => KERNEL_FORWARDED,
            Subject::MasqTc => TRANSLATED_TC,
            Subject::MasqXdp => TRANSLATED_XDP,
            Subject::BareTcRedirect | Subject::BareRedirect | Subject::Drop => {
                ensure!(count(KERNEL_FORWARDED) == 0, "the kernel forwarded packets: {counters:?}");
                return Ok(());
            }
        };
        if count(carrier) < nearly_all {
            bail!("{packets} packets arrived, but {carrier} is not nearly as many: {counters:?}");
        }
        let others = [KERNEL_FORWARDED, TRANSLATED_TC, TRANSLATED_XDP, PUNTED];
        for other in others.into_iter().filter(|other| *other != carrier) {
            ensure!(
                count(other) <= few,
                "{carrier} should count the packets, not {other}: {counters:?}"
            );
        }
        Ok(())
    }
}

/// How far counters have gone.
#[must_use]
pub fn difference(before: &Counters, after: &Counters) -> Counters {
    let since = |(name, count): (&String, &u64)| {
        // What is there now is not a count of what has passed.
        let gone = if name == CONNECTIONS { 0 } else { before.get(name).copied().unwrap_or(0) };
        (name.clone(), count.saturating_sub(gone))
    };
    after.iter().map(since).collect()
}

/// An outside on which nothing happens, for a gateway that must have one.
fn lay_uplink(host: &Host) -> Result<()> {
    Ok(host.ip(&[
        "link add name uplink type veth peer name nobody",
        "link set nobody up",
        "link set uplink up",
        "addr add 198.51.100.1/24 dev uplink",
    ])?)
}

fn forward(host: &Host) -> Result<()> {
    Ok(host.namespace().set_sysctl("net.ipv4.ip_forward", "1")?)
}

/// The least that translates: what is not needed would only slow the kernel down.
fn rules(subject: Subject, setup: &Setup) -> String {
    let translate = match setup.outsides {
        1 => match setup.ports {
            Some([first, last]) => format!("ip protocol udp masquerade to :{first}-{last}"),
            None => "masquerade".to_owned(),
        },
        many => format!("snat to {POOL}-{}", pool_end(many)),
    };
    let flowtable = if subject == Subject::NftFlowtable {
        "flowtable fast { hook ingress priority 0; devices = { lan, wan }; }
         chain forward {
             type filter hook forward priority filter;
             ip protocol { tcp, udp } flow add @fast
         }"
    } else {
        ""
    };
    format!(
        "table ip bench {{
             {flowtable}
             chain postrouting {{
                 type nat hook postrouting priority srcnat;
                 oifname wan {translate}
             }}
         }}"
    )
}

fn configuration(subject: Subject, setup: &Setup) -> String {
    let address = match setup.outsides {
        1 => "\"auto\"".to_owned(),
        many => format!("[\"{POOL}-{}\"]", pool_end(many)),
    };
    let ports = match setup.ports {
        Some([first, last]) => format!("[\"{first}-{last}\"]"),
        None => "\"auto\"".to_owned(),
    };
    let mode = if subject == Subject::MasqXdp { "xdp" } else { "tc" };
    let outside = if setup.between_insides { "uplink" } else { "wan" };
    let other = if setup.between_insides {
        format!("[[inside]]\ninterface = \"wan\"\nnetworks = [{OTHER_INSIDE_NETWORK:?}]\n")
    } else {
        String::new()
    };
    let mut text = String::new();
    let _ = write!(
        text,
        "[[outside]]\ninterface = \"{outside}\"\naddress = {address}\nports = {ports}\n\
         [[inside]]\ninterface = \"lan\"\nnetworks = {INSIDE_NETWORKS:?}\n\
         {other}[fast-path]\nmode = \"{mode}\"\n\
         [table]\nsessions = {}\n\
         [timeouts]\nudp = \"1h\"\n{}",
        setup.sessions.max(4096),
        setup.config
    );
    text
}

/// The last address of a pool.
fn pool_end(addresses: u32) -> core::net::Ipv4Addr {
    core::net::Ipv4Addr::from_bits(POOL.to_bits() + addresses - 1)
}

/// Packets that the kernel's own forwarding sent on.
fn forwarded(host: &Host) -> Result<u64> {
    // Not /proc/net: that is the namespace of the process's first thread.
    let text = host.run(|| fs::read_to_string("/proc/thread-self/net/snmp"))?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let (names, values) = lines.next().zip(lines.next()).context("no IP counters")?;
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    let (_, count) = pairs.find(|(name, _)| *name == "ForwDatagrams").context("no count")?;
    Ok(count.parse()?)
}

/// What masq's programs count, read where they are pinned.
fn masq_counters(host: &Host) -> Result<Counters> {
    let data = host.run(|| MapData::from_pin(format!("{PINS}/{COUNTERS}")))?;
    let map = PerCpuArray::<_, u64>::try_from(Map::PerCpuArray(data))?;
    let count = |index: u32| Ok::<u64, anyhow::Error>(map.get(&index, 0)?.iter().sum());
    let mut counters = Counters::new();
    for (name, counter) in [
        (TRANSLATED_TC, Counter::Translated),
        (TRANSLATED_XDP, Counter::TranslatedXdp),
        ("masq-returned", Counter::Returned),
        ("masq-passed", Counter::Passed),
    ] {
        counters.insert(name.to_owned(), count(counter as u32)?);
    }
    let mut punted = 0;
    for why in PuntReason::ALL {
        let packets = count(Counter::PUNTED + why as u32)?;
        punted += packets;
        if packets > 0 {
            counters.insert(format!("{PUNTED}-{}", why.as_str()), packets);
        }
    }
    counters.insert(PUNTED.to_owned(), punted);
    Ok(counters)
}

/// Where an instance called `lab` pins its maps.
const PINS: &str = "/run/masq/bpf/lab";

/// The counter of packets that the kernel's own forwarding sent on.
pub const KERNEL_FORWARDED: &str = "kernel-forwarded";
/// The number of connections in the kernel's table.
pub const CONNECTIONS: &str = "kernel-connections";
/// The counter of packets that masq translated on TC.
pub const TRANSLATED_TC: &str = "masq-translated-tc";
/// The counter of packets that masq translated on XDP.
pub const TRANSLATED_XDP: &str = "masq-translated-xdp";
/// The counter of packets that masq handed to its engine.
pub const PUNTED: &str = "masq-punted";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_that_another_carried_are_no_measurement() {
        let gateway = Gateway { subject: Subject::MasqTc, daemon: None };
        let counters = |pairs: &[(&str, u64)]| {
            pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Counters>()
        };
        let all = 100_000;
        assert!(gateway.check(&counters(&[(TRANSLATED_TC, all), (PUNTED, 300)]), all).is_ok());
        for wrong in [
            counters(&[(TRANSLATED_XDP, all)]),
            counters(&[(PUNTED, all)]),
            counters(&[(TRANSLATED_TC, all), (PUNTED, all / 2)]),
            counters(&[(KERNEL_FORWARDED, all)]),
        ] {
            assert!(gateway.check(&wrong, all).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_difference_is_since_before_but_for_what_is_there() {
        let before = Counters::from([(PUNTED.to_owned(), 5), (CONNECTIONS.to_owned(), 7)]);
        let after = Counters::from([(PUNTED.to_owned(), 9), (CONNECTIONS.to_owned(), 8)]);
        let difference = difference(&before, &after);
        assert_eq!((difference[PUNTED], difference[CONNECTIONS]), (4, 8));
    }

    #[test]
    fn a_pool_is_named_by_its_ends() {
        let setup = Setup { outsides: 32, ..Setup::new(1) };
        assert!(rules(Subject::Nft, &setup).contains("snat to 203.0.113.32-203.0.113.63"));
        let text = configuration(Subject::MasqXdp, &setup);
        assert!(text.contains("[\"203.0.113.32-203.0.113.63\"]"), "{text}");
    }
}
