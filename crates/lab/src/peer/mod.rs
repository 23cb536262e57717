//! Real peers in plain Rust: what runs on the hosts of a lab and what they ask of each other.
//!
//! A service is a few threads with sockets opened on its host. It notes every peer address it sees,
//! which is the point of a NAT, and stops when it is dropped.

mod echo;
mod http;
mod names;
mod numbered;
mod programs;
mod segments;
mod service;
mod shell;
mod transfer;

pub use echo::{tcp_echo, udp_ask, udp_echo, udp_receive};
pub use http::{HttpServer, Page, Visit, http_get};
pub use names::{NameServer, resolve};
pub use numbered::Numbered;
pub use programs::{Hop, Ping, Probe, ping, traceroute};
pub use segments::Segments;
pub use service::Service;
pub use shell::{Shell, shell_service};
pub use transfer::{Transfer, TransferServer};
