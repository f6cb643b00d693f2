//! Users and groups of the definition, as lines of the account files.
//!
//! Every account is locked: there is no field for a password. A key that may log in is put on the verity root
//! (`/etc/ssh/authorized_keys/USER`), where nobody in the machine can add another.

use std::collections::BTreeMap;

use thiserror::Error;

/// A user to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User and primary group id.
    pub id: u32,
    /// Supplementary groups; must exist.
    pub groups: Vec<String>,
    /// Login shell.
    pub shell: String,
    /// Home directory.
    pub home: String,
}

/// A group to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Group name.
    pub name: String,
    /// Group id; the next free one from 900 down when absent.
    pub id: Option<u32>,
}

/// The four account files as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// `/etc/passwd`.
    pub passwd: String,
    /// `/etc/shadow`.
    pub shadow: String,
    /// `/etc/group`.
    pub group: String,
    /// `/etc/gshadow`.
    pub gshadow: String,
}

/// Why an account cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AccountError {
    /// The id belongs to somebody else.
    #[error(
        "user {name} wants id {id}, which belongs to {owner}: give another uid in the definition"
    )]
    TakenId {
        /// Who wants it.
        name: String,
        /// Which.
        id: u32,
        /// Who has it.
        owner: String,
    },
    /// A supplementary group does not exist.
    #[error("user {user} is to be in group {group}, which no package and no [[group]] makes")]
    NoGroup {
        /// The user.
        user: String,
        /// The group.
        group: String,
    },
    /// No id is left for a group.
    #[error("no group id below 1000 is free for group {0}: give one in the definition")]
    NoFreeId(String),
}

/// Adds groups, then users. Accounts that exist already keep their ids and gain the groups.
///
/// `day` is the day since 1970 that shadow records as the last change.
///
/// # Errors
/// [`AccountError`] when an id is taken or a group is missing.
pub fn add(
    files: &mut Files,
    groups: &[Group],
    users: &[User],
    day: i64,
) -> Result<(), AccountError> {
    for group in groups {
        add_group(files, &group.name, group.id)?;
    }
    for user in users {
        let existing = ids(&files.passwd).get(&user.name).copied();
        if existing.is_none() {
            if let Some(owner) = owner_of(&files.passwd, user.id) {
                return Err(AccountError::TakenId { name: user.name.clone(), id: user.id, owner });
            }
            add_group(files, &user.name, Some(user.id))?;
            let User { name, id, home, shell, .. } = user;
            push(&mut files.passwd, &format!("{name}:x:{id}:{id}::{home}:{shell}"));
            push(&mut files.shadow, &format!("{name}:!*:{day}:1:::::"));
        }
        for group in &user.groups {
            join(files, &user.name, group)?;
        }
    }
    Ok(())
}

fn add_group(files: &mut Files, name: &str, wanted: Option<u32>) -> Result<(), AccountError> {
    let taken = ids(&files.group);
    if taken.contains_key(name) {
        return Ok(());
    }
    let id = match wanted {
        Some(id) => match owner_of(&files.group, id) {
            Some(owner) => {
                return Err(AccountError::TakenId { name: name.to_owned(), id, owner });
            }
            None => id,
        },
        None => (100..=900)
            .rev()
            .find(|id| !taken.values().any(|have| have == id))
            .ok_or_else(|| AccountError::NoFreeId(name.to_owned()))?,
    };
    push(&mut files.group, &format!("{name}:x:{id}:"));
    push(&mut files.gshadow, &format!("{name}:!*::"));
    Ok(())
}

fn join(files: &mut Files, user: &str, group: &str) -> Result<(), AccountError> {
    let missing = || AccountError::NoGroup { user: user.to_owned(), group: group.to_owned() };
    for text in [&mut files.group, &mut files.gshadow] {
        let mut found = false;
        let lines: Vec<String> = text
            .lines()
            .map(|line| {
                let mut fields: Vec<&str> = line.split(':').collect();
                if fields.first() != Some(&group) {
                    return line.to_owned();
                }
                found = true;
                let mut members: Vec<&str> =
                    fields.pop().unwrap_or("").split(',').filter(|m| !m.is_empty()).collect();
                if !members.contains(&user) {
                    members.push(user);
                }
                format!("{}:{}", fields.join(":"), members.join(","))
            })
            .collect();
        if !found {
            return Err(missing());
        }
        *text = lines.join("\n") + "\n";
    }
    Ok(())
}

/// Name to id, from the third field of passwd or group.
pub(crate) fn ids(text: &str) -> BTreeMap<String, u32> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let id = fields.nth(1)?.parse().ok()?;
            Some((name.to_owned(), id))
        })
        .collect()
}

fn owner_of(text: &str, id: u32) -> Option<String> {
    ids(text).into_iter().find(|(_, have)| *have == id).map(|(name, _)| name)
}

fn push(text: &mut String, line: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Files {
        Files {
            passwd: "root:x:0:0:root:/root:/bin/bash\n".into(),
            shadow: "root:*:1:0:99999:7:::\n".into(),
            group: "root:x:0:\nadm:x:4:syslog\n".into(),
            gshadow: "root:*::\nadm:*::syslog\n".into(),
        }
    }

    fn vcap() -> User {
        User {
            name: "vcap".into(),
            id: 1000,
            groups: vec!["adm".into(), "bosh_sshers".into()],
            shell: "/bin/bash".into(),
            home: "/home/vcap".into(),
        }
    }

    #[test]
    fn adds_locked_accounts_in_their_groups() {
        let mut files = base();
        let groups = [Group { name: "bosh_sshers".into(), id: None }];
        add(&mut files, &groups, &[vcap()], 20000).unwrap();
        assert!(files.passwd.ends_with("vcap:x:1000:1000::/home/vcap:/bin/bash\n"));
        assert!(files.shadow.ends_with("vcap:!*:20000:1:::::\n"));
        assert!(files.group.contains("adm:x:4:syslog,vcap\n"));
        assert!(files.group.contains("bosh_sshers:x:900:vcap\n"));
        assert!(files.gshadow.contains("bosh_sshers:!*::vcap\n"));
        let once = files.clone();
        add(&mut files, &groups, &[vcap()], 20000).unwrap();
        assert_eq!(files, once, "adding twice changes nothing");
    }

    #[test]
    fn refuses_a_taken_id_and_a_missing_group() {
        let taken = User { id: 0, groups: vec![], ..vcap() };
        assert!(matches!(
            add(&mut base(), &[], &[taken], 1),
            Err(AccountError::TakenId { id: 0, .. })
        ));
        assert!(matches!(add(&mut base(), &[], &[vcap()], 1), Err(AccountError::NoGroup { .. })));
    }
}
