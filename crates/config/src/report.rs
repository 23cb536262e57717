//! What is wrong with a configuration, where, and what would be right.
//!
//! All problems are reported at once, in the order of the file, each with its line under it:
//!
//! ```text
//! masq.toml:7:1: unknown key `filterng`
//!   |
//! 7 | filterng = "endpoint-independent"
//!   | ^^^^^^^^
//!   = did you mean `filtering`?
//! ```

use core::fmt;
use core::ops::Range;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but is probably not what is wanted.
    Warning,
}

/// One thing wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where in the text, in bytes; `None` when it came from the command line.
    pub span: Option<Range<usize>>,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// A mistake.
    #[must_use]
    pub fn error(span: Option<Range<usize>>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, span, message: message.into(), help: None }
    }

    /// Something that works but is worth a look.
    #[must_use]
    pub fn warning(span: Option<Range<usize>>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, span, message: message.into(), help: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Where a configuration came from, to name it in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file's path, or `command line`.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// Problems with the text that they point into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    source: Source,
    problems: Vec<Problem>,
}

impl Report {
    /// Sorts the problems as the file has them.
    #[must_use]
    pub fn new(source: Source, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.span.as_ref().map_or(0, |span| span.start));
        Self { source, problems }
    }

    /// Everything found, in the order of the file.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Whether anything makes the configuration unusable.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Line and column, both from 1, of a problem in the text.
    #[must_use]
    pub fn place(&self, problem: &Problem) -> Option<(usize, usize)> {
        problem.span.as_ref().map(|span| self.position(span.start))
    }

    /// Line and column, both from 1, of a byte.
    fn position(&self, offset: usize) -> (usize, usize) {
        let mut offset = offset.min(self.source.text.len());
        while !self.source.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.source.text[..offset];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        (line, column)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, problem: &Problem) -> fmt::Result {
        let label = match problem.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        let Some(span) = &problem.span else {
            write!(f, "{}: {label}{}", self.source.name, problem.message)?;
            if let Some(help) = &problem.help {
                write!(f, "\n  = {help}")?;
            }
            return Ok(());
        };
        let (line, column) = self.position(span.start);
        write!(f, "{}:{line}:{column}: {label}{}", self.source.name, problem.message)?;
        let text = self.source.text.lines().nth(line - 1).unwrap_or_default();
        let margin = " ".repeat(line.to_string().len());
        // A span may run over several lines; the first one is enough to find the place.
        let marked = self.source.text.get(span.clone()).unwrap_or_default();
        let marked = marked.lines().next().unwrap_or_default().chars().count().max(1);
        let indent: String =
            text.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "\n{margin} |\n{line} | {text}\n{margin} | {indent}{}", "^".repeat(marked))?;
        if let Some(help) = &problem.help {
            write!(f, "\n{margin} = {help}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            self.write(f, problem)?;
        }
        Ok(())
    }
}

impl core::error::Error for Report {}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(text: &str, problem: Problem) -> String {
        let source = Source { name: "masq.toml".into(), text: text.into() };
        Report::new(source, vec![problem]).to_string()
    }

    #[test]
    fn the_place_is_shown_under_its_line() {
        let text = "[nat]\nfilterng = 1\n";
        let problem =
            Problem::error(Some(6..14), "unknown key `filterng`").help("did you mean `filtering`?");
        insta::assert_snapshot!(report(text, problem), @r"
        masq.toml:2:1: unknown key `filterng`
          |
        2 | filterng = 1
          | ^^^^^^^^
          = did you mean `filtering`?
        ");
    }

    #[test]
    fn the_end_of_the_text_and_foreign_letters_are_places_too() {
        let text = "a = \"ü\"";
        assert!(report(text, Problem::error(Some(6..6), "m")).starts_with("masq.toml:1:6: m"));
        assert!(report(text, Problem::error(Some(99..120), "m")).starts_with("masq.toml:1:8: m"));
    }

    #[test]
    fn a_problem_of_the_command_line_has_no_place() {
        let shown = report("", Problem::error(None, "no outside interface").help("add --outside"));
        assert_eq!(shown, "masq.toml: no outside interface\n  = add --outside");
    }
}
