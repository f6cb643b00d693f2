//! `stonecell keys`.

use serde_json::json;

use crate::cli::KeysArgs;
use crate::failure::{Class, Failure};
use crate::terminal::Terminal;

pub(super) fn run(args: &KeysArgs, terminal: &Terminal) -> Result<(), Failure> {
    let files = stonecell_build::keys::make_development(&args.dir)
        .map_err(|error| Failure::new(Class::Failed, error))?;
    let facts = json!({
        "stemcell_key": files.stemcell,
        "secure_boot": {
            "key": files.secure_boot_key,
            "certificate": files.secure_boot_certificate,
        },
        "development": files.development,
    });
    terminal.facts(&facts, || {
        format!(
            "development keys, not for production; in the definition:\n\n[signing]\nstemcell_key = \
             \"{}\"\nsecure_boot = {{ key = \"{}\", certificate = \"{}\" }}\n",
            files.stemcell.display(),
            files.secure_boot_key.display(),
            files.secure_boot_certificate.display(),
        )
    });
    Ok(())
}
