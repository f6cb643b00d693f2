//! Users and groups of the definition, as lines of the account files.
//!
//! Every account is locked: there is no field for a password. A key that may log in is put on the verity root
//! (`/etc/ssh/authorized_keys/USER`), where nobody in the machine can add another.

use std::collections::BTreeMap;

use stonecell_definition::nearest;
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
    /// Group id; `None` for a group that a package makes.
    pub id: Option<u32>,
    /// Members beside those who name it among their groups; must exist.
    pub members: Vec<String>,
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
    /// The user's own group cannot have its number.
    #[error(
        "user {name} wants a group of its own with id {id}, but the group {name} exists with id {found}: give the user another name"
    )]
    TakenName {
        /// Who wants it.
        name: String,
        /// Which number.
        id: u32,
        /// Which the group has.
        found: u32,
    },
    /// A supplementary group does not exist.
    #[error("user {user} is to be in group {group}, which no package and no [[group]] makes: {}", remedy(.meant.as_ref(), "its package, or a [[group]] with a gid"))]
    NoGroup {
        /// The user.
        user: String,
        /// The group.
        group: String,
        /// A group of nearly that name.
        meant: Option<String>,
    },
    /// A group without a number does not exist.
    #[error("group {group} is to have members, and no package makes it: {}", remedy(.meant.as_ref(), "its package, or a gid"))]
    UnknownGroup {
        /// The group.
        group: String,
        /// A group of nearly that name.
        meant: Option<String>,
    },
    /// A member of a group does not exist.
    #[error("group {group} is to have the member {user}, whom no package and no [[user]] makes: {}", remedy(.meant.as_ref(), "the package, or a [[user]]"))]
    NoUser {
        /// The group.
        group: String,
        /// The user.
        user: String,
        /// A user of nearly that name.
        meant: Option<String>,
    },
}

fn remedy(meant: Option<&String>, add: &str) -> String {
    meant
        .map_or_else(|| format!("add {add}"), |name| format!("did you mean {name}? Else add {add}"))
}

fn similar(text: &str, wrong: &str) -> Option<String> {
    let known = ids(text);
    nearest(wrong, known.keys().map(String::as_str)).map(str::to_owned)
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
        match group.id {
            Some(id) => add_group(files, &group.name, id)?,
            None if ids(&files.group).contains_key(&group.name) => {}
            None => {
                let meant = similar(&files.group, &group.name);
                return Err(AccountError::UnknownGroup { group: group.name.clone(), meant });
            }
        }
    }
    for user in users {
        let existing = ids(&files.passwd).get(&user.name).copied();
        if existing.is_none() {
            if let Some(owner) = owner_of(&files.passwd, user.id) {
                return Err(AccountError::TakenId { name: user.name.clone(), id: user.id, owner });
            }
            match ids(&files.group).get(&user.name) {
                Some(&found) if found != user.id => {
                    let (name, id) = (user.name.clone(), user.id);
                    return Err(AccountError::TakenName { name, id, found });
                }
                _ => add_group(files, &user.name, user.id)?,
            }
            let User { name, id, home, shell, .. } = user;
            push(&mut files.passwd, &format!("{name}:x:{id}:{id}::{home}:{shell}"));
            push(&mut files.shadow, &format!("{name}:!*:{day}:1:::::"));
        }
        for group in &user.groups {
            join(files, &user.name, group)?;
        }
    }
    for group in groups {
        for user in &group.members {
            if !ids(&files.passwd).contains_key(user) {
                let meant = similar(&files.passwd, user);
                let (group, user) = (group.name.clone(), user.clone());
                return Err(AccountError::NoUser { group, user, meant });
            }
            join(files, user, &group.name)?;
        }
    }
    Ok(())
}

fn add_group(files: &mut Files, name: &str, id: u32) -> Result<(), AccountError> {
    if ids(&files.group).contains_key(name) {
        return Ok(());
    }
    if let Some(owner) = owner_of(&files.group, id) {
        return Err(AccountError::TakenId { name: name.to_owned(), id, owner });
    }
    push(&mut files.group, &format!("{name}:x:{id}:"));
    push(&mut files.gshadow, &format!("{name}:!*::"));
    Ok(())
}

fn join(files: &mut Files, user: &str, group: &str) -> Result<(), AccountError> {
    let meant = similar(&files.group, group);
    let missing =
        || AccountError::NoGroup { user: user.to_owned(), group: group.to_owned(), meant };
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
        let groups =
            [Group { name: "bosh_sshers".into(), id: Some(900), members: vec!["root".into()] }];
        add(&mut files, &groups, &[vcap()], 20000).unwrap();
        assert!(files.passwd.ends_with("vcap:x:1000:1000::/home/vcap:/bin/bash\n"));
        assert!(files.shadow.ends_with("vcap:!*:20000:1:::::\n"));
        assert!(files.group.contains("adm:x:4:syslog,vcap\n"));
        assert!(files.group.contains("bosh_sshers:x:900:vcap,root\n"));
        assert!(files.gshadow.contains("bosh_sshers:!*::vcap,root\n"));
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
        // Debian has a group `operator` of its own.
        let same = User { name: "adm".into(), groups: vec![], ..vcap() };
        assert!(matches!(
            add(&mut base(), &[], &[same], 1),
            Err(AccountError::TakenName { id: 1000, found: 4, .. })
        ));
    }

    #[test]
    fn a_misspelt_group_or_member_is_told_with_the_nearest_name() {
        let user = User { groups: vec!["amd".into()], ..vcap() };
        let error = add(&mut base(), &[], &[user], 1).unwrap_err().to_string();
        assert!(error.contains("did you mean adm?"), "{error}");
        let group = |name: &str, members: &[&str]| Group {
            name: name.into(),
            id: None,
            members: members.iter().map(ToString::to_string).collect(),
        };
        let error = add(&mut base(), &[group("adn", &["root"])], &[], 1).unwrap_err().to_string();
        assert!(error.contains("did you mean adm?"), "{error}");
        let error = add(&mut base(), &[group("adm", &["rot"])], &[], 1).unwrap_err().to_string();
        assert!(error.contains("did you mean root?"), "{error}");
        let mut files = base();
        add(&mut files, &[group("adm", &["root"])], &[], 1).unwrap();
        assert!(files.group.contains("adm:x:4:syslog,root\n"));
    }
}
