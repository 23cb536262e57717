//! Finds the eBPF object that is embedded into the bench.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=MASQ_BENCH_EBPF_OBJECT");
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let object = std::env::var_os("MASQ_BENCH_EBPF_OBJECT")
        .map_or_else(|| Path::new(&manifest).join("../target/ebpf/masq-bench-ebpf"), PathBuf::from);
    println!("cargo::rerun-if-changed={}", object.display());
    match object.canonicalize() {
        Ok(object) => println!("cargo::rustc-env=MASQ_BENCH_EBPF_OBJECT_PATH={}", object.display()),
        Err(_) => println!(
            "cargo::error=the bench's eBPF programs are not built ({} is missing): run `cargo xtask ebpf`",
            object.display()
        ),
    }
}
