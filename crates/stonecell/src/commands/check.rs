//! `stonecell check`.

use serde_json::json;
use stonecell_build::project::Project;

use super::today;
use crate::cli::CheckArgs;
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(super) fn run(args: &CheckArgs, terminal: &Terminal) -> Result<(), Failure> {
    let project = Project::load(&args.definition, today(), &[])?;
    let definition = &project.definition;
    let locked = project.lock_path();
    let lock = if locked.exists() {
        match project.read_lock(&locked) {
            Ok((lock, _)) => format!("{} packages pinned", lock.package.len()),
            Err(error) => error.to_string(),
        }
    } else {
        format!("none; run `stonecell lock {}`", args.definition.display())
    };
    let facts = json!({
        "name": definition.name,
        "version": definition.version,
        "base": format!("{} {}", definition.base.distribution.name(), definition.base.release.name()),
        "roles": definition.roles,
        "controls": project.selection.controls.len(),
        "controls_left_out": project.selection.left_out,
        "opt_outs": definition.controls.opt_outs,
        "sources": definition.sources,
        "lock": lock,
        "definition": definition,
    });
    terminal.facts(&facts, || {
        let mut text = format!(
            "{} {} is right\n  base      {} {}\n  roles     {}\n  controls  {} of profile {}\n",
            definition.name,
            definition.version,
            definition.base.distribution.name(),
            definition.base.release.name(),
            definition.roles.join(", "),
            project.selection.controls.len(),
            project.selection.profile,
        );
        for left in project.left_out() {
            text.push_str(&format!("  left out  {}: {}\n", left.id, left.cause));
        }
        text.push_str(&format!("  lock      {lock}\n"));
        text
    });
    Ok(())
}
