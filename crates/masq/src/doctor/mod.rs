//! `masq doctor`: is this kernel and host fit, and what else on it concerns masq?
//!
//! The kernel's side (what the programs need) is known to the dataplane, which asks the kernel by
//! trying. The host's side is here: other NAT, policies that redirected packets no longer meet, IPv6
//! that leaves untranslated. Facts are gathered first and judged by pure functions.

mod host;

use anyhow::{Result, bail};
use masq_api::{DoctorReport, Outcome};

use crate::cli;
use crate::output;
use crate::view;

pub(crate) fn doctor(output: cli::Output, instance: &str) -> Result<()> {
    let checks = host::judge(&host::Facts::gather());
    let report = DoctorReport { checks };
    if output.json {
        output::pretty_json(&report)?;
    } else {
        output::print(&view::doctor::text(&report))?;
    }
    if report.outcome() == Outcome::Failure {
        bail!("this host cannot run masq yet");
    }
    Ok(())
}
