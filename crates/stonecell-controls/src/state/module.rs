//! `module`: a module that cannot be loaded and is not there. Both, because a file may come back with a package, and a line
//! of modprobe.d stops only modprobe.

use std::path::PathBuf;

use super::{Effect, Finding, Site, State, Unable, Unknown, failure};
use crate::formats::modprobe::{Directive, canonical, loads_nothing};
use crate::state::Stage;
use crate::view::View;
use crate::want::Module;

pub(super) const FILE: &str = "/usr/lib/modprobe.d/stonecell.conf";

impl State for Module {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let name = canonical(&self.name);
        let mut failures = Vec::new();
        let mut install = None;
        let mut blacklisted = false;
        for (file, directive) in view.modprobe()? {
            match directive {
                Directive::Install { module, command, line }
                    if *module == name && install.is_none() =>
                {
                    install = Some((format!("{}:{line}", file.display()), command.clone()));
                }
                Directive::Blacklist { module, .. } if *module == name => blacklisted = true,
                _ => {}
            }
        }
        let expected = format!("install {name} /bin/false");
        match install {
            Some((_, command)) if loads_nothing(&command) => {}
            Some((place, command)) => failures.push(failure(
                place,
                format!("install {name} {command}"),
                expected,
                "the first install line of a module counts; remove this one",
            )),
            None => failures.push(failure(
                "modprobe.d",
                format!("no install line for {name}"),
                expected,
                format!("add it to {FILE}"),
            )),
        }
        if !blacklisted {
            failures.push(failure(
                "modprobe.d",
                format!("{name} is loaded for devices that ask for it"),
                format!("blacklist {name}"),
                format!("add it to {FILE}"),
            ));
        }
        if let Some(file) = view.modules()?.get(&name) {
            failures.push(failure(
                file.display().to_string(),
                format!("the module {name} is there"),
                "no such module",
                "remove the file and make the module index anew, or take a kernel without it built in",
            ));
        }
        Ok(Finding::of(failures))
    }

    fn apply(&self, site: &mut Site<'_>) -> Result<Effect, Unable> {
        site.collected.modules.insert(canonical(&self.name));
        Ok(Effect::AlreadySo)
    }

    fn stage(&self) -> Stage {
        Stage::Collect
    }

    fn contributes_to(&self) -> Vec<PathBuf> {
        vec![PathBuf::from(FILE)]
    }
}
