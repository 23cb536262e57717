//! The choice itself: what is known of an interface, and what follows from it.

use core::fmt;

use crate::netlink::XdpFeatures;

/// What should carry packets of established sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FastPath {
    /// XDP where it is certain that it can, TC elsewhere.
    #[default]
    Auto,
    /// XDP where it can; that arriving packets are complete is the administrator's word.
    Xdp,
    /// TC everywhere.
    Tc,
    /// The engine, for every packet.
    Off,
}

/// Why XDP does not carry packets that arrive on an interface, or leave by it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The administrator does not want it.
    Mode,
    /// Packets have no link-layer header.
    Layer3,
    /// The driver has no XDP.
    NoNativeXdp,
    /// Frames may be longer than XDP takes.
    Mtu {
        /// The interface's.
        mtu: u32,
    },
    /// What arrives may wait for its checksum to be completed.
    Incomplete {
        /// What kind of interface it is.
        kind: String,
    },
    /// Frames of VLANs look like the interface's own, and there are VLANs.
    Vlans,
    /// The driver takes VLAN tags off, and does not let itself be told not to.
    Tags,
    /// Somebody else's XDP program is there.
    Foreign {
        /// The kernel's number for it.
        id: u32,
        /// Its name.
        name: String,
    },
    /// The kernel or the driver did not take the program.
    Refused {
        /// What it said.
        error: String,
    },
    /// The kernel does not say what the interface can do with XDP.
    Unknown,
    /// No other interface that packets go to from there takes redirects, so XDP would look at packets in vain.
    Nowhere,
    /// The interface does not take redirects.
    NoRedirects {
        /// It is a veth, and it is up to its other end.
        veth: bool,
    },
    /// The driver sends what a processor redirects by the queue of its number, and has not as many.
    Queues {
        /// The queues that it has.
        queues: u32,
        /// The processors that there may be.
        processors: u32,
    },
    /// What leaves by the interface is queued by a discipline that XDP would go around.
    Queueing {
        /// Which.
        discipline: String,
    },
    /// What leaves by the interface is filtered, and XDP would go around that.
    Filters,
}

impl Why {
    /// Says it of an interface.
    pub fn of(&self, interface: &str) -> String {
        Sentence { interface, why: self }.to_string()
    }

    /// Whether somebody should do something about it.
    pub fn is_trouble(&self) -> bool {
        matches!(self, Self::Foreign { .. } | Self::Refused { .. } | Self::Tags)
    }
}

struct Sentence<'a> {
    interface: &'a str,
    why: &'a Why,
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interface, why } = self;
        match why {
            Why::Mode => f.write_str("the configuration says so"),
            Why::Layer3 => write!(f, "packets of {interface} have no Ethernet header"),
            Why::NoNativeXdp => write!(f, "the driver of {interface} has no XDP"),
            Why::Mtu { mtu } => {
                write!(f, "{interface} has an MTU of {mtu}, and XDP takes at most {XDP_MTU}")
            }
            Why::Incomplete { kind } => {
                write!(f, "packets may arrive on {interface} ({kind}) without their checksum")
            }
            Why::Vlans => write!(f, "{interface} has VLANs, whose tags XDP would not see"),
            Why::Tags => write!(f, "{interface} hides VLAN tags and cannot be told not to"),
            Why::Foreign { id, name } => {
                write!(f, "{interface} has the XDP program {name} (id {id}) of somebody else")
            }
            Why::Refused { error } => write!(f, "{interface} does not take the program: {error}"),
            Why::Unknown => {
                write!(f, "this kernel does not say whether {interface} takes redirects")
            }
            Why::Nowhere => {
                write!(f, "no other interface takes redirects of what arrives on {interface}")
            }
            Why::NoRedirects { veth: true } => {
                write!(f, "the other end of {interface} has neither an XDP program nor GRO")
            }
            Why::NoRedirects { veth: false } => {
                write!(f, "the driver of {interface} takes no redirects")
            }
            Why::Queues { queues, processors } => write!(
                f,
                "{interface} takes redirects from as many processors as it has queues, which are \
                 {queues} of {processors} (`ethtool -L {interface} combined {processors}`)"
            ),
            Why::Queueing { discipline } => {
                write!(f, "{interface} has a queueing discipline of its own ({discipline})")
            }
            Why::Filters => write!(f, "what leaves by {interface} is filtered there"),
        }
    }
}

/// What is known of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// What made it: `veth`, `tun` …; empty for hardware.
    pub(crate) kind: String,
    /// The driver, where there is one that says so.
    pub(crate) driver: Option<String>,
    pub(crate) layer3: bool,
    pub(crate) mtu: u32,
    /// None where the kernel does not say.
    pub(crate) features: Option<XdpFeatures>,
    /// There are interfaces for VLANs of it.
    pub(crate) has_vlans: bool,
    pub(crate) program: Occupant,
    /// Queues that it sends by; none where the driver does not say.
    pub(crate) queues: Option<u32>,
    /// Processors that there may be.
    pub(crate) processors: u32,
    /// The queueing discipline that somebody gave it.
    pub(crate) discipline: Option<String>,
    /// Something judges packets that leave by it.
    pub(crate) has_filters: bool,
}

/// Whose XDP program an interface has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Occupant {
    #[default]
    Nobody,
    /// This instance, by a pinned link.
    Ourselves,
    Foreign {
        id: u32,
        name: String,
    },
}

impl Facts {
    /// Whether XDP may take what arrives here.
    pub(crate) fn arriving(&self, mode: FastPath) -> Result<(), Why> {
        let asked_for = match mode {
            FastPath::Off | FastPath::Tc => return Err(Why::Mode),
            FastPath::Auto => false,
            FastPath::Xdp => true,
        };
        if self.layer3 {
            return Err(Why::Layer3);
        }
        match self.features {
            None => return Err(Why::Unknown),
            Some(features) if features.is_native() => {}
            Some(_) => return Err(Why::NoNativeXdp),
        }
        if self.mtu > XDP_MTU {
            return Err(Why::Mtu { mtu: self.mtu });
        }
        if let Occupant::Foreign { id, name } = &self.program {
            return Err(Why::Foreign { id: *id, name: name.clone() });
        }
        if !asked_for && let Some(kind) = self.may_be_incomplete() {
            return Err(Why::Incomplete { kind: kind.to_owned() });
        }
        if self.has_vlans && self.keeps_tags_apart() {
            return Err(Why::Vlans);
        }
        Ok(())
    }

    /// Whether this interface takes what XDP redirects to it, and nothing would be gone around.
    pub(crate) fn leaving(&self) -> Result<(), Why> {
        if self.layer3 {
            return Err(Why::Layer3);
        }
        match self.features {
            None => return Err(Why::Unknown),
            Some(features) if features.takes_redirects() => {}
            Some(_) => return Err(Why::NoRedirects { veth: self.kind == "veth" }),
        }
        if let Some(queues) = self.queues.filter(|_| self.has_a_queue_for_each_processor())
            && queues < self.processors
        {
            return Err(Why::Queues { queues, processors: self.processors });
        }
        if let Some(discipline) = &self.discipline {
            return Err(Why::Queueing { discipline: discipline.clone() });
        }
        if self.has_filters {
            return Err(Why::Filters);
        }
        Ok(())
    }

    /// Software at the other end: it lets a checksum wait for hardware that there is not.
    fn may_be_incomplete(&self) -> Option<&str> {
        if !self.kind.is_empty() {
            return Some(&self.kind);
        }
        self.driver.as_deref().filter(|driver| PARAVIRTUAL.contains(driver))
    }

    /// The driver drops what a processor redirects for which it has no queue.
    fn has_a_queue_for_each_processor(&self) -> bool {
        self.driver.as_deref().is_some_and(|driver| QUEUE_FOR_EACH.contains(&driver))
    }

    /// VLAN tags travel beside the frame, whatever the driver is told.
    pub(crate) fn keeps_tags_apart(&self) -> bool {
        !self.kind.is_empty()
    }
}

/// Drivers of what a hypervisor offers: its switch, or another guest, sends packets that were never
/// meant to be on a wire.
const PARAVIRTUAL: [&str; 4] = ["hv_netvsc", "vif", "virtio_net", "vmxnet3"];

/// Drivers whose redirects fail on processors beyond their queues (`i40e_xdp_xmit`, `mlx5e_xdp_xmit`:
/// -ENXIO); others share queues, or make one for each processor.
const QUEUE_FOR_EACH: [&str; 2] = ["i40e", "mlx5_core"];

/// The longest packet of an interface whose driver keeps frames in one page, behind the headroom
/// that XDP wants and before the kernel's trailer, as a veth does.
const XDP_MTU: u32 = 3506;

#[cfg(test)]
mod tests {
    use super::*;

    /// A network card whose driver can everything.
    fn card() -> Facts {
        Facts {
            driver: Some("ixgbe".to_owned()),
            mtu: 1500,
            features: Some(XdpFeatures::ALL),
            ..Facts::default()
        }
    }

    fn veth() -> Facts {
        Facts { kind: "veth".to_owned(), driver: Some("veth".to_owned()), ..card() }
    }

    #[test]
    fn a_card_is_fit_by_itself_and_a_veth_on_somebodys_word() {
        assert_eq!(card().arriving(FastPath::Auto), Ok(()));
        let why = Why::Incomplete { kind: "veth".to_owned() };
        assert_eq!(veth().arriving(FastPath::Auto), Err(why));
        assert_eq!(veth().arriving(FastPath::Xdp), Ok(()));
        let guest = Facts { driver: Some("virtio_net".to_owned()), ..card() };
        let why = Why::Incomplete { kind: "virtio_net".to_owned() };
        assert_eq!(guest.arriving(FastPath::Auto), Err(why));
        assert_eq!(guest.arriving(FastPath::Xdp), Ok(()));
    }

    #[test]
    fn nothing_is_attached_that_nobody_wants() {
        for mode in [FastPath::Off, FastPath::Tc] {
            assert_eq!(card().arriving(mode), Err(Why::Mode));
        }
    }

    #[test]
    fn what_xdp_cannot_do_is_tcs_even_where_xdp_is_asked_for() {
        let foreign = Occupant::Foreign { id: 7, name: "xdp_dispatcher".to_owned() };
        let cases = [
            (Facts { layer3: true, ..veth() }, Why::Layer3),
            (Facts { features: Some(XdpFeatures::NONE), ..veth() }, Why::NoNativeXdp),
            (Facts { features: None, ..card() }, Why::Unknown),
            (Facts { mtu: 9000, ..veth() }, Why::Mtu { mtu: 9000 }),
            (Facts { has_vlans: true, ..veth() }, Why::Vlans),
            (
                Facts { program: foreign, ..card() },
                Why::Foreign { id: 7, name: "xdp_dispatcher".to_owned() },
            ),
        ];
        for (facts, why) in cases {
            assert_eq!(facts.arriving(FastPath::Xdp), Err(why));
        }
        let own = Facts { program: Occupant::Ourselves, has_vlans: true, ..card() };
        assert_eq!(own.arriving(FastPath::Xdp), Ok(()), "a card is told to leave tags alone");
    }

    #[test]
    fn what_xdp_would_go_around_is_tcs() {
        assert_eq!(card().leaving(), Ok(()));
        assert_eq!(veth().leaving(), Ok(()));
        let queues = |queues| Facts { queues: Some(queues), processors: 6, ..card() };
        assert_eq!(queues(4).leaving(), Ok(()), "its processors share queues");
        let driver = Some("mlx5_core".to_owned());
        assert_eq!(Facts { driver, ..queues(6) }.leaving(), Ok(()));
        let cases = [
            (Facts { features: None, ..card() }, Why::Unknown),
            (
                Facts { features: Some(XdpFeatures::NONE), ..veth() },
                Why::NoRedirects { veth: true },
            ),
            (
                Facts { features: Some(XdpFeatures::NONE), ..card() },
                Why::NoRedirects { veth: false },
            ),
            (
                Facts { discipline: Some("cake".to_owned()), ..card() },
                Why::Queueing { discipline: "cake".to_owned() },
            ),
            (
                Facts { driver: Some("i40e".to_owned()), queues: Some(4), processors: 6, ..card() },
                Why::Queues { queues: 4, processors: 6 },
            ),
            (Facts { has_filters: true, ..card() }, Why::Filters),
            (Facts { layer3: true, ..card() }, Why::Layer3),
        ];
        for (facts, why) in cases {
            assert_eq!(facts.leaving(), Err(why));
        }
    }

    #[test]
    fn a_reason_names_the_interface() {
        let said = Why::NoRedirects { veth: true }.of("eth0");
        assert_eq!(said, "the other end of eth0 has neither an XDP program nor GRO");
    }
}
