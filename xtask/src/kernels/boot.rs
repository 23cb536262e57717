//! A machine that runs a job: qemu, with the archives one after another as its first file system.
//!
//! ```text
//!   kernel ─┐                       second serial line ──► VERSION.console   what the kernel says
//!   userland ∥ modules ∥ job ──► qemu
//!                                   first serial line ──► a word and more on each line, as it comes
//! ```

use core::time::Duration;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use anyhow::{Context as _, Result, bail};

use super::job;
use super::packages::Unpacked;
use crate::process;

/// How long the machine may say nothing: as long as a test, or what comes before and after all of them.
const SILENCE: Duration = job::LIMIT.saturating_add(Duration::from_secs(60));

/// What the last line begins with.
const LAST: &str = "END ";

/// Boots a kernel with these archives, and hands each line of the job to `hear`.
///
/// # Errors
/// The machine cannot be started, says nothing for too long, or ends before its job.
pub(crate) fn run(
    kernel: &Unpacked,
    archives: &[&Path],
    console: &Path,
    mut hear: impl FnMut(&str),
) -> Result<()> {
    let all = console.with_extension("cpio");
    join(archives, &all)?;
    let mut machine = Machine(start(kernel, &all, console)?);
    let lines = lines(&mut machine.0)?;
    let mut is_done = false;
    loop {
        match lines.recv_timeout(SILENCE) {
            Ok(line) => {
                is_done |= line.starts_with(LAST);
                hear(&line);
            }
            Err(RecvTimeoutError::Disconnected) if is_done => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => {
                bail!("the machine ended; {}", last_words(console))
            }
            Err(RecvTimeoutError::Timeout) => {
                bail!("nothing was heard for {} s; {}", SILENCE.as_secs(), last_words(console))
            }
        }
    }
}

/// The process is ended with its owner.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(kernel: &Unpacked, archive: &Path, console: &Path) -> Result<Child> {
    let errors = File::create(console.with_extension("qemu"))?;
    // However we end, the machine ends with us.
    Command::new("setpriv")
        .env("PATH", process::path())
        .args(["--pdeathsig", "TERM", "qemu-system-x86_64"])
        .args(accelerators())
        .args(["-cpu", "max"])
        .args([
            "-smp",
            "2",
            "-m",
            "3072",
            "-display",
            "none",
            "-nic",
            "none",
            "-monitor",
            "none",
            "-no-reboot",
        ])
        .args([Path::new("-kernel"), &kernel.image, Path::new("-initrd"), archive])
        .args(["-append", "console=ttyS1 quiet panic=1 mitigations=off"])
        .args(["-serial", "stdio", "-serial"])
        .arg(format!("file:{}", console.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .context("qemu-system-x86_64 cannot be started")
}

/// How the machine's processors are made: with the help of the processor that is there, or by software.
fn accelerators() -> Vec<&'static str> {
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
    let mut accelerators = Vec::new();
    // Where the processor has no such help, /dev/kvm may be there all the same, and crawl.
    if Path::new("/dev/kvm").exists() && (has("vmx") || has("svm")) {
        accelerators.extend(["-accel", "kvm"]);
    }
    accelerators.extend(["-accel", "tcg,thread=multi,tb-size=1024"]);
    accelerators
}

fn join(archives: &[&Path], all: &Path) -> Result<()> {
    let what = || format!("{} cannot be written", all.display());
    let mut out = File::create(all).with_context(what)?;
    for archive in archives {
        let mut part = File::open(archive).with_context(|| format!("{}", archive.display()))?;
        io::copy(&mut part, &mut out).with_context(what)?;
    }
    Ok(())
}

/// What the machine says, as it comes, whatever bytes it is made of.
fn lines(machine: &mut Child) -> Result<Receiver<String>> {
    let output = machine.stdout.take().context("the machine's line is piped")?;
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(io::Result::ok) {
            let line = String::from_utf8_lossy(&line);
            if tell.send(line.trim_end_matches('\r').to_owned()).is_err() {
                break;
            }
        }
    });
    Ok(told)
}

fn last_words(console: &Path) -> String {
    let said = [console.with_extension("qemu"), console.to_owned()].map(|file| {
        let text = fs::read(file).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(8)..].join("\n    ")
    });
    format!("its last words ({}) were:\n    {}", console.display(), said.join("\n    "))
}
