//! Kernel settings of the network namespace, under `/proc/sys`.
//!
//! `/proc/sys/net` shows the namespace of the thread that opens a file, so these functions have to
//! be called on a thread of the gateway's namespace.

use std::io;
use std::path::{Path, PathBuf};

/// Reads a setting, such as `net/ipv4/ip_forward`, without the line's end.
pub(crate) fn read(name: &str) -> io::Result<String> {
    Ok(std::fs::read_to_string(path(name))?.trim_end().to_owned())
}

/// Writes a setting.
pub(crate) fn write(name: &str, value: &str) -> io::Result<()> {
    std::fs::write(path(name), value)
}

/// The range from which the kernel takes ports for outgoing connections.
pub(crate) fn ephemeral_ports() -> (u16, u16) {
    let parse = |text: String| {
        let mut numbers = text.split_ascii_whitespace().map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    // The kernel's own default.
    read("net/ipv4/ip_local_port_range").ok().and_then(parse).unwrap_or((32768, 60999))
}

fn path(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}
