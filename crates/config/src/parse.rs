//! Text to [`File`], and the parser's errors in our words.

use core::ops::Range;

use crate::file::File;
use crate::report::Problem;
use crate::suggest;

pub(crate) fn parse(text: &str) -> Result<File, Problem> {
    toml::from_str(text).map_err(|error| problem(text, &error))
}

/// serde says what is wrong in one sentence of a fixed form (`unknown field `x`, expected one of
/// `a`, `b``), which names every word that would have been right.
fn problem(text: &str, error: &toml::de::Error) -> Problem {
    let message = error.message();
    let span = error.span();
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return unknown(text, span, "key", rest);
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        return unknown(text, span, "value", rest);
    }
    if let Some(key) = message.strip_prefix("missing field ") {
        return Problem::error(span, format!("the key {key} is missing here"));
    }
    let message = message.lines().collect::<Vec<_>>().join(", ");
    Problem::error(span, message)
}

fn unknown(text: &str, span: Option<Range<usize>>, what: &str, rest: &str) -> Problem {
    let mut words = rest.split('`').skip(1).step_by(2);
    let word = words.next().unwrap_or_default();
    let known: Vec<_> = words.collect();
    let problem = Problem::error(narrow(text, span, word), format!("unknown {what} `{word}`"));
    if let Some(meant) = suggest::nearest(word, known.iter().copied()) {
        return problem.help(format!("did you mean `{meant}`?"));
    }
    if let Some(later) = later(word) {
        return problem.help(later);
    }
    problem.help(format!("known here: {}", known.join(", ")))
}

/// Sections that documents speak of and this release does not have.
fn later(word: &str) -> Option<&'static str> {
    match word {
        "forward" => Some("port forwarding is not in this release"),
        "helpers" => Some("protocol helpers are not in this release"),
        _ => None,
    }
}

/// The place of the word itself, where the parser points at a larger part.
fn narrow(text: &str, span: Option<Range<usize>>, word: &str) -> Option<Range<usize>> {
    let span = span?;
    let part = text.get(span.clone())?;
    match part.find(word) {
        Some(offset) if !word.is_empty() => {
            Some(span.start + offset..span.start + offset + word.len())
        }
        _ => Some(span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Report, Source};

    fn complaint(text: &str) -> String {
        let problem = parse(text).unwrap_err();
        let source = Source { name: "masq.toml".into(), text: text.into() };
        Report::new(source, vec![problem]).to_string()
    }

    #[test]
    fn a_mistyped_key_finds_its_word() {
        insta::assert_snapshot!(complaint("[nat]\nfilterng = 'endpoint-independent'\n"), @r"
        masq.toml:2:1: unknown key `filterng`
          |
        2 | filterng = 'endpoint-independent'
          | ^^^^^^^^
          = did you mean `filtering`?
        ");
    }

    #[test]
    fn a_mistyped_section_finds_its_word() {
        insta::assert_snapshot!(complaint("[[outsid]]\ninterface = 'eth0'\n"), @r"
        masq.toml:1:3: unknown key `outsid`
          |
        1 | [[outsid]]
          |   ^^^^^^
          = did you mean `outside`?
        ");
    }

    #[test]
    fn a_mistyped_value_finds_its_word() {
        insta::assert_snapshot!(complaint("[nat]\nmapping = 'endpoint-independant'\n"), @r"
        masq.toml:2:12: unknown value `endpoint-independant`
          |
        2 | mapping = 'endpoint-independant'
          |            ^^^^^^^^^^^^^^^^^^^^
          = did you mean `endpoint-independent`?
        ");
    }

    #[test]
    fn a_value_explains_itself() {
        insta::assert_snapshot!(complaint("[timeouts]\nudp = '5 minutes'\n"), @r#"
        masq.toml:2:7: `5 minutes` is not a duration: write seconds (300) or units ("5m", "2h4m", "1500ms")
          |
        2 | udp = '5 minutes'
          |       ^^^^^^^^^^^
        "#);
        insta::assert_snapshot!(complaint("[[inside]]\ninterface = 'eth1'\nnetworks = ['192.168.1.3/24']"), @r#"
        masq.toml:3:12: `192.168.1.3/24` has host bits set: write "192.168.1.0/24"
          |
        3 | networks = ['192.168.1.3/24']
          |            ^^^^^^^^^^^^^^^^^^
        "#);
    }

    #[test]
    fn what_comes_later_is_said_to_come_later() {
        assert!(complaint("[helpers]\nftp = {}\n").ends_with("helpers are not in this release"));
    }

    #[test]
    fn broken_syntax_and_wrong_types_have_a_place() {
        for text in [
            "[nat\n",
            "nat = 3\n",
            "[nat]\ncarrier = 'yes'\n",
            "[[outside]]\n",
            "[table]\nsessions = -1\n",
        ] {
            let said = complaint(text);
            assert!(said.starts_with("masq.toml:1:") || said.starts_with("masq.toml:2:"), "{said}");
        }
    }
}
