//! `unit`: links in `/etc/systemd/system`, as `systemctl enable`, `disable` and `mask` make them.

use std::path::{Path, PathBuf};

use super::{Effect, Finding, Site, State, Unable, Unknown, effect, fails, left_out};
use crate::formats::unit::parse;
use crate::root::{Kind, Links, RootError};
use crate::view::{UNIT_FOLDERS, View};
use crate::want::{Unit, UnitState};

const ETC: &str = "/etc/systemd/system";
const NULL: &str = "/dev/null";

impl Unit {
    fn mask(&self) -> PathBuf {
        Path::new(ETC).join(&self.name)
    }

    fn is_masked(&self, view: &View<'_>) -> Result<bool, RootError> {
        Ok(view.root.read_link(&self.mask())?.is_some_and(|target| target == Path::new(NULL)))
    }

    /// Links that pull the unit in: below `*.wants`, `*.requires` and `*.upholds`, and aliases in `/etc`.
    fn pulled_in_by(&self, view: &View<'_>) -> Result<Vec<PathBuf>, RootError> {
        let mut found = Vec::new();
        for folder in UNIT_FOLDERS {
            for name in view.root.list(Path::new(folder))?.unwrap_or_default() {
                let text = name.to_string_lossy();
                let path = Path::new(folder).join(&name);
                if [".wants", ".requires", ".upholds"].iter().any(|end| text.ends_with(end)) {
                    let link = path.join(&self.name);
                    if view.root.status(&link, Links::Stay)?.is_some() {
                        found.push(link);
                    }
                } else if folder == ETC
                    && text != self.name.as_str()
                    && let Some(target) = view.root.read_link(&path)?
                    && target.file_name().is_some_and(|file| file == self.name.as_str())
                {
                    found.push(path);
                }
            }
        }
        Ok(found)
    }

    /// Links that enabling makes, by the unit's `[Install]` section.
    fn installs(&self, view: &View<'_>, fragment: &Path) -> Result<Vec<PathBuf>, RootError> {
        let bytes = view.root.read(fragment)?.unwrap_or_default();
        let mut links = Vec::new();
        for assignment in parse(&String::from_utf8_lossy(&bytes)) {
            if assignment.section != "Install" {
                continue;
            }
            for word in assignment.value.split_whitespace() {
                match assignment.key.as_str() {
                    "WantedBy" => {
                        links.push(Path::new(ETC).join(format!("{word}.wants")).join(&self.name))
                    }
                    "RequiredBy" => {
                        links.push(Path::new(ETC).join(format!("{word}.requires")).join(&self.name))
                    }
                    "UpheldBy" => {
                        links.push(Path::new(ETC).join(format!("{word}.upholds")).join(&self.name))
                    }
                    "Alias" if word != self.name => links.push(Path::new(ETC).join(word)),
                    _ => {}
                }
            }
        }
        Ok(links)
    }

    fn enable(&self, site: &mut Site<'_>) -> Result<Effect, Unable> {
        let mut changed = Vec::new();
        if self.is_masked(&site.view())? {
            site.change().remove(&self.mask())?;
            changed.push(self.mask());
        }
        let Some(fragment) = site.view().unit_fragment(&self.name)? else {
            return Err(Unable::Missing {
                thing: format!("the unit {}", self.name),
                remedy: "add its package, or set `if_present = true` in the control",
            });
        };
        let links = self.installs(&site.view(), &fragment)?;
        if links.is_empty() && self.pulled_in_by(&site.view())?.is_empty() {
            return Err(Unable::Ambiguous {
                what: format!(
                    "the unit {} has no [Install] section and nothing pulls it in",
                    self.name
                ),
                remedy: "name the unit that starts it",
            });
        }
        for link in links {
            if site.root().status(&link, Links::Stay)?.is_none() {
                site.change().link(&link, &fragment)?;
                changed.push(link);
            }
        }
        Ok(effect(changed))
    }

    fn disable(&self, site: &mut Site<'_>) -> Result<Effect, Unable> {
        let mut changed = Vec::new();
        for link in self.pulled_in_by(&site.view())? {
            if !link.starts_with(ETC) {
                return Err(Unable::Ambiguous {
                    what: format!("{} is pulled in by {}", self.name, link.display()),
                    remedy: "want it `masked`: a unit that a package pulls in cannot be disabled",
                });
            }
            site.change().remove(&link)?;
            changed.push(link);
        }
        Ok(effect(changed))
    }
}

impl State for Unit {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let masked = self.is_masked(view)?;
        let here = masked || view.unit_fragment(&self.name)?.is_some();
        if !here && self.if_present {
            return Ok(Finding::Skipped(format!("the unit {} is not there", self.name)));
        }
        let pulled_in = self.pulled_in_by(view)?;
        let place = format!("unit {}", self.name);
        let expected = self.state.name();
        Ok(match self.state {
            UnitState::Masked if masked => Finding::Holds,
            UnitState::Masked => fails(
                self.mask().display().to_string(),
                "it is no link to /dev/null",
                expected,
                format!("systemctl mask {}", self.name),
            ),
            // What is masked is not started either, whatever pulls it in.
            UnitState::Disabled if masked => Finding::Holds,
            UnitState::Disabled => match pulled_in.first() {
                None => Finding::Holds,
                Some(link) => fails(
                    place,
                    format!("pulled in by {}", link.display()),
                    expected,
                    format!("systemctl disable {}", self.name),
                ),
            },
            UnitState::Enabled if masked => {
                fails(place, "masked", expected, "remove the link to /dev/null")
            }
            UnitState::Enabled if !here => fails(place, "not there", expected, "add its package"),
            UnitState::Enabled if pulled_in.is_empty() => fails(
                place,
                "nothing pulls it in",
                expected,
                format!("systemctl enable {}", self.name),
            ),
            UnitState::Enabled => Finding::Holds,
        })
    }

    fn apply(&self, site: &mut Site<'_>) -> Result<Effect, Unable> {
        let here =
            self.is_masked(&site.view())? || site.view().unit_fragment(&self.name)?.is_some();
        if !here && self.if_present {
            return Ok(left_out(format!("the unit {} is not there", self.name)));
        }
        match self.state {
            UnitState::Enabled => self.enable(site),
            UnitState::Disabled => self.disable(site),
            UnitState::Masked => {
                if self.is_masked(&site.view())? {
                    return Ok(Effect::AlreadySo);
                }
                let mask = self.mask();
                if let Some(status) = site.root().status(&mask, Links::Stay)?
                    && status.kind == Kind::Directory
                {
                    return Err(Unable::Ambiguous {
                        what: format!("{} is a directory", mask.display()),
                        remedy: "a unit is a file; find out what made it",
                    });
                }
                site.change().link(&mask, Path::new(NULL))?;
                Ok(Effect::Changed { paths: vec![mask] })
            }
        }
    }
}
