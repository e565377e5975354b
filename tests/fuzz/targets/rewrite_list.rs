#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fedgate::rewrite::fuzzing::fuzz_rewriter(data));
