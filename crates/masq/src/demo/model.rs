//! What the demo knows: steps, the live table, what the server saw. The screen, the plain lines and
//! the JSON are three views of it.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use masq_api::{FlowView, StatsView};
use serde::Serialize;

/// What happened; the script and the table's watcher send these, the view folds them in.
#[derive(Debug)]
pub(crate) enum News {
    /// A step began.
    Began(usize),
    /// A step has something to say while it runs.
    Progress(usize, String),
    /// A step ended well, after so long.
    Done(usize, Duration, Finding),
    /// A step failed, and with it the demo.
    Failed(usize, String),
    /// The table at this moment.
    Table(Vec<FlowView>, Box<StatsView>),
    /// The server received packets from these addresses, so many from each.
    Seen(BTreeMap<IpAddr, u64>),
    /// How to enter each host, when the lab is kept.
    WaysIn(Vec<(String, String)>),
    /// The script has ended.
    End,
}

impl News {
    /// The step that this is the end of.
    pub(crate) fn ended_step(&self) -> Option<usize> {
        match self {
            Self::Done(index, ..) | Self::Failed(index, _) => Some(*index),
            Self::Began(_)
            | Self::Progress(..)
            | Self::Table(..)
            | Self::Seen(_)
            | Self::WaysIn(_)
            | Self::End => None,
        }
    }
}

/// What a step found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What the workstation got.
    pub(crate) got: String,
    /// Whom the server saw, where a server has a say.
    pub(crate) server_saw: Option<String>,
}

/// One thing the workstation does.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) title: &'static str,
    /// The command that a person would type for it.
    pub(crate) command: String,
    pub(crate) state: StepState,
    pub(crate) finding: Finding,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StepState {
    Waiting,
    Running { since: Duration, progress: String },
    Done { took: Duration },
    Failed { why: String },
}

/// Everything that is shown.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) picture: Picture,
    pub(crate) steps: Vec<Step>,
    pub(crate) flows: Vec<FlowView>,
    pub(crate) stats: StatsView,
    pub(crate) seen: BTreeMap<IpAddr, u64>,
    /// Since the demo began; the view sets it before it draws.
    pub(crate) now: Duration,
    pub(crate) ended: bool,
    pub(crate) ways_in: Vec<(String, String)>,
}

/// The three hosts.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Picture {
    pub(crate) workstation: IpAddr,
    pub(crate) gateway_inside: IpAddr,
    pub(crate) gateway_outside: IpAddr,
    pub(crate) server: IpAddr,
    pub(crate) server_port: u16,
}

impl Model {
    pub(crate) fn new(picture: Picture, steps: Vec<(&'static str, String)>) -> Self {
        let step = |(title, command)| Step {
            title,
            command,
            state: StepState::Waiting,
            finding: Finding::default(),
        };
        Self {
            picture,
            steps: steps.into_iter().map(step).collect(),
            flows: Vec::new(),
            stats: StatsView::default(),
            seen: BTreeMap::new(),
            now: Duration::ZERO,
            ended: false,
            ways_in: Vec::new(),
        }
    }

    pub(crate) fn hear(&mut self, news: News, now: Duration) {
        self.now = now;
        match news {
            News::Began(index) => {
                self.steps[index].state =
                    StepState::Running { since: now, progress: String::new() };
            }
            News::Progress(index, text) => {
                if let StepState::Running { progress, .. } = &mut self.steps[index].state {
                    *progress = text;
                }
            }
            News::Done(index, took, finding) => {
                self.steps[index].state = StepState::Done { took };
                self.steps[index].finding = finding;
            }
            News::Failed(index, why) => self.steps[index].state = StepState::Failed { why },
            News::Table(flows, stats) => {
                self.flows = flows;
                self.stats = *stats;
            }
            News::Seen(seen) => self.seen = seen,
            News::WaysIn(ways) => self.ways_in = ways,
            News::End => self.ended = true,
        }
    }

    /// Why the demo failed, if it did: the steps, and whether the server ever saw anybody but the
    /// gateway.
    pub(crate) fn failure(&self) -> Option<String> {
        for step in &self.steps {
            match &step.state {
                StepState::Failed { why } => return Some(format!("{}: {why}", step.title)),
                StepState::Waiting | StepState::Running { .. } => {
                    return Some(format!("{}: not finished", step.title));
                }
                StepState::Done { .. } => {}
            }
        }
        let strangers = self.strangers();
        if !strangers.is_empty() {
            let list: Vec<_> = strangers.iter().map(ToString::to_string).collect();
            return Some(format!("the server saw other addresses too: {}", list.join(", ")));
        }
        None
    }

    /// Whom the server saw besides the gateway.
    pub(crate) fn strangers(&self) -> Vec<IpAddr> {
        let gateway = self.picture.gateway_outside;
        self.seen.keys().copied().filter(|address| *address != gateway).collect()
    }

    /// The sentence that the demo is about.
    pub(crate) fn summary(&self) -> String {
        if let Some(why) = self.failure() {
            return format!("The demo failed: {why}.");
        }
        let Picture { workstation, gateway_outside, server, .. } = self.picture;
        let packets = self.seen.get(&gateway_outside).copied().unwrap_or(0);
        format!(
            "The server {server} received {packets} packets, every one of them from \
             {gateway_outside}. It never saw {workstation}."
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use masq_api::{Count, TableStats};

    use super::*;
    use crate::view::flows::tests::{endpoint, flow};

    pub(crate) fn picture() -> Picture {
        Picture {
            workstation: IpAddr::from([192, 168, 1, 3]),
            gateway_inside: IpAddr::from([192, 168, 1, 1]),
            gateway_outside: IpAddr::from([203, 0, 113, 1]),
            server: IpAddr::from([203, 0, 113, 178]),
            server_port: 8888,
        }
    }

    /// In the middle of the demo.
    pub(crate) fn model() -> Model {
        let mut model = Model::new(
            picture(),
            vec![
                ("start the gateway", "masq run --inside lan --outside wan".into()),
                ("fetch a page", "curl http://203.0.113.178:8888/".into()),
                ("download a file", "curl -O http://203.0.113.178:8888/file".into()),
                ("ping", "ping -c 3 203.0.113.178".into()),
            ],
        );
        let at = Duration::from_millis;
        model.hear(News::Began(0), at(0));
        let started = Finding { got: "ready".into(), server_saw: None };
        model.hear(News::Done(0, at(180), started), at(180));
        model.hear(News::Began(1), at(1000));
        let page = Finding {
            got: "200, \"It works\"".into(),
            server_saw: Some("203.0.113.1:40312".into()),
        };
        model.hear(News::Done(1, at(12), page), at(1012));
        model.hear(News::Began(2), at(2000));
        model.hear(News::Progress(2, "48 of 100 MB".into()), at(2500));
        let mut udp = flow();
        udp.protocol = "udp".into();
        udp.remote = endpoint([203, 0, 113, 178], 53);
        udp.state = "replied".into();
        udp.egress = Count { packets: 1, bytes: 61 };
        let stats = StatsView {
            table: TableStats { sessions: 2, mappings: 2, capacity: 65_536, ..<_>::default() },
            ..StatsView::default()
        };
        model.hear(News::Table(vec![flow(), udp], Box::new(stats)), at(2600));
        model.hear(News::Seen(BTreeMap::from([(picture().gateway_outside, 412)])), at(2600));
        model
    }

    #[test]
    fn it_fails_until_every_step_is_done() {
        let mut model = model();
        assert_eq!(model.failure().as_deref(), Some("download a file: not finished"));
        model.hear(News::Done(2, Duration::ZERO, Finding::default()), Duration::from_secs(4));
        model.hear(News::Began(3), Duration::from_secs(4));
        model.hear(News::Done(3, Duration::ZERO, Finding::default()), Duration::from_secs(5));
        assert_eq!(model.failure(), None);
        assert_eq!(
            model.summary(),
            "The server 203.0.113.178 received 412 packets, every one of them from 203.0.113.1. \
             It never saw 192.168.1.3."
        );
    }

    #[test]
    fn a_leaked_inside_address_fails_it() {
        let mut model = model();
        for index in 0..model.steps.len() {
            model.hear(
                News::Done(index, Duration::ZERO, Finding::default()),
                Duration::from_secs(4),
            );
        }
        let seen = BTreeMap::from([(picture().gateway_outside, 1), (picture().workstation, 1)]);
        model.hear(News::Seen(seen), Duration::from_secs(5));
        assert!(model.summary().contains("other addresses too: 192.168.1.3"));
    }
}
