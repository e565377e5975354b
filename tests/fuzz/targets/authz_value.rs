#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fedgate::authz::fuzzing::stored_value(data));
