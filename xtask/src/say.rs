//! Progress lines in the manner of cargo: a verb, right-aligned, and what it is done to.
//!
//! Everything goes to standard error, where cargo's own lines go, so that a command's standard
//! output (a demo's `--json`) stays its own.
#![expect(clippy::print_stderr, reason = "the one place where the xtask speaks")]

use std::io::{IsTerminal as _, Write as _};

/// `   Installing nftables`.
pub(crate) fn status(verb: &str, what: &str) {
    line(verb, what, "1;32");
}

/// `      Warning …`: something is not as it should be, but the work goes on.
pub(crate) fn warning(what: &str) {
    line("Warning", what, "1;33");
}

/// The error and what led to it, one cause a line.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("{}: {error}", paint("error", "1;31"));
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}

/// How the xtask is used.
pub(crate) fn usage(text: &str) {
    eprintln!("{text}");
}

/// A line of another program, passed on.
pub(crate) fn line_of_output(text: &str) {
    // A reader that has gone away is no reason to stop.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn line(verb: &str, what: &str, colour: &str) {
    // The width is counted without the colour, as cargo does.
    eprintln!("{} {what}", paint(&format!("{verb:>12}"), colour));
}

fn paint(text: &str, colour: &str) -> String {
    if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
