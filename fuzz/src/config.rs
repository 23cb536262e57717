//! Bytes as `masq.toml`.
//!
//! Whatever the text, it is judged without panicking, an error has a place in the text, and what is
//! accepted once is accepted again and does not differ from itself.

use masq_config::{Overrides, Severity, Source, judge};

/// Judges a text.
pub fn run(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let source = || Source { name: "masq.toml".to_owned(), text: text.to_owned() };
    match judge(source(), &Overrides::default()) {
        Ok(judged) => {
            if let Some(warnings) = &judged.warnings {
                assert!(!warnings.to_string().is_empty());
            }
            let again = judge(source(), &Overrides::default()).expect("what is right stays right");
            assert_eq!(judged.config, again.config);
        }
        Err(report) => {
            let errors: Vec<_> = report
                .problems()
                .iter()
                .filter(|problem| problem.severity == Severity::Error)
                .collect();
            assert!(!errors.is_empty(), "refused for no reason");
            for problem in errors {
                assert!(!problem.message.is_empty());
                if let Some(span) = &problem.span {
                    assert!(
                        text.get(span.clone()).is_some(),
                        "{span:?} is not a place in {text:?}"
                    );
                }
            }
            assert!(report.to_string().starts_with("masq.toml"), "{report}");
        }
    }
}
