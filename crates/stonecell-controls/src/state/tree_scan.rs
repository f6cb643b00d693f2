//! `tree_scan`: properties that nothing in the tree may have. What is unambiguous is corrected; the rest stops the build.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{Effect, Finding, Site, State, Unable, Unknown, effect, failure};
use crate::formats::accounts::{change_field, fields};
use crate::root::{Entry, Kind, RootError};
use crate::state::Stage;
use crate::view::View;
use crate::want::{ScanRule, TreeScan};

const STICKY: u32 = 0o1000;
const SET_ID: u32 = 0o6000;
const OTHERS_WRITE: u32 = 0o002;
const GROUP_OR_OTHERS_WRITE: u32 = 0o022;

const DATABASES: [&str; 4] = ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow"];
const TRUST_FILES: [&str; 5] = [".rhosts", ".shosts", ".netrc", "hosts.equiv", "shosts.equiv"];
/// Where a private key would lie; libraries and manuals elsewhere contain the words without a key.
const KEY_FOLDERS: [&str; 7] = ["/etc", "/root", "/home", "/opt", "/srv", "/usr/local", "/var"];
const KEY_FILE_LIMIT: usize = 64 * 1024;

/// How an offence is corrected.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cure {
    Mode(u32),
    Remove,
    /// Lines that begin with `+` are taken out.
    DropPlusLines,
    /// Empty passwords become `!` (in shadow) or `x` (in passwd).
    Lock,
    /// Only a person can know.
    None,
}

struct Offence {
    path: PathBuf,
    found: String,
    cure: Cure,
}

fn offence(path: &Path, found: impl Into<String>, cure: Cure) -> Offence {
    Offence { path: path.to_owned(), found: found.into(), cure }
}

fn expected(rule: ScanRule) -> &'static str {
    match rule {
        ScanRule::WorldWritable => "not writable by everyone (directories: sticky)",
        ScanRule::Unowned => "an owner and a group with a name",
        ScanRule::SetuidScript => "no special bits on a script",
        ScanRule::EmptyPassword => "no empty password",
        ScanRule::DuplicateIds => "each name and number once",
        ScanRule::GroupWritableSystem => "owned by root and writable by no one else",
        ScanRule::LegacyPlusEntries => "no line that begins with +",
        ScanRule::Rhosts => "no such file",
        ScanRule::PrivateKeys => "no private key in an image",
    }
}

fn offences(rule: ScanRule, view: &View<'_>) -> Result<Vec<Offence>, RootError> {
    match rule {
        ScanRule::EmptyPassword => empty_passwords(view),
        ScanRule::DuplicateIds => duplicates(view),
        ScanRule::LegacyPlusEntries => plus_entries(view),
        ScanRule::PrivateKeys => private_keys(view),
        ScanRule::Unowned => {
            let accounts = view.accounts()?;
            let strange = |entry: &&Entry| {
                let (uid, gid) = (entry.status.uid, entry.status.gid);
                !(accounts.uids.contains(&uid) || uid == 0)
                    || !(accounts.gids.contains(&gid) || gid == 0)
            };
            Ok(view
                .tree()?
                .iter()
                .filter(strange)
                .map(|entry| {
                    let found = format!("owner {}, group {}", entry.status.uid, entry.status.gid);
                    offence(&entry.path, found, Cure::None)
                })
                .collect())
        }
        ScanRule::SetuidScript => {
            let mut found = Vec::new();
            for entry in view.tree()? {
                let mode = entry.status.mode;
                if entry.status.kind == Kind::File
                    && mode & SET_ID != 0
                    && view.root.read_start(&entry.path, 2)?.as_deref() == Some(b"#!")
                {
                    found.push(offence(
                        &entry.path,
                        format!("a script with mode {mode:04o}"),
                        Cure::Mode(mode & !SET_ID),
                    ));
                }
            }
            Ok(found)
        }
        ScanRule::WorldWritable => Ok(view.tree()?.iter().filter_map(world_writable).collect()),
        ScanRule::GroupWritableSystem => {
            Ok(view.tree()?.iter().filter_map(system_writable).collect())
        }
        ScanRule::Rhosts => Ok(view
            .tree()?
            .iter()
            .filter(|entry| {
                entry.status.kind != Kind::Directory
                    && entry
                        .path
                        .file_name()
                        .is_some_and(|name| TRUST_FILES.iter().any(|trust| name == *trust))
            })
            .map(|entry| offence(&entry.path, "a file that lets hosts or users in", Cure::Remove))
            .collect()),
    }
}

fn world_writable(entry: &Entry) -> Option<Offence> {
    let mode = entry.status.mode;
    let open = match entry.status.kind {
        Kind::File => mode & OTHERS_WRITE != 0,
        Kind::Directory => mode & OTHERS_WRITE != 0 && mode & STICKY == 0,
        Kind::Link | Kind::Other => false,
    };
    open.then(|| offence(&entry.path, format!("mode {mode:04o}"), Cure::Mode(mode & !OTHERS_WRITE)))
}

fn system_writable(entry: &Entry) -> Option<Offence> {
    let programs = entry.path.starts_with("/usr");
    if !(programs || entry.path.starts_with("/boot") || entry.path.starts_with("/etc"))
        || !matches!(entry.status.kind, Kind::File | Kind::Directory)
    {
        return None;
    }
    let mode = entry.status.mode;
    if mode & GROUP_OR_OTHERS_WRITE != 0 {
        return Some(offence(
            &entry.path,
            format!("mode {mode:04o}"),
            Cure::Mode(mode & !GROUP_OR_OTHERS_WRITE),
        ));
    }
    (programs && entry.status.uid != 0)
        .then(|| offence(&entry.path, format!("owner {}", entry.status.uid), Cure::None))
}

fn empty_passwords(view: &View<'_>) -> Result<Vec<Offence>, RootError> {
    let mut found = Vec::new();
    for file in ["/etc/shadow", "/etc/passwd"] {
        let text = view.root.text(Path::new(file))?.unwrap_or_default();
        for fields in text.lines().filter_map(fields) {
            if let (Some(name), Some(&"")) = (fields.first(), fields.get(1)) {
                found.push(offence(
                    Path::new(file),
                    format!("the password of {name} is empty"),
                    Cure::Lock,
                ));
            }
        }
    }
    Ok(found)
}

fn duplicates(view: &View<'_>) -> Result<Vec<Offence>, RootError> {
    let mut found = Vec::new();
    for file in ["/etc/passwd", "/etc/group"] {
        let text = view.root.text(Path::new(file))?.unwrap_or_default();
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let mut numbers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for fields in text.lines().filter_map(fields) {
            if let (Some(name), Some(number)) = (fields.first(), fields.get(2)) {
                *names.entry(*name).or_default() += 1;
                numbers.entry(*number).or_default().push(*name);
            }
        }
        for (name, _) in names.iter().filter(|(_, count)| **count > 1) {
            found.push(offence(
                Path::new(file),
                format!("the name {name} stands there twice"),
                Cure::None,
            ));
        }
        for (number, names) in numbers.iter().filter(|(_, names)| names.len() > 1) {
            let found_text = format!("the number {number} belongs to {}", names.join(", "));
            found.push(offence(Path::new(file), found_text, Cure::None));
        }
    }
    Ok(found)
}

fn plus_entries(view: &View<'_>) -> Result<Vec<Offence>, RootError> {
    let mut found = Vec::new();
    for file in DATABASES {
        let text = view.root.text(Path::new(file))?.unwrap_or_default();
        for line in text.lines().filter(|line| line.starts_with('+')) {
            found.push(offence(Path::new(file), line, Cure::DropPlusLines));
        }
    }
    Ok(found)
}

fn private_keys(view: &View<'_>) -> Result<Vec<Offence>, RootError> {
    let mut found = Vec::new();
    for entry in view.tree()? {
        if entry.status.kind != Kind::File
            || !KEY_FOLDERS.iter().any(|folder| entry.path.starts_with(folder))
        {
            continue;
        }
        let start = view.root.read_start(&entry.path, KEY_FILE_LIMIT)?.unwrap_or_default();
        if holds_key(&start) {
            found.push(offence(&entry.path, "a private key", Cure::None));
        }
    }
    Ok(found)
}

/// Whether a line begins `-----BEGIN` and ends `PRIVATE KEY-----`.
fn holds_key(content: &[u8]) -> bool {
    content.split(|byte| *byte == b'\n').any(|line| {
        let line = line.trim_ascii();
        line.starts_with(b"-----BEGIN ") && line.ends_with(b"PRIVATE KEY-----")
    })
}

impl State for TreeScan {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let failures = offences(self.deny, view)?
            .into_iter()
            .map(|offence| {
                let remedy = match &offence.cure {
                    Cure::Mode(mode) => format!("chmod {mode:04o}"),
                    Cure::Remove => "remove it".to_owned(),
                    Cure::DropPlusLines => "remove the line".to_owned(),
                    Cure::Lock => "lock the account".to_owned(),
                    Cure::None => "find out which package or step makes it so".to_owned(),
                };
                failure(
                    offence.path.display().to_string(),
                    offence.found,
                    expected(self.deny),
                    remedy,
                )
            })
            .collect();
        Ok(Finding::of(failures))
    }

    fn apply(&self, site: &mut Site<'_>) -> Result<Effect, Unable> {
        let found = offences(self.deny, &site.view())?;
        let mut changed: Vec<PathBuf> = Vec::new();
        for offence in found {
            match offence.cure {
                Cure::Mode(mode) => site.change().set_mode(&offence.path, mode)?,
                Cure::Remove => site.change().remove(&offence.path)?,
                Cure::DropPlusLines => {
                    site.edit(&offence.path, &|text| {
                        text.split_inclusive('\n').filter(|line| !line.starts_with('+')).collect()
                    })?;
                }
                Cure::Lock => {
                    let lock = if offence.path.as_os_str().as_bytes().ends_with(b"shadow") {
                        "!"
                    } else {
                        "x"
                    };
                    site.edit(&offence.path, &|text| {
                        change_field(text, 1, &|_, old| old.is_empty().then(|| lock.to_owned()))
                    })?;
                }
                Cure::None => {
                    return Err(Unable::Ambiguous {
                        what: format!("{}: {}", offence.path.display(), offence.found),
                        remedy: "find out which package or step makes it so",
                    });
                }
            }
            if !changed.contains(&offence.path) {
                changed.push(offence.path);
            }
        }
        Ok(effect(changed))
    }

    fn stage(&self) -> Stage {
        Stage::Scan
    }
}

#[cfg(test)]
mod tests {
    use super::holds_key;

    #[test]
    fn keys_are_told_from_words_about_keys() {
        assert!(holds_key(b"x\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3\n"));
        assert!(holds_key(b"-----BEGIN PRIVATE KEY-----\r\n"));
        assert!(!holds_key(b"-----BEGIN PUBLIC KEY-----\n"));
        assert!(!holds_key(b"look for -----BEGIN PRIVATE KEY----- in the file\n"));
    }
}
