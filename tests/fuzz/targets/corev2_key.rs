#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fedgate::corev2::fuzzing::key(data));
