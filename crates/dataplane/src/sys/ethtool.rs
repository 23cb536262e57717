//! Offload switches of an interface (`ethtool -K`), by the old ioctl that every kernel has.

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
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let mut value = Value { command: feature as u32, data: u32::from(on) };
    let request = Request::new(interface, &mut value)?;
    // SAFETY: SIOCETHTOOL reads an `ifreq` whose data pointer leads to an `ethtool_value`, which is
    // what the request is made of; both outlive the call.
    unsafe { ioctl::ioctl(socket.as_fd(), request) }?;
    Ok(())
}

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// `struct ifreq` with `ifr_data`.
#[repr(C)]
struct Request<'a> {
    name: [u8; 16],
    data: &'a mut Value,
    rest: [u64; 2],
}

impl<'a> Request<'a> {
    fn new(interface: &str, data: &'a mut Value) -> io::Result<Self> {
        let mut name = [0; 16];
        // One byte stays zero: the kernel wants a C string.
        let place = name[..15].get_mut(..interface.len()).ok_or(io::ErrorKind::InvalidInput)?;
        place.copy_from_slice(interface.as_bytes());
        Ok(Self { name, data, rest: [0; 2] })
    }
}

// SAFETY: the opcode is SIOCETHTOOL, whose argument is a pointer to an `ifreq`, the layout of which
// `Request` has; the kernel writes nothing beyond the request and its value.
unsafe impl Ioctl for Request<'_> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_size_that_the_kernel_copies() {
        assert_eq!(size_of::<Request<'_>>(), 40);
    }

    #[test]
    fn names_that_no_interface_can_have_are_refused() {
        let error = set("an-interface-with-a-long-name", Feature::TxChecksum, false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = set("masq-absent", Feature::TxChecksum, false).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(19), "ENODEV: {error}");
    }
}
