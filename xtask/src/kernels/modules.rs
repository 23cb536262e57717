//! The archive of a kernel's modules: those that networks need, with what they need in turn.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::archive::Archive;
use super::packages::Unpacked;
use crate::process;

/// What is loaded at the start, if the kernel has it: links, traffic control and packet sockets, the other
/// translators, new and old, and a checksum that others ask for by name. What is lacking is said in the log.
pub(crate) const WANTED: &str = "
    veth bridge br_netfilter tun dummy vrf 8021q macvlan bonding wireguard ip_gre ipip sit vxlan ifb
    ppp_generic ppp_async pppoe pppox l2tp_ppp l2tp_eth xfrm_user xfrm_interface esp4
    sch_ingress cls_bpf act_mirred sch_fq_codel sch_netem sch_htb sch_tbf
    af_packet packet_diag inet_diag tcp_diag udp_diag xsk_diag sctp
    nf_tables nft_masq nft_chain_nat nft_nat nft_redir nft_ct nft_reject nft_reject_inet nft_limit nft_log
    nft_fib_ipv4 nft_fib_inet nft_compat nft_flow_offload nf_flow_table nf_flow_table_inet
    nf_conntrack nf_conntrack_netlink nf_nat
    ip_tables iptable_nat iptable_filter iptable_mangle iptable_raw ipt_REJECT xt_MASQUERADE xt_nat xt_REDIRECT
    xt_conntrack xt_addrtype xt_tcpudp xt_comment xt_mark xt_CHECKSUM
    crc32c_generic overlay
";

/// Writes the archive, unless there is one of the same modules.
///
/// # Errors
/// The modules are not as expected.
pub(crate) fn write(kernel: &Unpacked, archive: &Path) -> Result<()> {
    let list = archive.with_extension("list");
    if archive.is_file() && fs::read_to_string(&list).is_ok_and(|list| list == WANTED) {
        return Ok(());
    }
    let tree = kernel.folder.join("small");
    let modules = Path::new("lib/modules").join(&kernel.release);
    let (from, to) = (kernel.folder.join(&modules), tree.join(&modules));
    depmod(&kernel.folder, &kernel.release)?;
    for path in wanted(kernel)? {
        let below = path.strip_prefix(&from).context("a module outside of its folder")?;
        unpack(&path, &to.join(below))?;
    }
    for list in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        fs::copy(from.join(list), to.join(list)).with_context(|| format!("{list} is missing"))?;
    }
    depmod(&tree, &kernel.release)?;
    let mut packed = Archive::default();
    pack(&mut packed, &tree, &tree)?;
    packed.write(archive)?;
    fs::remove_dir_all(&tree).context("the unpacked modules cannot be removed")?;
    fs::write(&list, WANTED).with_context(|| format!("{} cannot be written", list.display()))
}

/// The files of what is wanted and what that depends on.
fn wanted(kernel: &Unpacked) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    let modprobe = process::find("modprobe").context("modprobe is gone")?;
    for module in WANTED.split_whitespace() {
        let (below, release) = (kernel.folder.to_string_lossy(), &kernel.release);
        let arguments = ["-d", &below, "-S", release, "--show-depends", module];
        let Some(shown) = process::output_of(&modprobe, &arguments) else { continue };
        // "insmod /…/bonding.ko.xz max_bonds=0", or "builtin veth".
        let path =
            |line: &str| line.strip_prefix("insmod ")?.split_whitespace().next().map(PathBuf::from);
        files.extend(shown.lines().filter_map(path));
    }
    if files.is_empty() {
        bail!("{} has none of the modules that networks need", kernel.folder.display());
    }
    Ok(files)
}

/// Copies a module, uncompressed.
fn unpack(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a module has a folder")?;
    fs::create_dir_all(folder)?;
    let (program, plain) = match from.extension().and_then(|ending| ending.to_str()) {
        Some("xz") => ("xz", to.with_extension("")),
        Some("zst") => ("zstd", to.with_extension("")),
        _ => ("cat", to.to_owned()),
    };
    let unpacks = ["-d", "-c"].into_iter().filter(|_| program != "cat");
    let out = fs::File::create(&plain).with_context(|| format!("{}", plain.display()))?;
    process::run(Command::new(program).args(unpacks).arg(from).stdout(out))?;
    process::run_quietly(Command::new("strip").arg("-g").arg(&plain))
}

fn pack(archive: &mut Archive, folder: &Path, root: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            pack(archive, &path, root)?;
        } else {
            let inside = Path::new("/").join(path.strip_prefix(root)?);
            archive.file(&inside, false, &fs::read(&path)?);
        }
    }
    Ok(())
}

fn depmod(below: &Path, release: &str) -> Result<()> {
    process::run_quietly(
        Command::new("depmod").env("PATH", process::path()).arg("-b").arg(below).arg(release),
    )
}
