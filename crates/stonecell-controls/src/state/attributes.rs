//! `attributes`: mode and owner of files that others write.

use std::path::PathBuf;

use super::{Effect, Finding, Site, State, Unable, Unknown, effect, fails, failure, left_out};
use crate::root::{Links, Root, RootError, Status, glob};
use crate::state::Stage;
use crate::view::View;
use crate::want::Attributes;

impl Attributes {
    /// What the glob names, links resolved; links that lead nowhere are left out.
    fn targets(&self, root: &dyn Root) -> Result<Vec<(PathBuf, Status)>, RootError> {
        let mut found = Vec::new();
        for path in glob(root, &self.path)? {
            if let Some(path) = root.resolve(&path)?
                && let Some(status) = root.status(&path, Links::Stay)?
            {
                found.push((path, status));
            }
        }
        found.dedup_by(|one, other| one.0 == other.0);
        Ok(found)
    }

    fn mode(&self, old: u32) -> u32 {
        match (self.mode, self.mode_max) {
            (Some(mode), _) => mode.0,
            (None, Some(most)) => old & most.0,
            (None, None) => old,
        }
    }
}

impl State for Attributes {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let targets = self.targets(view.root)?;
        if targets.is_empty() {
            if self.if_present {
                return Ok(Finding::Skipped(format!("{} is not there", self.path)));
            }
            return Ok(fails(
                &self.path,
                "nothing is there",
                "a file",
                "find out what should have made it",
            ));
        }
        let accounts = view.accounts()?;
        let mut failures = Vec::new();
        for (path, status) in targets {
            let place = path.display().to_string();
            let mode = self.mode(status.mode);
            if mode != status.mode {
                let word = if self.mode.is_some() { "mode" } else { "at most mode" };
                let expected = format!(
                    "{word} {}",
                    self.mode.or(self.mode_max).map_or(String::new(), |mode| mode.to_string())
                );
                failures.push(failure(
                    &place,
                    format!("mode {:04o}", status.mode),
                    expected,
                    format!("chmod {mode:04o}"),
                ));
            }
            for (what, wanted, names, id) in [
                ("owner", &self.owner, &accounts.users, status.uid),
                ("group", &self.group, &accounts.groups, status.gid),
            ] {
                if let Some(wanted) = wanted
                    && names.get(wanted) != Some(&id)
                {
                    failures.push(failure(
                        &place,
                        format!("{what} {id}"),
                        format!("{what} {wanted}"),
                        "chown",
                    ));
                }
            }
        }
        Ok(Finding::of(failures))
    }

    fn apply(&self, site: &mut Site<'_>) -> Result<Effect, Unable> {
        let targets = self.targets(site.root())?;
        if targets.is_empty() {
            if self.if_present {
                return Ok(left_out(format!("{} is not there", self.path)));
            }
            return Err(Unable::Missing {
                thing: self.path.clone(),
                remedy: "add what makes it, or set `if_present = true` in the control",
            });
        }
        let root_name = "root".to_owned();
        let (uid, gid) = site.owner_ids(
            self.owner.as_ref().unwrap_or(&root_name),
            self.group.as_ref().unwrap_or(&root_name),
        )?;
        let mut changed = Vec::new();
        for (path, status) in targets {
            let uid = if self.owner.is_some() { uid } else { status.uid };
            let gid = if self.group.is_some() { gid } else { status.gid };
            let mode = self.mode(status.mode);
            let moves = (uid, gid) != (status.uid, status.gid);
            if moves {
                site.change().set_owner(&path, uid, gid)?;
            }
            if moves || mode != status.mode {
                site.change().set_mode(&path, mode)?;
                changed.push(path);
            }
        }
        Ok(effect(changed))
    }

    fn stage(&self) -> Stage {
        Stage::Attributes
    }
}
