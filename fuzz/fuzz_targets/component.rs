#![no_main]
//! `cargo fuzz run component`: the target under a fuzzer with coverage.

libfuzzer_sys::fuzz_target!(|data: &[u8]| tercet_fuzz::run("component", data));
