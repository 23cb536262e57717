//! Loads and attaches the eBPF programs, punt I/O, netlink
