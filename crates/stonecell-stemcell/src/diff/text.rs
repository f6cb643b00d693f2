//! A difference for people: short lists, the most telling first.

use std::fmt::Write;

use super::{Change, Difference, FileState, Names};
use crate::inspect::bytes;
use crate::printable::printable;

/// Most files that are listed; the rest is counted. JSON has them all.
const SHOWN: usize = 200;

/// The difference as plain text; one line when there is none.
#[must_use]
pub fn text(difference: &Difference) -> String {
    if difference.is_empty() {
        return "no difference\n".to_owned();
    }
    let mut out = String::new();
    // Writing to a string does not fail.
    if let Some(Change { old, new }) = &difference.kernel {
        let _ = writeln!(out, "kernel     {} -> {}", printable(old), printable(new));
    }
    if let Some(Change { old, new }) = &difference.root_hash {
        let _ = writeln!(out, "root hash  {} -> {}", printable(old), printable(new));
    }
    for (name, Change { old, new }) in &difference.sizes {
        let _ = writeln!(out, "{name:<10} {} -> {}", bytes(*old), bytes(*new));
    }
    list(
        &mut out,
        "packages",
        &difference.packages,
        |version| version.clone(),
        |change| format!("{} -> {}", change.old, change.new),
    );
    let nothing = |(): &()| String::new();
    list(&mut out, "controls", &difference.controls, nothing, |_| String::new());
    list(&mut out, "command line", &difference.command_line, nothing, |_| String::new());
    list(&mut out, "files", &difference.files, |state| state.kind.clone(), changed_file);
    out
}

fn list<T>(
    out: &mut String,
    title: &str,
    names: &Names<T>,
    one: impl Fn(&T) -> String,
    two: impl Fn(&Change<T>) -> String,
) {
    if names.is_empty() {
        return;
    }
    let (added, removed, changed) = (names.added.len(), names.removed.len(), names.changed.len());
    let _ = writeln!(out, "\n{title}: {added} added, {removed} removed, {changed} changed");
    let added = names.added.iter().map(|(name, value)| ('+', name, one(value)));
    let removed = names.removed.iter().map(|(name, value)| ('-', name, one(value)));
    let changed = names.changed.iter().map(|(name, change)| ('~', name, two(change)));
    let mut rows: Vec<(char, &String, String)> = added.chain(removed).chain(changed).collect();
    rows.sort_by(|a, b| a.1.cmp(b.1));
    for (mark, name, detail) in rows.iter().take(SHOWN) {
        let line = format!("  {mark} {}  {}", printable(name), printable(detail));
        let _ = writeln!(out, "{}", line.trim_end());
    }
    if let Some(more) = rows.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(out, "  ... and {more} more (--json lists them)");
    }
}

fn changed_file(change: &Change<FileState>) -> String {
    let Change { old, new } = change;
    let mut told = Vec::new();
    for (name, old, new) in [
        ("kind", &old.kind, &new.kind),
        ("mode", &old.mode, &new.mode),
        ("owner", &old.owner, &new.owner),
    ] {
        if old != new {
            told.push(format!("{name} {old} -> {new}"));
        }
    }
    if old.size != new.size {
        told.push(format!("{} -> {}", bytes(old.size), bytes(new.size)));
    } else if old.sha256 != new.sha256 {
        told.push("content".to_owned());
    }
    if old.attributes != new.attributes {
        told.push("attributes".to_owned());
    }
    told.join(", ")
}
