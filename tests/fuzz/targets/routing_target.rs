#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fedgate::routing::fuzzing::route_is_total_and_stable(data));
