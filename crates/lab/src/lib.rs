//! Network namespaces as values: topologies, hosts, real peers, the kernel's NAT as oracle
