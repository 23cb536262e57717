//! The interfaces that our programs are on: served, closed, and let go.
//!
//! ```text
//!    on a side ──────────► served ──renamed to what is on no side──► closed ──► served again
//!                            │                                         │
//!                            └── gone, or taken out of the             └── gone, or released by the
//!                                configuration ──► let go                  administrator ──► let go
//! ```
//!
//! A closed interface keeps its programs, and they let nothing pass but what is the host's own. So a name
//! that changes opens no way past the gateway, whoever has switched forwarding on: neither for inside
//! hosts, whose packets the kernel would forward as they are, nor for the world, whose segments the
//! host would answer with resets. That holds without a daemon too: the programs and the flag are
//! pinned, and the next daemon knows by which name an interface was served (`state`).
//!
//! An interface that has just appeared is unknown to the programs until it has been looked at here. What
//! the kernel forwards from there meanwhile leaves by no outside untranslated.

use std::collections::{BTreeMap, BTreeSet};

use masq_core::{PortId, Realm};
use masq_flow::maps::{Interface, InterfaceFlags, Role};

use crate::attach::{AttachError, Hook};
use crate::control::{Chain, Control, PortStatus};
use crate::options::{Port, Surroundings};
use crate::punt::PACKET_MAX;
use crate::routes::Link;
use crate::sys;

/// An interface with our programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attached {
    /// By which name it was served last.
    pub(crate) name: String,
    /// What was entered about it.
    pub(crate) interface: Interface,
}

impl Attached {
    /// Whether it was renamed since to something that is on no side.
    pub(crate) fn is_closed(&self) -> bool {
        self.interface.flags & InterfaceFlags::CLOSED.bits() != 0
    }

    fn is_outside(&self) -> bool {
        self.interface.role == Role::Outside as u32
    }
}

/// An interface cannot be released.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The gateway is ending.
    #[error("the gateway is ending")]
    Ending,
    /// It is not closed.
    #[error("interface {interface} is not closed; {}", closed_ones(closed))]
    NotClosed {
        /// Which.
        interface: String,
        /// Those that are.
        closed: Vec<String>,
    },
}

fn closed_ones(closed: &[String]) -> String {
    match closed {
        [] => "none is".to_owned(),
        some => format!("closed: {}", some.join(", ")),
    }
}

impl Control {
    /// Attaches the programs where they should be and are not, and the other way round.
    pub(crate) fn attach(&mut self, surroundings: &Surroundings) -> Vec<AttachError> {
        let mut errors = Vec::new();
        let wanted: BTreeMap<u32, &Port> =
            surroundings.ports.iter().map(|port| (port.id.0, port)).collect();
        let gone: Vec<u32> =
            self.attached.keys().copied().filter(|index| !wanted.contains_key(index)).collect();
        for index in gone {
            self.close_or_let_go(index);
        }
        for (index, port) in &wanted {
            match self.serve(*index, port) {
                Ok(()) => {}
                Err(error @ AttachError::Renamed { .. }) => {
                    tracing::debug!(%error, "news of it will follow");
                }
                Err(error) => errors.push(error),
            }
        }
        self.note_known(&wanted);
        self.choose_carriers();
        errors
    }

    /// Takes over interfaces of a predecessor that are on no side: [`Control::attach`] decides about them.
    pub(crate) fn take_over(&mut self, interfaces: impl Iterator<Item = Interface>) {
        for mut interface in interfaces {
            let index = interface.index;
            // One that is to stay closed is closed anew, by our programs.
            interface.flags &= !InterfaceFlags::CLOSED.bits();
            let present = self.links.links().get(index).map(|link| link.name.clone());
            // Where no name is noted, it is called what it was.
            let name = self.state.served(index).map(str::to_owned).or(present).unwrap_or_default();
            self.attached.insert(index, Attached { name, interface });
        }
    }

    /// Has an interface on a side served, as it is.
    fn serve(&mut self, index: u32, port: &Port) -> Result<(), AttachError> {
        let Some(link) = self.links.links().get(index) else { return Ok(()) };
        let interface = interface(port.side, link);
        let before = self.attached.get(&index);
        if before.is_some_and(|one| one.name == port.name && one.interface == interface) {
            return Ok(());
        }
        let fresh = before.is_none();
        let was_outside = before.is_some_and(Attached::is_outside);
        let _turn = fresh.then(|| self.claims.turn());
        if fresh && let Some(holder) = self.holder(port) {
            return Err(AttachError::Claimed { interface: port.name.clone(), holder });
        }
        if fresh && port.mtu > PACKET_MAX {
            tracing::warn!(
                interface = port.name,
                mtu = port.mtu,
                most = PACKET_MAX,
                "the MTU is larger than masq takes; longer packets are dropped"
            );
        }
        let served = Attached { name: port.name.clone(), interface };
        let is_outside = served.is_outside();
        let done = self.programs.set_interface(index, Some(&interface)).and_then(|()| {
            // What leaves is looked at before anything can.
            if is_outside && !was_outside {
                self.attach_one(Hook::Egress, index, &port.name)?;
            }
            if fresh { self.attach_one(Hook::Ingress, index, &port.name) } else { Ok(()) }
        });
        if let Err(error) = done {
            if fresh {
                self.take_off(index);
            }
            return Err(error);
        }
        if was_outside && !is_outside {
            self.programs.detach(Hook::Egress, index, Some(&port.name));
        }
        if fresh || self.attached.get(&index).is_some_and(Attached::is_closed) {
            tracing::info!(interface = port.name, side = ?port.side, "attached");
        }
        if let Err(error) = self.state.set_served(index, &port.name) {
            tracing::warn!(%error, "cannot note an interface that is served");
        }
        self.attached.insert(index, served);
        Ok(())
    }

    fn attach_one(&mut self, hook: Hook, index: u32, name: &str) -> Result<(), AttachError> {
        let known = self.state.filters().contains_key(&index);
        if !self.programs.is_tcx() {
            let made = !self.netlink.has_clsact(index).unwrap_or(true);
            // Without this note the filter would be left behind, not attached wrongly.
            if let Err(error) = self.state.add_filter(index, made) {
                tracing::warn!(%error, "cannot note an attached filter");
            }
        }
        self.programs.attach(hook, index, name, known)
    }

    /// Decides about an interface that is on no side any more.
    fn close_or_let_go(&mut self, index: u32) {
        let name = self.links.links().get(index).map(|link| link.name.clone());
        let Some(before) = self.attached.get(&index) else { return };
        match name {
            Some(_) if before.is_closed() => {}
            Some(name) if name != before.name => self.close(index, &name),
            // It is gone; or it is called what it was, and the administrator wants it no more.
            Some(_) | None => self.let_go(index),
        }
    }

    /// Lets nothing pass at an interface but what is the host's own.
    fn close(&mut self, index: u32, name: &str) {
        let Some(mut attached) = self.attached.get(&index).cloned() else { return };
        tracing::warn!(
            interface = name,
            was = attached.name,
            "an interface that was served is called otherwise, by a name that is on no side. It is \
             closed, and nothing but the host's own packets passes. Name it in the configuration, or \
             have it back as it was before masq: masq release {name}"
        );
        self.carriers.let_go(index, Some(name), &mut self.programs, &mut self.state);
        attached.interface.flags |= InterfaceFlags::CLOSED.bits();
        // A predecessor's programs may still be there.
        let hooks = if attached.is_outside() { &Hook::ALL[..] } else { &[Hook::Ingress] };
        let done = hooks.iter().try_for_each(|hook| self.attach_one(*hook, index, name));
        let entered = self.programs.set_interface(index, Some(&attached.interface));
        match done.and(entered) {
            Ok(()) => {}
            // What was there before is there still, and the flag is set.
            Err(error @ AttachError::Renamed { .. }) => {
                tracing::debug!(%error, "news of it will follow");
            }
            Err(error) => {
                tracing::error!(error = %Chain(&error), "an interface cannot be closed");
            }
        }
        self.attached.insert(index, attached);
    }

    /// Takes the programs off an interface that is closed.
    pub(crate) fn release(&mut self, name: &str) -> Result<(), ReleaseError> {
        let closed: Vec<(u32, String)> =
            self.closed().map(|(index, link, _)| (index, link.name.clone())).collect();
        let Some((index, _)) = closed.iter().find(|(_, closed)| closed == name) else {
            let closed = closed.into_iter().map(|(_, name)| name).collect();
            return Err(ReleaseError::NotClosed { interface: name.to_owned(), closed });
        };
        self.let_go(*index);
        // What was remembered of it under its former name is of no use to anybody.
        self.remembered.forget(*index);
        self.enforce(None);
        Ok(())
    }

    /// The closed interfaces, and what they were called.
    pub(crate) fn closed(&self) -> impl Iterator<Item = (u32, &Link, &str)> {
        self.attached.iter().filter(|(_, attached)| attached.is_closed()).filter_map(
            |(index, attached)| Some((*index, self.links.links().get(*index)?, &*attached.name)),
        )
    }

    /// The closed interfaces, for whoever asks.
    pub(crate) fn closed_status(&self) -> impl Iterator<Item = PortStatus> {
        self.closed().map(|(index, link, was)| PortStatus {
            port: Port {
                id: PortId(index),
                name: link.name.clone(),
                side: if self.attached[&index].is_outside() {
                    Realm::Outside
                } else {
                    Realm::Inside
                },
                mtu: link.mtu,
                up: link.up,
                away: true,
                layer3: link.layer3,
                addresses: Vec::new(),
                networks: Vec::new(),
            },
            attachment: Some(self.programs.attachment()),
            closed: Some(was.to_owned()),
        })
    }

    /// Takes the programs off an interface, which may be gone.
    pub(crate) fn let_go(&mut self, index: u32) {
        let name = self.links.links().get(index).map(|link| link.name.clone());
        let before = self.attached.remove(&index);
        tracing::info!(interface = before.map(|before| before.name), "detached");
        self.carriers.let_go(index, name.as_deref(), &mut self.programs, &mut self.state);
        self.take_off(index);
    }

    /// Removes the programs from both hooks, and all notes of the interface.
    fn take_off(&mut self, index: u32) {
        // What it was called when we heard of it may be another's name by now.
        let name = sys::interface_name(index);
        for hook in Hook::ALL {
            self.programs.detach(hook, index, name.as_deref());
        }
        if let Err(error) = self.programs.set_interface(index, None) {
            tracing::warn!(%error, "cannot forget an interface");
        }
        let _ = self.state.remove_filter(index);
        let _ = self.state.remove_served(index);
    }

    /// Tells the programs which interfaces have been looked at: those that nobody wants served, and
    /// those that are.
    fn note_known(&mut self, wanted: &BTreeMap<u32, &Port>) {
        let there = self.links.links().iter().map(|link| link.index);
        let judged = |index: &u32| !wanted.contains_key(index) || self.attached.contains_key(index);
        let known: BTreeSet<u32> = there.filter(judged).collect();
        let come = known.difference(&self.known).map(|index| (*index, true));
        let gone = self.known.difference(&known).map(|index| (*index, false));
        for (index, is_known) in come.chain(gone) {
            if let Err(error) = self.programs.set_known(index, is_known) {
                tracing::warn!(error = %Chain(&error), "the programs cannot be told of an interface");
            }
        }
        self.known = known;
    }
}

fn interface(side: Realm, link: &Link) -> Interface {
    let role = match side {
        Realm::Inside => Role::Inside,
        Realm::Outside => Role::Outside,
    };
    let flags = if link.layer3 { InterfaceFlags::LAYER3 } else { InterfaceFlags::empty() };
    Interface {
        index: link.index,
        role: role as u32,
        flags: flags.bits(),
        mtu: link.mtu,
        mac: link.mac.unwrap_or_default(),
        reserved: [0; 2],
    }
}
