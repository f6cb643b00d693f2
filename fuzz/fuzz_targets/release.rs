//! The readers of what stands between the network and a trusted index: Release files, gpgv's status
//! and apt's plan.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stonecell_packages::signature::{Verdict, judge};
use stonecell_packages::{apt_output, index, release};

fuzz_target!(|text: &str| {
    if let Ok(release) = release::parse(text) {
        let _ = release::check(&release, "bookworm", release.date);
    }
    if let Verdict::Good(keys) = judge(text) {
        assert!(!keys.is_empty() && text.contains("VALIDSIG") && text.contains("GOODSIG"));
    }
    for planned in apt_output::plan(text).unwrap_or_default() {
        assert!(index::is_package_name(&planned.name));
    }
    apt_output::refusal(text, text);
});
