//! Where the configuration comes from, at the start and at every reload.

use core::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use masq_config::{InterfacePattern, Judged, Overrides, Source, judge};

use crate::cli;

/// A file, the command line, or both.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The file, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// What the command line says.
    overrides: Overrides,
}

impl Origin {
    /// Takes what the command line says, and the usual file when that is not enough.
    pub(crate) fn new(source: &cli::Source) -> Result<Self> {
        let overrides = Overrides {
            insides: patterns(&source.inside, "inside")?,
            outsides: patterns(&source.outside, "outside")?,
        };
        let complete = !overrides.insides.is_empty() && !overrides.outsides.is_empty();
        let file = match &source.config {
            Some(file) => Some(std::path::absolute(file).unwrap_or_else(|_| file.clone())),
            None if complete => None,
            None => Some(PathBuf::from(cli::DEFAULT_CONFIG)),
        };
        Ok(Self { file, overrides })
    }

    /// Reads and judges it.
    pub(crate) fn judge(&self) -> Result<Judged> {
        let source = match &self.file {
            Some(file) => crate::check::read(file)?,
            None => Source { name: self.to_string(), text: String::new() },
        };
        judge(source, &self.overrides).map_err(|report| anyhow!(report))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}", file.display()),
            None => f.write_str("the command line"),
        }
    }
}

fn patterns(names: &[String], option: &str) -> Result<Vec<InterfacePattern>> {
    let pattern = |name: &String| name.parse().with_context(|| format!("--{option} {name}"));
    names.iter().map(pattern).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(config: Option<&str>, inside: &[&str], outside: &[&str]) -> cli::Source {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        cli::Source {
            config: config.map(PathBuf::from),
            inside: owned(inside),
            outside: owned(outside),
        }
    }

    #[test]
    fn both_sides_on_the_command_line_need_no_file() {
        let origin = Origin::new(&source(None, &["eth1"], &["eth0"])).unwrap();
        assert_eq!(
            (origin.file.as_ref(), origin.to_string()),
            (None, "the command line".to_owned())
        );
        assert_eq!(origin.judge().unwrap().config.insides.len(), 1);
    }

    #[test]
    fn one_side_alone_needs_the_file() {
        let origin = Origin::new(&source(None, &["eth1"], &[])).unwrap();
        assert_eq!(origin.file, Some(PathBuf::from(cli::DEFAULT_CONFIG)));
    }

    #[test]
    fn a_name_that_cannot_be_one_is_refused_with_its_option() {
        let error = Origin::new(&source(None, &["eth 1"], &["eth0"])).unwrap_err();
        assert!(format!("{error:#}").starts_with("--inside eth 1: "), "{error:#}");
    }
}
