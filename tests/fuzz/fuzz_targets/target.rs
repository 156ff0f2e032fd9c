//! A Go binary of any content: inspected, its frames looked up.
#![no_main]

use cgoprof_collector::target::Target;
use cgoprof_collector::target::inspection::Inspection;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(target) = Target::parse(data) {
        let _ = Inspection::new(&target);
        for function in target.pclntab.functions().take(100) {
            let _ = target.pclntab.frames_at(function.start);
        }
    }
});
