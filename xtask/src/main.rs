//! The project's chores, as `cargo xtask COMMAND`.
//!
//! Every command begins by making sure of what it needs, so that `demo` and `test` are the only
//! commands a newcomer has to know:
//!
//! ```text
//!   setup ──► ebpf ──┬──► test   every test, none skipped
//!     │              └──► demo   the lab with a live table
//!     └─ system packages, the compiler and linker for the eBPF programs
//! ```

mod apt;
mod bench;
mod demo;
mod ebpf;
mod fuzz;
mod kernels;
mod process;
mod requirements;
mod say;
mod setup;
mod test;
mod toolchain;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

const USAGE: &str = "\
The project's chores.

Usage: cargo xtask COMMAND

Commands:
  setup             install what building, testing and the demo need; does nothing when it is there
  ebpf              build the eBPF programs into target/ebpf/masq-ebpf
  test [ARGS]…      setup, ebpf, then every test; ARGS go to `cargo test`
  demo [ARGS]…      setup, ebpf, then `masq demo ARGS`: a private lab with a live table
  fuzz [TARGET] [--seconds N | FILE]
                    look for inputs that break something, a minute for each target; or run one input
  kernels [--small | --list] [VERSION]… [WORD]…
                    run tests on Debian's own kernels in qemu (--help says which there are)
  requirements      run the tests named after RFC requirements and write docs/requirements.md
  bench [ARGS]…     measure gateways side by side (--help says what there is); results of a whole run
                    go to docs/performance
  bench engine …    measure the engine alone; the rest goes to `cargo bench`";
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            say::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let Some((command, rest)) = arguments.split_first() else {
        say::usage(USAGE);
        return Ok(ExitCode::from(2));
    };
    let root = root()?;
    match command.as_str() {
        "setup" => {
            refuse_arguments(rest)?;
            setup::run(&root)?;
        }
        "ebpf" => {
            refuse_arguments(rest)?;
            ebpf::run(&root)?;
        }
        "test" => test::run(&root, rest)?,
        "demo" => return demo::run(&root, rest),
        "requirements" => {
            refuse_arguments(rest)?;
            ebpf::run(&root)?;
            requirements::run(&root)?;
        }
        "bench" => return bench::run(&root, rest),
        "kernels" => return kernels::run(&root, rest),
        "fuzz" => fuzz::run(&root, rest)?,
        "help" | "-h" | "--help" => say::usage(USAGE),
        unknown => {
            say::usage(USAGE);
            bail!("there is no command `{unknown}`");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn refuse_arguments(rest: &[String]) -> Result<()> {
    match rest.first() {
        Some(argument) => bail!("unexpected argument `{argument}`; this command takes none"),
        None => Ok(()),
    }
}

/// The workspace's folder, from where the xtask was built: it works from any current folder.
fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().context("xtask has no parent folder")?;
    if !root.join("Cargo.toml").is_file() {
        bail!("{} is no longer the workspace; run `cargo xtask` inside it", root.display());
    }
    Ok(root.to_owned())
}
