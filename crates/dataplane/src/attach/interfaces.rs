//! The interfaces that masq serves, as the programs look them up: each in one of a few places.

use core::borrow::BorrowMut;

use aya::maps::{Array, MapData, MapError};
use masq_flow::maps::{INTERFACE_PLACES, Interface, InterfaceFlags};

type Bytes = [u8; size_of::<Interface>()];

/// The programs' array of interfaces.
pub(crate) struct Interfaces<T>(Array<T, Bytes>);

impl<T: core::borrow::Borrow<MapData>> Interfaces<T> {
    pub(crate) const fn new(map: Array<T, Bytes>) -> Self {
        Self(map)
    }

    /// Those that were entered.
    pub(crate) fn entered(&self) -> Vec<Interface> {
        let all = (0..INTERFACE_PLACES).filter_map(|place| self.at(place).ok());
        all.filter(|interface| interface.index != 0).collect()
    }

    fn at(&self, place: u32) -> Result<Interface, MapError> {
        self.0.get(&place, 0).map(|bytes| zerocopy::transmute!(bytes))
    }
}

impl<T: BorrowMut<MapData>> Interfaces<T> {
    /// Enters an interface, in the place that it has, or in the first that is free; false if there
    /// is none, because too many are served whose numbers are close, or a thousand apart.
    pub(crate) fn enter(&mut self, interface: &Interface) -> Result<bool, MapError> {
        let mut free = None;
        for place in Interface::places(interface.index) {
            let there = self.at(place)?;
            match there.index {
                0 => free = free.or(Some(place)),
                index if index == interface.index => {
                    // What carries sessions is said by `set_xdp`.
                    let xdp = there.flags & InterfaceFlags::XDP.bits();
                    return self
                        .set(place, &Interface { flags: interface.flags | xdp, ..*interface });
                }
                _ => {}
            }
        }
        match free {
            Some(place) => self.set(place, interface),
            None => Ok(false),
        }
    }

    /// Says whether XDP carries sessions whose packets arrive at an interface, if it was entered.
    pub(crate) fn set_xdp(&mut self, index: u32, on: bool) -> Result<(), MapError> {
        for place in Interface::places(index) {
            let mut interface = self.at(place)?;
            let mut flags = InterfaceFlags::from_bits_retain(interface.flags);
            if interface.index == index && flags.contains(InterfaceFlags::XDP) != on {
                flags.set(InterfaceFlags::XDP, on);
                interface.flags = flags.bits();
                self.set(place, &interface)?;
            }
        }
        Ok(())
    }

    /// Removes an interface, if it was entered.
    pub(crate) fn remove(&mut self, index: u32) -> Result<(), MapError> {
        for place in Interface::places(index) {
            if self.at(place)?.index == index {
                self.set(place, &Interface::default())?;
            }
        }
        Ok(())
    }

    fn set(&mut self, place: u32, interface: &Interface) -> Result<bool, MapError> {
        let bytes: Bytes = zerocopy::transmute!(*interface);
        self.0.set(place, bytes, 0)?;
        Ok(true)
    }
}
