//! A profile of any content.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = cgoprof_profile::decode(data);
});
