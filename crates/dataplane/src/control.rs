//! The control thread: keeps what masq knows of the host, and what the host knows of masq, true.
//!
//! # Theory of operation
//!
//! The thread sleeps until the kernel announces a change, the worker wishes something, the owner of
//! the [`Handle`](crate::Handle) orders something, or a poll is due. It is the only one that asks
//! the kernel for anything but packets.
//!
//! - *Routing*: announcements go to the worker as they come. When some were lost, or the kernel is
//!   known to drop routes without announcing it, a fresh picture follows, a little later, so that a
//!   burst of changes costs one picture.
//! - *Interfaces*: whenever links or addresses change, [`Control::follow`] compares what should be
//!   with what is: serves the interfaces that came, closes those that were renamed to something that is on
//!   no side, lets go of those that went (`interfaces`), enters addresses and networks, asks the
//!   configuration for the policy and hands it to the worker if it differs.
//! - *Ports*: tells the kernel not to take for itself the ports that the engine may give out, and the
//!   worker which ports the host's sockets use, and which its other translators take.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Sender, TryRecvError};

use masq_core::{HostPort, Policy, PortId, Realm};
use masq_flow::maps::{AddressFlags, Settings};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::attach::{AttachError, ProgramCounts, Programs};
use crate::away::Remembered;
use crate::beside::{Beside, Outlook};
use crate::claims::{Claims, Holder};
use crate::fast_path::{Carriers, Way};
use crate::host_flows::HostFlows;
use crate::interfaces::{Attached, ReleaseError};
use crate::netlink::{Heard, Netlink, NetlinkError, Watch, XdpFeatureWatch};
use crate::options::{Configuration, Port, PortAddress, Surroundings};
use crate::routes::{Address, Change, Hop, Link, Mirror, Prefix, RouteKind};
use crate::state::State;
use crate::wake::{WakingReceiver, WakingSender};
use crate::worker::{Command, PlanSender, Wish};
use crate::{clock, ports, sockets, sysctl};

/// What the owner of the handle orders.
pub(crate) enum Order {
    /// Follow another configuration.
    Reload(Box<dyn Configuration>, PlanSender),
    /// Say which policy following another configuration would lead to.
    Prospect(Box<dyn Configuration>, Sender<Result<Prospect, ReloadError>>),
    /// Tell about the interfaces.
    Ports(Sender<Vec<PortStatus>>),
    /// Tell what carries established sessions.
    Ways(Sender<Vec<Way>>),
    /// Tell what the programs counted.
    Counts(Sender<ProgramCounts>),
    /// Take the programs off an interface that is closed.
    Release(String, Sender<Result<(), ReleaseError>>),
    /// End the thread; what is attached stays.
    Stop,
}

/// A policy and the one that would follow it.
pub(crate) struct Prospect {
    pub(crate) present: Policy,
    pub(crate) next: Policy,
}

/// An interface as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStatus {
    /// The interface.
    pub port: Port,
    /// How the program is attached, if it is: `tcx` or `clsact`.
    pub attachment: Option<&'static str>,
    /// What it was called when it was served, if it is closed since it is called otherwise.
    pub closed: Option<String>,
}

/// A configuration cannot be followed; the one before stays in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// An interface that must exist does not.
    #[error("there is no interface {interface}; there are: {}", known.join(", "))]
    UnknownInterface {
        /// What was asked for.
        interface: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The loopback interface, or the punt port.
    #[error("interface {interface} cannot be inside or outside")]
    Unusable {
        /// Which.
        interface: String,
    },
    /// Another instance has the interface.
    #[error("interface {interface} is used by {holder}")]
    Claimed {
        /// Which.
        interface: String,
        /// Whose it is.
        holder: Holder,
    },
    /// The gateway is ending.
    #[error("the gateway is ending")]
    Ending,
}

/// The thread's belongings.
pub(crate) struct Control {
    pub(crate) configuration: Box<dyn Configuration>,
    pub(crate) programs: Programs,
    pub(crate) claims: Claims,
    pub(crate) state: State,
    pub(crate) netlink: Netlink,
    pub(crate) watch: Watch,
    pub(crate) worker: WakingSender<Command>,
    pub(crate) wishes: WakingReceiver<Wish>,
    pub(crate) orders: WakingReceiver<Order>,
    /// Links, addresses, and routes by inside interfaces; all the others are the worker's.
    pub(crate) links: Mirror,
    /// Interfaces that are not to be touched: the punt port's.
    pub(crate) own: [u32; 2],
    /// Interfaces with our programs.
    pub(crate) attached: BTreeMap<u32, Attached>,
    /// Interfaces that the programs know to have been looked at.
    pub(crate) known: BTreeSet<u32>,
    /// Inside networks, and the interfaces that lead to them.
    pub(crate) networks: BTreeMap<(Ipv4Addr, u8), u32>,
    pub(crate) host_flows: HostFlows,
    pub(crate) addresses: BTreeMap<Ipv4Addr, AddressFlags>,
    pub(crate) remembered: Remembered,
    pub(crate) policy: Policy,
    pub(crate) sockets: BTreeSet<HostPort>,
    /// What the programs are told.
    pub(crate) settings: Settings,
    pub(crate) carriers: Carriers,
    pub(crate) beside: Beside,
}

impl Control {
    /// Works until told to stop.
    pub(crate) fn run(mut self) {
        let mut reread = None;
        let (mut poll_sockets, mut sweep) = (clock::now(), clock::now() + SWEEP_INTERVAL);
        loop {
            let now = clock::now();
            if reread.is_some_and(|due| due <= now) {
                reread = None;
                self.reread();
            }
            if poll_sockets <= now {
                poll_sockets = now + SOCKETS_INTERVAL;
                self.beside.look_again();
                self.look_at_sockets();
                self.choose_carriers();
            }
            if sweep <= now {
                sweep = now + SWEEP_INTERVAL;
                self.host_flows.sweep(now);
            }
            if self.beside.follow(now) {
                self.look_at_sockets();
            }
            let due =
                [reread, self.beside.due()].into_iter().flatten().fold(poll_sockets, Ord::min);
            self.sleep(due.saturating_sub(clock::now()));

            match self.hear() {
                Ok(true) => reread = reread.or_else(|| Some(clock::now() + REREAD_DELAY)),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot hear of changes; reading anew");
                    reread = reread.or_else(|| Some(clock::now() + Duration::from_secs(1)));
                }
            }
            if self.links.links().get(self.own[1]).is_none() {
                tracing::error!("the punt port is gone; nothing can be translated without it");
                break;
            }
            if !self.grant_wishes() || !self.obey() {
                break;
            }
        }
        self.worker.send(Command::Stop);
    }

    fn sleep(&self, wait: Duration) {
        let wait =
            Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        let mut fds = [
            PollFd::new(&self.watch, PollFlags::IN),
            PollFd::new(&self.wishes, PollFlags::IN),
            PollFd::new(&self.orders, PollFlags::IN),
        ]
        .to_vec();
        fds.extend(self.carriers.watch().map(|watch| PollFd::new(watch, PollFlags::IN)));
        let beside = self.beside.descriptor();
        fds.extend(beside.as_ref().map(|socket| PollFd::new(socket, PollFlags::IN)));
        // An interrupted or failed wait only makes the round come early.
        let _ = poll(&mut fds, Some(&wait));
    }

    /// Passes announcements on; true if a fresh picture is needed.
    fn hear(&mut self) -> Result<bool, NetlinkError> {
        let (mut reread, mut follow) = (false, false);
        for _ in 0..DATAGRAMS {
            match self.watch.hear()? {
                Heard::Nothing => break,
                Heard::Lost => {
                    tracing::debug!("announcements were lost");
                    reread = true;
                }
                Heard::Changes(changes) => {
                    for change in &changes {
                        if self.is_for_us(change) {
                            let effect = self.links.apply(change.clone());
                            reread |= effect.reread;
                            follow |= effect.links || effect.routing;
                        }
                    }
                    self.worker.send(Command::Changes(changes));
                }
            }
        }
        if follow {
            self.follow();
        }
        if self.carriers.watch().is_some_and(XdpFeatureWatch::has_heard) {
            self.choose_carriers();
        }
        Ok(reread)
    }

    /// Whether a change is about interfaces, or about what lies behind an inside one.
    fn is_for_us(&self, change: &Change) -> bool {
        match change {
            Change::Address(_) | Change::AddressGone(_) | Change::Link(_) | Change::LinkGone(_) => {
                true
            }
            Change::Route { route, .. } | Change::RouteGone { route, .. } => {
                let inside = |hop: &Hop| {
                    let link = self.links.links().get(hop.link);
                    link.and_then(|link| self.configuration.side(&link.name)) == Some(Realm::Inside)
                };
                route.kind == RouteKind::Unicast && route.hops.iter().any(inside)
            }
            Change::Neighbour { .. } | Change::Rule(_) | Change::RuleGone(_) => false,
        }
    }

    fn reread(&mut self) {
        match self.netlink.picture() {
            Ok(picture) => {
                self.links.replace(picture.clone());
                self.worker.send(Command::Picture(Box::new(picture)));
                self.follow();
            }
            Err(error) => tracing::error!(%error, "cannot read the network's configuration"),
        }
    }

    fn grant_wishes(&mut self) -> bool {
        self.wishes.quiet();
        while let Ok(wish) = self.wishes.try_recv() {
            match wish {
                Wish::Resolve(key) => {
                    let Some(neighbour) = key.neighbour else { continue };
                    if !self.may_ask(key.link) {
                        // Asked again when the link gets an address.
                        tracing::debug!(link = key.link, "no address to ask for a neighbour with");
                        continue;
                    }
                    if let Err(error) = self.netlink.resolve(key.link, neighbour) {
                        // The link may have gone meanwhile; the next hop fails by its timeout.
                        tracing::debug!(link = key.link, %error, "cannot resolve a neighbour");
                    }
                }
                Wish::Ended(why) => {
                    tracing::error!(why, "the worker ended");
                    return false;
                }
            }
        }
        true
    }

    /// Whether the kernel may resolve neighbours on a link: where it would name an inside address
    /// as the one who asks, only on the inside.
    ///
    /// The kernel itself is asked, because the moment between two addresses of a line is when
    /// neighbours get lost, and news of it may still be under way.
    fn may_ask(&mut self, index: u32) -> bool {
        let links = self.links.links();
        let Some(link) = links.get(index) else { return false };
        if self.configuration.side(&link.name) == Some(Realm::Inside) {
            return true;
        }
        let fallback = links.vrf_of(link).map_or(LOOPBACK, |vrf| vrf.index);
        self.netlink.can_ask_on(index, fallback).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot see whether a neighbour may be asked for");
            false
        })
    }

    fn obey(&mut self) -> bool {
        self.orders.quiet();
        loop {
            match self.orders.try_recv() {
                Ok(Order::Reload(configuration, answer)) => {
                    self.reload(configuration, answer);
                }
                Ok(Order::Prospect(configuration, answer)) => {
                    let _ = answer.send(self.prospect(&*configuration));
                }
                Ok(Order::Ports(answer)) => {
                    let _ = answer.send(self.port_status());
                }
                Ok(Order::Ways(answer)) => {
                    let _ = answer.send(self.ways());
                }
                Ok(Order::Counts(answer)) => {
                    let _ = answer.send(self.programs.counts());
                }
                Ok(Order::Release(name, answer)) => {
                    let _ = answer.send(self.release(&name));
                }
                Ok(Order::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    /// Follows a configuration. The worker answers, when it has looked at all sessions; nobody waits
    /// for that here, where neighbours are asked for in the meantime.
    fn reload(&mut self, configuration: Box<dyn Configuration>, answer: PlanSender) {
        if let Err(error) = self.check(&*configuration) {
            let _ = answer.send(Err(error));
            return;
        }
        self.configuration = configuration;
        self.remembered.keep(|name| self.configuration.side(name).is_some());
        // The new configuration may know interfaces as inside that the old one did not, and what
        // lies behind them was not listened to.
        self.reread();
        self.enforce(Some(answer));
    }

    fn prospect(&self, configuration: &dyn Configuration) -> Result<Prospect, ReloadError> {
        self.check(configuration)?;
        let mut surroundings = surroundings(configuration, &self.links, self.own);
        self.remembered.clone().complete(&mut surroundings);
        Ok(Prospect { present: self.policy.clone(), next: configuration.policy(&surroundings) })
    }

    fn check(&self, configuration: &dyn Configuration) -> Result<(), ReloadError> {
        if let Some(interface) = missing(configuration, &self.links) {
            return Err(ReloadError::UnknownInterface { interface, known: names(&self.links) });
        }
        let own = |link: &Link| self.own.contains(&link.index);
        if let Some(interface) = unusable(configuration, &self.links, own) {
            return Err(ReloadError::Unusable { interface });
        }
        let ports = surroundings(configuration, &self.links, self.own).ports;
        let fresh = |port: &&Port| !self.attached.contains_key(&port.id.0);
        for port in ports.iter().filter(fresh) {
            if let Some(holder) = self.holder(port) {
                return Err(ReloadError::Claimed { interface: port.name.clone(), holder });
            }
        }
        Ok(())
    }

    pub(crate) fn holder(&self, port: &Port) -> Option<Holder> {
        self.claims.holder(&self.programs, port.id.0, &port.name)
    }

    pub(crate) fn port_status(&self) -> Vec<PortStatus> {
        let status = |port: Port| {
            let attached = self.attached.contains_key(&port.id.0);
            let attachment = attached.then(|| self.programs.attachment());
            PortStatus { port, attachment, closed: None }
        };
        self.surroundings().ports.into_iter().map(status).chain(self.closed_status()).collect()
    }

    fn follow(&mut self) {
        self.enforce(None);
    }

    /// Brings everything in line with the configuration and the surroundings.
    pub(crate) fn enforce(&mut self, answer: Option<PlanSender>) {
        let mut surroundings = self.surroundings();
        for error in self.attach(&surroundings) {
            tracing::error!(error = %Chain(&error), "an interface is not served");
        }
        self.remembered.complete(&mut surroundings);
        let policy = self.configuration.policy(&surroundings);
        let entered = self.enter_addresses(&policy).and_then(|()| self.enter_networks(&policy));
        if let Err(error) = entered {
            tracing::error!(error = %Chain(&error), "addresses cannot be entered");
        }
        if policy != self.policy || answer.is_some() {
            self.policy = policy;
            self.reserve_ports(&surroundings);
            self.worker.send(Command::Apply(Box::new(self.policy.clone()), answer));
        }
    }

    /// The interfaces on a side, as they are.
    pub(crate) fn surroundings(&self) -> Surroundings {
        surroundings(&*self.configuration, &self.links, self.own)
    }

    /// Enters the addresses of the host and of the policy.
    pub(crate) fn enter_addresses(&mut self, policy: &Policy) -> Result<(), AttachError> {
        let wanted = ports::addresses(self.links.links(), policy);
        for (address, flags) in &wanted {
            if self.addresses.get(address) != Some(flags) {
                self.programs.set_address(*address, Some(*flags))?;
            }
        }
        let stale: Vec<_> = self
            .addresses
            .keys()
            .copied()
            .filter(|address| !wanted.contains_key(address))
            .collect();
        for address in stale {
            self.programs.set_address(address, None)?;
        }
        self.addresses = wanted;
        Ok(())
    }

    /// Tells the kernel which ports it shall not take for the host's own connections: those that
    /// the engine may give out.
    pub(crate) fn reserve_ports(&mut self, surroundings: &Surroundings) {
        let before = self.state.original(RESERVED).unwrap_or_default();
        let owned = ports::owned(&self.policy);
        let reserved = ports::reserved(&owned, surroundings.ephemeral.clone(), &before);
        if let Err(error) = self.state.set(RESERVED, &reserved) {
            tracing::warn!(%error, "cannot reserve masq's ports; the host may collide with them");
        }
    }

    /// Enters the networks of the insides, of those that are away for a while too.
    pub(crate) fn enter_networks(&mut self, policy: &Policy) -> Result<(), AttachError> {
        let wanted = ports::networks(policy);
        for (network, index) in &wanted {
            if self.networks.get(network) != Some(index) {
                self.programs.set_network(*network, Some(*index))?;
            }
        }
        for network in self.networks.keys().filter(|network| !wanted.contains_key(network)) {
            self.programs.set_network(*network, None)?;
        }
        self.networks = wanted;
        Ok(())
    }

    /// Has the engine keep its hands off the ports of the host's sockets, and of its other translators.
    fn look_at_sockets(&mut self) {
        self.tell_beside();
        match sockets::in_use() {
            Ok(mut ports) => {
                ports.extend(self.beside.ports());
                if ports != self.sockets {
                    self.sockets.clone_from(&ports);
                    self.worker.send(Command::Sockets(ports));
                }
            }
            Err(error) => tracing::warn!(%error, "cannot list the host's sockets"),
        }
    }

    /// Says what is beside masq and was not said before.
    pub(crate) fn tell_beside(&mut self) {
        let side = |name: &str| self.configuration.side(name);
        self.beside.tell(&Outlook { links: self.links.links(), side: &side });
    }
}

/// The interfaces on a side.
pub(crate) fn surroundings(
    configuration: &dyn Configuration,
    mirror: &Mirror,
    own: [u32; 2],
) -> Surroundings {
    let links = mirror.links();
    let port = |link: &Link| {
        if link.loopback || own.contains(&link.index) {
            return None;
        }
        let addresses = links.addresses_of(link.index).map(|address| PortAddress {
            address: address.local,
            length: address.length,
            global: address.global,
        });
        let side = configuration.side(&link.name)?;
        let connected = links.addresses_of(link.index).map(Address::network);
        let networks = match side {
            Realm::Inside => connected.chain(mirror.networks_by(link.index)).collect(),
            Realm::Outside => connected.collect(),
        };
        Some(Port {
            id: PortId(link.index),
            name: link.name.clone(),
            side,
            mtu: link.mtu,
            up: link.up,
            away: false,
            layer3: link.layer3,
            addresses: addresses.collect(),
            networks: ipv4_networks(networks),
        })
    };
    let (first, last) = sysctl::ephemeral_ports();
    Surroundings { ports: links.iter().filter_map(port).collect(), ephemeral: Some(first..=last) }
}

fn ipv4_networks(mut networks: Vec<Prefix>) -> Vec<masq_core::Prefix> {
    networks.sort_unstable();
    networks.dedup();
    networks
        .into_iter()
        .filter(|network| network.address().is_ipv4())
        .map(|network| masq_core::Prefix { address: network.address(), length: network.length() })
        .collect()
}

/// The first interface that must exist and does not.
pub(crate) fn missing(configuration: &dyn Configuration, mirror: &Mirror) -> Option<String> {
    configuration.required().into_iter().find(|name| mirror.links().named(name).is_none())
}

/// The first interface that must be served and cannot be: loopback, and masq's own.
pub(crate) fn unusable(
    configuration: &dyn Configuration,
    mirror: &Mirror,
    own: impl Fn(&Link) -> bool,
) -> Option<String> {
    configuration
        .required()
        .into_iter()
        .find(|name| mirror.links().named(name).is_some_and(|link| link.loopback || own(link)))
}

/// The names of the interfaces there are.
pub(crate) fn names(mirror: &Mirror) -> Vec<String> {
    mirror.links().iter().filter(|link| !link.loopback).map(|link| link.name.clone()).collect()
}

/// An error with its causes, on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn core::error::Error);

impl core::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// The ports that the kernel shall not take for the host's own connections.
const RESERVED: &str = "net/ipv4/ip_local_reserved_ports";
/// The number of the loopback interface, in every network namespace.
const LOOPBACK: u32 = 1;
/// How often the host's sockets are listed.
const SOCKETS_INTERVAL: Duration = Duration::from_secs(2);
/// How often flows of the host that ended are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// How long a fresh picture waits for more changes.
const REREAD_DELAY: Duration = Duration::from_millis(100);
/// Datagrams of announcements read in one go.
const DATAGRAMS: usize = 64;
