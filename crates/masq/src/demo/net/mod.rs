//! What the hosts of the demo do, in plain sockets: the fresh machine may have neither curl nor
//! traceroute.
//!
//! A socket stays in the namespace it was opened in, so each function is called inside the namespace of
//! its host.

pub(crate) mod dns;
pub(crate) mod http;
pub(crate) mod icmp;
pub(crate) mod server;
pub(crate) mod witness;
