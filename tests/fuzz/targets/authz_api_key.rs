#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fedgate::authz::fuzzing::api_key(data));
