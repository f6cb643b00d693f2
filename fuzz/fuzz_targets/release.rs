//! The readers of what stands between the network and a trusted index: Release files, gpgv's status
//! and apt's plan.
#![no_main]

mod seed;

use libfuzzer_sys::fuzz_target;
use stonecell_packages::signature::{Verdict, judge};
use stonecell_packages::{apt_output, index, release};

fuzz_target!(|text: &str| {
    let mut accepted = false;
    if let Ok(release) = release::parse(text) {
        accepted = release::check(&release, "bookworm", release.date).is_ok();
    }
    if let Verdict::Good(keys) = judge(text) {
        assert!(!keys.is_empty() && text.contains("VALIDSIG") && text.contains("GOODSIG"));
        accepted = true;
    }
    for planned in apt_output::plan(text).unwrap_or_default() {
        assert!(index::is_package_name(&planned.name));
        accepted = true;
    }
    apt_output::refusal(text, text);
    seed::check(accepted);
});
