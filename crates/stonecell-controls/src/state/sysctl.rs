//! `sysctl`: one file that sorts behind every other, judged by what systemd-sysctl would set in the end.

use std::path::PathBuf;

use super::{Effect, Finding, Site, State, Unable, Unknown, fails};
use crate::formats::sysctl::{effective, normal, undone_by};
use crate::state::Stage;
use crate::view::View;
use crate::want::Sysctl;

/// Packages ship files up to `99-protect-links.conf`; only a later name has the last word.
pub(super) const FILE: &str = "/usr/lib/sysctl.d/99-zz-stonecell.conf";

impl State for Sysctl {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let all = view.sysctl()?;
        let expected = format!("{} = {}", self.key, self.value);
        let remedy = format!("set it in a file of sysctl.d that sorts behind all others ({FILE})");
        let Some(found) = effective(all, &self.key) else {
            return Ok(fails("sysctl.d", format!("{} is not set", self.key), expected, remedy));
        };
        let value = found.value.as_deref().unwrap_or_default();
        if normal(value) != normal(&self.value) {
            let place = format!("{}:{}", found.file.display(), found.line);
            return Ok(fails(place, format!("{} = {value}", self.key), expected, remedy));
        }
        if let Some(other) = undone_by(all, &self.key, &self.value) {
            let place = format!("{}:{}", other.file.display(), other.line);
            let found =
                format!("every interface is set to {}", other.value.as_deref().unwrap_or_default());
            return Ok(fails(
                place,
                found,
                expected,
                "set the key with `*` in the place of the interface too",
            ));
        }
        Ok(Finding::Holds)
    }

    fn apply(&self, site: &mut Site<'_>) -> Result<Effect, Unable> {
        site.collected.sysctl.insert(self.key.clone(), self.value.clone());
        Ok(Effect::AlreadySo)
    }

    fn stage(&self) -> Stage {
        Stage::Collect
    }

    fn contributes_to(&self) -> Vec<PathBuf> {
        vec![PathBuf::from(FILE)]
    }
}
