//! What a masquerade gateway must carry, each scenario once, for whichever gateway is asked.
//!
//! A scenario is a topology and a function over a lab whose gateway runs. It is played through the
//! kernel's own masquerade, which shows that the scenario is right, and through the real program; each
//! with and without offloads on the gateway's interfaces, and with established sessions in the programs:
//! on TC, and on XDP, for which arriving packets have to be complete. Whatever the scenario looks at itself,
//! at its end no inside address may have been seen outside, and a daemon must still run and must
//! have logged no error. Where the two gateways may differ, the scenario says so where it asks
//! `gateway.is_masq()`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![expect(clippy::print_stderr, reason = "what a failed test prints is all there is to know")]

mod beside;
mod bulk;
mod control;
mod daemon;
mod datagrams;
mod detach;
mod fast;
mod host;
mod intruders;
mod links;
mod outlive;
mod own;
mod packets;
mod path;
mod refused;
mod switched;
mod trouble;

use core::panic::AssertUnwindSafe;
use std::panic::{catch_unwind, resume_unwind};
use std::path::Path;
use std::{env, fs};

use masq_lab::{
    Gateway, Lab, MasqOptions, Result, Running, Topology, lacks_xdp_redirects, masq_binary,
    unavailable,
};

/// Which gateway to run a scenario through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Nat {
    /// The oracle.
    Kernel,
    /// The program under test.
    Masq,
    /// The same, with established sessions in the programs on TC.
    MasqOnTc,
    /// The same on XDP, wherever an interface can have it.
    MasqOnXdp,
}

/// A scenario: where it plays, and what happens.
pub(crate) struct Scenario {
    topology: Topology,
    config: Option<&'static str>,
    /// How many packets established sessions have at least.
    packets: u64,
    run: fn(&Lab, &mut Gateway) -> Result<()>,
}

impl Scenario {
    pub(crate) fn new(topology: Topology, run: fn(&Lab, &mut Gateway) -> Result<()>) -> Self {
        Self { topology, config: None, packets: 0, run }
    }

    /// What masq is configured with; the kernel's settings are the scenario's own affair.
    pub(crate) fn config(self, config: &'static str) -> Self {
        Self { config: Some(config), ..self }
    }

    /// That so many packets go through established sessions; who carried them is then proved.
    pub(crate) fn packets(self, packets: u64) -> Self {
        Self { packets, ..self }
    }
}

/// One test for each scenario, with this gateway, with or without offloads.
macro_rules! every_scenario {
    ($nat:expr, $offloads:expr) => {
        $crate::tests! { $nat, $offloads,
            bulk::tcp_carries_100_mb_each_way,
            bulk::tcp_runs_both_ways_at_once,
            bulk::two_hundred_connections_run_in_parallel,
            bulk::tcp_runs_over_a_tun_uplink,
            bulk::hosts_may_use_the_same_source_port,
            bulk::low_ports_stay_low,
            datagrams::udp_is_echoed,
            datagrams::sixty_kb_datagrams_go_both_ways,
            datagrams::sixty_kb_datagrams_cross_a_small_link,
            datagrams::datagrams_cross_a_tun_uplink,
            datagrams::names_resolve_and_pages_load,
            datagrams::strangers_are_not_let_in,
            datagrams::an_unknown_protocol_is_carried,
            path::ping_is_answered,
            path::traceroute_by_udp_shows_every_hop,
            path::traceroute_by_icmp_shows_every_hop,
            path::a_small_link_behind_the_gateway_is_discovered,
            path::closed_ports_are_reported,
            path::an_inside_host_reports_its_closed_ports,
            own::the_gateway_serves_both_sides,
            own::the_gateway_calls_out,
            beside::published_ports_reach_containers,
            trouble::a_connection_outlives_its_idle_timeout_or_not,
            trouble::the_outside_address_changes,
            trouble::a_cable_is_pulled_and_plugged_in_again,
            trouble::absent_hosts_delay_nobody,
            intruders::malformed_packets_stop_nothing,
            intruders::foreign_frames_are_left_alone,
            intruders::spoofed_sources_do_not_leave,
            intruders::inside_addresses_are_not_reachable_from_outside,
        }
    };
}

macro_rules! tests {
    ($nat:expr, $offloads:expr, $($module:ident::$name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                let name = concat!(module_path!(), "::", stringify!($name));
                $crate::check($nat, $offloads, name, $crate::$module::$name());
            }
        )*
    };
}

use {every_scenario, tests};

mod masquerade {
    super::every_scenario!(super::Nat::Kernel, true);
}

mod masquerade_without_offloads {
    super::every_scenario!(super::Nat::Kernel, false);
}

mod masq {
    super::every_scenario!(super::Nat::Masq, true);
}

mod masq_without_offloads {
    super::every_scenario!(super::Nat::Masq, false);
}

mod masq_on_tc {
    super::every_scenario!(super::Nat::MasqOnTc, true);
}

mod masq_on_tc_without_offloads {
    super::every_scenario!(super::Nat::MasqOnTc, false);
}

mod masq_on_xdp {
    super::every_scenario!(super::Nat::MasqOnXdp, true);
}

/// Runs a scenario.
pub(crate) fn check(nat: Nat, offloads: bool, name: &str, scenario: Scenario) {
    let topology = match nat {
        Nat::MasqOnXdp => scenario.topology.complete(),
        Nat::Kernel | Nat::Masq | Nat::MasqOnTc if offloads => scenario.topology,
        Nat::Kernel | Nat::Masq | Nat::MasqOnTc => scenario.topology.without_offloads(),
    };
    if nat == Nat::MasqOnXdp
        && let Some(reason) = lacks_xdp_redirects()
    {
        return skip_on_this_kernel(&reason);
    }
    let Some(options) = options(nat, scenario.config) else { return };
    in_lab(name, &topology, |lab| {
        let mut gateway = match &options {
            None => Gateway::kernel(lab)?,
            Some(options) => Gateway::masq(lab, options)?,
        };
        through(nat, &mut gateway, lab, scenario.packets, |gateway| {
            (scenario.run)(lab, gateway)?;
            assert!(lab.outside.count() > 0, "the capture saw the scenario");
            Ok(())
        })
    });
}

/// Plays, and looks at what must hold at the end of everything that is played. On failure, prints what the
/// gateway knows.
pub(crate) fn through(
    nat: Nat,
    gateway: &mut Gateway,
    lab: &Lab,
    packets: u64,
    play: impl FnOnce(&mut Gateway) -> Result<()>,
) -> Result<()> {
    let verdict = catch_unwind(AssertUnwindSafe(|| {
        play(gateway)?;
        lab.outside.check_leaks()?;
        if packets > 0 && nat != Nat::Kernel {
            prove_carrier(nat, gateway, packets);
        }
        if let Some(daemon) = gateway.daemon_mut() {
            // None if the scenario itself has stopped it.
            let ended = daemon.process().and_then(Running::ended);
            assert_eq!(ended, None, "the daemon runs to the end");
            let log = daemon.log();
            let errors: Vec<&str> = log.lines().filter(|l| l.contains(" ERROR ")).collect();
            assert!(errors.is_empty(), "the daemon logged no error: {errors:#?}");
        }
        Ok(())
    }));
    if !matches!(verdict, Ok(Ok(()))) {
        eprintln!("{}", gateway.report());
    }
    verdict.unwrap_or_else(|panicked| resume_unwind(panicked))
}

/// Who has carried the packets of established sessions, by their own counters.
fn prove_carrier(nat: Nat, gateway: &Gateway, packets: u64) {
    let daemon = gateway.daemon().expect("this gateway is a daemon");
    let stats = daemon.ask(&["stats", "--json"]).unwrap();
    let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
    let [engine, tc, xdp] =
        ["engine", "tc", "xdp"].map(|carrier| stats["fast_path"][carrier].as_u64().unwrap());
    let all = engine + tc + xdp;
    let (wanted, others) = match nat {
        Nat::MasqOnXdp => (xdp, engine + tc),
        Nat::MasqOnTc => (tc, engine + xdp),
        Nat::Masq | Nat::Kernel => (engine, tc + xdp),
    };
    assert!(wanted >= packets, "{nat:?} carried {wanted} of {all} packets: {stats:#}");
    // The first of each connection are the engine's whoever carries the rest.
    assert!(10 * others <= all, "{nat:?} carried {wanted} of {all} packets: {stats:#}");
}

/// What to start, or nothing for the kernel; `None` when there is no program to test.
fn options(nat: Nat, config: Option<&'static str>) -> Option<Option<MasqOptions>> {
    if nat == Nat::Kernel {
        return Some(None);
    }
    let Some(binary) = masq_binary() else {
        skip_without_program();
        return None;
    };
    let options = MasqOptions::new(binary);
    let fast_path = match nat {
        Nat::MasqOnXdp => "[fast-path]\nmode = 'xdp'\n",
        Nat::MasqOnTc => "[fast-path]\nmode = 'tc'\n",
        Nat::Masq | Nat::Kernel => "[fast-path]\nmode = 'off'\n",
    };
    let config = config.unwrap_or_default();
    let chooses = config.contains("[fast-path]");
    let text = if chooses { config.to_owned() } else { format!("{config}{fast_path}") };
    // One that names an outside names everything; the command line would take its place.
    let names_all = text.contains("[[outside]]");
    Some(Some(if names_all { options.whole_config(text) } else { options.config(text) }))
}

/// Builds a lab and plays in it. On failure, prints what there is to know and keeps the packets.
pub(crate) fn in_lab(name: &str, topology: &Topology, play: impl FnOnce(&Lab) -> Result<()>) {
    if let Some(reason) = unavailable() {
        return skip(&reason);
    }
    let lab = topology.build().unwrap();
    let outcome = catch_unwind(AssertUnwindSafe(|| play(&lab)));
    if matches!(outcome, Ok(Ok(()))) {
        return;
    }
    eprintln!("{}", lab.report());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("{}.pcap", name.replace("::", ".")));
    let kept = fs::create_dir_all(folder).is_ok() && lab.outside.write_pcap(&file).is_ok();
    if kept {
        eprintln!("the last packets on the outside are in {}", file.display());
    }
    match outcome {
        Ok(result) => result.unwrap_or_else(|error| panic!("{error}")),
        Err(panicked) => resume_unwind(panicked),
    }
}

/// For tests of a program that is not there.
pub(crate) fn skip_without_program() {
    skip("there is no masq program; `cargo build -p masq` makes it, $MASQ_BIN names another");
}

/// For tests of what the kernel that is there cannot do: that it cannot is no fault, wherever it is run.
pub(crate) fn skip_on_this_kernel(reason: &str) {
    eprintln!("skipped: {reason}");
}

/// A skipped test says why; where tests must run, it fails instead.
pub(crate) fn skip(reason: &str) {
    assert!(env::var_os("MASQ_REQUIRE_NETNS").is_none(), "cannot be skipped here: {reason}");
    eprintln!("skipped: {reason}");
}
