//! `package`: what is installed, by the root's own dpkg database. The builder resolves packages before there is a root.

use globset::Glob;

use super::{Effect, Finding, Site, State, Unable, Unknown, fails};
use crate::view::View;
use crate::want::{Package, PackageState};

impl State for Package {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let installed = view.packages()?.ok_or(Unknown::Missing(
            "the root has no dpkg database, so packages cannot be looked up",
        ))?;
        let pattern = Glob::new(&self.name)
            .map_err(|_| Unknown::Pattern { pattern: self.name.clone() })?
            .compile_matcher();
        let found: Vec<&str> =
            installed.iter().map(String::as_str).filter(|name| pattern.is_match(name)).collect();
        let place = format!("package {}", self.name);
        Ok(match (self.state, found.is_empty()) {
            (PackageState::Absent, true) | (PackageState::Present, false) => Finding::Holds,
            (PackageState::Absent, false) => {
                let found = format!("installed: {}", found.join(", "));
                fails(
                    place,
                    found,
                    "not installed",
                    "remove it, or what depends on it, from the definition",
                )
            }
            (PackageState::Present, true) => fails(
                place,
                "not installed",
                "installed",
                "add it to the packages of the definition",
            ),
        })
    }

    fn apply(&self, _: &mut Site<'_>) -> Result<Effect, Unable> {
        Ok(Effect::Builder)
    }
}
