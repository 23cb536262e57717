//! masq: a masquerade router with an engine and an eBPF fast path of its own
fn main() {}
