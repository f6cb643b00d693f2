//! AppArmor policies that confine nothing in this image.
//!
//! Packages ship policies for programs of other packages. The loader compiles each of them at every boot, on a
//! read-only root without a cache, before any service starts. A policy stays if a program that it may attach to is in
//! the image, or if a policy that stays or a unit names it. When in doubt it stays.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use crate::customise::CustomiseError;
use crate::tree::{Owner, RootTree};

const FOLDER: &str = "/etc/apparmor.d";
/// The policies that stay, a line each; the loader's unit does not run when it is empty.
const LIST: &str = "/usr/lib/stonecell/apparmor-policies";
/// Where programs lie.
const PROGRAMS: [&str; 3] = ["usr", "opt", "var/vcap"];
/// Where units lie that may name a policy.
const UNITS: [&str; 2] = ["/usr/lib/systemd/system", "/etc/systemd/system"];

/// Removes policies without a program and lists the others.
///
/// # Errors
/// [`CustomiseError`] when the tree cannot be read or written.
pub fn prune(tree: &RootTree) -> Result<(), CustomiseError> {
    let policies: Vec<Policy> = tree
        .names(FOLDER)
        .into_iter()
        .filter_map(|file| {
            // Directories and foreign encodings are no policies.
            let text = tree.read(&format!("{FOLDER}/{file}")).ok()?;
            Some(Policy { file, text })
        })
        .collect();
    let mut programs = BTreeSet::new();
    for top in PROGRAMS {
        let path = tree.path().join(top);
        collect(&path, &mut programs)
            .map_err(|source| CustomiseError::Programs { path, source })?;
    }
    let mut units = String::new();
    for folder in UNITS {
        for name in tree.names(folder).iter().filter(|name| name.ends_with(".service")) {
            let text = tree.read(&format!("{folder}/{name}")).unwrap_or_default();
            units.extend(
                text.lines()
                    .filter(|line| line.starts_with("AppArmorProfile="))
                    .flat_map(|l| [l, "\n"]),
            );
        }
    }
    let kept = kept(&policies, &programs, &units);
    let mut list = String::new();
    for policy in &policies {
        if kept.contains(policy.file.as_str()) {
            list.push_str(&policy.file);
            list.push('\n');
        } else {
            tree.remove(&format!("{FOLDER}/{}", policy.file))?;
        }
    }
    Ok(tree.write(LIST, list.as_bytes(), Owner::root(0o644))?)
}

/// Names of all files below a directory.
fn collect(directory: &Path, names: &mut BTreeSet<String>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), names)?;
        } else {
            names.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// A file of `/etc/apparmor.d`.
struct Policy {
    file: String,
    text: String,
}

/// The head of a profile: `profile NAME PATH flags=(...) {`, where name or path may be left out.
#[derive(Debug, PartialEq, Eq)]
struct Head<'a> {
    name: &'a str,
    path: Option<&'a str>,
}

fn heads(text: &str) -> Vec<Head<'_>> {
    text.lines().filter_map(|line| head(line.trim())).collect()
}

fn head(line: &str) -> Option<Head<'_>> {
    let mut words = line.strip_suffix('{')?.split_whitespace().map(|word| word.trim_matches('"'));
    let first = words.next()?;
    let is_path = |word: &str| word.starts_with('/') || word.starts_with("@{");
    if first != "profile" {
        return is_path(first).then_some(Head { name: first, path: Some(first) });
    }
    let name = words.next()?;
    let path = words.find(|word| is_path(word)).or_else(|| is_path(name).then_some(name));
    Some(Head { name, path })
}

/// The last component of an attachment up to its first pattern: every program with that beginning may be meant.
fn beginning(path: &str) -> &str {
    let last = path.rsplit_once('/').map_or(path, |(_, last)| last);
    last.split(['*', '?', '[', '{', '}', '@', '\\']).next().unwrap_or_default()
}

/// The files that stay.
fn kept<'a>(policies: &'a [Policy], programs: &BTreeSet<String>, units: &str) -> BTreeSet<&'a str> {
    let attaches = |path: &str| {
        let beginning = beginning(path);
        programs
            .range(beginning.to_owned()..)
            .next()
            .is_some_and(|name| name.starts_with(beginning))
    };
    let mut kept = BTreeSet::new();
    loop {
        let before = kept.len();
        for policy in policies {
            let heads = heads(&policy.text);
            let named = |name: &str| {
                let others = policies.iter().filter(|p| kept.contains(p.file.as_str()));
                others.map(|p| p.text.as_str()).chain([units]).any(|text| mentions(text, name))
            };
            let needed = |head: &Head<'_>| head.path.is_some_and(attaches) || named(head.name);
            if heads.is_empty() || heads.iter().any(needed) {
                kept.insert(policy.file.as_str());
            }
        }
        if kept.len() == before {
            return kept;
        }
    }
}

/// Does the text hold the word?
fn mentions(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    text.split(|c: char| !part(c)).any(|found| found == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stay(policies: &[(&str, &str)], programs: &[&str], units: &str) -> Vec<String> {
        let policies: Vec<Policy> = policies
            .iter()
            .map(|(file, text)| Policy { file: (*file).into(), text: (*text).into() })
            .collect();
        let programs = programs.iter().map(|name| (*name).to_owned()).collect();
        kept(&policies, &programs, units).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn every_form_of_head_is_read() {
        let of = |line| head(line).map(|head| (head.name, head.path));
        assert_eq!(of("/usr/sbin/x {"), Some(("/usr/sbin/x", Some("/usr/sbin/x"))));
        assert_eq!(of("profile x /usr/bin/x flags=(complain) {"), Some(("x", Some("/usr/bin/x"))));
        assert_eq!(of("profile \"/usr/bin/x\" {"), Some(("/usr/bin/x", Some("/usr/bin/x"))));
        assert_eq!(of("profile x {"), Some(("x", None)));
        assert_eq!(of("@{bin}/x {"), Some(("@{bin}/x", Some("@{bin}/x"))));
        assert_eq!(of("/usr/bin/x ixr,"), None);
        assert_eq!(of("if $x {"), None);
    }

    #[test]
    fn a_policy_without_its_program_goes() {
        let policies = [
            ("there", "profile there /usr/{,s}bin/ntpd {\n}"),
            ("gone", "/usr/lib/cups/cupsd {\n}"),
            ("pattern", "profile p /opt/*/post{gres,master} {\n}"),
            ("any", "profile any /** {\n}"),
            ("unknown", "abi <abi/4.0>,\n"),
        ];
        assert_eq!(
            stay(&policies, &["ntpd", "postgres"], ""),
            ["any", "pattern", "there", "unknown"]
        );
    }

    #[test]
    fn a_named_policy_stays_while_somebody_names_it() {
        let named = ("named", "profile named {\n}");
        assert!(stay(&[named], &["x"], "").is_empty());
        assert_eq!(stay(&[named], &["x"], "AppArmorProfile=named\n"), ["named"]);
        let user = ("user", "/usr/bin/x {\n /usr/bin/y Px -> named,\n}");
        assert_eq!(stay(&[named, user], &["x"], ""), ["named", "user"]);
        assert!(stay(&[named, user], &["z"], "").is_empty());
    }

    #[test]
    fn the_tree_keeps_what_has_a_program_and_lists_it() {
        let root = tempfile::tempdir().unwrap();
        let tree = RootTree::open(root.path()).unwrap();
        let file = Owner::root(0o644);
        for (path, text) in [
            ("/etc/apparmor.d/usr.sbin.ntpd", "/usr/sbin/ntpd {\n}"),
            ("/etc/apparmor.d/lsb_release", "profile lsb_release {\n}"),
            ("/etc/apparmor.d/abstractions/base", "/x r,"),
            ("/usr/sbin/ntpd", ""),
        ] {
            tree.write(path, text.as_bytes(), file).unwrap();
        }
        prune(&tree).unwrap();
        assert_eq!(tree.names("/etc/apparmor.d"), ["abstractions", "usr.sbin.ntpd"]);
        assert_eq!(tree.read(LIST).unwrap(), "usr.sbin.ntpd\n");
    }
}
