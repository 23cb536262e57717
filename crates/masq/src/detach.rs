//! `masq detach`: no trace of an instance is left, forwarding is as it was before.

use core::time::Duration;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use masq_dataplane::DetachError;
use serde::Serialize;

use crate::cli;
use crate::client::Client;
use crate::clock::Stopwatch;
use crate::control;
use crate::output;

/// How long a daemon may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize)]
struct Detached<'a> {
    instance: &'a str,
    /// Whether a daemon had to be ended for it.
    stopped: bool,
}

pub(crate) fn detach(output: cli::Output, instance: &str, socket: &Path) -> Result<()> {
    // Before the daemon is told to end: it may be somebody else's.
    masq_dataplane::check_place(Path::new(masq_dataplane::RUN), instance)?;
    let stopped = crate::runtime()?.block_on(stop(&Client::new(instance, socket)))?;
    control::socket::remove_dead(instance, socket);
    remove(instance)?;
    if output.json {
        return output::pretty_json(&Detached { instance, stopped });
    }
    let before = if stopped { "ended the daemon; " } else { "" };
    output::print(&format!(
        "{before}programs, table and settings of instance {instance} are removed\n"
    ))
}

/// Ends the daemon if there is one, and waits until it is gone.
async fn stop(client: &Client) -> Result<bool> {
    if !client.is_running().await {
        return Ok(false);
    }
    let status = client.stop().await.context("cannot end the daemon")?;
    let waiting = Stopwatch::start();
    while client.is_running().await {
        if waiting.elapsed() > PATIENCE {
            bail!(
                "the daemon (process {}) does not end\nend it yourself, then try again",
                status.pid
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(true)
}

fn remove(instance: &str) -> Result<()> {
    let waiting = Stopwatch::start();
    loop {
        match masq_dataplane::detach(Path::new(masq_dataplane::RUN), instance) {
            Ok(()) => return Ok(()),
            // The socket goes a moment before the daemon does.
            Err(DetachError::Refused(masq_dataplane::StartError::Running { .. }))
                if waiting.elapsed() < PATIENCE =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error @ DetachError::Unknown { .. }) => {
                return Err(anyhow!(
                    "{error}: there is nothing to remove; `masq instances` lists those there are"
                ));
            }
            Err(error) => return Err(anyhow!(error)),
        }
    }
}
