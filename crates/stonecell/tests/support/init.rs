//! Where the first program of the machine is.

use std::path::{Path, PathBuf};

/// The first program of the machine, as `make init` builds it.
pub(crate) fn init() -> PathBuf {
    let built = "../../target/x86_64-unknown-linux-gnu/init/stonecell-init";
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join(built);
    std::env::var_os("STONECELL_INIT").map_or_else(default, PathBuf::from)
}
