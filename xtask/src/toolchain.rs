//! The toolchain of the eBPF programs: a compiler that accepts unstable options, `core`'s source
//! for it, and `bpf-linker` built on an LLVM at least as new as the compiler's.
//!
//! Stable Rust has none of the three. There are two ways to get them:
//!
//! ```text
//! Debian   rustc-web + rust-web-src   /usr/bin/rustc beside the rustup one; unstable options by RUSTC_BOOTSTRAP
//! Nightly  rustup's nightly + rust-src
//! ```
//!
//! One that is complete is used as it is. Otherwise the Debian way is preferred where its packages
//! exist, because it brings a matching LLVM for the linker.

use core::time::Duration;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{apt, process, say, setup};

/// Versions of LLVM for which `BPF_LINKER` can be built.
const LLVM: core::ops::RangeInclusive<u32> = 21..=23;
/// The linker's version is fixed, like any other dependency's.
const BPF_LINKER: &str = "0.13.0";
/// The Debian compiler and the library source that `-Z build-std` reads.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/core/Cargo.toml";
/// The oldest compiler that understands the workspace's edition and its dependencies.
const OLDEST: (u32, u32) = (1, 95);

/// A complete toolchain.
pub(crate) struct Toolchain {
    pub(crate) compiler: Compiler,
    pub(crate) linker: PathBuf,
}

/// Who compiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compiler {
    Debian,
    Nightly,
}

/// What `rustc -vV` says.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    release: (u32, u32),
    llvm: u32,
}

/// The toolchain that is there, if one is complete. Takes some tens of milliseconds.
pub(crate) fn find(root: &Path) -> Option<Toolchain> {
    let (compiler, version) = find_compiler()?;
    Some(Toolchain { compiler, linker: find_linker(root, version.llvm)? })
}

/// Installs what is missing. `refreshed` are packages installed just before: then the package
/// lists are fresh.
///
/// # Errors
/// Neither way is open, or a step fails; the message says what to do.
pub(crate) fn install(root: &Path, refreshed: &[String]) -> Result<Toolchain> {
    if find_compiler().is_none() {
        install_compiler(refreshed)?;
    }
    let (compiler, version) = find_compiler().context(
        "the compiler for the eBPF programs was installed but is not found; \
         `/usr/bin/rustc -vV` and `rustup run nightly rustc -vV` show what is there",
    )?;
    let linker = match find_linker(root, version.llvm) {
        Some(linker) => linker,
        None => install_linker(root, version.llvm)?,
    };
    Ok(Toolchain { compiler, linker })
}

fn find_compiler() -> Option<(Compiler, Version)> {
    if Path::new(DEBIAN_SOURCE).is_file()
        && let Some(version) = version_of(Path::new(DEBIAN_RUSTC), &["-vV"])
    {
        return Some((Compiler::Debian, version));
    }
    let rustup = process::find("rustup")?;
    let sysroot = process::output_of(&rustup, &["run", "nightly", "rustc", "--print=sysroot"])?;
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/Cargo.toml");
    if !source.is_file() {
        return None;
    }
    let version = version_of(&rustup, &["run", "nightly", "rustc", "-vV"])?;
    Some((Compiler::Nightly, version))
}

fn version_of(program: &Path, arguments: &[&str]) -> Option<Version> {
    let version = Version::parse(&process::output_of(program, arguments)?)?;
    (version.release >= OLDEST).then_some(version)
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
        let mut release = value("release: ")?.split('.').map_while(|part| part.parse().ok());
        let llvm = value("LLVM version: ")?.split('.').next()?.parse().ok()?;
        Some(Self { release: (release.next()?, release.next()?), llvm })
    }
}

fn install_compiler(refreshed: &[String]) -> Result<()> {
    if apt::is_here() {
        let packages = ["rustc-web", "rust-web-src"].map(str::to_owned);
        // Without root there is no way on, and a rustup toolchain alone would lack the linker.
        apt::may_install(&packages)?;
        if refreshed.is_empty() {
            apt::refresh();
        }
        let new_enough = apt::candidate("rustc-web").and_then(|version| parse_release(&version));
        if new_enough >= Some(OLDEST) {
            return apt::install(&packages);
        }
    }
    if let Some(rustup) = process::find("rustup") {
        say::status("Installing", "a nightly toolchain with rust-src (rustup)");
        return process::run(
            Command::new(rustup).args(["toolchain", "install", "nightly"]).args([
                "--profile",
                "minimal",
                "--component",
                "rust-src",
            ]),
        )
        .context("the eBPF programs need a nightly toolchain with rust-src; is the network up?");
    }
    let (major, minor) = OLDEST;
    bail!(
        "no compiler for the eBPF programs can be installed: Debian's package rustc-web {major}.{minor} \
         or later is not offered here (Debian 12 has it in bookworm-security), and there is no rustup; \
         add either, then run this again"
    )
}

/// `1.96.0+dfsg1-1` → (1, 96).
fn parse_release(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The linker, in the project's own folder or where `cargo install` puts it, when it starts and
/// reads what a compiler with this LLVM writes.
fn find_linker(root: &Path, llvm: u32) -> Option<PathBuf> {
    let ours = local_root(root).join("bin/bpf-linker");
    let candidates = [Some(ours), cargo_home().map(|home| home.join("bin/bpf-linker"))];
    let on_path = process::find("bpf-linker");
    candidates
        .into_iter()
        .flatten()
        .chain(on_path)
        .find(|linker| linker.is_file() && links(linker, llvm))
}

/// Bitcode is read by the LLVM that wrote it and by later ones, never by earlier ones.
fn links(linker: &Path, llvm: u32) -> bool {
    if process::output_of(linker, &["--version"]).is_none() {
        return false;
    }
    // The linker does not tell its LLVM's version. One that carries LLVM inside cannot be asked,
    // and is taken at its word.
    match library_version(&beginning(linker)) {
        Some(version) => version >= llvm,
        None => true,
    }
}

/// The first 256 KiB of a program: the names of the libraries it loads are near its beginning.
fn beginning(program: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = std::fs::File::open(program) {
        // What cannot be read is as good as empty: the version is then unknown.
        let _ = file.take(256 << 10).read_to_end(&mut bytes);
    }
    bytes
}

/// The version in the name of the LLVM library that a program loads: `libLLVM.so.22.1` or
/// `libLLVM-22.so`.
fn library_version(program: &[u8]) -> Option<u32> {
    ["libLLVM.so.", "libLLVM-"].iter().find_map(|prefix| {
        let at = program.windows(prefix.len()).position(|window| window == prefix.as_bytes())?;
        let digits = program.get(at + prefix.len()..)?;
        let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        core::str::from_utf8(digits.get(..length)?).ok()?.parse().ok()
    })
}

fn install_linker(root: &Path, llvm: u32) -> Result<PathBuf> {
    if !LLVM.contains(&llvm) {
        bail!(
            "the compiler for the eBPF programs uses LLVM {llvm}; bpf-linker {BPF_LINKER} knows {} to \
             {}. `cargo install bpf-linker` with a later version, then run this again",
            LLVM.start(),
            LLVM.end()
        );
    }
    install_llvm(llvm)?;
    let prefix = format!("/usr/lib/llvm-{llvm}");
    say::status(
        "Installing",
        &format!(
            "bpf-linker {BPF_LINKER} into target/tools ({} on two cores)",
            setup::about(Duration::from_secs(80))
        ),
    );
    let mut path = std::ffi::OsString::from(format!("{prefix}/bin:"));
    path.push(process::path());
    let local = local_root(root);
    process::run(
        process::cargo(root)
            .env("PATH", path)
            .env(format!("LLVM_SYS_{llvm}1_PREFIX"), prefix)
            .args(["install", "--quiet", "--locked", "bpf-linker", "--version", BPF_LINKER])
            .args(["--no-default-features", "--features", &format!("llvm-{llvm}"), "--root"])
            .arg(&local)
            .arg("--target-dir")
            .arg(local.join("build")),
    )
    .context("bpf-linker, which links the eBPF programs, could not be built")?;
    // Only the program is wanted; what it was built from is some hundred megabytes.
    let _ = std::fs::remove_dir_all(local.join("build"));
    find_linker(root, llvm).context("bpf-linker was built but does not start")
}

/// What bpf-linker is linked with.
fn install_llvm(llvm: u32) -> Result<()> {
    let wanted = [
        (format!("/usr/lib/llvm-{llvm}/bin/llvm-config"), format!("llvm-{llvm}-dev")),
        (format!("/usr/lib/llvm-{llvm}/lib/libPolly.a"), format!("libpolly-{llvm}-dev")),
        ("/usr/include/zstd.h".to_owned(), "libzstd-dev".to_owned()),
        ("/usr/include/zlib.h".to_owned(), "zlib1g-dev".to_owned()),
        ("/usr/include/libxml2".to_owned(), "libxml2-dev".to_owned()),
        ("/usr/bin/c++".to_owned(), "g++".to_owned()),
    ];
    let missing: Vec<String> = wanted
        .into_iter()
        .filter(|(file, _)| !Path::new(file).exists())
        .map(|(_, package)| package)
        .collect();
    if missing.is_empty() { Ok(()) } else { apt::install(&missing) }
}

/// The project's own tools: they go with `cargo clean`, and leave the user's alone.
fn local_root(root: &Path) -> PathBuf {
    root.join("target/tools")
}

fn cargo_home() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_rustc() {
        let text = "rustc 1.96.0 (ac68faa20 2026-05-25)\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!(Version::parse(text), Some(Version { release: (1, 96), llvm: 22 }));
        let nightly = "release: 1.97.0-nightly\nLLVM version: 22.1.4\n";
        assert_eq!(Version::parse(nightly), Some(Version { release: (1, 97), llvm: 22 }));
        assert_eq!(Version::parse("rustc 1.63.0\n"), None);
    }

    #[test]
    fn versions_are_read_from_packages() {
        assert_eq!(parse_release("1.96.0+dfsg1-1~deb12u2"), Some((1, 96)));
        assert!(parse_release("1.85.0+dfsg3-1~deb12u3") < Some(OLDEST));
        assert_eq!(parse_release("unknown"), None);
    }

    #[test]
    fn the_linkers_library_tells_its_version() {
        assert_eq!(library_version(b"\0libc.so.6\0libLLVM.so.22.1\0"), Some(22));
        assert_eq!(library_version(b"\0libLLVM-19.so.1\0"), Some(19));
        assert_eq!(library_version(b"\0libc.so.6\0"), None);
    }
}
