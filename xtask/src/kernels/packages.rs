//! Debian's own kernels: found in the package lists, downloaded, and unpacked below `target/kernels`; not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{apt, process, say};

/// A kernel that the lab can be run on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    series: &'static str,
    flavour: &'static str,
    /// What it is there for.
    pub(crate) about: &'static str,
    /// The tests that are run on it unless others are named.
    pub(crate) usual: &'static [&'static str],
}

/// All of them.
pub(crate) static KERNELS: [Kernel; 3] = [
    Kernel {
        name: "6.1",
        series: "6.1",
        flavour: "cloud-amd64",
        about: "Debian 12: no tcx, and nothing says what takes XDP redirects",
        usual: &[""],
    },
    Kernel {
        name: "6.12",
        series: "6.12",
        flavour: "cloud-amd64",
        about: "Debian 13, and 12 with its newer kernel",
        usual: &[""],
    },
    Kernel {
        name: "full",
        series: "6.1",
        flavour: "amd64",
        about: "6.1 with drivers that a cloud has no use for: PPP, PPPoE, L2TP",
        usual: &["scenarios::links::"],
    },
];

/// A kernel that lies unpacked.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// The folder, which has the package's `boot` and `lib`.
    pub(crate) folder: PathBuf,
    /// The kernel itself.
    pub(crate) image: PathBuf,
    /// Its release, which is the name of its modules' folder.
    pub(crate) release: String,
}

impl Kernel {
    /// Finds it below `target/kernels`, or fetches it.
    ///
    /// # Errors
    /// The package is not in the lists, cannot be downloaded, or is not what it should be.
    pub(crate) fn unpack(&self, below: &Path) -> Result<Unpacked> {
        let folder = below.join(self.name);
        if !folder.is_dir() {
            self.fetch(below, &folder).with_context(|| format!("kernel {}", self.name))?;
        }
        let release = only_entry(&folder.join("lib/modules"))?;
        let image = folder.join(format!("boot/vmlinuz-{release}"));
        if !image.is_file() {
            bail!("{} is missing; remove {} and try again", image.display(), folder.display());
        }
        Ok(Unpacked { folder, image, release })
    }

    fn fetch(&self, below: &Path, folder: &Path) -> Result<()> {
        let package = match self.newest() {
            Some(package) => package,
            None => {
                apt::refresh();
                self.newest().with_context(|| {
                    format!(
                        "no package linux-image-{}.…-{} in this system's sources (Debian has it in \
                         bookworm and bookworm-security)",
                        self.series, self.flavour
                    )
                })?
            }
        };
        say::status("Downloading", &package);
        let new = below.join(format!("{}.{}", self.name, std::process::id()));
        fs::create_dir_all(&new).with_context(|| format!("{}", new.display()))?;
        process::run_quietly(
            Command::new("apt-get").args(["-q", "download", &package]).current_dir(&new),
        )
        .with_context(|| format!("{package} cannot be downloaded"))?;
        let archive = new.join(only_entry(&new)?);
        process::run_quietly(Command::new("dpkg-deb").arg("-x").args([&archive, &new]))?;
        fs::remove_file(archive)?;
        // A folder of this name is whole.
        fs::rename(&new, folder).with_context(|| format!("{}", folder.display()))
    }

    /// The package of the newest kernel of the series.
    fn newest(&self) -> Option<String> {
        let prefix = format!("linux-image-{}.", self.series);
        let names = process::output_of(&process::find("apt-cache")?, &["pkgnames", &prefix])?;
        self.choose(names.lines())
    }

    fn choose<'a>(&self, names: impl Iterator<Item = &'a str>) -> Option<String> {
        // "6.1.0-57", "6.12.117+deb12"; other flavours have words between the numbers and what is asked for.
        let version = |name: &str| -> Option<Vec<u32>> {
            let rest = name.strip_prefix("linux-image-")?.strip_suffix(self.flavour)?;
            let parts = rest.strip_suffix('-')?.split(['.', '-', '+']);
            parts.map(|part| part.trim_start_matches("deb").parse().ok()).collect()
        };
        let newest = names.filter_map(|name| Some((version(name)?, name))).max();
        newest.map(|(_, name)| name.to_owned())
    }
}

/// The name of the only thing in a folder.
fn only_entry(folder: &Path) -> Result<String> {
    let what = || format!("{} cannot be read", folder.display());
    let names = fs::read_dir(folder).with_context(what)?;
    let names = names.collect::<Result<Vec<_>, _>>().with_context(what)?;
    match &names[..] {
        [one] => Ok(one.file_name().to_string_lossy().into_owned()),
        _ => bail!("{} should hold one thing, and holds {}", folder.display(), names.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_a_series_and_flavour_is_chosen() {
        let names = [
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-57-cloud-amd64",
            "linux-image-6.1.0-58-cloud-amd64-dbg",
            "linux-image-6.1.0-57-amd64",
            "linux-image-6.1.0-59-rt-amd64",
        ];
        let [small, _, full] = &KERNELS;
        assert_eq!(small.choose(names.into_iter()).as_deref(), Some(names[1]));
        assert_eq!(full.choose(names.into_iter()).as_deref(), Some(names[3]));
        let later =
            ["linux-image-6.12.99+deb12-cloud-amd64", "linux-image-6.12.117+deb12-cloud-amd64"];
        assert_eq!(KERNELS[1].choose(later.into_iter()).as_deref(), Some(later[1]));
        assert_eq!(small.choose([].into_iter()), None);
    }
}
