//! `masq run`: the gateway, in the foreground.
//!
//! ```text
//!   configuration ─► socket and lock ─► dataplane (attach, worker) ─► READY=1 ─► serve until told to stop
//!                                                                        │ SIGHUP: read the file again
//!   SIGTERM, SIGINT, POST /v1/stop ◄─────────────────────────────────────┘
//! ```
//!
//! Whatever fails before READY leaves nothing behind. After that, ending the daemon leaves programs
//! and table in place: established flows go on with the next one, and only `masq detach` removes them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow};
use masq_api::{ReloadPlan, ReloadRequest};
use masq_config::{InterfacePattern, Judged, Overrides, Source, judge};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tracing::{error, info, warn};

use crate::cli;
use crate::control::socket::{self, Socket};
use crate::control::{Gateway, routes};
use crate::gateway::{Origin, RunningGateway};
use crate::log;

pub(crate) fn run(run: &cli::Run, instance: &str) -> Result<()> {
    log::start(&run.log)?;
    let origin = origin(run)?;
    let Judged { config, warnings } = origin.judge()?;
    if let Some(warnings) = warnings {
        warn!("{warnings}");
    }
    let path = config.socket.clone().unwrap_or_else(|| socket::default_path(instance));
    let control = Socket::bind(instance, &path)?;
    let stop = Arc::new(Notify::new());
    let gateway = RunningGateway::start(instance, origin, config, Arc::clone(&stop))?;
    let gateway = Arc::new(gateway);
    let over = AtomicBool::new(false);
    let served = thread::scope(|threads| {
        threads.spawn(|| gateway.log_events(|| over.load(Ordering::Acquire)));
        let served = crate::runtime().and_then(|rt| rt.block_on(serve(&control, &gateway, &stop)));
        tell(&[NotifyState::Stopping]);
        over.store(true, Ordering::Release);
        served
    });
    drop(gateway);
    info!("stopped; programs and table stay in place (`masq detach` removes them)");
    served
}

/// Where this run's configuration comes from, now and at every reload.
fn origin(run: &cli::Run) -> Result<Origin> {
    let patterns = |names: &[String], option: &str| {
        names
            .iter()
            .map(|name| name.parse().with_context(|| format!("--{option} {name}")))
            .collect::<Result<Vec<InterfacePattern>>>()
    };
    let overrides = Overrides {
        insides: patterns(&run.inside, "inside")?,
        outsides: patterns(&run.outside, "outside")?,
    };
    let complete = !overrides.insides.is_empty() && !overrides.outsides.is_empty();
    let file = match &run.config {
        Some(file) => Some(file.clone()),
        None if complete => None,
        None => Some(PathBuf::from(cli::DEFAULT_CONFIG)),
    };
    Ok(Origin { file, overrides })
}

impl Origin {
    /// Reads and judges it.
    pub(crate) fn judge(&self) -> Result<Judged> {
        let source = match &self.file {
            Some(file) => crate::check::read(file)?,
            None => Source { name: "the command line".to_owned(), text: String::new() },
        };
        judge(source, &self.overrides).map_err(|report| anyhow!(report))
    }
}

/// Answers the control API and signals until somebody ends it.
async fn serve(control: &Socket, gateway: &Arc<RunningGateway>, stop: &Notify) -> Result<()> {
    let listener = control.listener.try_clone().context("cannot use the control socket")?;
    let listener =
        tokio::net::UnixListener::from_std(listener).context("cannot use the control socket")?;
    let router = routes::router(Arc::<RunningGateway>::clone(gateway));
    let server = axum::serve(listener, router);
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let mut hang_up = signal(SignalKind::hangup()).context("cannot wait for signals")?;
    let reloads = async {
        while hang_up.recv().await.is_some() {
            let gateway = Arc::<RunningGateway>::clone(gateway);
            // The answer is in the log; a lost task is too.
            let reloaded = tokio::task::spawn_blocking(move || reload(&gateway)).await;
            if let Err(lost) = reloaded {
                error!(error = %lost, "the reload was lost");
            }
        }
    };
    tell(&[NotifyState::Ready, NotifyState::Status("masquerading")]);
    info!("ready");
    tokio::select! {
        served = server => served.context("the control API ended"),
        () = reloads => Ok(()),
        () = stop.notified() => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        () = gateway.ended() => Err(anyhow!("the gateway ended by itself; the log says why")),
    }
}

fn reload(gateway: &RunningGateway) {
    match gateway.reload(ReloadRequest { dry_run: false }) {
        Ok(ReloadPlan { changes, sessions_ending, sessions_kept, .. }) => {
            info!(changes = changes.len(), sessions_ending, sessions_kept, "configuration applied");
        }
        Err(problem) => error!("the configuration is not applied: {problem}"),
    }
}

/// Tells the service manager, if there is one.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "cannot tell the service manager");
    }
}
