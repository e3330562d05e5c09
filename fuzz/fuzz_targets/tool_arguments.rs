#![no_main]

#[path = "../bodies/tool_arguments.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
