//! Network namespaces as values: topologies, hosts, real peers, the kernel's NAT as oracle.
//!
//! A [`Lab`] is a small internet of real Linux network stacks: hosts inside, a gateway, routers and
//! remotes. A [`Gateway`] is what translates in between: nothing at all, the kernel's own masquerade
//! (the oracle), or the real `masq` program. Peers are sockets opened on any host and held by one
//! function. Everything is cleaned up by closing it, which a killed process does too.
//!
//! ```no_run
//! use masq_lab::{Gateway, Topology, peer};
//!
//! let lab = Topology::new().build()?;
//! let gateway = Gateway::kernel(&lab)?;
//! let server = peer::HttpServer::start(&lab.server, 8888)?;
//! let page = peer::http_get(lab.workstation(), server.address(), "/")?;
//! assert!(page.text().contains("203.0.113.1"));
//! lab.outside.check_leaks()?;
//! # Ok::<(), masq_lab::Error>(())
//! ```

#![deny(unsafe_code)]

pub mod address;
mod capture;
mod deadline;
mod error;
mod gateway;
mod host;
mod inspect;
mod kernel;
mod lab;
mod line;
mod multicast;
mod namespace;
pub mod peer;
mod processor;
mod program;
mod stop;
mod sys;
mod topology;

pub use capture::{Capture, Captured};
pub use deadline::{Deadline, LATER, Patience, SOON, wait_for, wait_until};
pub use error::{Error, Result};
pub use gateway::{Daemon, Gateway, MasqOptions, masq_binary};
pub use host::{Host, RawPort};
pub use kernel::{lacks_link, lacks_ppp, lacks_program, lacks_xdp_redirects};
pub use lab::Lab;
pub use multicast::MulticastRoute;
pub use namespace::{Namespace, unavailable};
pub use processor::on_one_processor;
pub use program::{Output, Running};
pub use topology::{Topology, Uplink};
