//! An archive that the kernel unpacks into its first file system: cpio in the form `newc`, uncompressed, since
//! under emulation unpacking costs more than reading.
//!
//! The kernel takes several archives one after another, so what changes seldom is written once.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};

/// An archive that grows in memory.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    written: BTreeSet<PathBuf>,
}

impl Archive {
    /// Whether there is something of this name.
    pub(crate) fn contains(&self, path: &Path) -> bool {
        self.written.contains(path)
    }

    /// A folder, with those above it.
    pub(crate) fn folder(&mut self, path: &Path) {
        let mut above = PathBuf::new();
        for part in path.components().filter(|part| matches!(part, Component::Normal(_))) {
            above.push(part);
            self.entry(&Path::new("/").join(&above), FOLDER | 0o755, &[]);
        }
    }

    /// A file, with the folders above it. What has a name already stays as it is.
    pub(crate) fn file(&mut self, path: &Path, executable: bool, content: &[u8]) {
        self.folders_above(path);
        self.entry(path, FILE | if executable { 0o755 } else { 0o644 }, content);
    }

    /// A symbolic link, with the folders above it.
    pub(crate) fn link(&mut self, path: &Path, to: &str) {
        self.folders_above(path);
        self.entry(path, LINK | 0o777, to.as_bytes());
    }

    /// Writes it to a file.
    pub(crate) fn write(mut self, file: &Path) -> Result<()> {
        self.record("TRAILER!!!", 0, &[]);
        fs::write(file, self.bytes).with_context(|| format!("{} cannot be written", file.display()))
    }

    fn folders_above(&mut self, path: &Path) {
        if let Some(folder) = path.parent() {
            self.folder(folder);
        }
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) {
        if self.written.insert(path.to_owned()) {
            let name = path.to_string_lossy();
            self.record(name.trim_start_matches('/'), mode, content);
        }
    }

    fn record(&mut self, name: &str, mode: u32, content: &[u8]) {
        // Number, mode, owner, group, links, time, size, device (2), special device (2), name, checksum.
        let number = self.written.len();
        let (size, length) = (content.len(), name.len() + 1);
        let fields = [number, mode as usize, 0, 0, 1, 0, size, 0, 0, 0, 0, length, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            let _ = write!(self.bytes, "{field:08x}");
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_is_a_header_a_name_and_a_content_by_fours() {
        let mut archive = Archive::default();
        archive.file(Path::new("/bin/hello"), true, b"hello");
        archive.file(Path::new("/bin/hello"), true, b"not again");
        archive.link(Path::new("/bin/hallo"), "hello");
        assert!(archive.contains(Path::new("/bin")) && !archive.contains(Path::new("/sbin")));
        let text = String::from_utf8(archive.bytes).unwrap();
        assert_eq!(text.len() % 4, 0);
        assert_eq!(text.matches("070701").count(), 3);
        assert!(text.contains("bin/hello\0hello\0"), "{text:?}");
        assert!(text.contains("000081ed"), "an executable file: {text:?}");
        assert!(!text.contains("again"));
    }
}
