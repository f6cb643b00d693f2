//! `file`, `link` and `absent`.

use std::path::{Path, PathBuf};

use super::{Effect, Finding, Site, State, Unable, Unknown, effect, fails, failure};
use crate::root::{Kind, Links, Ownership, glob};
use crate::view::View;
use crate::want::{Absent, File, Link};

impl State for File {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let path = Path::new(&self.path);
        let remedy = "write the file as the control says";
        let Some(status) = view.root.status(path, Links::Stay)? else {
            return Ok(fails(&self.path, "no such file", "the file of the control", remedy));
        };
        if status.kind != Kind::File {
            return Ok(fails(&self.path, "it is no regular file", "a regular file", remedy));
        }
        let mut failures = Vec::new();
        let content = view.root.read(path)?.unwrap_or_default();
        if content != self.content.as_bytes() {
            let ours = self.content.as_bytes();
            let line = 1 + content
                .split(|byte| *byte == b'\n')
                .zip(ours.split(|byte| *byte == b'\n'))
                .take_while(|(one, other)| one == other)
                .count();
            let place = format!("{}:{line}", self.path);
            failures.push(failure(
                place,
                "the content differs from here on",
                "the content of the control",
                remedy,
            ));
        }
        if status.mode != self.mode.0 {
            failures.push(failure(
                &self.path,
                format!("mode {:04o}", status.mode),
                format!("mode {}", self.mode),
                "chmod",
            ));
        }
        let accounts = view.accounts()?;
        if accounts.users.get(&self.owner) != Some(&status.uid) {
            failures.push(failure(
                &self.path,
                format!("owner {}", status.uid),
                format!("owner {}", self.owner),
                "chown",
            ));
        }
        if accounts.groups.get(&self.group) != Some(&status.gid) {
            failures.push(failure(
                &self.path,
                format!("group {}", status.gid),
                format!("group {}", self.group),
                "chgrp",
            ));
        }
        Ok(Finding::of(failures))
    }

    fn apply(&self, site: &mut Site<'_>) -> Result<Effect, Unable> {
        let (uid, gid) = site.owner_ids(&self.owner, &self.group)?;
        let path = PathBuf::from(&self.path);
        let ownership = Ownership { mode: self.mode.0, uid, gid };
        let changed = site.put(&path, self.content.as_bytes(), ownership)?;
        Ok(effect(if changed { vec![path] } else { Vec::new() }))
    }
}

impl State for Link {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let expected = format!("a link to {}", self.target);
        Ok(match view.root.read_link(Path::new(&self.path))? {
            Some(target) if target == Path::new(&self.target) => Finding::Holds,
            Some(target) => fails(
                &self.path,
                format!("a link to {}", target.display()),
                expected,
                "make the link anew",
            ),
            None => fails(&self.path, "no link", expected, "make the link"),
        })
    }

    fn apply(&self, site: &mut Site<'_>) -> Result<Effect, Unable> {
        let (path, target) = (PathBuf::from(&self.path), Path::new(&self.target));
        if site.root().read_link(&path)?.is_some_and(|old| old == target) {
            return Ok(Effect::AlreadySo);
        }
        site.change().link(&path, target)?;
        Ok(Effect::Changed { paths: vec![path] })
    }
}

impl State for Absent {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let found = glob(view.root, &self.path)?;
        let failures = found
            .iter()
            .map(|path| failure(path.display().to_string(), "it is there", "nothing", "remove it"))
            .collect();
        Ok(Finding::of(failures))
    }

    fn apply(&self, site: &mut Site<'_>) -> Result<Effect, Unable> {
        let found = glob(site.root(), &self.path)?;
        for path in &found {
            // One match may lie inside another that is gone by now.
            if site.root().status(path, Links::Stay)?.is_some() {
                site.change().remove(path)?;
            }
        }
        Ok(effect(found))
    }
}
