#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| masq_fuzz::wire::run(data));
