//! `account`: shells, locks and passwords in passwd, shadow, group and gshadow.

use std::path::{Path, PathBuf};

use super::{Effect, Finding, Site, State, Unable, Unknown, effect, failure};
use crate::formats::accounts::{
    change_field, fields, get, holds_no_hash, is_locked, remove, remove_member,
};
use crate::formats::keyed::{self, Between};
use crate::root::{Root, RootError};
use crate::view::View;
use crate::want::Account;

const PASSWD: &str = "/etc/passwd";
const SHADOW: &str = "/etc/shadow";
const SHELL: usize = 6;

/// `nobody`, which is above the range of system accounts but is one.
const NOBODY: u32 = 65534;

/// Names that a want speaks of. A system account has a number below `UID_MIN` and is not root.
fn users(want: &Account, root: &dyn Root) -> Result<Vec<String>, RootError> {
    let passwd = root.text(Path::new(PASSWD))?.unwrap_or_default();
    let defs = root.text(Path::new("/etc/login.defs"))?.unwrap_or_default();
    let first = keyed::get(&defs, "UID_MIN", Between::Space)
        .and_then(|found| found.0.parse().ok())
        .unwrap_or(1000);
    let chosen = passwd.lines().filter_map(fields).filter(|fields| {
        if want.user != "*system" {
            return fields.first() == Some(&want.user.as_str());
        }
        let uid: Option<u32> = fields.get(2).and_then(|uid| uid.parse().ok());
        uid.is_some_and(|uid| (uid != 0 && uid < first) || uid == NOBODY)
    });
    Ok(chosen.filter_map(|fields| fields.first().map(|name| (*name).to_owned())).collect())
}

impl Account {
    /// What the shadow field should be; `None` when it may stay.
    fn password_field(&self, old: &str) -> Option<String> {
        if self.password.is_some() && !holds_no_hash(old) {
            return Some(if self.locked == Some(true) { "!*" } else { "*" }.to_owned());
        }
        if self.locked == Some(true) && !is_locked(old) {
            return Some(if old.is_empty() { "!*".to_owned() } else { format!("!{old}") });
        }
        None
    }
}

impl State for Account {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let users = users(self, view.root)?;
        let mut failures = Vec::new();
        if self.exists == Some(false) {
            for file in [PASSWD, SHADOW] {
                let text = view.root.text(Path::new(file))?.unwrap_or_default();
                if get(&text, &self.user, 0).is_some() {
                    failures.push(failure(
                        file,
                        format!("the account {}", self.user),
                        "no such account",
                        format!("userdel {}", self.user),
                    ));
                }
            }
            return Ok(Finding::of(failures));
        }
        if users.is_empty() {
            return Ok(Finding::Skipped(format!("there is no account {}", self.user)));
        }
        let passwd = view.root.text(Path::new(PASSWD))?.unwrap_or_default();
        let shadow = view.root.text(Path::new(SHADOW))?.unwrap_or_default();
        for user in &users {
            if let Some(wanted) = &self.shell {
                let shell = get(&passwd, user, SHELL).unwrap_or_default();
                if shell != wanted {
                    failures.push(failure(
                        PASSWD,
                        format!("shell of {user}: {shell}"),
                        wanted,
                        format!("usermod -s {wanted} {user}"),
                    ));
                }
            }
            // Without a line in shadow the field of passwd is the password.
            let field = get(&shadow, user, 1).or_else(|| get(&passwd, user, 1)).unwrap_or_default();
            if self.password.is_some() && !holds_no_hash(field) {
                let found = if field.is_empty() { "an empty password" } else { "a password" };
                failures.push(failure(
                    SHADOW,
                    format!("{found} for {user}"),
                    "no password",
                    format!("usermod -p '*' {user}"),
                ));
            }
            if self.locked == Some(true) && !is_locked(field) {
                failures.push(failure(
                    SHADOW,
                    format!("the password of {user} is not locked"),
                    "locked",
                    format!("usermod -L {user}"),
                ));
            }
        }
        Ok(Finding::of(failures))
    }

    fn apply(&self, site: &mut Site<'_>) -> Result<Effect, Unable> {
        let users = users(self, site.root())?;
        let mut changed: Vec<PathBuf> = Vec::new();
        let mut edit = |site: &mut Site<'_>,
                        path: &str,
                        change: &dyn Fn(&str) -> String|
         -> Result<(), RootError> {
            if site.root().text(Path::new(path))?.is_some()
                && let Effect::Changed { paths } = site.edit(Path::new(path), change)?
            {
                changed.extend(paths);
            }
            Ok(())
        };
        if self.exists == Some(false) {
            for path in [PASSWD, SHADOW, "/etc/subuid", "/etc/subgid"] {
                edit(site, path, &|text| remove(text, &self.user))?;
            }
            // The group of the same name stays: files and other accounts may belong to it.
            for path in ["/etc/group", "/etc/gshadow"] {
                edit(site, path, &|text| remove_member(text, 3, &self.user))?;
            }
            return Ok(effect(changed));
        }
        if let Some(shell) = &self.shell {
            edit(site, PASSWD, &|text| {
                change_field(text, SHELL, &|name, _| {
                    users.iter().any(|user| user == name).then(|| shell.clone())
                })
            })?;
        }
        if self.locked == Some(true) || self.password.is_some() {
            let mine = |name: &str| users.iter().any(|user| user == name);
            edit(site, SHADOW, &|text| {
                change_field(text, 1, &|name, old| {
                    if mine(name) { self.password_field(old) } else { None }
                })
            })?;
            let shadow = site.root().text(Path::new(SHADOW))?.unwrap_or_default();
            edit(site, PASSWD, &|text| {
                change_field(text, 1, &|name, old| {
                    let own = mine(name) && get(&shadow, name, 1).is_none();
                    if own { self.password_field(old) } else { None }
                })
            })?;
        }
        Ok(effect(changed))
    }
}
