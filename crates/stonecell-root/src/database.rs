//! The dpkg database of a root: what `dpkg --unpack` leaves, so that `dpkg --configure` can go on.
//!
//! Files (dpkg 1.21, lib/dpkg/dump.c, dbmodify.c, trigdeferred.l; deb-triggers(5)):
//! `status`, `info/format`, `info/PACKAGE.*`, `triggers/File`, `triggers/NAME`, `triggers/Unincorp`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

use crate::control::Stanza;
use crate::layout::{PackagePlan, Rules};
use crate::package::Package;
use crate::tree::Tree;

/// Where dpkg keeps its database.
pub(crate) const ADMIN: &str = "var/lib/dpkg";

/// Makes an empty database.
///
/// # Errors
/// That of the system call.
pub(crate) fn create(tree: &Tree) -> io::Result<()> {
    for dir in ["info", "updates", "triggers", "alternatives", "parts"] {
        tree.make_dirs(&format!("{ADMIN}/{dir}"))?;
    }
    tree.write(&format!("{ADMIN}/info/format"), b"1\n", 0o644)?;
    tree.write(&format!("{ADMIN}/status"), b"", 0o644)?;
    tree.write(&format!("{ADMIN}/available"), b"", 0o644)
}

/// Writes the control archive's files of a package into `info/`.
///
/// # Errors
/// That of the system call.
pub(crate) fn write_control_files(tree: &Tree, package: &Package) -> io::Result<()> {
    let stem = package.info_stem();
    for file in package.description.files.iter().filter(|file| is_info_name(&file.name)) {
        if file.name != "md5sums" {
            let path = format!("{ADMIN}/info/{stem}.{}", file.name);
            tree.write(&path, &file.data, file.mode & 0o755)?;
        }
    }
    Ok(())
}

/// dpkg ignores files whose names could be taken for another package's (lib/dpkg/infodb).
fn is_info_name(name: &str) -> bool {
    !name.is_empty()
        && name != "list"
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Writes `.list` and `.md5sums` of an unpacked package, without the files that were left out.
///
/// # Errors
/// That of the system call.
pub(crate) fn write_file_lists(
    tree: &Tree,
    package: &Package,
    plan: &PackagePlan,
) -> io::Result<()> {
    let stem = package.info_stem();
    let list: String = plan
        .list
        .iter()
        .map(|path| if path.is_empty() { "/.\n".to_owned() } else { format!("/{path}\n") })
        .collect();
    tree.write(&format!("{ADMIN}/info/{stem}.list"), list.as_bytes(), 0o644)?;
    let Some(sums) = package.file("md5sums") else { return Ok(()) };
    let excluded: BTreeSet<&str> = plan.excluded.iter().map(String::as_str).collect();
    let path = format!("{ADMIN}/info/{stem}.md5sums");
    if excluded.is_empty() {
        return tree.write(&path, &sums.data, 0o644);
    }
    let kept: String = String::from_utf8_lossy(&sums.data)
        .lines()
        .filter(|line| line.split_once("  ").is_none_or(|(_, file)| !excluded.contains(file)))
        .flat_map(|line| [line, "\n"])
        .collect();
    tree.write(&path, kept.as_bytes(), 0o644)
}

/// Takes paths out of the `.list` of a package that lost them to another.
///
/// # Errors
/// That of the system call.
pub(crate) fn forget_files(
    tree: &Tree,
    package: &Package,
    lost: &BTreeSet<String>,
) -> io::Result<()> {
    let path = format!("{ADMIN}/info/{}.list", package.info_stem());
    let text = String::from_utf8_lossy(&tree.read(&path)?).into_owned();
    let kept: String = text
        .lines()
        .filter(|line| !lost.contains(line.trim_start_matches('/')))
        .flat_map(|line| [line, "\n"])
        .collect();
    tree.write(&path, kept.as_bytes(), 0o644)
}

/// The stanza of a package that is unpacked and not configured.
#[must_use]
pub(crate) fn unpacked_stanza(package: &Package) -> Stanza {
    let mut stanza = Stanza::default();
    for (name, value) in &package.description.control.fields {
        // These are dpkg's own and cannot come from a package.
        if matches!(name.as_str(), "Status" | "Conffiles" | "Config-Version") {
            continue;
        }
        stanza.fields.push((name.clone(), value.clone()));
        if name.eq_ignore_ascii_case("Package") {
            stanza.fields.push(("Status".into(), "install ok unpacked".into()));
        }
    }
    let conffiles: String = package
        .conffiles()
        .iter()
        .map(|file| {
            let flag = if file.remove_on_upgrade { " remove-on-upgrade" } else { "" };
            format!("\n /{} newconffile{flag}", file.path)
        })
        .collect();
    if !conffiles.is_empty() {
        stanza.fields.push(("Conffiles".into(), conffiles));
    }
    stanza
}

/// Adds unpacked packages to `status`. Their stanzas come from [`unpacked_stanza`]; dpkg itself puts
/// the file into its own order when it next writes it.
///
/// # Errors
/// That of the system call.
pub(crate) fn add_to_status<'a>(
    tree: &Tree,
    packages: impl Iterator<Item = &'a Package>,
) -> io::Result<()> {
    let path = format!("{ADMIN}/status");
    let mut text = tree.read(&path)?;
    for package in packages {
        if !text.is_empty() && !text.ends_with(b"\n\n") {
            text.push(b'\n');
        }
        text.extend(unpacked_stanza(package).to_text().bytes());
        text.push(b'\n');
    }
    tree.write(&path, &text, 0o644)
}

/// A line of a package's `triggers` file that asks to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interest {
    /// A path with a leading slash, or a name.
    pub trigger: String,
    /// Whether the package that sets it off waits for it.
    pub awaited: bool,
}

/// The interests of a package, in order.
#[must_use]
pub(crate) fn interests(package: &Package) -> Vec<Interest> {
    let text = package.file("triggers").map(|file| String::from_utf8_lossy(&file.data));
    let lines = text.as_deref().unwrap_or_default().lines();
    lines
        .filter_map(|line| {
            let mut words = line.split('#').next()?.split_whitespace();
            let awaited = match words.next()? {
                "interest" | "interest-await" => true,
                "interest-noawait" => false,
                _ => return None,
            };
            let trigger = words.next()?.to_owned();
            // A name becomes a file name in the database.
            let safe = trigger.starts_with('/') || is_trigger_name(&trigger);
            safe.then_some(Interest { trigger, awaited })
        })
        .collect()
}

fn is_trigger_name(name: &str) -> bool {
    !matches!(name, "File" | "Lock" | "Unincorp")
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
}

/// Registers the interests of unpacked packages, and records which paths of theirs set off the
/// interests of packages that are configured already. dpkg does the rest when it next runs.
///
/// # Errors
/// That of the system call.
pub(crate) fn add_triggers(
    tree: &Tree,
    unpacked: &[(&Package, &PackagePlan)],
    configured: &[&Package],
) -> io::Result<()> {
    let dir = format!("{ADMIN}/triggers");
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    for (package, _) in unpacked {
        let who = package.info_stem();
        for Interest { trigger, awaited } in interests(package) {
            let flag = if awaited { "" } else { "/noawait" };
            if trigger.starts_with('/') {
                *lines.entry("File".into()).or_default() += &format!("{trigger} {who}{flag}\n");
            } else {
                *lines.entry(trigger).or_default() += &format!("{who}{flag}\n");
            }
        }
    }
    for (name, added) in lines {
        let path = format!("{dir}/{name}");
        let mut text = tree.read(&path)?;
        text.extend(added.bytes());
        tree.write(&path, &text, 0o644)?;
    }
    let listening: Vec<Interest> = configured
        .iter()
        .flat_map(|package| interests(package))
        .filter(|interest| interest.trigger.starts_with('/'))
        .collect();
    let fired = fired(&listening, unpacked);
    if fired.is_empty() {
        return Ok(());
    }
    let path = format!("{dir}/Unincorp");
    let mut text = tree.read(&path)?;
    for (trigger, who) in fired {
        let who: Vec<_> = who.into_iter().collect();
        text.extend(format!("{trigger} {}\n", who.join(" ")).bytes());
    }
    tree.write(&path, &text, 0o644)
}

/// Which path triggers the files of a wave set off, and who waits (`-` for nobody).
fn fired(
    listening: &[Interest],
    unpacked: &[(&Package, &PackagePlan)],
) -> BTreeMap<String, BTreeSet<String>> {
    let mut fired: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Interest { trigger, awaited } in listening {
        let wanted = trigger.trim_matches('/');
        let below = format!("{wanted}/");
        for (package, plan) in unpacked {
            if plan.list.iter().any(|path| path == wanted || path.starts_with(&below)) {
                let who = if *awaited { package.info_stem() } else { "-".to_owned() };
                fired.entry(trigger.clone()).or_default().insert(who);
            }
        }
    }
    fired
}

/// Reads what the root says about users, groups, diversions and overrides.
///
/// # Errors
/// That of the system call.
pub(crate) fn read_rules(tree: &Tree) -> io::Result<Rules> {
    let text = |path: &str| -> io::Result<String> {
        Ok(String::from_utf8_lossy(&tree.read(path)?).into_owned())
    };
    let users = ids(&text("etc/passwd")?);
    let groups = ids(&text("etc/group")?);
    let diversions = diversions(&text(&format!("{ADMIN}/diversions"))?);
    let overrides = overrides(&text(&format!("{ADMIN}/statoverride"))?, &users, &groups);
    Ok(Rules { users, groups, diversions, overrides })
}

fn ids(text: &str) -> HashMap<String, u32> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// Three lines each: from, to, package (`:` for a local one).
fn diversions(text: &str) -> HashMap<String, (String, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let (triples, _) = lines.as_chunks::<3>();
    let bare = |path: &str| path.trim_start_matches('/').to_owned();
    triples
        .iter()
        .map(|[from, to, package]| {
            (
                bare(from),
                (bare(to), if *package == ":" { String::new() } else { (*package).into() }),
            )
        })
        .collect()
}

/// `user group mode path` each; a number is written `#1000`.
fn overrides(
    text: &str,
    users: &HashMap<String, u32>,
    groups: &HashMap<String, u32>,
) -> HashMap<String, (u32, u32, u32)> {
    let id = |names: &HashMap<String, u32>, word: &str| match word.strip_prefix('#') {
        Some(number) => number.parse().ok(),
        None => names.get(word).copied(),
    };
    let line = |line: &str| {
        let mut words = line.splitn(4, ' ');
        let (uid, gid) = (id(users, words.next()?)?, id(groups, words.next()?)?);
        let mode = u32::from_str_radix(words.next()?, 8).ok()?;
        Some((words.next()?.trim_start_matches('/').to_owned(), (uid, gid, mode)))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roots_own_files_are_read() {
        let users = ids("root:x:0:0:root:/root:/bin/bash\nman:x:6:12::/:/x\nbroken\n");
        assert_eq!(users.get("man"), Some(&6));
        assert_eq!(users.len(), 2);
        let groups = ids("root:x:0:\nshadow:x:42:\n");
        let found =
            overrides("root shadow 2755 /usr/bin/chage\n#7 root 4755 /x y\n", &users, &groups);
        assert_eq!(found.get("usr/bin/chage"), Some(&(0, 42, 0o2755)));
        assert_eq!(found.get("x y"), Some(&(7, 0, 0o4755)));
        let diverted = diversions("/bin/sh\n/bin/sh.distrib\ndash\n/a\n/b\n:\n/lonely\n");
        assert_eq!(diverted.get("bin/sh"), Some(&("bin/sh.distrib".into(), "dash".into())));
        assert_eq!(diverted.get("a"), Some(&("b".into(), String::new())));
        assert_eq!(diverted.len(), 2);
    }

    #[test]
    fn trigger_names_that_are_the_databases_own_files_are_refused() {
        assert!(is_trigger_name("ldconfig") && is_trigger_name("update-initramfs"));
        for name in ["File", "Unincorp", "Lock", "../status", ".x", ""] {
            assert!(!is_trigger_name(name), "{name}");
        }
    }
}
