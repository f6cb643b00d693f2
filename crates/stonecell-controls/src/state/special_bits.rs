//! `special_bits`: set-user-id, set-group-id and file capabilities only where a role names the file.

use std::path::{Path, PathBuf};

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::{Effect, Finding, Site, State, Unable, Unknown, effect, failure};
use crate::root::{Kind, RootError};
use crate::state::Stage;
use crate::view::View;
use crate::want::SpecialBits;

const SET_ID: u32 = 0o6000;

enum Problem {
    /// The allow-list has something that is no glob.
    Pattern(String),
    Root(RootError),
}

impl From<RootError> for Problem {
    fn from(error: RootError) -> Self {
        Self::Root(error)
    }
}

impl From<Problem> for Unknown {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Pattern(pattern) => Self::Pattern { pattern },
            Problem::Root(error) => Self::Root(error),
        }
    }
}

impl From<Problem> for Unable {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Pattern(pattern) => Self::Pattern { pattern },
            Problem::Root(error) => Self::Root(error),
        }
    }
}

/// A file with special bits outside the allow-list.
struct Offender {
    path: PathBuf,
    mode: u32,
    capability: bool,
}

/// The allow-list; paths that lead over links (`/bin/su`) mean the file itself.
fn allowed(view: &View<'_>) -> Result<GlobSet, Problem> {
    let mut set = GlobSetBuilder::new();
    for pattern in view.setuid_allow {
        let resolved = view.root.resolve(Path::new(pattern))?;
        let pattern = resolved.as_ref().and_then(|path| path.to_str()).unwrap_or(pattern);
        set.add(Glob::new(pattern).map_err(|_| Problem::Pattern(pattern.to_owned()))?);
    }
    set.build().map_err(|error| Problem::Pattern(error.to_string()))
}

fn offenders(view: &View<'_>) -> Result<Vec<Offender>, Problem> {
    let allowed = allowed(view)?;
    let mut found = Vec::new();
    for entry in view.tree()? {
        if entry.status.kind != Kind::File || allowed.is_match(&entry.path) {
            continue;
        }
        let capability = view.root.capability(&entry.path)?.is_some();
        if capability || entry.status.mode & SET_ID != 0 {
            found.push(Offender { path: entry.path.clone(), mode: entry.status.mode, capability });
        }
    }
    Ok(found)
}

impl State for SpecialBits {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let remedy = "remove them, or name the file in the allow-list of the role that needs it";
        let failures = offenders(view)?
            .into_iter()
            .map(|offender| {
                let bits = if offender.mode & SET_ID != 0 {
                    format!("mode {:04o}", offender.mode)
                } else {
                    String::new()
                };
                let capability = if offender.capability { "a file capability" } else { "" };
                let both = if !bits.is_empty() && offender.capability { " and " } else { "" };
                failure(
                    offender.path.display().to_string(),
                    format!("{bits}{both}{capability}"),
                    "no special bits",
                    remedy,
                )
            })
            .collect();
        Ok(Finding::of(failures))
    }

    fn apply(&self, site: &mut Site<'_>) -> Result<Effect, Unable> {
        let found = offenders(&site.view())?;
        let mut changed = Vec::new();
        for offender in found {
            if offender.capability {
                site.change().remove_capability(&offender.path)?;
            }
            if offender.mode & SET_ID != 0 {
                site.change().set_mode(&offender.path, offender.mode & !SET_ID)?;
            }
            changed.push(offender.path);
        }
        Ok(effect(changed))
    }

    fn stage(&self) -> Stage {
        Stage::Scan
    }
}
