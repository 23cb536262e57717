//! The eBPF programs: loading them, and attaching them where packets arrive.
//!
//! # Contract
//!
//! Everything that is attached or created is pinned ([`Pins`]), so it outlives the process: a
//! daemon that stops leaves the gateway closed or, later, going on by itself. A daemon that starts
//! finds the pins of its predecessor, takes the maps over if they are laid out as it wants them, and
//! puts its own programs in the place of the old ones, without an instant in which none is attached.
//!
//! From Linux 6.6 on programs are attached by tcx links. Older kernels get clsact filters of fixed
//! priority and handle, which stay without a pin ([`Hook`]).

mod entries;
mod hook;
mod interfaces;
mod pins;
mod xdp;

#[cfg(test)]
mod tests;

use core::time::Duration;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use aya::maps::{Map, XskMap};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType, Xdp};
use aya::{Ebpf, EbpfLoader};
use aya_obj::programs::XdpAttachType;
use masq_flow::maps;
use masq_flow::owned::Owned;
use masq_flow::{Burst, Layout, Memory, NextHop, Outgoing, Region};

pub use entries::ProgramCounts;
pub(crate) use hook::Hook;
pub(crate) use interfaces::Interfaces;
pub(crate) use pins::Pins;

use crate::bulk::Bulk;
use crate::claims::Holder;
use crate::{clock, sys};

/// The programs cannot be loaded or attached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The kernel refuses the programs, or a map.
    #[error("the kernel does not take the eBPF programs")]
    Load(#[source] Box<aya::EbpfError>),
    /// A program is not as it should be.
    #[error("cannot load the eBPF program {program}")]
    Program {
        /// Its name.
        program: &'static str,
        /// Why not.
        #[source]
        source: Box<ProgramError>,
    },
    /// A program cannot be attached.
    #[error("cannot attach the eBPF program {program} to {interface}")]
    Attach {
        /// Its name.
        program: &'static str,
        /// The interface.
        interface: String,
        /// Why not.
        #[source]
        source: Box<dyn core::error::Error + Send + Sync>,
    },
    /// The interface has the program of another instance.
    #[error("interface {interface} is used by {holder}")]
    Claimed {
        /// Which.
        interface: String,
        /// Whose it is.
        holder: Holder,
    },
    /// The interface is called otherwise by now, or gone: what is known of it is old news, and the
    /// kernel's announcement is under way.
    #[error("no interface {index} is called {interface} any more")]
    Renamed {
        /// The interface's number.
        index: u32,
        /// What it was called.
        interface: String,
    },
    /// Too many interfaces are served whose numbers are close to each other, or a thousand apart.
    #[error("no more interfaces can be served with numbers like {index}")]
    NoPlace {
        /// The interface's number.
        index: u32,
    },
    /// A map is missing, or of another kind than the programs' author said.
    #[error("the eBPF programs have no usable map {map}")]
    Map {
        /// Its name.
        map: &'static str,
        /// What is wrong, if the kernel or the library said.
        #[source]
        source: Option<Box<dyn core::error::Error + Send + Sync>>,
    },
    /// A file in the BPF file system is in the way.
    #[error("cannot use the pin {path}")]
    Pin {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn core::error::Error + Send + Sync>,
    },
}

/// How programs are attached to interfaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attachment {
    /// As the kernel can.
    #[default]
    Auto,
    /// By a filter in the clsact queueing discipline.
    Clsact,
    /// By a tcx link.
    Tcx,
}

/// The loaded programs of an instance and its maps.
#[derive(Debug)]
pub(crate) struct Programs {
    ebpf: Ebpf,
    pins: Pins,
    tcx: bool,
    /// The program at the punt port sends, too.
    bulk: bool,
    layout: Layout,
}

/// The memory that the programs share with the worker.
#[derive(Clone, Debug)]
pub(crate) struct SharedMemory {
    /// The flow table.
    pub(crate) table: Memory,
    /// The next hops.
    pub(crate) next_hops: Region<NextHop>,
    /// Which ports are masq's.
    pub(crate) owned: Region<Owned>,
    /// What is sent past the punt port.
    pub(crate) outgoing: (Region<Burst>, Region<Outgoing>),
}

impl Programs {
    /// Loads the programs, over the maps of a predecessor where there are any. A table of another
    /// size than wanted is kept as it is.
    pub(crate) fn load(
        pins: Pins,
        wanted: Layout,
        attachment: Attachment,
    ) -> Result<Self, AttachError> {
        let layout = pins.table_left().unwrap_or(wanted);
        if layout != wanted {
            // A session that goes on is worth more than room for others.
            tracing::warn!(
                sessions = layout.slots,
                wanted = wanted.slots,
                "the flow table left behind has another size and is kept: `masq detach` gives it up"
            );
        }
        let unlike = pins
            .discard_unlike(layout)
            .map_err(|source| AttachError::Pin { path: pins.map(""), source: source.into() })?;
        if unlike.contains(&maps::RECORDS) {
            tracing::warn!(
                "the flow table left behind is of another kind; its sessions are dropped"
            );
        }
        let mut loader = EbpfLoader::new();
        for spec in &maps::ALL {
            loader.map_max_entries(spec.name, pins::entries(spec, layout));
            loader.map_pin_path(spec.name, pins.map(spec.name));
        }
        let mut ebpf = loader.load(OBJECT).map_err(|error| AttachError::Load(error.into()))?;
        for program in [Hook::Egress.program(), Hook::Ingress.program(), RETURN] {
            classifier(&mut ebpf, program)
                .and_then(|loaded| undisturbed(|| loaded.load()))
                .map_err(|source| AttachError::Program { program, source: source.into() })?;
        }
        let bulk = xdp::load_bulk(&mut ebpf);
        if !bulk {
            xdp::load(&mut ebpf, PUNT)
                .map_err(|source| AttachError::Program { program: PUNT, source: source.into() })?;
        }
        let tcx = match attachment {
            Attachment::Auto => has_tcx(),
            Attachment::Clsact => false,
            Attachment::Tcx => true,
        };
        Ok(Self { ebpf, pins, tcx, bulk, layout })
    }

    /// Whether programs are attached by tcx links.
    pub(crate) fn is_tcx(&self) -> bool {
        self.tcx
    }

    /// How programs are attached: `tcx` or `clsact`.
    pub(crate) fn attachment(&self) -> &'static str {
        if self.tcx { "tcx" } else { "clsact" }
    }

    /// Maps the shared memory.
    pub(crate) fn memory(&self) -> Result<SharedMemory, AttachError> {
        let table = Memory::new(
            self.region(maps::HEADER, 1)?,
            self.region(maps::INDEX, self.layout.buckets)?,
            self.region(maps::RECORDS, self.layout.slots)?,
        );
        Ok(SharedMemory {
            table: table.ok_or(AttachError::Map { map: maps::RECORDS, source: None })?,
            next_hops: self.region(maps::NEXT_HOPS, NextHop::COUNT)?,
            owned: self.region(maps::OWNED, 1)?,
            outgoing: (self.region(maps::BURST, 1)?, self.region(maps::OUTGOING, Burst::MOST)?),
        })
    }

    /// The loaded `masq_ingress`, by the kernel's number.
    pub(crate) fn ingress_id(&self) -> Option<u32> {
        let program: &SchedClassifier =
            self.ebpf.program(Hook::Ingress.program())?.try_into().ok()?;
        Some(program.info().ok()?.id())
    }

    /// Where everything is pinned.
    pub(crate) fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Attaches a program to an interface that is served, or replaces what a predecessor attached there.
    /// `known` says that an instance of this name attached a filter there before.
    pub(crate) fn attach(
        &mut self,
        hook: Hook,
        index: u32,
        name: &str,
        known: bool,
    ) -> Result<(), AttachError> {
        // The library attaches by name, and a name may be another interface's by now.
        let is_called_so = || sys::interface_name(index).is_some_and(|called| called == name);
        let renamed = || AttachError::Renamed { index, interface: name.to_owned() };
        if !is_called_so() {
            return Err(renamed());
        }
        let pin = self.pins.link(hook, index);
        let attached = self.attach_classifier(hook.program(), hook, name, &pin, known);
        if is_called_so() {
            return attached;
        }
        if attached.is_ok() {
            // By its own name: what is called `name` by now may be served, and keeps its filter.
            self.detach(hook, index, sys::interface_name(index).as_deref());
        }
        Err(renamed())
    }

    /// Attaches a program at a hook. `known` says that whatever filter is there is a predecessor's.
    fn attach_classifier(
        &mut self,
        program: &'static str,
        hook: Hook,
        interface: &str,
        pin: &Path,
        known: bool,
    ) -> Result<(), AttachError> {
        let tcx = self.tcx;
        classifier(&mut self.ebpf, program)
            .map_err(Into::into)
            .and_then(|loaded| {
                if tcx {
                    hook.attach_tcx(loaded, interface, pin)
                } else {
                    hook.attach_clsact(loaded, interface, known)
                }
            })
            .map_err(failed(program, interface))
    }

    /// Removes a program from an interface, which may be gone already.
    pub(crate) fn detach(&self, hook: Hook, index: u32, name: Option<&str>) {
        let _ = std::fs::remove_file(self.pins.link(hook, index));
        if let (false, Some(name)) = (self.tcx, name) {
            hook.detach_clsact(name);
        }
    }

    /// Attaches the programs of the punt port. Those of its far end: packets that are sent in bulk, and
    /// cannot be redirected, seem to arrive there.
    pub(crate) fn attach_punt_port(
        &mut self,
        near: &str,
        far: (u32, &str),
    ) -> Result<(), AttachError> {
        let pin = self.pins.punt();
        let program = if self.bulk { BULK } else { PUNT };
        xdp::xdp(&mut self.ebpf, program)
            .map_err(Into::into)
            .and_then(|program| xdp::attach_xdp(program, far.0, &pin))
            .map_err(failed(program, far.1))?;
        // The pair is masq's own, so whatever filter is there is a predecessor's.
        let (near_pin, far_pin) = (self.pins.returning(), self.pins.passed());
        self.attach_classifier(RETURN, Hook::Ingress, near, &near_pin, true)?;
        self.attach_classifier(RETURN, Hook::Ingress, far.1, &far_pin, true)
    }

    /// Sending in bulk past the punt port, where the kernel has what it takes.
    pub(crate) fn bulk(&self, far: u32, memory: &SharedMemory) -> Option<Bulk> {
        let program: &Xdp = self.ebpf.program(BULK).filter(|_| self.bulk)?.try_into().ok()?;
        // One for the worker's thread; the control thread keeps this.
        let (info, kind) = (program.info().ok()?, XdpAttachType::Interface);
        let program = Xdp::from_program_info(info, BULK.into(), kind).ok()?;
        let (burst, outgoing) = memory.outgoing.clone();
        Some(Bulk::new(program, far, burst, outgoing))
    }

    /// Gives the worker's socket to the program at the punt port.
    pub(crate) fn set_socket(&mut self, socket: impl AsFd) -> Result<(), AttachError> {
        let map = self.map_mut(maps::XSKS)?;
        XskMap::try_from(map)
            .and_then(|mut map| map.set(0, socket.as_fd().as_raw_fd(), 0))
            .map_err(unusable(maps::XSKS))
    }

    fn region<T>(&self, name: &'static str, length: u32) -> Result<Region<T>, AttachError>
    where
        T: zerocopy::FromBytes + Sync,
    {
        let Some(Map::Array(map)) = self.ebpf.map(name) else {
            return Err(AttachError::Map { map: name, source: None });
        };
        sys::maps::region(map.fd(), length as usize)
            .map_err(|source| AttachError::Map { map: name, source: Some(source.into()) })
    }

    fn map_mut(&mut self, name: &'static str) -> Result<&mut Map, AttachError> {
        self.ebpf.map_mut(name).ok_or(AttachError::Map { map: name, source: None })
    }
}

/// Whether the kernel has tcx links.
pub(crate) fn has_tcx() -> bool {
    // The loopback interface is in every namespace.
    SchedClassifier::query_tcx("lo", TcAttachType::Ingress).is_ok()
}

/// What went wrong, whichever library says so.
type Failure = Box<dyn core::error::Error + Send + Sync>;

fn classifier<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier, ProgramError> {
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

/// Loads a program; the verifier gives up when a signal comes in between, and wants to be asked
/// again.
fn undisturbed(mut load: impl FnMut() -> Result<(), ProgramError>) -> Result<(), ProgramError> {
    for _ in 0..LOAD_TRIES {
        match load() {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.kind() == io::ErrorKind::WouldBlock => {}
            loaded => return loaded,
        }
    }
    load()
}

/// Attaches a program. The kernel gives a place up a little after the pin that kept it has been
/// removed: until then another program finds the place taken, and the same one itself.
fn when_free<T>(mut attach: impl FnMut() -> Result<T, ProgramError>) -> Result<T, ProgramError> {
    let end = clock::now() + PATIENCE;
    loop {
        match attach() {
            Err(ProgramError::SyscallError(error))
                if matches!(error.io_error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST))
                    && clock::now() < end =>
            {
                std::thread::sleep(Duration::from_millis(1));
            }
            attached => return attached,
        }
    }
}

fn failed(program: &'static str, interface: &str) -> impl FnOnce(Failure) -> AttachError {
    let interface = interface.to_owned();
    move |source| AttachError::Attach { program, interface, source }
}

fn unusable<E: core::error::Error + Send + Sync + 'static>(
    map: &'static str,
) -> impl Fn(E) -> AttachError {
    move |source| AttachError::Map { map, source: Some(source.into()) }
}

fn absent_is_fine(removed: Result<(), aya::maps::MapError>) -> Result<(), aya::maps::MapError> {
    match removed {
        Err(aya::maps::MapError::SyscallError(error))
            if error.io_error.kind() == io::ErrorKind::NotFound =>
        {
            Ok(())
        }
        Err(aya::maps::MapError::KeyNotFound) => Ok(()),
        other => other,
    }
}

/// The names of the programs in the object.
const RETURN: &str = "masq_return";
const PUNT: &str = "masq_punt_xdp";
const BULK: &str = "masq_bulk_xdp";

/// More signals than come while a program is verified.
const LOAD_TRIES: usize = 10;

/// How long a place may take to become free.
const PATIENCE: Duration = Duration::from_millis(50);

/// The eBPF programs, built by `cargo xtask ebpf`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("MASQ_EBPF_OBJECT_PATH"));
