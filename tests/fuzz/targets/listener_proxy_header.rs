#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fedgate::listener::fuzzing::proxy_header(data));
