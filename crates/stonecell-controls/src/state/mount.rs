//! `mount`: options in `/etc/fstab`. Partitions are the builder's; their lines get the options here.

use std::path::Path;

use super::{Effect, Finding, Site, State, Unable, Unknown, fails, failure};
use crate::formats::fstab::{in_force, merge, parse};
use crate::view::View;
use crate::want::Mount;

const FILE: &str = "/etc/fstab";

impl State for Mount {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let text = view.root.text(Path::new(FILE))?.unwrap_or_default();
        let mounts = parse(&text);
        let size = self.size.as_ref().map(|size| format!("size={size}"));
        let wanted: Vec<&String> = self.options.iter().chain(&size).collect();
        // A target that is mounted twice is judged by each: the later one covers the other.
        let mine: Vec<_> = mounts.iter().filter(|mount| mount.target == self.target).collect();
        if mine.is_empty() {
            let expected =
                wanted.iter().map(|option| option.as_str()).collect::<Vec<_>>().join(",");
            let found = format!("{} is no mount of its own", self.target);
            return Ok(fails(FILE, found, expected, "give it a partition or a line in the table"));
        }
        let mut failures = Vec::new();
        for mount in mine {
            let place = format!("{FILE}:{}", mount.line);
            if let Some(fs) = &self.fs
                && *fs != mount.fs
            {
                failures.push(failure(
                    &place,
                    format!("{} is {}", self.target, mount.fs),
                    fs,
                    "change the type",
                ));
            }
            for option in wanted.iter().filter(|option| !in_force(&mount.options, option)) {
                let found = format!("{} has {}", self.target, mount.options.join(","));
                failures.push(failure(&place, found, option.as_str(), "add the option"));
            }
        }
        Ok(Finding::of(failures))
    }

    fn apply(&self, site: &mut Site<'_>) -> Result<Effect, Unable> {
        let wants: Vec<_> =
            site.mounts.iter().filter(|mount| mount.target == self.target).cloned().collect();
        let text = site.root().text(Path::new(FILE))?.unwrap_or_default();
        let known = parse(&text).iter().any(|mount| mount.target == self.target);
        if !known && wants.iter().all(|want| want.fs.is_none()) {
            return Ok(Effect::Builder);
        }
        Ok(site.edit(Path::new(FILE), &|text| merge(text, &wants))?)
    }
}
