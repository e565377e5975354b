#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fedgate::fanout::fuzzing::pages(data));
