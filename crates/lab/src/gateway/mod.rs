//! What translates between inside and outside: the same lab, three ways.
//!
//! | | who forwards | what the remotes see |
//! |---|---|---|
//! | [`Gateway::forwarding`] | the kernel | inside addresses (so leaks are certain) |
//! | [`Gateway::kernel`] | the kernel | the gateway, by nftables masquerade: the oracle |
//! | [`Gateway::masq`] | `masq run`; the kernel's `ip_forward` stays off | the gateway |

mod kernel;
mod masq;

use std::{fs, io};

pub use masq::{Daemon, MasqOptions, masq_binary};

use crate::namespace::mount;
use crate::{Lab, Result};

/// A running gateway. It stops when it is dropped.
#[derive(Debug)]
pub struct Gateway {
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    Forwarding,
    Kernel(kernel::Kernel),
    Masq(Daemon),
}

impl Gateway {
    /// The kernel forwards and nobody translates; the outside is given routes to the inside.
    ///
    /// # Errors
    ///
    /// When a route cannot be set.
    pub fn forwarding(lab: &Lab) -> Result<Self> {
        kernel::forward_plainly(lab)?;
        Ok(Self { engine: Engine::Forwarding })
    }

    /// The kernel translates, as a careful administrator sets it up.
    ///
    /// # Errors
    ///
    /// When nftables refuses the rules.
    pub fn kernel(lab: &Lab) -> Result<Self> {
        Ok(Self { engine: Engine::Kernel(kernel::Kernel::start(lab)?) })
    }

    /// The real program translates. Returns when it has said that it is ready.
    ///
    /// # Errors
    ///
    /// When it ends instead, or is not ready in time; with what it printed.
    pub fn masq(lab: &Lab, options: &MasqOptions) -> Result<Self> {
        Ok(Self { engine: Engine::Masq(Daemon::start(&lab.gateway, options)?) })
    }

    /// Whether this is the program under test rather than its oracle.
    #[must_use]
    pub fn is_masq(&self) -> bool {
        self.daemon().is_some()
    }

    /// The daemon, when the gateway is one.
    #[must_use]
    pub fn daemon(&self) -> Option<&Daemon> {
        match &self.engine {
            Engine::Masq(daemon) => Some(daemon),
            Engine::Forwarding | Engine::Kernel(_) => None,
        }
    }

    /// The same, to stop or restart it.
    pub fn daemon_mut(&mut self) -> Option<&mut Daemon> {
        match &mut self.engine {
            Engine::Masq(daemon) => Some(daemon),
            Engine::Forwarding | Engine::Kernel(_) => None,
        }
    }

    /// The table of what is translated, in the gateway's own words: lines of `/proc/net/nf_conntrack`, or
    /// what `masq flows --json` prints.
    ///
    /// # Errors
    ///
    /// When the table cannot be read.
    pub fn flows(&self) -> Result<String> {
        match &self.engine {
            Engine::Forwarding => Ok(String::new()),
            Engine::Kernel(kernel) => kernel.flows(),
            Engine::Masq(daemon) => daemon.ask(&["flows", "--json"]),
        }
    }

    /// What helps to understand a failure: rules, flows, and the log of a daemon.
    #[must_use]
    pub fn report(&self) -> String {
        let flows = self.flows().unwrap_or_else(|error| error.to_string());
        let flows: String = flows.chars().take(8192).collect();
        let more = match &self.engine {
            Engine::Forwarding => String::new(),
            Engine::Kernel(kernel) => kernel.report(),
            Engine::Masq(daemon) => daemon.report(),
        };
        format!("──── flows of the gateway\n{flows}\n{more}")
    }
}

/// The BPF file system where `masq` expects it, in the lab gateway's own view of the files: pins
/// vanish with the lab.
pub(crate) fn mount_bpf() -> io::Result<()> {
    fs::create_dir_all("/run/masq/bpf")?;
    mount("bpf", "/run/masq/bpf")
}
