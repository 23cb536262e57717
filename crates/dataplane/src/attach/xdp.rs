//! Programs attached by XDP links, in the driver only.
//!
//! A link is pinned like the others: it outlives the process, its program is replaced by the next
//! daemon's without an instant in which there is none, and a program of somebody else is never
//! replaced, since the kernel gives an interface's place to one link or program at a time.

use std::collections::BTreeSet;
use std::path::Path;

use aya::Ebpf;
use aya::maps::xdp::XdpMapError;
use aya::maps::{DevMapHash, MapError};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::XdpMode;
use aya::programs::{ProgramError, Xdp};
use aya::util::KernelVersion;
use rustix::io::Errno;

use masq_flow::maps;

use super::{
    AttachError, BULK, Failure, Programs, absent_is_fine, failed, undisturbed, unusable, when_free,
};

impl Programs {
    /// Attaches `masq_xdp` to an interface, or replaces what a predecessor attached there. After an
    /// error nothing is attached.
    pub(crate) fn attach_xdp(&mut self, index: u32, name: &str) -> Result<(), AttachError> {
        let pin = self.pins.xdp(index);
        let program = xdp(&mut self.ebpf, XDP);
        let attached = program.map_err(Into::into).and_then(|program| {
            if program.fd().is_err() {
                undisturbed(|| program.load())?;
            }
            attach_xdp(program, index, &pin)
        });
        let noted = attached.and_then(|()| Ok(self.note_xdp(index, true)?));
        noted.map_err(|source| {
            self.detach_xdp(index);
            failed(XDP, name)(source)
        })
    }

    /// Says which interfaces take what is redirected to them. One that is gone meanwhile takes nothing.
    pub(crate) fn set_redirects(&mut self, interfaces: &BTreeSet<u32>) -> Result<(), AttachError> {
        let mut devices =
            DevMapHash::try_from(self.map_mut(maps::DEVICES)?).map_err(unusable(maps::DEVICES))?;
        let before: Result<BTreeSet<u32>, _> = devices.keys().collect();
        let before = before.map_err(unusable(maps::DEVICES))?;
        // One that cannot be told does not keep the others from it.
        let mut told = Ok(());
        for index in before.difference(interfaces) {
            let removed = absent_is_fine(devices.remove(*index)).map_err(XdpMapError::from);
            told = told.and(removed);
        }
        for index in interfaces.difference(&before) {
            let inserted = gone_is_fine(devices.insert(*index, *index, None, 0));
            told = told.and(inserted);
        }
        told.map_err(unusable(maps::DEVICES))
    }

    /// Removes `masq_xdp` from an interface, which may be gone already.
    pub(crate) fn detach_xdp(&mut self, index: u32) {
        let _ = std::fs::remove_file(self.pins.xdp(index));
        if let Err(error) = self.note_xdp(index, false) {
            tracing::warn!(%error, "the programs cannot be told that XDP carries nothing any more");
        }
    }

    /// Says whether XDP carries what arrives at an interface.
    fn note_xdp(&mut self, index: u32, on: bool) -> Result<(), AttachError> {
        self.interfaces()?.set_xdp(index, on).map_err(unusable(maps::INTERFACES))
    }
}

/// Attaches a program to an interface, or puts it in the place of the one that a pinned link holds.
pub(super) fn attach_xdp(program: &mut Xdp, index: u32, pin: &Path) -> Result<(), Failure> {
    if let Ok(old) = PinnedLink::from_pin(pin) {
        let link = FdLink::from(old);
        // A link whose interface is gone refuses another program.
        if let Ok(id) = link
            .try_into()
            .map_err(Failure::from)
            .and_then(|link| Ok(program.attach_to_link(link)?))
        {
            program.take_link(id)?;
            return Ok(());
        }
        std::fs::remove_file(pin)?;
    }
    let id = when_free(|| program.attach_to_if_index(index, XdpMode::Driver))?;
    let link: FdLink = program.take_link(id)?.try_into()?;
    link.pin(pin)?;
    Ok(())
}

/// Loads the program that sends in bulk, and says whether that worked.
pub(super) fn load_bulk(ebpf: &mut Ebpf) -> bool {
    let Err(error) = load(ebpf, BULK) else { return true };
    // What the verifier says of a program is pages long.
    let error = if let ProgramError::LoadError { io_error, .. } = error {
        io_error.to_string()
    } else {
        error.to_string()
    };
    // Live frames, and the helper that fills them.
    let first = KernelVersion::new(5, 18, 0);
    if KernelVersion::current().is_ok_and(|kernel| kernel < first) {
        tracing::info!("packets are not sent in bulk, which Linux 5.18 can");
    } else {
        tracing::warn!(error, "packets are not sent in bulk: many new flows at once cost more");
    }
    false
}

/// An interface that is gone takes nothing, whatever the map says.
fn gone_is_fine(inserted: Result<(), XdpMapError>) -> Result<(), XdpMapError> {
    match inserted {
        Err(XdpMapError::MapError(MapError::SyscallError(error)))
            if error.io_error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Loads a program.
pub(super) fn load(ebpf: &mut Ebpf, name: &str) -> Result<(), ProgramError> {
    let program = xdp(ebpf, name)?;
    undisturbed(|| program.load())
}

pub(super) fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, ProgramError> {
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

/// The name of the program in the object.
const XDP: &str = "masq_xdp";
