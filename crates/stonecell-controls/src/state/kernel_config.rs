//! `kernel_config`: options that the shipped kernel was built with. Nothing can be applied; a kernel that differs is the
//! wrong kernel.

use std::path::PathBuf;

use super::{Effect, Finding, Site, State, Unable, Unknown, failure};
use crate::root::{Root, RootError, glob};
use crate::view::View;
use crate::want::KernelConfig;

fn configs(root: &dyn Root) -> Result<Vec<PathBuf>, RootError> {
    let mut found = glob(root, "/boot/config-*")?;
    found.extend(glob(root, "/usr/lib/modules/*/config")?);
    Ok(found)
}

/// The value of an option; `n` when it is not set.
fn value<'t>(text: &'t str, option: &str) -> &'t str {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .find(|(name, _)| *name == option)
        .map_or("n", |(_, value)| value.trim_matches('"'))
}

impl State for KernelConfig {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let configs = configs(view.root)?;
        if configs.is_empty() {
            return Ok(Finding::Skipped("the root has no kernel configuration".to_owned()));
        }
        let mut failures = Vec::new();
        for path in configs {
            let text = view.root.text(&path)?.unwrap_or_default();
            let found = value(&text, &self.option);
            if found != self.value {
                let mut failure = failure(
                    path.display().to_string(),
                    format!("{}={found}", self.option),
                    format!("{}={}", self.option, self.value),
                    "take a kernel that was built so",
                );
                failure.advisory = self.advisory;
                failures.push(failure);
            }
        }
        Ok(Finding::of(failures))
    }

    fn apply(&self, _: &mut Site<'_>) -> Result<Effect, Unable> {
        Ok(Effect::Builder)
    }
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn what_is_not_set_is_n() {
        let text = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"x\"\n";
        assert_eq!(
            [value(text, "CONFIG_A"), value(text, "CONFIG_B"), value(text, "CONFIG_C")],
            ["y", "n", "x"]
        );
    }
}
