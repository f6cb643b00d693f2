//! The readers of a boot file and of its signature take any bytes.
#![no_main]

mod seed;

use libfuzzer_sys::fuzz_target;
use stonecell_image::uki::read_uki;
use stonecell_image::verify_signature;
use stonecell_stemcell::signer;

fuzz_target!(|bytes: &[u8]| {
    let read = read_uki(bytes);
    seed::check(read.is_ok());
    if let Ok(uki) = &read {
        assert!(uki.sections.iter().all(|section| section.data.len() <= bytes.len()));
        let _ = uki.command_line();
    }
    let signer = signer::certificate(bytes);
    if let Some(signer) = &signer {
        let good = verify_signature(bytes, signer);
        seed::check(good.is_ok());
    }
    seed::check(signer.is_some() || read.is_ok_and(|uki| !uki.signed));
});
