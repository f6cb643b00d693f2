//! `line`: a line that must stand in a file, or a pattern that no active line may match.

use std::path::Path;

use regex::Regex;

use super::{Effect, Finding, Site, State, Unable, Unknown, fails, failure, left_out};
use crate::root::Links;
use crate::view::View;
use crate::want::Line;

impl State for Line {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let path = Path::new(&self.path);
        let there = view.root.status(path, Links::Follow)?.is_some();
        if !there && (self.if_present || self.absent) {
            return Ok(Finding::Skipped(format!("{} is not there", self.path)));
        }
        let text = view.root.text(path)?.unwrap_or_default();
        if let Some(pattern) = &self.pattern {
            let regex =
                Regex::new(pattern).map_err(|_| Unknown::Pattern { pattern: pattern.clone() })?;
            let failures = text
                .lines()
                .enumerate()
                .filter(|(_, line)| regex.is_match(line))
                .map(|(index, line)| {
                    let place = format!("{}:{}", self.path, index + 1);
                    failure(
                        place,
                        line,
                        format!("no line that matches {pattern}"),
                        "remove the line",
                    )
                })
                .collect();
            return Ok(Finding::of(failures));
        }
        let wanted = self.line.as_deref().unwrap_or_default();
        Ok(if text.lines().any(|line| line.trim_end() == wanted.trim_end()) {
            Finding::Holds
        } else {
            fails(&self.path, "the line is missing", wanted, "add the line")
        })
    }

    fn apply(&self, site: &mut Site<'_>) -> Result<Effect, Unable> {
        let path = Path::new(&self.path);
        let there = site.root().status(path, Links::Follow)?.is_some();
        if !there && (self.if_present || self.absent) {
            return Ok(left_out(format!("{} is not there", self.path)));
        }
        if let Some(pattern) = &self.pattern {
            let regex =
                Regex::new(pattern).map_err(|_| Unable::Pattern { pattern: pattern.clone() })?;
            return Ok(site.edit(path, &|text| {
                text.split_inclusive('\n')
                    .filter(|line| !regex.is_match(line.trim_end_matches('\n')))
                    .collect()
            })?);
        }
        let wanted = self.line.as_deref().unwrap_or_default();
        Ok(site.edit(path, &|text| {
            if text.lines().any(|line| line.trim_end() == wanted.trim_end()) {
                return text.to_owned();
            }
            let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            format!("{text}{end}{wanted}\n")
        })?)
    }
}
