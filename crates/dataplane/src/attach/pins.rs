//! The files of an instance in the BPF file system.
//!
//! ```text
//! <run>/bpf/<instance>/MASQ_…         the maps, by name
//!                      ingress-<n>    the link of `masq_ingress` on interface number n
//!                      egress-<n>     that of `masq_egress`
//!                      xdp-<n>        the link of `masq_xdp` there
//!                      return         the link of `masq_return` on the punt port's near end
//!                      passed         that on its far end
//!                      punt           the link of `masq_bulk_xdp` or `masq_punt_xdp` there
//! ```

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use aya::maps::{MapInfo, MapType};
use masq_flow::Layout;
use masq_flow::maps::{self, MapKind, MapSpec};

use super::Hook;
use crate::bpffs::BpffsError;

/// Where an instance's pins are.
#[derive(Clone, Debug)]
pub(crate) struct Pins {
    directory: PathBuf,
}

impl Pins {
    /// The pins of an instance; makes its directory.
    pub(crate) fn create(bpffs: &Path, instance: &str) -> Result<Self, BpffsError> {
        let pins = Self::of(bpffs, instance);
        match std::fs::create_dir(&pins.directory) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                Err(BpffsError::Directory { path: pins.directory, source })
            }
            Ok(()) | Err(_) => Ok(pins),
        }
    }

    /// The pins of an instance, whether there are any or not.
    pub(crate) fn of(bpffs: &Path, instance: &str) -> Self {
        Self { directory: bpffs.join(instance) }
    }

    /// Whether the instance has pins.
    pub(crate) fn exist(&self) -> bool {
        self.directory.exists()
    }

    /// The pin of a map.
    pub(crate) fn map(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The pin of the link at a hook of an interface.
    pub(crate) fn link(&self, hook: Hook, index: u32) -> PathBuf {
        let hook = match hook {
            Hook::Egress => "egress",
            Hook::Ingress => "ingress",
        };
        self.directory.join(format!("{hook}-{index}"))
    }

    /// The pin of the XDP link on an interface.
    pub(crate) fn xdp(&self, index: u32) -> PathBuf {
        self.directory.join(format!("xdp-{index}"))
    }

    /// The pin of the link on the punt port's near end.
    pub(crate) fn returning(&self) -> PathBuf {
        self.directory.join("return")
    }

    /// The pin of the TC link on the punt port's far end.
    pub(crate) fn passed(&self) -> PathBuf {
        self.directory.join("passed")
    }

    /// The pin of the XDP link on the punt port's far end.
    pub(crate) fn punt(&self) -> PathBuf {
        self.directory.join("punt")
    }

    /// The numbers of the interfaces with a link.
    pub(crate) fn interfaces(&self) -> BTreeSet<u32> {
        let number =
            |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix("ingress-")?.parse().ok();
        self.list().iter().filter_map(number).collect()
    }

    /// Every pin.
    pub(crate) fn list(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten();
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths
    }

    /// Removes every pin but those, links before maps, and the directory if nothing is left in it.
    pub(crate) fn remove_except(&self, keep: &BTreeSet<PathBuf>) -> Vec<(PathBuf, io::Error)> {
        let doomed = self.list().into_iter().filter(|path| !keep.contains(path));
        let (maps, links): (Vec<_>, Vec<_>) = doomed.partition(|path| is_map(path));
        let removed = |path: PathBuf| Some((std::fs::remove_file(&path).err()?, path));
        let mut errors: Vec<_> = links
            .into_iter()
            .chain(maps)
            .filter_map(removed)
            .map(|(error, path)| (path, error))
            .collect();
        if keep.is_empty() {
            match std::fs::remove_dir(&self.directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    errors.push((self.directory.clone(), error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        errors
    }

    /// How large the table is that a predecessor left, if it is one that can be gone on with but
    /// for its size.
    pub(crate) fn table_left(&self) -> Option<Layout> {
        let entries = |name| Some(MapInfo::from_pin(self.map(name)).ok()?.max_entries());
        let found = Layout { slots: entries(maps::RECORDS)?, buckets: entries(maps::INDEX)? };
        let whole = TABLE.iter().all(|name| {
            let spec = maps::ALL.iter().find(|spec| spec.name == *name);
            spec.is_some_and(|spec| !self.is_unlike(spec, found))
        });
        (whole && found.is_valid()).then_some(found)
    }

    /// Removes the pins of maps that this program would lay out otherwise; says which.
    ///
    /// Programs that use the old maps keep them until they are replaced.
    pub(crate) fn discard_unlike(&self, layout: Layout) -> io::Result<Vec<&'static str>> {
        let mut doomed: Vec<_> =
            maps::ALL.iter().filter(|spec| self.is_unlike(spec, layout)).collect();
        if doomed.iter().any(|spec| TABLE.contains(&spec.name)) {
            // All or none: a record of one table means nothing with the index of another.
            doomed = maps::ALL.iter().collect();
        }
        let mut discarded = Vec::new();
        for spec in doomed {
            match std::fs::remove_file(self.map(spec.name)) {
                Ok(()) => discarded.push(spec.name),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(discarded)
    }

    fn is_unlike(&self, spec: &MapSpec, layout: Layout) -> bool {
        match MapInfo::from_pin(self.map(spec.name)) {
            Ok(info) => !is_like(&info, spec, layout),
            // No pin, or none of a map.
            Err(_) => self.map(spec.name).exists(),
        }
    }
}

/// The maps that sessions are in, and what their records refer to.
const TABLE: [&str; 4] = [maps::HEADER, maps::INDEX, maps::RECORDS, maps::NEXT_HOPS];

/// How many entries a map has in a table of this layout.
pub(crate) fn entries(spec: &MapSpec, layout: Layout) -> u32 {
    match spec.name {
        maps::RECORDS => layout.slots,
        maps::INDEX => layout.buckets,
        _ => spec.max_entries,
    }
}

fn is_like(info: &MapInfo, spec: &MapSpec, layout: Layout) -> bool {
    let kind = match spec.kind {
        MapKind::Array => MapType::Array,
        MapKind::DevMapHash => MapType::DevMapHash,
        MapKind::Hash => MapType::Hash,
        MapKind::LpmTrie => MapType::LpmTrie,
        MapKind::LruHash => MapType::LruHash,
        MapKind::PerCpuArray => MapType::PerCpuArray,
        MapKind::XskMap => MapType::XskMap,
    };
    info.map_type().is_ok_and(|found| found == kind)
        && info.key_size() as usize == spec.key_size
        && info.value_size() as usize == spec.value_size
        && info.max_entries() == entries(spec, layout)
}

fn is_map(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| maps::ALL.iter().any(|spec| spec.name == name))
}
