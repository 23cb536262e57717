//! [`Gateway`] over a running dataplane.

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use masq_api::{
    Change, Error, ErrorKind, FlowPage, FlowQuery, InterfaceView, MappingPage, ReleaseRequest,
    ReloadPlan, ReloadRequest, Role, StatsView, Status,
};
use masq_config::{CheckedConfig, Judged, Link, Ports};
use masq_core::{PortRanges, Realm};
use masq_dataplane::{Configuration, Handle, PortStatus};
use tokio::sync::Notify;

use super::configuration::{Wanted, link};
use super::events;
use super::flows::Lens;
use super::{Origin, start, stats};
use crate::clock::{self, Stopwatch};
use crate::control::Gateway;

/// A gateway that runs in this process.
#[derive(Debug)]
pub(crate) struct RunningGateway {
    instance: String,
    origin: Origin,
    /// What is followed at the moment.
    config: Mutex<CheckedConfig>,
    handle: Handle,
    started: Stopwatch,
    stop: Arc<Notify>,
}

impl RunningGateway {
    pub(crate) fn start(
        instance: &str,
        origin: Origin,
        config: CheckedConfig,
        stop: Arc<Notify>,
    ) -> anyhow::Result<Self> {
        let handle = start::start(instance, &config)?;
        Ok(Self {
            instance: instance.to_owned(),
            origin,
            config: Mutex::new(config),
            handle,
            started: Stopwatch::start(),
            stop,
        })
    }

    /// Waits until the dataplane is gone without having been told to go.
    pub(crate) async fn ended(&self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(500));
        while self.handle.is_running() {
            ticks.tick().await;
        }
    }

    /// Logs what the engine tells, until the gateway or the daemon ends.
    pub(crate) fn log_events(&self, over: impl Fn() -> bool) {
        while let Ok(event) = self.handle.next_event(Duration::from_millis(200)) {
            if let Some(event) = event {
                events::log(&event);
            }
            if over() {
                return;
            }
        }
    }

    fn config(&self) -> MutexGuard<'_, CheckedConfig> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lens<T>(&self, look: impl FnOnce(Lens<'_>) -> T) -> T {
        let timeouts = self.config().timeouts;
        look(Lens { reader: self.handle.flows(), timeouts: &timeouts, now: clock::monotonic() })
    }

    fn ports(&self) -> Result<Vec<PortStatus>, Error> {
        self.handle.ports().map_err(|error| failed(error.to_string()))
    }
}

impl Gateway for RunningGateway {
    fn status(&self) -> Result<Status, Error> {
        let ports = self.ports()?;
        let config = self.config().clone();
        Ok(Status {
            instance: self.instance.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime: self.started.elapsed().as_secs_f64(),
            config: self.origin.file.clone(),
            fast_path: config.fast_path.to_string(),
            interfaces: interfaces(&config, &ports),
        })
    }

    fn flows(&self, query: &FlowQuery) -> Result<FlowPage, Error> {
        Ok(self.lens(|lens| lens.flows(query)))
    }

    fn mappings(&self, query: &FlowQuery) -> Result<MappingPage, Error> {
        self.lens(|lens| lens.mappings(query))
    }

    fn stats(&self) -> Result<StatsView, Error> {
        let counted = self.handle.stats().map_err(|error| failed(error.to_string()))?;
        let flows = self.handle.flows();
        let table = (&flows.stats(), flows.shape());
        let carried = self.handle.totals().read();
        let ways = self.handle.ways().map_err(|error| failed(error.to_string()))?;
        let fast_path = stats::fast_path(self.config().fast_path, &counted, ways);
        let uptime = self.started.elapsed();
        Ok(stats::view(&self.instance, uptime, &counted, table, carried, fast_path))
    }

    fn reload(&self, request: ReloadRequest) -> Result<ReloadPlan, Error> {
        let Judged { config: wanted, warnings } = self.origin.judge().map_err(|error| Error {
            kind: ErrorKind::Configuration,
            message: format!("{error:#}"),
            help: Some("nothing was changed".to_owned()),
        })?;
        // Held throughout, so that two reloads come one after the other.
        let mut current = self.config();
        let differences = current.differences(&wanted);
        let configuration: Box<dyn Configuration> = Box::new(Wanted(wanted.clone()));
        let plan = if request.dry_run {
            self.handle.plan(configuration)
        } else {
            self.handle.reload(configuration)
        };
        let plan = plan.map_err(|error| failed(error.to_string()))?;
        if !request.dry_run {
            *current = wanted;
        }
        let count = |sessions: usize| u64::try_from(sessions).unwrap_or(u64::MAX);
        Ok(ReloadPlan {
            applied: !request.dry_run,
            needs_restart: differences
                .iter()
                .filter(|difference| difference.needs_restart)
                .map(|difference| difference.key.clone())
                .collect(),
            changes: differences
                .into_iter()
                .map(|difference| Change {
                    key: difference.key,
                    from: difference.from,
                    to: difference.to,
                })
                .collect(),
            sessions_ending: count(plan.ended),
            sessions_moving: count(plan.moved),
            sessions_kept: count(plan.kept),
            warnings: warnings.iter().map(ToString::to_string).collect(),
        })
    }

    fn release(&self, request: &ReleaseRequest) -> Result<Status, Error> {
        self.handle.release(&request.interface).map_err(|error| Error {
            kind: ErrorKind::Request,
            message: error.to_string(),
            help: Some("masq status shows which interfaces are closed".to_owned()),
        })?;
        self.status()
    }

    fn stop(&self) {
        self.stop.notify_one();
    }
}

fn failed(message: String) -> Error {
    Error { kind: ErrorKind::Failed, message, help: None }
}

/// The interfaces there are, and those that are awaited.
fn interfaces(config: &CheckedConfig, ports: &[PortStatus]) -> Vec<InterfaceView> {
    let links: Vec<Link> = ports.iter().map(|status| link(&status.port)).collect();
    let policy = config.policy(&links, PortRanges::NONE);
    let present = ports.iter().map(|PortStatus { port, attachment, closed }| {
        let outside = config.outsides.iter().find(|outside| outside.interface.matches(&port.name));
        let inside = policy.inside(port.id);
        InterfaceView {
            name: port.name.clone(),
            role: role(port.side),
            index: Some(port.id.0),
            addresses: match policy.outside(port.id) {
                Some(outside) => outside.pool.addresses.clone(),
                None => inside.and_then(|inside| inside.address).into_iter().collect(),
            },
            networks: inside
                .iter()
                .flat_map(|inside| &inside.networks)
                .map(|network| format!("{}/{}", network.address, network.length))
                .collect(),
            ports: outside.map(|outside| ranges(&outside.ports)).unwrap_or_default(),
            closed_since_called: closed.clone(),
            attachment: attachment.map(str::to_owned),
        }
    });
    let awaited = config.missing(&links).map(|(realm, pattern)| InterfaceView {
        name: pattern.to_string(),
        role: role(realm),
        index: None,
        addresses: vec![],
        networks: vec![],
        ports: vec![],
        closed_since_called: None,
        attachment: None,
    });
    present.chain(awaited).collect()
}

fn ranges(ports: &Ports) -> Vec<String> {
    match ports {
        Ports::Auto => vec!["auto".to_owned()],
        Ports::Ranges(ranges) => ranges.iter().map(ToString::to_string).collect(),
    }
}

fn role(realm: Realm) -> Role {
    match realm {
        Realm::Inside => Role::Inside,
        Realm::Outside => Role::Outside,
    }
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use masq_config::{Overrides, Source, judge};
    use masq_core::{PortId, Prefix};
    use masq_dataplane::{Port, PortAddress};

    use super::*;

    #[test]
    fn present_and_awaited_interfaces_are_shown() {
        let text = "[[outside]]\ninterface='ppp+'\n[[inside]]\ninterface='eth1'\n\
            [[inside]]\ninterface='wlan0'\n";
        let source = Source { name: "t".into(), text: text.into() };
        let config = judge(source, &Overrides::default()).unwrap().config;
        let address =
            PortAddress { address: IpAddr::from([192, 168, 1, 1]), length: 24, global: true };
        let port = Port {
            id: PortId(3),
            name: "eth1".into(),
            side: Realm::Inside,
            mtu: 1500,
            up: true,
            away: false,
            layer3: false,
            addresses: vec![address],
            networks: vec![Prefix::v4(Ipv4Addr::new(192, 168, 1, 0), 24)],
        };
        let views =
            interfaces(&config, &[PortStatus { port, attachment: Some("tcx"), closed: None }]);
        let shown: Vec<_> = views
            .iter()
            .map(|view| (view.name.as_str(), view.index, view.networks.join(",")))
            .collect();
        assert_eq!(
            shown,
            [
                ("eth1", Some(3), "192.168.1.0/24".to_owned()),
                ("wlan0", None, String::new()),
                ("ppp+", None, String::new()),
            ]
        );
    }
}
