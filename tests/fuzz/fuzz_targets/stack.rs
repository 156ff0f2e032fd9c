#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cgoprof_fuzz::run("stack", data));
