//! The archive that says what is to be done: the machine's first process, and the tests that it runs.

use core::fmt::Write as _;
use core::time::Duration;
use std::path::Path;

use anyhow::Result;

use super::archive::Archive;
use super::modules::WANTED;
use super::tests::Test;

/// How long one test may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(240);

/// How many times as long as on a real processor the tests wait for what should be immediate.
const PATIENCE: u32 = 4;

/// Writes the archive.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(tests: &[Test], archive: &Path) -> Result<()> {
    let mut job = Archive::default();
    job.file(Path::new("/init"), true, include_bytes!("init.sh"));
    let settings = format!(
        "LIMIT={}\nexport MASQ_TEST_PATIENCE={PATIENCE}\nMODULES='{}'\n",
        LIMIT.as_secs(),
        WANTED.split_whitespace().collect::<Vec<_>>().join(" ")
    );
    job.file(Path::new("/job/settings"), false, settings.as_bytes());
    let mut list = String::new();
    for test in tests {
        let _ = writeln!(list, "{} {}", test.file.display(), test.name);
    }
    job.file(Path::new("/job/tests"), false, list.as_bytes());
    job.write(archive)
}
