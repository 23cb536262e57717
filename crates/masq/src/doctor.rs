//! `masq doctor`: is this kernel and host fit, and what else on it concerns masq?
//!
//! The dataplane knows what its programs need and looks at the host; the configuration, if there is
//! one, is judged first and tells it which interfaces matter.

use std::path::Path;

use anyhow::{Result, bail};
use masq_api::{Check, DoctorReport, Outcome};
use masq_config::Judged;
use masq_dataplane::{Configuration, Options};

use crate::cli;
use crate::gateway::{Origin, Wanted};
use crate::output;
use crate::view;

pub(crate) fn doctor(doctor: &cli::Doctor, instance: &str) -> Result<()> {
    let (mut checks, wanted) = configuration(&doctor.source)?;
    let wanted = wanted.as_ref().map(|wanted| {
        let wanted: &dyn Configuration = wanted;
        wanted
    });
    let found = masq_dataplane::doctor(&Options::new(instance), wanted);
    checks.extend(found.into_iter().map(|check| Check {
        name: check.name.to_owned(),
        outcome: match check.outcome {
            masq_dataplane::Outcome::Ok => Outcome::Ok,
            masq_dataplane::Outcome::Warning => Outcome::Warning,
            masq_dataplane::Outcome::Failure => Outcome::Failure,
        },
        found: check.found,
        remedy: check.remedy,
    }));
    let report = DoctorReport { checks };
    if doctor.output.json {
        output::pretty_json(&report)?;
    } else {
        output::print(&view::doctor::text(&report))?;
    }
    if report.outcome() == Outcome::Failure {
        bail!("this host cannot run masq as it is");
    }
    Ok(())
}

/// Judges the configuration that `masq run` would take, if there is any.
fn configuration(source: &cli::Source) -> Result<(Vec<Check>, Option<Wanted>)> {
    let named = source.config.is_some() || !source.inside.is_empty() || !source.outside.is_empty();
    if !named && !Path::new(cli::DEFAULT_CONFIG).exists() {
        let check = Check {
            name: "configuration".to_owned(),
            outcome: Outcome::Ok,
            found: format!("no {}; name interfaces to have them looked at", cli::DEFAULT_CONFIG),
            remedy: None,
        };
        return Ok((vec![check], None));
    }
    let origin = Origin::new(source)?;
    let (outcome, found, wanted) = match origin.judge() {
        Ok(Judged { config, warnings: None }) => {
            (Outcome::Ok, format!("{origin} can be used"), Some(Wanted(config)))
        }
        Ok(Judged { config, warnings: Some(warnings) }) => {
            (Outcome::Warning, warnings.to_string(), Some(Wanted(config)))
        }
        Err(error) => (Outcome::Failure, format!("{error:#}"), None),
    };
    let check = Check { name: "configuration".to_owned(), outcome, found, remedy: None };
    Ok((vec![check], wanted))
}
