//! Who runs, since when, between which interfaces.

use core::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A running gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The instance's name.
    pub instance: String,
    /// The program's version.
    pub version: String,
    /// The daemon's process.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime: f64,
    /// The configuration file; absent when the command line was enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
    /// What carries established flows: `off` while every packet goes through the engine.
    pub fast_path: String,
    /// Every interface that masq is attached to, and those it waits for.
    pub interfaces: Vec<InterfaceView>,
}

/// Have a closed interface be as it was before masq.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// Its present name.
    pub interface: String,
}

/// What an interface is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Hosts behind it are hidden.
    Inside,
    /// The world is behind it.
    Outside,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceView {
    /// Its name, or the pattern that none matches yet.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Its number; absent while it does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// Outside: the addresses that are shared. Inside: the gateway's own.
    pub addresses: Vec<IpAddr>,
    /// Inside: the networks that are masqueraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Outside: ports that may be used, in ranges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// What it was called when it was served: it is closed since it is called otherwise, and only the
    /// host's own packets pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_since_called: Option<String>,
    /// How the programs are attached: `tcx`, `clsact` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<String>,
}
