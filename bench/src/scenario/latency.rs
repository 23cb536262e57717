//! How long a request and its answer take.
//!
//! Both ends block, so being woken up is part of each figure, and the largest; what a gateway adds is the
//! difference between subjects. Beside other traffic means: while a TCP stream carries as much as it
//! can through the same gateway.

use core::time::Duration;
use std::thread;

use anyhow::{Context as _, Result};

use super::Scenario;
use crate::bench::Bench;
use crate::ends::{Bulk, Exchange, Transport, Way};
use crate::gateway::Setup;
use crate::result::{Direction, Sample, Series};
use crate::site::{Packets, Site};
use crate::statistics::percentile;
use crate::subject::Subject;

/// Requests over TCP and UDP, alone and beside other traffic.
pub struct Latency;

impl Scenario for Latency {
    fn id(&self) -> &'static str {
        "latency"
    }

    fn about(&self) -> &'static str {
        "request and response over TCP and UDP, p50 and p99, alone and beside a bulk stream"
    }

    fn run(&self, bench: &mut Bench) -> Result<()> {
        let sites = Site::all(bench, &Subject::GATEWAYS, Packets::Complete, &Setup::new(SESSIONS))?;
        for _ in bench.rounds() {
            for load in [false, true] {
                for transport in [Transport::Udp, Transport::Tcp] {
                    for site in &sites {
                        self.measure(bench, site, transport, load)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Latency {
    fn measure(
        &self,
        bench: &mut Bench,
        site: &Site,
        transport: Transport,
        load: bool,
    ) -> Result<()> {
        let window = bench.lasting(WINDOW);
        let exchange = Exchange { transport, window };
        let (times, proof) = site.watch(|ends| {
            if !load {
                return exchange.run(ends);
            }
            let bulk = Bulk { streams: 1, way: Way::Up, window: window * 2 };
            thread::scope(|scope| {
                let beside = scope.spawn(|| bulk.run(ends));
                let times = exchange.run(ends);
                let carried =
                    beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                carried.context("the stream beside")?;
                times
            })
        })?;
        site.check(&proof)?;
        let (name, udp) = match transport {
            Transport::Udp => ("UDP", 1),
            Transport::Tcp => ("TCP", 0),
        };
        let beside = if load { ", beside a bulk stream" } else { "" };
        for (percent, share) in [(50, 0.5), (99, 0.99)] {
            let time = percentile(&times, share).context("no request was answered")?;
            let title = format!("Request and response over {name}, p{percent}{beside}");
            let series = Series::new(self.id(), title, "µs", Direction::Both, site.subject);
            let series = series.with("udp", udp).with("percentile", percent);
            bench.add(series.with("load", load.into()), Sample::new(time, proof.clone()));
        }
        Ok(())
    }
}

/// How long a sample takes.
const WINDOW: Duration = Duration::from_secs(1);

const SESSIONS: u32 = 65_536;
