//! `ebpf`: the eBPF programs, built by their own compiler into `target/ebpf`.
//!
//! The gateway's and the bench's are a workspace each, because target, compiler and flags differ from
//! everything else's. An object is replaced only when its bytes change, so that what embeds it is not
//! built again for nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::toolchain::{Compiler, Toolchain};
use crate::{process, say, setup};

const TARGET: &str = "bpfel-unknown-none";

/// The packages, which are also the names of their objects, and where they are.
const PACKAGES: [(&str, &str); 2] =
    [("masq-ebpf", "crates/ebpf/Cargo.toml"), ("masq-bench-ebpf", "bench/ebpf/Cargo.toml")];

/// Sets up and builds.
///
/// # Errors
/// The set-up fails, or the programs do not compile.
pub(crate) fn run(root: &Path) -> Result<()> {
    let toolchain = setup::run(root)?;
    build(root, &toolchain)
}

/// Builds the programs with a toolchain that is there; quick when nothing has changed.
///
/// # Errors
/// The programs do not compile, or the object lacks what the kernel asks for.
pub(crate) fn build(root: &Path, toolchain: &Toolchain) -> Result<()> {
    PACKAGES.into_iter().try_for_each(|package| build_one(root, toolchain, package))
}

fn build_one(root: &Path, toolchain: &Toolchain, (name, manifest): (&str, &str)) -> Result<()> {
    let folder = root.join("target/ebpf");
    let object = folder.join(name);
    if !object.exists() {
        say::status("Building", &format!("the eBPF programs of {name}"));
    }
    process::run(&mut compile(root, &folder, manifest, toolchain)?)
        .with_context(|| format!("the eBPF programs of {name} could not be built"))?;

    let built = folder.join(TARGET).join("release").join(name);
    let bytes = std::fs::read(&built).with_context(|| format!("{} is missing", built.display()))?;
    check(&bytes)?;
    if std::fs::read(&object).is_ok_and(|existing| existing == bytes) {
        return Ok(());
    }
    // Renamed into place: a build that embeds it at the same time sees one or the other.
    let new = folder.join(format!("{name}.{}", std::process::id()));
    std::fs::write(&new, &bytes).with_context(|| format!("{} cannot be written", new.display()))?;
    std::fs::rename(&new, &object)
        .with_context(|| format!("{} cannot be replaced", object.display()))?;
    say::status("Built", &format!("target/ebpf/{name}"));
    Ok(())
}

fn compile(root: &Path, folder: &Path, manifest: &str, toolchain: &Toolchain) -> Result<Command> {
    let mut command = match toolchain.compiler {
        Compiler::Debian => {
            let mut command = process::cargo(root);
            command.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
            command
        }
        Compiler::Nightly => {
            let rustup = process::find("rustup").context("rustup is gone")?;
            let mut command = Command::new(rustup);
            command.args(["run", "nightly", "cargo"]).current_dir(root).env_remove("RUSTC");
            command
        }
    };
    let mut flags = vec![
        format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
    ];
    // Headers are not aligned in a packet. Where the processor does not mind, neither does the
    // verifier, and reading them by words is a tenth of the fast path. An older LLVM ignores this.
    if matches!(std::env::consts::ARCH, "aarch64" | "x86_64") {
        flags.push("-Clink-arg=--cpu-features=+allows-misaligned-mem-access".to_owned());
    }
    command
        .args(["build", "--release", "-Zbuild-std=core", "--target", TARGET])
        .arg("--manifest-path")
        .arg(root.join(manifest))
        .arg("--target-dir")
        .arg(folder)
        .env("PATH", path_with(&toolchain.linker))
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        // Whatever wraps or replaces the workspace's compiler is not for this one.
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR");
    Ok(command)
}

/// `PATH` with the linker's folder first: the compiler looks for `bpf-linker` by name.
fn path_with(linker: &Path) -> std::ffi::OsString {
    let mut path = linker.parent().map(PathBuf::from).unwrap_or_default().into_os_string();
    path.push(":");
    path.push(process::path());
    path
}

/// What the loader and the kernel need besides the code, and what is easily lost by a changed flag.
fn check(object: &[u8]) -> Result<()> {
    for (needle, meaning) in [
        (&b".BTF\0"[..], "type information (BTF)"),
        (&b"Dual MIT/GPL\0"[..], "the licence that the kernel's helpers ask for"),
    ] {
        if !object.windows(needle.len()).any(|window| window == needle) {
            bail!("the eBPF object was built without {meaning}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_without_types_or_licence_is_refused() {
        assert!(check(b"\x7fELF .BTF\0 Dual MIT/GPL\0").is_ok());
        assert!(check(b"\x7fELF .BTF\0 Proprietary\0").is_err());
        assert!(check(b"\x7fELF .BTF.ext\0 Dual MIT/GPL\0").is_err());
    }
}
