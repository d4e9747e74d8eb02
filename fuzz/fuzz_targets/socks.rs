#![no_main]
//! `cargo fuzz run socks`: the target under a fuzzer with coverage.

libfuzzer_sys::fuzz_target!(|data: &[u8]| tercet_fuzz::run("socks", data));
