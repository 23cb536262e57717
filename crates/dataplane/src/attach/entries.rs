//! What the programs are told of the world, and what they have noted: values of their maps.

use core::net::Ipv4Addr;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, MapData, PerCpuArray};
use masq_flow::key::{pack_v4, unpack_v4};
use masq_flow::maps::{self, AddressFlags, Counter, EarlyDrop, Interface, Settings};

use super::{AttachError, Interfaces, Programs, absent_is_fine, unusable};

impl Programs {
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

    pub(super) fn interfaces(&mut self) -> Result<Interfaces<&mut MapData>, AttachError> {
        let map = self.map_mut(maps::INTERFACES)?;
        Array::try_from(map).map(Interfaces::new).map_err(unusable(maps::INTERFACES))
    }

    /// Enters or removes an address of the host.
    pub(crate) fn set_address(
        &mut self,
        address: Ipv4Addr,
        flags: Option<AddressFlags>,
    ) -> Result<(), AttachError> {
        let key = pack_v4(address);
        let map = self.map_mut(maps::ADDRESSES)?;
        let set = |mut map: HashMap<&mut MapData, u32, u32>| match flags {
            Some(flags) => map.insert(key, flags.bits(), 0),
            None => absent_is_fine(map.remove(&key)),
        };
        HashMap::try_from(map).and_then(set).map_err(unusable(maps::ADDRESSES))
    }

    /// The interfaces and addresses that a predecessor entered.
    pub(crate) fn entered(&self) -> (Vec<Interface>, Vec<Ipv4Addr>) {
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
            drops: sums(maps::DROPS, EarlyDrop::COUNT),
        }
    }

    /// Says behind which interface an inside network is, or that it is inside no more.
    pub(crate) fn set_network(
        &mut self,
        (address, length): (Ipv4Addr, u8),
        interface: Option<u32>,
    ) -> Result<(), AttachError> {
        let key = Key::new(u32::from(length), pack_v4(address));
        let map = self.map_mut(maps::NETWORKS)?;
        let set = |mut map: LpmTrie<&mut MapData, u32, u32>| match interface {
            Some(index) => map.insert(&key, index, 0),
            None => absent_is_fine(map.remove(&key)),
        };
        LpmTrie::try_from(map).and_then(set).map_err(unusable(maps::NETWORKS))
    }

    /// The inside networks that a predecessor entered.
    pub(crate) fn entered_networks(&self) -> Vec<(Ipv4Addr, u8)> {
        let networks = self.ebpf.map(maps::NETWORKS).and_then(|map| {
            let map: LpmTrie<_, u32, u32> = map.try_into().ok()?;
            let network = |key: Key<u32>| (unpack_v4(key.data()), key.prefix_len() as u8);
            Some(map.keys().flatten().map(network).collect())
        });
        networks.unwrap_or_default()
    }

    /// Says that an interface has been looked at, or is gone.
    pub(crate) fn set_known(&mut self, index: u32, known: bool) -> Result<(), AttachError> {
        let map = self.map_mut(maps::KNOWN)?;
        let set = |mut map: HashMap<&mut MapData, u32, u32>| {
            if known { map.insert(index, 0, 0) } else { absent_is_fine(map.remove(&index)) }
        };
        HashMap::try_from(map).and_then(set).map_err(unusable(maps::KNOWN))
    }

    /// The interfaces that a predecessor has looked at.
    pub(crate) fn entered_known(&self) -> Vec<u32> {
        let known = self.ebpf.map(maps::KNOWN).and_then(|map| {
            let map: HashMap<_, u32, u32> = map.try_into().ok()?;
            Some(map.keys().flatten().collect())
        });
        known.unwrap_or_default()
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
