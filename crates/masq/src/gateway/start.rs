//! Starting the dataplane, and its refusals in words that say what to do.

use anyhow::{Result, anyhow};
use masq_config::{CheckedConfig, nearest};
use masq_dataplane::{Handle, Options, StartError};
use masq_flow::Layout;
use rustix::mm::{MlockAllFlags, mlockall};

use super::configuration::Wanted;
use super::events;

pub(super) fn start(instance: &str, config: &CheckedConfig) -> Result<Handle> {
    let options = Options {
        layout: Layout::for_sessions(config.table_sessions),
        // Only the log listens.
        details: events::are_details_shown(),
        ..Options::new(instance)
    };
    let handle = masq_dataplane::start(options, Box::new(Wanted(config.clone())));
    let handle = handle.map_err(explain)?;
    lock_memory();
    Ok(handle)
}

/// Keeps what the engine has touched from being swapped out: a packet must not wait for a disk. (The
/// table itself is the kernel's memory, which never is.)
fn lock_memory() {
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    if let Err(error) = mlockall(flags) {
        tracing::warn!(%error, "the gateway's memory may be swapped out: it needs CAP_IPC_LOCK");
    }
}

/// The dataplane says what is wrong; who typed it needs to know what would be right.
fn explain(error: StartError) -> anyhow::Error {
    let help = if let StartError::UnknownInterface { interface, known } = &error {
        match nearest(interface, known.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!(
                "an interface that comes later is named by its beginning: \"{}+\"",
                interface.trim_end_matches(|c: char| c.is_ascii_digit())
            ),
        }
    } else if matches!(error, StartError::Attach(_) | StartError::Socket { .. }) {
        "`masq doctor` says what this kernel lacks".to_owned()
    } else {
        // The others say themselves what to do.
        return anyhow!(error);
    };
    anyhow!("{:#}\n{help}", anyhow!(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_interface_finds_its_name() {
        let unknown = |interface: &str| StartError::UnknownInterface {
            interface: interface.into(),
            known: vec!["eth0".into(), "wlan0".into()],
        };
        let said = explain(unknown("eht0")).to_string();
        assert!(said.ends_with("did you mean eth0?"), "{said}");
        let said = explain(unknown("ppp0")).to_string();
        assert!(said.ends_with("named by its beginning: \"ppp+\""), "{said}");
    }
}
