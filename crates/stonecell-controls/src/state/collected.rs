//! Files that many controls contribute to. They are written once, sorted, whole: what no control wants any more is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Site, Unable, audit_rule, module, sysctl};
use crate::formats::{audit, modprobe, sysctl as sysctl_format, unit};
use crate::root::{Ownership, RootError};

const HEAD: &str =
    "# Written by Stonecell from its control catalogue. Change the definition, not this file.\n";

type Sections = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// Contributions so far.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) sysctl: BTreeMap<String, String>,
    pub(crate) modules: BTreeSet<String>,
    /// Settings by drop-in file.
    pub(crate) drop_ins: BTreeMap<PathBuf, Sections>,
    /// In catalogue order, without repetition.
    pub(crate) audit_rules: Vec<String>,
}

impl Collected {
    /// Writes every file that has contributions; answers the paths that changed.
    pub(super) fn write(self, site: &mut Site<'_>) -> Result<Vec<PathBuf>, (&'static str, Unable)> {
        let mut changed = Vec::new();
        let mut put =
            |site: &mut Site<'_>, path: &Path, text: &str, mode: u32| -> Result<(), RootError> {
                if site.put(path, text.as_bytes(), Ownership { mode, ..Ownership::PLAIN })? {
                    changed.push(path.to_owned());
                }
                Ok(())
            };
        if !self.sysctl.is_empty() {
            let text = sysctl_text(site, self.sysctl).map_err(|error| ("sysctl", error.into()))?;
            put(site, Path::new(sysctl::FILE), &text, 0o644)
                .map_err(|error| ("sysctl", error.into()))?;
        }
        if !self.modules.is_empty() {
            let mut text = HEAD.to_owned();
            for module in &self.modules {
                text.push_str(&modprobe::render(module));
            }
            put(site, Path::new(module::FILE), &text, 0o644)
                .map_err(|error| ("module", error.into()))?;
        }
        for (path, sections) in &self.drop_ins {
            let text = drop_in_text(sections);
            put(site, path, &text, 0o644).map_err(|error| ("unit_setting", error.into()))?;
        }
        if !self.audit_rules.is_empty() {
            let mut text = HEAD.to_owned();
            for rule in &self.audit_rules {
                text.push_str(rule);
                text.push('\n');
            }
            let mut written = || -> Result<(), RootError> {
                put(site, Path::new(audit_rule::FILE), &text, 0o640)?;
                let files: Vec<String> = site
                    .view()
                    .drop_ins(&[audit_rule::FOLDER], ".rules")?
                    .into_iter()
                    .map(|(_, text)| text)
                    .collect();
                put(site, Path::new(audit_rule::COMPILED), &audit::compile(&files), 0o640)
            };
            written().map_err(|error| ("audit_rule", error.into()))?;
        }
        Ok(changed)
    }
}

fn drop_in_text(sections: &Sections) -> String {
    let mut text = HEAD.to_owned();
    for (section, keys) in sections {
        text.push_str(&format!("\n[{section}]\n"));
        for (key, values) in keys {
            text.push_str(&unit::render(key, values));
        }
    }
    text
}

/// The sysctl file. Where another file sets a key for every interface, the wanted value is set for every interface too:
/// otherwise that line would undo it.
fn sysctl_text(site: &Site<'_>, mut wanted: BTreeMap<String, String>) -> Result<String, RootError> {
    let view = site.view();
    let others: Vec<_> =
        view.sysctl()?.iter().filter(|one| one.file != Path::new(sysctl::FILE)).cloned().collect();
    let mut every = BTreeMap::new();
    for (key, value) in &wanted {
        if let Some((front, last)) = key.rsplit_once('.')
            && let Some(family) = front.strip_suffix(".all")
            && sysctl_format::undone_by(&others, key, value).is_some()
        {
            every.insert(format!("{family}.*.{last}"), value.clone());
        }
    }
    for (key, value) in every {
        wanted.entry(key).or_insert(value);
    }
    let mut text = HEAD.to_owned();
    for (key, value) in &wanted {
        text.push_str(&format!("{key} = {value}\n"));
    }
    Ok(text)
}
