//! What a definition adds to the packages: accounts, add-ons, units, the parts of `/etc` that change, release
//! information, the mount table.

use std::path::PathBuf;

use stonecell_definition::Definition;
use stonecell_definition::definition::{AddOn, AddOnFile, Content, Mutability};
use stonecell_root::SyntheticFile;
use thiserror::Error;

use crate::accounts::{self, AccountError, Files, Group, User};
use crate::etc::{self, Keep, Mutable};
use crate::fstab::{self, StateMount};
use crate::kept_accounts;
use crate::tree::{Owner, RootTree, TreeError};

/// Why a definition's additions could not be made.
#[derive(Debug, Error)]
pub enum CustomiseError {
    /// The root cannot be written.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// An account cannot be added.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A file of an add-on cannot be read.
    #[error("add-on {add_on}: cannot read {path}")]
    Source {
        /// Which add-on.
        add_on: String,
        /// The file on this host.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file names a user or group that does not exist.
    #[error(
        "add-on {add_on}: {path} belongs to {kind} {name}, which no package and no definition makes"
    )]
    NoOwner {
        /// Which add-on.
        add_on: String,
        /// The file in the image.
        path: String,
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A unit that is to be enabled does not exist.
    #[error(
        "unit {0} is to be enabled, but no package and no add-on brings it: correct [services] or add its package"
    )]
    NoUnit(String),
    /// The programs of the root cannot be listed.
    #[error("cannot list the programs in {path}")]
    Programs {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Private keys that packages generate when they are configured: an image holds none.
const GENERATED_SECRETS: [&str; 2] =
    ["/etc/ssl/private/ssl-cert-snakeoil.key", "/etc/ssl/certs/ssl-cert-snakeoil.pem"];

/// Removes what packages generated and no two machines may share.
///
/// # Errors
/// [`CustomiseError::Tree`].
pub fn secrets(tree: &RootTree) -> Result<(), CustomiseError> {
    for path in GENERATED_SECRETS.iter().filter(|path| tree.exists(path)) {
        tree.remove(path)?;
    }
    for name in tree.names("/etc/ssh").iter().filter(|name| name.starts_with("ssh_host_")) {
        tree.remove(&format!("/etc/ssh/{name}"))?;
    }
    Ok(())
}

/// Adds users and groups; keys go to the verity root.
///
/// # Errors
/// [`CustomiseError`].
pub fn accounts(tree: &RootTree, definition: &Definition, day: i64) -> Result<(), CustomiseError> {
    let mut files = Files {
        passwd: tree.read("/etc/passwd")?,
        shadow: tree.read("/etc/shadow")?,
        group: tree.read("/etc/group")?,
        gshadow: tree.read("/etc/gshadow").unwrap_or_default(),
    };
    let groups: Vec<Group> = definition
        .groups
        .iter()
        .map(|group| Group {
            name: group.name.clone(),
            id: group.gid,
            members: group.members.clone(),
        })
        .collect();
    let users: Vec<User> = definition
        .users
        .iter()
        .map(|user| {
            let mut groups = user.groups.clone();
            // pam_wheel lets members of it become others; SC-PAM-019.
            if user.sudo && !groups.iter().any(|group| group == "sudo") {
                groups.push("sudo".to_owned());
            }
            User {
                name: user.name.clone(),
                id: user.uid,
                groups,
                shell: user.shell.clone(),
                home: user.home.clone(),
            }
        })
        .collect();
    accounts::add(&mut files, &groups, &users, day)?;
    let shadow = accounts::ids(&files.group).get("shadow").copied().unwrap_or(0);
    let secret = Owner { mode: 0o640, uid: 0, gid: shadow };
    tree.write("/etc/passwd", files.passwd.as_bytes(), Owner::root(0o644))?;
    tree.write("/etc/group", files.group.as_bytes(), Owner::root(0o644))?;
    tree.write("/etc/shadow", files.shadow.as_bytes(), secret)?;
    tree.write("/etc/gshadow", files.gshadow.as_bytes(), secret)?;
    let mut sudoers = String::new();
    for user in definition.users.iter().filter(|user| user.sudo) {
        sudoers.push_str(&format!("{} ALL=(ALL:ALL) NOPASSWD: ALL\n", user.name));
    }
    if !sudoers.is_empty() {
        tree.write("/etc/sudoers.d/stonecell-users", sudoers.as_bytes(), Owner::root(0o440))?;
    }
    for user in &definition.users {
        tree.directory(&user.home, Owner { mode: 0o700, uid: user.uid, gid: user.uid })?;
        if !user.authorized_keys.is_empty() {
            let path = format!("/etc/ssh/authorized_keys/{}", user.name);
            let text = user.authorized_keys.join("\n") + "\n";
            tree.write(&path, text.as_bytes(), Owner::root(0o644))?;
        }
    }
    Ok(())
}

/// The files of add-ons that packages read while they are configured.
///
/// # Errors
/// [`CustomiseError::Source`] when a file cannot be read.
pub fn early_files(definition: &Definition) -> Result<Vec<SyntheticFile>, CustomiseError> {
    let mut files = Vec::new();
    for add_on in &definition.add_ons {
        for file in add_on.files.iter().filter(|file| file.early) {
            files.push(SyntheticFile {
                path: file.path.trim_start_matches('/').to_owned(),
                mode: file.mode,
                content: bytes(add_on, &file.content)?,
            });
        }
    }
    Ok(files)
}

/// Writes the files and units of add-ons; early files are in place already.
///
/// # Errors
/// [`CustomiseError`].
pub fn add_ons(tree: &RootTree, definition: &Definition) -> Result<(), CustomiseError> {
    for add_on in &definition.add_ons {
        for file in add_on.files.iter().filter(|file| !file.early) {
            add_on_file(tree, add_on, file)?;
        }
        for unit in &add_on.units {
            let path = format!("/etc/systemd/system/{}", unit.name);
            match &unit.content {
                Content::Link(target) => tree.link(&path, target)?,
                content => tree.write(&path, &bytes(add_on, content)?, Owner::root(0o644))?,
            }
            if unit.enable {
                enable(tree, &unit.name)?;
            }
        }
    }
    Ok(())
}

fn add_on_file(tree: &RootTree, add_on: &AddOn, file: &AddOnFile) -> Result<(), CustomiseError> {
    if let Content::Link(target) = &file.content {
        return Ok(tree.link(&file.path, target)?);
    }
    let id = |list: &str, kind: &'static str, name: &str| {
        let text = tree.read(list)?;
        name.parse().ok().or_else(|| accounts::ids(&text).get(name).copied()).ok_or_else(|| {
            CustomiseError::NoOwner {
                add_on: add_on.name.clone(),
                path: file.path.clone(),
                kind,
                name: name.to_owned(),
            }
        })
    };
    let uid = id("/etc/passwd", "user", &file.owner)?;
    let gid = id("/etc/group", "group", &file.group)?;
    let content = bytes(add_on, &file.content)?;
    Ok(tree.write(&file.path, &content, Owner { mode: file.mode, uid, gid })?)
}

fn bytes(add_on: &AddOn, content: &Content) -> Result<Vec<u8>, CustomiseError> {
    match content {
        Content::Text(text) | Content::Link(text) => Ok(text.clone().into_bytes()),
        Content::Source(path) => std::fs::read(path).map_err(|source| CustomiseError::Source {
            add_on: add_on.name.clone(),
            path: path.clone(),
            source,
        }),
    }
}

/// Enables, disables and masks units as the definition says.
///
/// # Errors
/// [`CustomiseError`]; a unit to be enabled must exist.
pub fn services(tree: &RootTree, definition: &Definition) -> Result<(), CustomiseError> {
    for unit in &definition.services.enable {
        enable(tree, unit)?;
    }
    for unit in &definition.services.disable {
        disable(tree, unit)?;
    }
    for unit in &definition.services.mask {
        disable(tree, unit)?;
        tree.link(&format!("/etc/systemd/system/{unit}"), "/dev/null")?;
    }
    Ok(())
}

/// Makes the links that the `[Install]` section of a unit asks for, as `systemctl enable` does.
fn enable(tree: &RootTree, unit: &str) -> Result<(), CustomiseError> {
    let places = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
    let found = places.iter().find_map(|place| {
        let path = format!("{place}/{unit}");
        tree.read(&path).ok().map(|text| (path, text))
    });
    let Some((path, text)) = found else {
        return Err(CustomiseError::NoUnit(unit.to_owned()));
    };
    for (key, suffix) in [("WantedBy", "wants"), ("RequiredBy", "requires")] {
        for target in install_values(&text, key) {
            tree.link(&format!("/etc/systemd/system/{target}.{suffix}/{unit}"), &path)?;
        }
    }
    for alias in install_values(&text, "Alias") {
        tree.link(&format!("/etc/systemd/system/{alias}"), &path)?;
    }
    for also in install_values(&text, "Also") {
        if also != unit {
            // A unit named by Also need not be shipped (systemd.unit(5)).
            match enable(tree, &also) {
                Err(CustomiseError::NoUnit(_)) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Removes every link to the unit below `/etc/systemd/system/*.wants` and `*.requires`.
fn disable(tree: &RootTree, unit: &str) -> Result<(), CustomiseError> {
    for directory in tree.names("/etc/systemd/system") {
        if directory.ends_with(".wants") || directory.ends_with(".requires") {
            let inside = format!("/etc/systemd/system/{directory}");
            if tree.names(&inside).iter().any(|name| name == unit) {
                tree.remove(&format!("{inside}/{unit}"))?;
            }
        }
    }
    Ok(())
}

fn install_values(text: &str, key: &str) -> Vec<String> {
    let mut inside = false;
    let mut values = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[Install]";
        } else if inside
            && let Some((name, value)) = line.split_once('=')
            && name.trim() == key
        {
            values.extend(value.split_whitespace().map(str::to_owned));
        }
    }
    values
}

fn mutable(definition: &Definition) -> Vec<Mutable> {
    let entries = definition.etc_mutable.iter();
    entries
        .map(|entry| Mutable {
            path: entry.path.clone(),
            keep: match entry.kind {
                Mutability::Run => Keep::Run,
                Mutability::Kept => Keep::Kept,
                Mutability::Empty => Keep::Empty,
                Mutability::Accounts => Keep::Account,
            },
        })
        .collect()
}

/// Turns each mutable path into a link out of the verity root, with its content kept as the factory's.
///
/// # Errors
/// [`CustomiseError`].
pub fn mutable_etc(tree: &RootTree, definition: &Definition) -> Result<(), CustomiseError> {
    let list = mutable(definition);
    if list.is_empty() {
        return Ok(());
    }
    for entry in &list {
        if entry.keep == Keep::Empty && !tree.exists(&entry.path) {
            tree.directory(&entry.path, Owner::root(0o755))?;
        }
        if let (Some(target), Some(factory)) = (entry.target(), entry.factory()) {
            if tree.exists(&entry.path) {
                tree.rename(&entry.path, &factory)?;
            } else {
                tree.write(&factory, b"", Owner::root(0o644))?;
            }
            tree.link(&entry.path, &target)?;
        }
    }
    if list.iter().any(|entry| entry.keep == Keep::Account) {
        kept_accounts::install(tree)?;
    }
    let text = etc::tmpfiles(&list);
    Ok(tree.write("/usr/lib/tmpfiles.d/stonecell-etc.conf", text.as_bytes(), Owner::root(0o644))?)
}

/// `IMAGE_ID`, `IMAGE_VERSION` (os-release(5)), host name, mount table.
///
/// # Errors
/// [`CustomiseError`].
pub fn identity(
    tree: &RootTree,
    definition: &Definition,
    mounts: &[StateMount],
) -> Result<String, CustomiseError> {
    // /usr/lib/os-release stays as its package shipped it; /etc's takes precedence (os-release(5)).
    let mut release: String = tree
        .read("/etc/os-release")?
        .lines()
        .filter(|line| !line.starts_with("IMAGE_ID=") && !line.starts_with("IMAGE_VERSION="))
        .flat_map(|line| [line, "\n"])
        .collect();
    release.push_str(&format!(
        "IMAGE_ID=\"{}\"\nIMAGE_VERSION=\"{}\"\n",
        definition.name, definition.version
    ));
    tree.write("/etc/os-release", release.as_bytes(), Owner::root(0o644))?;
    let list = mutable(definition);
    let mut more = etc::mounts(&list);
    if list.iter().any(|entry| entry.keep == Keep::Account) {
        more.push(kept_accounts::MOUNT.to_owned());
    }
    tree.write("/etc/fstab", fstab::render(mounts, &more).as_bytes(), Owner::root(0o644))?;
    let names = etc::name_service(&list);
    if !names.is_empty() {
        let path = "/etc/apparmor.d/abstractions/nameservice.d/stonecell";
        tree.write(path, names.as_bytes(), Owner::root(0o644))?;
    }
    let name = format!("{}\n", definition.name);
    tree.write("/etc/hostname", name.as_bytes(), Owner::root(0o644))?;
    if !tree.exists("/etc/hosts") {
        let hosts = format!(
            "127.0.0.1 localhost\n127.0.1.1 {}\n::1 localhost ip6-localhost ip6-loopback\n",
            definition.name
        );
        tree.write("/etc/hosts", hosts.as_bytes(), Owner::root(0o644))?;
    }
    Ok(release)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_only_the_install_section() {
        let unit = "[Unit]\nWantedBy=no\n[Install]\nWantedBy=a.target b.target\nAlias=x.service\n";
        assert_eq!(install_values(unit, "WantedBy"), ["a.target", "b.target"]);
        assert_eq!(install_values(unit, "Alias"), ["x.service"]);
        assert!(install_values(unit, "RequiredBy").is_empty());
    }
}
