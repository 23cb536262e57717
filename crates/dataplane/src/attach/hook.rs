//! Where TC programs are attached to the interfaces that are served, and how.
//!
//! What arrives is ours before anybody else sees it. What leaves is looked at last, as it really leaves.

use std::path::Path;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};

use super::{Failure, when_free};

/// A hook of an interface that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    /// Where packets leave: outsides.
    Egress,
    /// Where packets arrive: insides and outsides.
    Ingress,
}

impl Hook {
    /// The handle of our filters, where there are no links. It says "mq".
    pub(crate) const HANDLE: u32 = 0x6d71;

    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Egress, Self::Ingress];

    /// The name of the program in the object.
    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::Egress => "masq_egress",
            Self::Ingress => "masq_ingress",
        }
    }

    /// What the library calls it.
    pub(super) const fn kind(self) -> TcAttachType {
        match self {
            Self::Egress => TcAttachType::Egress,
            Self::Ingress => TcAttachType::Ingress,
        }
    }

    fn order(self) -> LinkOrder {
        match self {
            Self::Egress => LinkOrder::last(),
            Self::Ingress => LinkOrder::first(),
        }
    }

    /// The priority of a filter: the first that there is, or the last.
    const fn priority(self) -> u16 {
        match self {
            Self::Egress => u16::MAX,
            Self::Ingress => 1,
        }
    }

    pub(super) fn attach_tcx(
        self,
        program: &mut SchedClassifier,
        name: &str,
        pin: &Path,
    ) -> Result<(), Failure> {
        if let Ok(old) = PinnedLink::from_pin(pin) {
            let link = FdLink::from(old);
            if self.is_live(&link, name) {
                let id = program.attach_to_link(link.try_into()?)?;
                program.take_link(id)?;
                return Ok(());
            }
            // Its interface is gone; the number has been given to another.
            std::fs::remove_file(pin)?;
        }
        let order = || TcAttachOptions::TcxOrder(self.order());
        let id = when_free(|| program.attach_with_options(name, self.kind(), order()))?;
        let link: FdLink = program.take_link(id)?.try_into()?;
        link.pin(pin)?;
        Ok(())
    }

    /// Whether the link still holds a program on the interface.
    fn is_live(self, link: &FdLink, name: &str) -> bool {
        let Ok((_, attached)) = SchedClassifier::query_tcx(name, self.kind()) else {
            return false;
        };
        link.info().is_ok_and(|info| attached.iter().any(|found| found.id() == info.program_id()))
    }

    pub(super) fn attach_clsact(
        self,
        program: &mut SchedClassifier,
        name: &str,
        known: bool,
    ) -> Result<(), Failure> {
        if known
            && let Ok(old) = self.filter(name)
            && let Ok(id) = program.attach_to_link(old)
        {
            // The link would detach the filter when dropped.
            core::mem::forget(program.take_link(id)?);
            return Ok(());
        }
        // It is there already, or the next step fails for the same reason.
        let _ = tc::qdisc_add_clsact(name);
        let handle = TcHandle::from(Self::HANDLE);
        let options = NlOptions { priority: self.priority(), handle, classid: None };
        let options = TcAttachOptions::Netlink(options);
        let id = program.attach_with_options(name, self.kind(), options)?;
        core::mem::forget(program.take_link(id)?);
        Ok(())
    }

    /// Removes the filter that [`Attachment::Clsact`](super::Attachment::Clsact) left on an interface.
    pub(crate) fn detach_clsact(self, name: &str) {
        if let Ok(link) = self.filter(name) {
            // Dropping the link detaches it; a filter that is gone already is what is wanted.
            drop(link);
        }
    }

    fn filter(self, name: &str) -> Result<SchedClassifierLink, std::io::Error> {
        let handle = TcHandle::from(Self::HANDLE);
        SchedClassifierLink::attached(name, self.kind(), self.priority(), handle, None)
    }
}
