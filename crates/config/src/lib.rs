//! `masq.toml` to a checked configuration.
//!
//! ```text
//!  text ──parse──► File (keys, with places) ──check──► CheckedConfig ──policy──► masq_core::Policy
//!         │                                   │                        ▲
//!         └ syntax, unknown keys              └ contradictions         └ the interfaces there are
//! ```
//!
//! Parsing is validation: a [`CheckedConfig`] makes sense, and there is no other way to the engine.
//! Errors carry the line, a mark under the place, and what would be right; all contradictions are
//! reported at once. Nothing here reads a file or asks the kernel.

#![forbid(unsafe_code)]

pub use address::{AddressRange, NotAnAddress, Prefix};
pub use check::{
    Addresses, CheckedConfig, InsideConfig, OutsideConfig, Overrides, Ports, TABLE_SESSIONS,
};
pub use difference::Difference;
pub use duration::{Lifetime, NotADuration};
pub use interface::{InterfacePattern, NotAnInterface};
pub use policy::Link;
pub use ports::{NotPorts, PortRange};
pub use report::{Problem, Report, Severity, Source};
pub use settings::{Dependence, FastPathMode, Nat, Pooling, Profile};
pub use suggest::nearest;

mod address;
mod check;
mod difference;
mod duration;
mod file;
mod interface;
mod list;
mod parse;
mod policy;
mod ports;
mod report;
mod settings;
mod suggest;

/// A complete file: every key with its default and the reason for it.
pub const SAMPLE: &str = include_str!("../../../config.sample.toml");

/// A configuration with what is worth saying about it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The configuration.
    pub config: CheckedConfig,
    /// Warnings, if any.
    pub warnings: Option<Report>,
}

/// Reads and judges a configuration.
///
/// # Errors
///
/// Everything that is wrong with it, warnings included.
pub fn judge(source: Source, overrides: &Overrides) -> Result<Judged, Report> {
    let file = match parse::parse(&source.text) {
        Ok(file) => file,
        Err(problem) => return Err(Report::new(source, vec![problem])),
    };
    let (config, problems) = check::check(file, overrides);
    let report = Report::new(source, problems);
    if report.has_errors() {
        return Err(report);
    }
    let warnings = (!report.problems().is_empty()).then_some(report);
    Ok(Judged { config, warnings })
}
