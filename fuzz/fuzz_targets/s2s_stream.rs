#![no_main]
//! `cargo fuzz run s2s_stream`: the target under a fuzzer with coverage.

libfuzzer_sys::fuzz_target!(|data: &[u8]| tercet_fuzz::run("s2s_stream", data));
