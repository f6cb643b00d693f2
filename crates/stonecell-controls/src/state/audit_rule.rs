//! `audit_rule`: rules of the audit system that name only what exists. A rule for a missing program is not only useless:
//! a checker that finds its text believes that something is watched.

use std::path::{Path, PathBuf};

use super::{Effect, Finding, Site, State, Unable, Unknown, failure, left_out};
use crate::formats::audit::{expand, lines, watched};
use crate::root::{Links, Root, RootError};
use crate::state::Stage;
use crate::view::View;
use crate::want::AuditRule;

pub(super) const FOLDER: &str = "/etc/audit/rules.d";
pub(super) const FILE: &str = "/etc/audit/rules.d/50-stonecell.rules";
pub(super) const COMPILED: &str = "/etc/audit/audit.rules";

/// What lies here comes to be when the machine runs; the image cannot say whether it exists.
const AT_RUN_TIME: [&str; 5] = ["/var/", "/run/", "/tmp/", "/home/", "/dev/"];

impl AuditRule {
    /// The path that the rule names and that the image does not have.
    fn missing(&self, root: &dyn Root) -> Result<Option<String>, RootError> {
        let Some(path) = watched(&self.rule) else { return Ok(None) };
        // A path of /etc that changes is a link to such a place.
        let target = root.resolve_parent(Path::new(path))?;
        let at_run_time = |path: &Path| AT_RUN_TIME.iter().any(|folder| path.starts_with(folder));
        if at_run_time(Path::new(path)) || at_run_time(&target) {
            return Ok(None);
        }
        let there = root.status(Path::new(path), Links::Follow)?.is_some();
        Ok((!there).then(|| path.to_owned()))
    }
}

impl State for AuditRule {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let wanted = expand(&self.rule, &self.key);
        let compiled = view.root.text(Path::new(COMPILED))?.unwrap_or_default();
        let present: Vec<String> = lines(&compiled).collect();
        if let Some(path) = self.missing(view.root)? {
            let failures: Vec<_> = wanted
                .iter()
                .filter(|rule| present.contains(rule))
                .map(|rule| {
                    failure(
                        COMPILED,
                        rule,
                        format!("no rule for {path}, which is not there"),
                        "remove the rule",
                    )
                })
                .collect();
            if failures.is_empty() {
                return Ok(Finding::Skipped(format!("{path} is not there")));
            }
            return Ok(Finding::Fails(failures));
        }
        let source: Vec<String> = view
            .drop_ins(&[FOLDER], ".rules")?
            .iter()
            .flat_map(|(_, text)| lines(text).collect::<Vec<_>>())
            .collect();
        let mut failures = Vec::new();
        for rule in &wanted {
            for (place, rules) in [(FOLDER, &source), (COMPILED, &present)] {
                // Rules are tried in order; one that says `never` without a condition ends the search.
                let found = rules.iter().position(|line| line == rule);
                let never = rules.iter().position(|line| is_blanket_never(line));
                match (found, never) {
                    (None, _) => failures.push(failure(
                        place,
                        "the rule is missing",
                        rule,
                        format!("add it to {FILE}"),
                    )),
                    (Some(at), Some(before)) if before < at => failures.push(failure(
                        place,
                        rules.get(before).cloned().unwrap_or_default(),
                        rule,
                        "remove the rule that stops all recording before it",
                    )),
                    _ => {}
                }
            }
        }
        Ok(Finding::of(failures))
    }

    fn apply(&self, site: &mut Site<'_>) -> Result<Effect, Unable> {
        if let Some(path) = self.missing(site.root())? {
            return Ok(left_out(format!("{path} is not there")));
        }
        for rule in expand(&self.rule, &self.key) {
            if !site.collected.audit_rules.contains(&rule) {
                site.collected.audit_rules.push(rule);
            }
        }
        Ok(Effect::AlreadySo)
    }

    fn stage(&self) -> Stage {
        Stage::Collect
    }

    fn contributes_to(&self) -> Vec<PathBuf> {
        vec![PathBuf::from(FILE), PathBuf::from(COMPILED)]
    }
}

/// A rule that suppresses events without asking which: `-a never,task`, `-a exit,never -S all`.
fn is_blanket_never(line: &str) -> bool {
    let mut words = line.split(' ');
    let adds = matches!(words.next(), Some("-a" | "-A"));
    let never = words.next().is_some_and(|list| list.split(',').any(|word| word == "never"));
    adds && never && !words.any(|word| word == "-F" || word == "-C")
}
