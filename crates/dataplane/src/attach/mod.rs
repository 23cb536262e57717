//! The eBPF programs: loading them, and attaching them where packets arrive.
//!
//! # Contract
//!
//! Everything that is attached or created is pinned ([`Pins`]), so it outlives the process: a
//! daemon that stops leaves the gateway closed or, later, going on by itself. A daemon that starts
//! finds the pins of its predecessor, takes the maps over if they are laid out as it wants them, and
//! puts its own programs in the place of the old ones, without an instant in which none is attached.
//!
//! From Linux 6.6 on programs are attached by tcx links, before all others. Older kernels get a
//! clsact filter of fixed priority and handle, which stays without a pin.

mod interfaces;
mod pins;
mod xdp;

#[cfg(test)]
mod tests;

use core::time::Duration;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, XskMap};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType, Xdp};
use aya::{Ebpf, EbpfLoader};
use aya_obj::programs::XdpAttachType;
use masq_flow::maps::{self, Counter, EarlyDrop, Interface, Settings};
use masq_flow::owned::Owned;
use masq_flow::{Burst, Layout, Memory, NextHop, Outgoing, Region};

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
        for program in [INGRESS, RETURN] {
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

    /// The name of the program where packets arrive.
    pub(crate) const INGRESS: &str = INGRESS;

    /// The loaded `masq_ingress`, by the kernel's number.
    pub(crate) fn ingress_id(&self) -> Option<u32> {
        let program: &SchedClassifier = self.ebpf.program(INGRESS)?.try_into().ok()?;
        Some(program.info().ok()?.id())
    }

    /// Where everything is pinned.
    pub(crate) fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Attaches `masq_ingress` to an interface, or replaces what a predecessor attached there.
    /// `known` says that an instance of this name attached a filter there before.
    pub(crate) fn attach_ingress(
        &mut self,
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
        let pin = self.pins.ingress(index);
        let attached = self.attach_classifier(INGRESS, name, &pin, known);
        if is_called_so() {
            return attached;
        }
        if attached.is_ok() {
            // By its own name: what is called `name` by now may be served, and keeps its filter.
            self.detach_ingress(index, sys::interface_name(index).as_deref());
        }
        Err(renamed())
    }

    /// Attaches a program where packets arrive. `known` says that whatever filter is there is a
    /// predecessor's.
    fn attach_classifier(
        &mut self,
        program: &'static str,
        interface: &str,
        pin: &Path,
        known: bool,
    ) -> Result<(), AttachError> {
        let tcx = self.tcx;
        classifier(&mut self.ebpf, program)
            .map_err(Into::into)
            .and_then(|loaded| {
                if tcx {
                    attach_tcx(loaded, interface, pin)
                } else {
                    attach_clsact(loaded, interface, known)
                }
            })
            .map_err(failed(program, interface))
    }

    /// Removes `masq_ingress` from an interface, which may be gone already.
    pub(crate) fn detach_ingress(&self, index: u32, name: Option<&str>) {
        let _ = std::fs::remove_file(self.pins.ingress(index));
        if let (false, Some(name)) = (self.tcx, name) {
            detach_clsact(name);
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
        self.attach_classifier(RETURN, near, &near_pin, true)?;
        self.attach_classifier(RETURN, far.1, &far_pin, true)
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

    /// Tells the programs what to do.
    pub(crate) fn set_settings(&mut self, settings: &Settings) -> Result<(), AttachError> {
        let bytes: [u8; size_of::<Settings>()] = zerocopy::transmute!(*settings);
        let map = self.map_mut(maps::SETTINGS)?;
        Array::<_, [u8; size_of::<Settings>()]>::try_from(map)
            .and_then(|mut map| map.set(0, bytes, 0))
            .map_err(unusable(maps::SETTINGS))
    }

    /// Enters or removes an interface.
    pub(crate) fn set_interface(
        &mut self,
        index: u32,
        interface: Option<&Interface>,
    ) -> Result<(), AttachError> {
        let mut served = self.interfaces()?;
        let done = match interface {
            Some(interface) => served.enter(&Interface { index, ..*interface }),
            None => served.remove(index).map(|()| true),
        };
        if done.map_err(unusable(maps::INTERFACES))? {
            return Ok(());
        }
        Err(AttachError::NoPlace { index })
    }

    fn interfaces(&mut self) -> Result<Interfaces<&mut MapData>, AttachError> {
        let map = self.map_mut(maps::INTERFACES)?;
        Array::try_from(map).map(Interfaces::new).map_err(unusable(maps::INTERFACES))
    }

    /// Enters or removes an address of the host.
    pub(crate) fn set_address(
        &mut self,
        address: core::net::Ipv4Addr,
        flags: Option<maps::AddressFlags>,
    ) -> Result<(), AttachError> {
        let key = u32::from_ne_bytes(address.octets());
        let map = self.map_mut(maps::ADDRESSES)?;
        let set = |mut map: HashMap<&mut MapData, u32, u32>| match flags {
            Some(flags) => map.insert(key, flags.bits(), 0),
            None => absent_is_fine(map.remove(&key)),
        };
        HashMap::try_from(map).and_then(set).map_err(unusable(maps::ADDRESSES))
    }

    /// The interfaces and addresses that a predecessor entered.
    pub(crate) fn entered(&self) -> (Vec<u32>, Vec<core::net::Ipv4Addr>) {
        let interfaces = self.ebpf.map(maps::INTERFACES);
        let interfaces = interfaces.and_then(|map| Array::try_from(map).ok());
        let interfaces = interfaces.map(|map| Interfaces::new(map).entered());
        let addresses = self.ebpf.map(maps::ADDRESSES).and_then(|map| {
            let map: HashMap<_, u32, u32> = map.try_into().ok()?;
            let address = |key: u32| key.to_ne_bytes().into();
            Some(map.keys().flatten().map(address).collect())
        });
        (interfaces.unwrap_or_default(), addresses.unwrap_or_default())
    }

    /// What the programs counted.
    pub(crate) fn counts(&self) -> ProgramCounts {
        let sums = |name, length: u32| -> Vec<u64> {
            let map = self.ebpf.map(name).and_then(|map| PerCpuArray::<_, u64>::try_from(map).ok());
            let Some(map) = map else { return vec![0; length as usize] };
            (0..length).map(|i| map.get(&i, 0).map_or(0, |cpus| cpus.iter().sum())).collect()
        };
        ProgramCounts {
            counters: sums(maps::COUNTERS, Counter::COUNT),
            drops: sums(maps::DROPS, EarlyDrop::ALL.len() as u32),
        }
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

/// What the programs counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramCounts {
    /// By [`Counter`].
    pub counters: Vec<u64>,
    /// By [`EarlyDrop`].
    pub drops: Vec<u64>,
}

/// Removes the filter that [`Attachment::Clsact`] left on an interface.
pub(crate) fn detach_clsact(name: &str) {
    let handle = TcHandle::from(HANDLE);
    if let Ok(link) =
        SchedClassifierLink::attached(name, TcAttachType::Ingress, PRIORITY, handle, None)
    {
        // Dropping the link detaches it; a filter that is gone already is what is wanted.
        drop(link);
    }
}

/// Whether the kernel has tcx links.
pub(crate) fn has_tcx() -> bool {
    // The loopback interface is in every namespace.
    SchedClassifier::query_tcx("lo", TcAttachType::Ingress).is_ok()
}

type Failure = Box<dyn core::error::Error + Send + Sync>;

fn attach_tcx(program: &mut SchedClassifier, name: &str, pin: &Path) -> Result<(), Failure> {
    if let Ok(old) = PinnedLink::from_pin(pin) {
        let link = FdLink::from(old);
        if is_live(&link, name) {
            let id = program.attach_to_link(link.try_into()?)?;
            program.take_link(id)?;
            return Ok(());
        }
        // Its interface is gone; the number has been given to another.
        std::fs::remove_file(pin)?;
    }
    let first = || TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = when_free(|| program.attach_with_options(name, TcAttachType::Ingress, first()))?;
    let link: FdLink = program.take_link(id)?.try_into()?;
    link.pin(pin)?;
    Ok(())
}

/// Whether the link still holds a program on the interface.
fn is_live(link: &FdLink, name: &str) -> bool {
    let Ok((_, attached)) = SchedClassifier::query_tcx(name, TcAttachType::Ingress) else {
        return false;
    };
    link.info().is_ok_and(|info| attached.iter().any(|found| found.id() == info.program_id()))
}

fn attach_clsact(program: &mut SchedClassifier, name: &str, known: bool) -> Result<(), Failure> {
    let handle = TcHandle::from(HANDLE);
    if known {
        let old =
            SchedClassifierLink::attached(name, TcAttachType::Ingress, PRIORITY, handle, None);
        if let Ok(id) = program.attach_to_link(old?) {
            // The link would detach the filter when dropped.
            core::mem::forget(program.take_link(id)?);
            return Ok(());
        }
    }
    // It is there already, or the next step fails for the same reason.
    let _ = tc::qdisc_add_clsact(name);
    let options = NlOptions { priority: PRIORITY, handle, classid: None };
    let id = program.attach_with_options(
        name,
        TcAttachType::Ingress,
        TcAttachOptions::Netlink(options),
    )?;
    core::mem::forget(program.take_link(id)?);
    Ok(())
}

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
const INGRESS: &str = "masq_ingress";
const RETURN: &str = "masq_return";
const PUNT: &str = "masq_punt_xdp";
const BULK: &str = "masq_bulk_xdp";

/// More signals than come while a program is verified.
const LOAD_TRIES: usize = 10;

/// How long a place may take to become free.
const PATIENCE: Duration = Duration::from_millis(50);

/// Where the clsact filter is: before all others, under a handle that says "mq".
const PRIORITY: u16 = 1;
const HANDLE: u32 = 0x6d71;

/// The eBPF programs, built by `cargo xtask ebpf`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("MASQ_EBPF_OBJECT_PATH"));
