//! The fuzz targets without a fuzzer: inputs that once went wrong, and some that a seed gives.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "shown when a test fails: the input that made it")]

use masq_fuzz::{TARGETS, Target};

#[test]
fn config() {
    replay("config");
}

#[test]
fn differential() {
    replay("differential");
}

#[test]
fn engine() {
    replay("engine");
}

#[test]
fn table() {
    replay("table");
}

#[test]
fn wire() {
    replay("wire");
}

#[test]
fn every_target_has_its_program() {
    let manifest = include_str!("../libfuzzer/Cargo.toml");
    for target in TARGETS {
        assert!(manifest.contains(&format!("path = \"targets/{}.rs\"", target.name)));
    }
}

fn replay(name: &str) {
    let target = TARGETS.into_iter().find(|target| target.name == name).unwrap();
    let mut files: Vec<_> = std::fs::read_dir(target.regressions())
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in &files {
        println!("{}", file.display());
        (target.run)(&std::fs::read(file).unwrap());
    }
    look(target);
}

fn look(target: Target) {
    let (inputs, longest) = target.look;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for number in 0..inputs {
        let length = random.next() as usize % longest;
        let input: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        println!("{} {number}", target.name);
        (target.run)(&input);
    }
}

/// Numbers that are the same in every run (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }
}
