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

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, anyhow};
use masq_api::{ReloadPlan, ReloadRequest};
use masq_config::Judged;
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
    let origin = Origin::new(&run.source)?;
    let Judged { config, warnings } = origin.judge()?;
    warnings.iter().for_each(log::warnings);
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

/// How long questions under way may take when the daemon ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// Answers the control API and signals until somebody ends it.
async fn serve(control: &Socket, gateway: &Arc<RunningGateway>, stop: &Arc<Notify>) -> Result<()> {
    let listener = control.listener.try_clone().context("cannot use the control socket")?;
    let listener =
        tokio::net::UnixListener::from_std(listener).context("cannot use the control socket")?;
    let router = routes::router(Arc::<RunningGateway>::clone(gateway));
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
    let overdue = Arc::new(Notify::new());
    let (stop, telling) = (Arc::clone(stop), Arc::clone(&overdue));
    let told = async move {
        tokio::select! {
            () = stop.notified() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        telling.notify_one();
    };
    let slow = async {
        overdue.notified().await;
        tokio::time::sleep(FAREWELL).await;
    };
    tell(&[NotifyState::Ready, NotifyState::Status("masquerading")]);
    info!("ready");
    let server = axum::serve(listener, router).with_graceful_shutdown(told);
    tokio::select! {
        served = server => served.context("the control API ended"),
        () = slow => Ok(()),
        () = reloads => Ok(()),
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
