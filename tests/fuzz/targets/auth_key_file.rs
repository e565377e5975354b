#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fedgate::auth::fuzzing::key_file(data));
