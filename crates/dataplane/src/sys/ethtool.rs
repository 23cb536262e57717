//! Offload switches of an interface (`ethtool -K`) and the name of its driver, by the old ioctl that
//! every kernel has.

use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{self, Ioctl, IoctlOutput, Opcode};
use rustix::net::{AddressFamily, SocketType, socket};

/// A feature that can be switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Feature {
    /// The device completes checksums (`tx`).
    TxChecksum = 0x17,
    /// The device cuts TCP segments (`tso`).
    TcpSegmentation = 0x1f,
    /// The stack hands over uncut segments as late as possible (`gso`).
    GenericSegmentation = 0x24,
}

/// Switches a feature of the named interface.
pub(crate) fn set(interface: &str, feature: Feature, on: bool) -> io::Result<()> {
    ask(interface, &mut Value { command: feature as u32, data: u32::from(on) })
}

/// Whether the device takes VLAN tags off what arrives (`rxvlan`).
pub(crate) fn strips_vlan_tags(interface: &str) -> io::Result<bool> {
    let mut flags = Value { command: GET_FLAGS, data: 0 };
    ask(interface, &mut flags)?;
    Ok(flags.data & FLAG_RX_VLAN != 0)
}

/// Has the device take VLAN tags off what arrives, or not.
pub(crate) fn strip_vlan_tags(interface: &str, strip: bool) -> io::Result<()> {
    let mut flags = Value { command: GET_FLAGS, data: 0 };
    ask(interface, &mut flags)?;
    let others = flags.data & !FLAG_RX_VLAN;
    let data = if strip { others | FLAG_RX_VLAN } else { others };
    ask(interface, &mut Value { command: SET_FLAGS, data })?;
    if strips_vlan_tags(interface)? == strip {
        Ok(())
    } else {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The name of the interface's driver.
pub(crate) fn driver(interface: &str) -> io::Result<String> {
    let mut info = DriverInfo { command: GET_DRIVER, driver: [0; 32], rest: [0; 160] };
    ask(interface, &mut info)?;
    let name = info.driver.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(name).into_owned())
}

/// How many queues the interface sends by (`ethtool -l`).
pub(crate) fn sending_queues(interface: &str) -> io::Result<u32> {
    let mut channels = Channels { command: GET_CHANNELS, ..Channels::default() };
    ask(interface, &mut channels)?;
    Ok(channels.sending + channels.combined)
}

fn ask<T: Argument>(interface: &str, argument: &mut T) -> io::Result<()> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let request = Request::new(interface, argument)?;
    // SAFETY: SIOCETHTOOL reads an `ifreq` whose data pointer leads to an argument that begins with
    // the number of its command, which is what the request is made of; both outlive the call.
    unsafe { ioctl::ioctl(socket.as_fd(), request) }?;
    Ok(())
}

/// What the kernel reads and writes behind the data pointer of a request.
///
/// # Safety
///
/// It is laid out as the structure that the kernel copies for its command.
unsafe trait Argument {}

// SAFETY: all commands that are sent with it are described by `ethtool_value`.
unsafe impl Argument for Value {}

// SAFETY: its one command is described by `ethtool_drvinfo`.
unsafe impl Argument for DriverInfo {}

// SAFETY: its one command is described by `ethtool_channels`.
unsafe impl Argument for Channels {}

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

/// `struct ethtool_channels`.
#[derive(Default)]
#[repr(C)]
struct Channels {
    command: u32,
    most: [u32; 4],
    receiving: u32,
    sending: u32,
    other: u32,
    combined: u32,
}

/// `struct ifreq` with `ifr_data`.
#[repr(C)]
struct Request<'a, T> {
    name: [u8; 16],
    data: &'a mut T,
    rest: [u64; 2],
}

impl<'a, T: Argument> Request<'a, T> {
    fn new(interface: &str, data: &'a mut T) -> io::Result<Self> {
        let mut name = [0; 16];
        // One byte stays zero: the kernel wants a C string.
        let place = name[..15].get_mut(..interface.len()).ok_or(io::ErrorKind::InvalidInput)?;
        place.copy_from_slice(interface.as_bytes());
        Ok(Self { name, data, rest: [0; 2] })
    }
}

// SAFETY: the opcode is SIOCETHTOOL, whose argument is a pointer to an `ifreq`, the layout of which
// `Request` has; the kernel writes nothing beyond the request and its argument.
unsafe impl<T: Argument> Ioctl for Request<'_, T> {
    type Output = ();

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        SIOCETHTOOL
    }

    fn as_ptr(&mut self) -> *mut core::ffi::c_void {
        core::ptr::from_mut(self).cast()
    }

    unsafe fn output_from_ptr(
        _: IoctlOutput,
        _: *mut core::ffi::c_void,
    ) -> rustix::io::Result<Self::Output> {
        Ok(())
    }
}

const SIOCETHTOOL: Opcode = 0x8946;
const GET_DRIVER: u32 = 0x03;
const GET_FLAGS: u32 = 0x25;
const SET_FLAGS: u32 = 0x26;
const GET_CHANNELS: u32 = 0x3c;
const FLAG_RX_VLAN: u32 = 1 << 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{in_namespaces, run};

    #[test]
    fn requests_have_the_size_that_the_kernel_copies() {
        assert_eq!(size_of::<Request<'_, Value>>(), 40);
        assert_eq!(size_of::<DriverInfo>(), 196);
        assert_eq!(size_of::<Channels>(), 36);
    }

    #[test]
    fn tags_are_taken_off_or_not_and_a_driver_has_a_name() {
        in_namespaces(|| {
            run("ip link add wan type veth peer name isp");
            assert_eq!(driver("wan").unwrap(), "veth");
            assert!(strips_vlan_tags("wan").unwrap());
            strip_vlan_tags("wan", false).unwrap();
            assert!(run("ethtool -k wan").contains("rx-vlan-offload: off"));
            strip_vlan_tags("wan", true).unwrap();
            assert!(run("ethtool -k wan").contains("rx-vlan-offload: on"));
        });
    }

    #[test]
    fn queues_that_an_interface_sends_by_are_counted() {
        in_namespaces(|| {
            run("ip link add wan numtxqueues 3 numrxqueues 2 type veth peer name isp");
            assert_eq!(sending_queues("wan").unwrap(), 3);
        });
    }

    #[test]
    fn names_that_no_interface_can_have_are_refused() {
        let error = set("an-interface-with-a-long-name", Feature::TxChecksum, false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = set("masq-absent", Feature::TxChecksum, false).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(19), "ENODEV: {error}");
    }
}
