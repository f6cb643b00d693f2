//! `unit_setting` and `systemd_setting`: drop-ins, judged after merging everything that systemd would merge.

use std::path::{Path, PathBuf};

use super::{Effect, Finding, Site, State, Unable, Unknown, fails, left_out};
use crate::formats::unit::{Assignment, Effective, effective};
use crate::state::Stage;
use crate::view::View;
use crate::want::{SystemdSetting, Texts, UnitSetting};

const NAME: &str = "50-stonecell.conf";

impl UnitSetting {
    fn file(&self) -> PathBuf {
        PathBuf::from(format!("/etc/systemd/system/{}.d/{NAME}", self.unit))
    }
}

impl SystemdSetting {
    fn main(&self) -> String {
        format!("/etc/systemd/{}", self.file)
    }

    fn drop_in(&self) -> PathBuf {
        PathBuf::from(format!("/etc/systemd/{}.d/{NAME}", self.file))
    }
}

/// Booleans as systemd reads them.
fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

fn equal(found: &[String], wanted: &[String]) -> bool {
    let words = |value: &String| value.split_whitespace().collect::<Vec<_>>().join(" ");
    found.len() == wanted.len()
        && found.iter().zip(wanted).all(|(one, other)| {
            words(one) == words(other) || (boolean(one).is_some() && boolean(one) == boolean(other))
        })
}

fn judge(
    all: &[(PathBuf, Assignment)],
    section: &str,
    key: &str,
    value: &Texts,
    whole: &str,
    file: &Path,
) -> Finding {
    let wanted: Vec<String> =
        value.as_slice().iter().filter(|value| !value.is_empty()).cloned().collect();
    let expected = format!("[{section}] {key}={}", wanted.join(" + "));
    let remedy = format!("set it in {}", file.display());
    match effective(all.iter().map(|(_, assignment)| assignment), section, key) {
        Effective::Unset => fails(whole, format!("[{section}] {key} is not set"), expected, remedy),
        Effective::Values(found) if equal(&found, &wanted) => Finding::Holds,
        Effective::Values(found) => {
            let place = all
                .iter()
                .rev()
                .find(|(_, one)| one.section == section && one.key == key)
                .map_or_else(
                    || whole.to_owned(),
                    |(file, one)| format!("{}:{}", file.display(), one.line),
                );
            fails(place, format!("[{section}] {key}={}", found.join(" + ")), expected, remedy)
        }
    }
}

fn collect(site: &mut Site<'_>, file: PathBuf, section: &str, key: &str, value: &Texts) -> Effect {
    let values = value.as_slice().iter().filter(|value| !value.is_empty()).cloned().collect();
    site.collected
        .drop_ins
        .entry(file)
        .or_default()
        .entry(section.to_owned())
        .or_default()
        .insert(key.to_owned(), values);
    Effect::AlreadySo
}

impl State for UnitSetting {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let Some(fragment) = view.unit_fragment(&self.unit)? else {
            if self.if_present {
                return Ok(Finding::Skipped(format!(
                    "the unit {} is not there or masked",
                    self.unit
                )));
            }
            return Ok(fails(
                format!("unit {}", self.unit),
                "not there or masked",
                format!("{}={}", self.key, self.value.as_slice().join(" + ")),
                "add its package, or set `if_present = true` in the control",
            ));
        };
        let all = view.unit_settings(&self.unit, &fragment)?;
        let whole = format!("unit {}", self.unit);
        Ok(judge(&all, &self.section, &self.key, &self.value, &whole, &self.file()))
    }

    fn apply(&self, site: &mut Site<'_>) -> Result<Effect, Unable> {
        if site.view().unit_fragment(&self.unit)?.is_none() {
            if self.if_present {
                return Ok(left_out(format!("the unit {} is not there or masked", self.unit)));
            }
            return Err(Unable::Missing {
                thing: format!("the unit {}", self.unit),
                remedy: "add its package, or set `if_present = true` in the control",
            });
        }
        Ok(collect(site, self.file(), &self.section, &self.key, &self.value))
    }

    fn stage(&self) -> Stage {
        Stage::Collect
    }

    fn contributes_to(&self) -> Vec<PathBuf> {
        vec![self.file()]
    }
}

impl State for SystemdSetting {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let all = view.systemd_settings(&self.file)?;
        Ok(judge(&all, &self.section, &self.key, &self.value, &self.main(), &self.drop_in()))
    }

    fn apply(&self, site: &mut Site<'_>) -> Result<Effect, Unable> {
        Ok(collect(site, self.drop_in(), &self.section, &self.key, &self.value))
    }

    fn stage(&self) -> Stage {
        Stage::Collect
    }

    fn contributes_to(&self) -> Vec<PathBuf> {
        vec![self.drop_in()]
    }
}
