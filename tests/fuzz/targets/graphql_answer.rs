#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fedgate::graphql::fuzzing::fuzz_answer(data));
