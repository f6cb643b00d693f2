//! `stonecell controls`.

use serde_json::json;
use stonecell_build::project::Project;
use stonecell_controls::Catalogue;

use super::today;
use crate::cli::ControlsArgs;
use crate::failure::{Class, Failure};
use crate::terminal::Terminal;

pub(super) fn run(args: &ControlsArgs, terminal: &Terminal) -> Result<(), Failure> {
    if let Some(path) = &args.definition {
        let project = Project::load(path, today(), &[])?;
        let selection = &project.selection;
        terminal.facts(selection, || {
            let mut text = String::new();
            for control in &selection.controls {
                text.push_str(&format!("{:<12} {}\n", control.id, control.title));
            }
            for left in &selection.left_out {
                text.push_str(&format!("{:<12} {} ({})\n", left.id, left.title, left.cause));
            }
            text
        });
        return Ok(());
    }
    let catalogue = Catalogue::embedded().map_err(|error| Failure::new(Class::Failed, error))?;
    if let Some(id) = &args.id {
        let control = catalogue.control(id).ok_or_else(|| {
            Failure::new(
                Class::Failed,
                format!("there is no control {id}; `stonecell controls` lists them"),
            )
        })?;
        terminal.facts(control, || {
            let references: Vec<String> = control
                .references
                .iter()
                .map(|(document, ids)| format!("{document} {}", ids.join(" ")))
                .collect();
            format!(
                "{} {}\n\n{}\n\nseverity    {:?}\nprofiles    {}\nreferences  {}\n",
                control.id,
                control.title,
                control.why,
                control.severity,
                control.profiles.join(", "),
                references.join("; "),
            )
        });
        return Ok(());
    }
    let counts = catalogue.counts();
    let whole = catalogue.to_json().map_err(|error| Failure::new(Class::Failed, error))?;
    let facts = json!({ "families": counts, "catalogue": whole });
    terminal.facts(&facts, || {
        let mut text = String::new();
        for control in catalogue.controls() {
            text.push_str(&format!("{:<12} {}\n", control.id, control.title));
        }
        let total: usize = counts.values().sum();
        let families: Vec<String> =
            counts.iter().map(|(family, count)| format!("{family} {count}")).collect();
        text.push_str(&format!("{total} controls: {}\n", families.join(", ")));
        text
    });
    Ok(())
}
