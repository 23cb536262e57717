//! The archive with everything that does not depend on the kernel: the tests, masq, and what they call.
//!
//! Programs keep their places, so that a test finds masq beside itself, and come with their libraries and without
//! what only a debugger reads. Whatever is not here is busybox's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::archive::Archive;
use crate::process;

/// What tests call and must be what Debian has, not what busybox has by that name.
const TOOLS: &str = "
    bash bpftool cat ethtool find grep ip kmod mount nft nsenter ping prlimit setpriv sh sort sysctl tc tcpdump
    timeout traceroute umount unshare xargs pppd pppoe pppoe-server wg
";

/// What a scenario may call, and is skipped without.
const WHERE_INSTALLED: &str =
    "bridge chrt conntrack curl iptables iptables-legacy iptables-save socat taskset";

/// Folders that go in whole: what programs load by themselves.
const FOLDERS: &[&str] = &["/etc/iproute2", "/usr/lib/pppd", "/usr/lib/x86_64-linux-gnu/xtables"];

/// Writes the archive.
///
/// # Errors
/// A program is missing or cannot be read.
pub(crate) fn write(masq: &Path, tests: &[PathBuf], archive: &Path) -> Result<()> {
    let mut userland = Archive::default();
    for folder in
        ["/proc", "/sys", "/dev", "/run", "/tmp", "/root", "/out", "/etc/ppp", "/var/run", "/mnt"]
    {
        userland.folder(Path::new(folder));
    }
    if let Some(temporary) = masq.ancestors().nth(2) {
        userland.folder(&temporary.join("tmp"));
    }
    for program in [&[masq.to_owned()], tests].concat() {
        put(&mut userland, &program, &program)?;
    }
    for tool in TOOLS.split_whitespace() {
        let file = process::find(tool).with_context(|| format!("there is no program {tool}"))?;
        put(&mut userland, &file, &Path::new("/bin").join(tool))?;
    }
    for tool in WHERE_INSTALLED.split_whitespace() {
        if let Some(file) = process::find(tool) {
            put(&mut userland, &file, &Path::new("/bin").join(tool))?;
        }
    }
    // Programs look for these by path.
    for (path, tool) in
        [("/sbin/modprobe", "kmod"), ("/usr/sbin/pppd", "pppd"), ("/usr/sbin/pppoe", "pppoe")]
    {
        userland.link(Path::new(path), &format!("/bin/{tool}"));
    }
    for folder in FOLDERS {
        whole(&mut userland, Path::new(folder))?;
    }
    add_busybox(&mut userland)?;
    for (path, content) in SETTINGS {
        userland.file(Path::new(path), false, content.as_bytes());
    }
    userland.write(archive)
}

/// A program or library at a place, with the libraries that it names.
fn put(archive: &mut Archive, file: &Path, place: &Path) -> Result<()> {
    if archive.contains(place) {
        return Ok(());
    }
    archive.file(place, true, &stripped(file)?);
    let ldd = process::find("ldd").context("there is no program ldd")?;
    let text = process::output_of(&ldd, &[&file.to_string_lossy()]).unwrap_or_default();
    for library in libraries(&text) {
        if !archive.contains(&library) {
            let content = fs::read(&library).with_context(|| format!("{}", library.display()))?;
            archive.file(&library, true, &content);
        }
    }
    Ok(())
}

/// The files in what `ldd` says: `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`.
fn libraries(text: &str) -> Vec<PathBuf> {
    let words =
        text.lines().flat_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    words.map(PathBuf::from).collect()
}

/// A program without debug information; a script as it is.
fn stripped(file: &Path) -> Result<Vec<u8>> {
    let what = || format!("{} cannot be read", file.display());
    let plain = fs::read(file).with_context(what)?;
    if !plain.starts_with(b"\x7fELF") {
        return Ok(plain);
    }
    let small = std::env::temp_dir().join(format!("masq-stripped-{}", std::process::id()));
    let strip = process::run_quietly(Command::new("strip").args(["-g", "-o"]).args([&small, file]));
    strip.context("programs must be small to fit")?;
    let content = fs::read(&small).with_context(what)?;
    fs::remove_file(&small)?;
    Ok(content)
}

fn whole(archive: &mut Archive, folder: &Path) -> Result<()> {
    // What is not there, no program of ours loads.
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            whole(archive, &path)?;
        } else {
            put(archive, &path, &path)?;
        }
    }
    Ok(())
}

fn add_busybox(archive: &mut Archive) -> Result<()> {
    let busybox = process::find("busybox").context("there is no program busybox")?;
    let applets =
        process::output_of(&busybox, &["--list"]).context("busybox does not list itself")?;
    put(archive, &busybox, Path::new("/bin/busybox"))?;
    for applet in applets.lines() {
        // A name that is taken stays what it is.
        archive.link(&Path::new("/bin").join(applet), "busybox");
    }
    Ok(())
}

/// What programs read to know users, protocols and ports by name.
const SETTINGS: &[(&str, &str)] = &[
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"),
    ("/etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    (
        "/etc/nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files\nprotocols: files\nservices: files\n",
    ),
    ("/etc/protocols", "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\ngre 47 GRE\n"),
    ("/etc/services", "domain 53/udp\nhttp 80/tcp\n"),
    ("/etc/ppp/options", ""),
    ("/etc/ppp/pppoe-server-options", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_the_paths_that_the_loader_says() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let [c, loader] = &libraries(text)[..] else { panic!("two libraries in {text}") };
        assert_eq!(c, Path::new("/lib/x86_64-linux-gnu/libc.so.6"));
        assert_eq!(loader, Path::new("/lib64/ld-linux-x86-64.so.2"));
        assert!(libraries("\tnot a dynamic executable\n").is_empty());
    }
}
