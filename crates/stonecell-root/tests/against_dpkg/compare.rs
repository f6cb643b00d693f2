//! What differs between two roots and between their dpkg databases.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sha2::Digest;
use stonecell_root::control;

use crate::Result;

/// Paths whose difference is meant. A pattern ends in `*` for a prefix.
const ALLOWED: [(&str, &str); 21] = [
    ("dev*", "the reference is made without a /dev of its own"),
    ("etc/.pwd.lock", "lock file, cleaned"),
    ("etc/group-", "backup, cleaned"),
    ("etc/gshadow-", "backup, cleaned"),
    ("etc/machine-id", "emptied"),
    ("etc/passwd-", "backup, cleaned"),
    ("etc/shadow-", "backup, cleaned"),
    ("etc/subgid-", "backup, cleaned"),
    ("etc/subuid-", "backup, cleaned"),
    ("etc/ssh/ssh_host_*", "host keys are made at first boot"),
    ("run*", "a tmpfs in the reference"),
    ("tmp*", "a tmpfs in the reference"),
    ("usr/sbin/policy-rc.d", "removed by Stonecell after use"),
    ("var/cache/*", "cleaned"),
    ("var/lib/apt/*", "apt installed the reference and kept its notes"),
    ("var/lib/dbus/machine-id", "cleaned"),
    ("var/lib/dpkg/*", "compared by meaning below"),
    ("var/lib/systemd/random-seed", "cleaned"),
    ("var/log/*", "cleaned"),
    ("var/tmp/*", "cleaned"),
    ("debs*", "where the reference got its packages from"),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Thing {
    mode: u32,
    owner: (u32, u32),
    pub(crate) mtime: i64,
    links: u64,
    content: String,
    xattrs: Vec<(String, Vec<u8>)>,
}

pub(crate) fn describe(root: &Path, everything: bool) -> Result<BTreeMap<String, Thing>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            let meta = path.symlink_metadata()?;
            if !everything && allowed(&name) {
                continue;
            }
            let content = if meta.is_symlink() {
                format!("-> {}", std::fs::read_link(&path)?.display())
            } else if meta.is_file() {
                hex::encode(sha2::Sha256::digest(std::fs::read(&path)?))
            } else {
                todo.push(path.clone());
                "directory".to_owned()
            };
            let thing = Thing {
                mode: meta.mode(),
                owner: (meta.uid(), meta.gid()),
                mtime: meta.mtime(),
                links: if meta.is_dir() { 0 } else { meta.nlink() },
                content,
                xattrs: xattrs(&path)?,
            };
            found.insert(name, thing);
        }
    }
    Ok(found)
}

fn xattrs(path: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut buffer = vec![0_u8; 65536];
    let count = rustix::fs::llistxattr(path, buffer.as_mut_slice())?;
    let names: Vec<String> = buffer[..count]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    let mut found = Vec::new();
    for name in names {
        let mut value = vec![0_u8; 65536];
        let count = rustix::fs::lgetxattr(path, name.as_str(), value.as_mut_slice())?;
        value.truncate(count);
        found.push((name, value));
    }
    found.sort();
    Ok(found)
}

fn allowed(path: &str) -> bool {
    ALLOWED.iter().any(|(pattern, _)| match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => path == *pattern,
    })
}

pub(crate) fn compare_trees(reference: &Path, ours: &Path) -> Result<Vec<String>> {
    let (theirs, ours) = (describe(reference, false)?, describe(ours, false)?);
    assert!(theirs.len() > 3000, "the reference has only {} paths", theirs.len());
    let paths: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let mut differences = Vec::new();
    for path in paths {
        let same = match (theirs.get(path), ours.get(path)) {
            // Times are clamped, and those of directories are of the build.
            (Some(a), Some(b)) => {
                Thing { mtime: 0, ..a.clone() } == Thing { mtime: 0, ..b.clone() }
            }
            _ => false,
        };
        if !same {
            differences.push(format!("{path}: {:?} / {:?}", theirs.get(path), ours.get(path)));
        }
    }
    Ok(differences)
}

/// `status` field by field, every file in `info`, alternatives, diversions, overrides, triggers.
pub(crate) fn compare_databases(reference: &Path, ours: &Path) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    let status = |root: &Path| -> Result<BTreeMap<String, BTreeMap<String, String>>> {
        let bytes = std::fs::read(root.join("var/lib/dpkg/status"))?;
        Ok(control::parse(&bytes)?
            .into_iter()
            .map(|s| {
                (s.get("Package").unwrap_or_default().to_owned(), s.fields.into_iter().collect())
            })
            .collect())
    };
    let (theirs, mine) = (status(reference)?, status(ours)?);
    for name in theirs.keys().chain(mine.keys()).collect::<BTreeSet<_>>() {
        let (a, b) = (theirs.get(name), mine.get(name));
        if a != b {
            differences.push(format!("status of {name}: {a:?} / {b:?}"));
        }
    }
    for dir in ["info", "alternatives", "triggers"] {
        let read = |root: &Path| -> Result<BTreeMap<String, BTreeSet<String>>> {
            let mut files = BTreeMap::new();
            for entry in std::fs::read_dir(root.join("var/lib/dpkg").join(dir))? {
                let entry = entry?;
                let text = String::from_utf8_lossy(&std::fs::read(entry.path())?).into_owned();
                // The order of lines in lists of interests is that of unpacking.
                files.insert(
                    entry.file_name().to_string_lossy().into_owned(),
                    text.lines().map(str::to_owned).collect(),
                );
            }
            files.remove("Lock");
            Ok(files)
        };
        let (a, b) = (read(reference)?, read(ours)?);
        for name in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
            if a.get(name) != b.get(name) {
                differences.push(format!("{dir}/{name}: {:?} / {:?}", a.get(name), b.get(name)));
            }
        }
    }
    for file in ["diversions", "statoverride"] {
        let read =
            |root: &Path| std::fs::read(root.join("var/lib/dpkg").join(file)).unwrap_or_default();
        if read(reference) != read(ours) {
            differences.push(format!("{file} differs"));
        }
    }
    Ok(differences)
}
