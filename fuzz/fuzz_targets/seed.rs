//! A seed that its reader refuses at the first byte teaches the fuzzer nothing, so `fuzz/run` asks first.

use std::sync::LazyLock;

static ASKED: LazyLock<bool> = LazyLock::new(|| std::env::var_os("FUZZ_SEEDS").is_some());

/// Ends the program when seeds are being checked and this input was refused.
pub fn check(accepted: bool) {
    assert!(accepted || !*ASKED, "no reader accepts this seed");
}
