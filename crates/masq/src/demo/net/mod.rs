//! What the demo does in plain sockets beside the lab's own peers: a download that tells how far it is,
//! ping and traceroute without the programs, and a witness on the server.
//!
//! A socket stays in the namespace it was opened in, so each function is called inside the namespace of
//! its host.

pub(crate) mod http;
pub(crate) mod icmp;
pub(crate) mod witness;
