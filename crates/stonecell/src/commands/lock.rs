//! `stonecell lock`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde_json::json;
use stonecell_build::archive;
use stonecell_build::project::Project;
use stonecell_definition::lock::Lock;

use super::{acquire_failure, interruptible, today};
use crate::cli::LockArgs;
use crate::failure::{Class, Failure};
use crate::terminal::Terminal;

pub(super) fn run(args: &LockArgs, cache: &Path, terminal: &Terminal) -> Result<(), Failure> {
    let project = Project::load(&args.definition, today(), &[])?;
    let path = args.output.clone().unwrap_or_else(|| project.lock_path());
    let before =
        std::fs::read_to_string(&path).ok().and_then(|text| Lock::from_toml(&text, &path).ok());
    let reporter = terminal.reporter();
    let cancel = interruptible()?;
    let now = jiff::Timestamp::now().as_second();
    let lock = archive::lock(&project, cache, args.jobs, now, &reporter, &cancel)
        .map_err(|error| acquire_failure(error, &cancel))?;
    reporter.finish();
    let text = lock.to_toml(&path).map_err(|error| Failure::new(Class::Failed, error))?;
    if !args.dry_run {
        write(&path, text.as_bytes()).map_err(|error| Failure::new(Class::Failed, error))?;
    }
    let changes = changes(before.as_ref(), &lock);
    let bytes: u64 = lock.package.iter().map(|package| package.size).sum();
    let facts = json!({
        "lock": path,
        "written": !args.dry_run,
        "packages": lock.package.len(),
        "tools": lock.tool.len(),
        "bytes": bytes,
        "epoch": lock.epoch,
        "indexes": lock.index,
        "changes": changes,
    });
    terminal.facts(&facts, || {
        let verb = if args.dry_run { "would pin" } else { "pinned" };
        let mut text = format!(
            "{verb} {} packages ({:.1} MB) in {}\n",
            lock.package.len(),
            bytes as f64 / 1e6,
            path.display()
        );
        for index in &lock.index {
            text.push_str(&format!(
                "  {:<22} {}  signed by {}\n",
                index.suite,
                index.date,
                index.signed_by.first().map_or("nobody", String::as_str)
            ));
        }
        if before.is_some() {
            for change in &changes {
                text.push_str(&format!("  {change}\n"));
            }
            if changes.is_empty() {
                text.push_str("  nothing changed\n");
            }
        }
        text
    });
    Ok(())
}

/// One line a package that came, went or changed.
fn changes(before: Option<&Lock>, after: &Lock) -> Vec<String> {
    let versions = |lock: &Lock| -> BTreeMap<String, String> {
        lock.package.iter().map(|p| (p.name.clone(), p.version.clone())).collect()
    };
    let old = before.map(versions).unwrap_or_default();
    let new = versions(after);
    let mut lines = Vec::new();
    for (name, version) in &new {
        match old.get(name) {
            None => lines.push(format!("+ {name} {version}")),
            Some(was) if was != version => lines.push(format!("~ {name} {was} -> {version}")),
            Some(_) => {}
        }
    }
    for (name, version) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        lines.push(format!("- {name} {version}"));
    }
    lines
}

/// Writes beside the file, then renames: a reader sees the old lock or the new one.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let dir =
        path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".stonecell-lock-").tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
