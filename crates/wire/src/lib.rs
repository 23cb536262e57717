//! Packet views and checksums, used by the engine and by the eBPF programs
