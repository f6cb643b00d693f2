//! Users and groups. What amounts to root has to be said, not to be found in a list of groups.

use std::collections::BTreeMap;

use super::decide::{Errors, Layers, Word, settle};
use crate::definition::{AddOn, Group, Packages, User};
use crate::error::DefinitionError;
use crate::file::tables;

/// Groups whose members are root by another name, and how.
const PRIVILEGED: [(&str, &str); 8] = [
    ("disk", "read and write every block of the disks"),
    ("docker", "start containers that own the machine"),
    ("incus", "start containers that own the machine"),
    ("kmem", "read the kernel's memory"),
    ("lxd", "start containers that own the machine"),
    ("root", "read and change what is root's"),
    ("shadow", "read the hashes of passwords"),
    ("sudo", "become root where sudo is installed"),
];

/// The error of a group that amounts to root where nobody said that it is meant.
fn privileged<V>(group: &str, who: &str, place: &Word<'_, V>) -> Option<DefinitionError> {
    let (_, does) = PRIVILEGED.iter().find(|(name, _)| *name == group)?;
    let message = format!("the group `{group}` lets {who} {does}");
    let help = "add `privileged = true` if that is meant, or take the group out";
    Some(DefinitionError::new(place.place(), message).help(help))
}

pub(super) fn accounts(
    layers: &Layers,
    packages: &Packages,
    add_ons: &[AddOn],
    setuid: &[String],
    errors: &mut Errors,
) -> (Vec<User>, Vec<Group>) {
    let mut words = Vec::new();
    for word in layers.each(|file| &file.user) {
        let raw: &tables::User = word.value;
        let user = user(raw);
        for group in raw.groups.iter().filter(|_| !raw.privileged) {
            let mut place = word.clone();
            place.span = group.span.clone();
            let told = raw.sudo && group.value.0 == "sudo";
            let who = format!("`{}`", user.name);
            errors.extend(privileged(&group.value.0, &who, &place).filter(|_| !told));
        }
        words.push((user.name.clone(), word.map(|_| user)));
    }
    let tell = |name: &String, user: &User| {
        format!("has a user `{name}` with uid {} and settings of its own", user.uid)
    };
    let users = first_of(settle(words, User::eq, tell, errors));
    let mut words = Vec::new();
    for word in layers.each(|file| &file.group) {
        let raw: &tables::Group = word.value;
        // The range permits u32 only.
        let gid = raw.gid.as_ref().map(|gid| u32::try_from(gid.value).unwrap_or(u32::MAX));
        let mut members: Vec<_> = raw.members.iter().map(|name| name.value.0.clone()).collect();
        members.sort();
        members.dedup();
        let group = Group { name: raw.name.value.0.clone(), gid, members };
        let mut place = word.clone();
        place.span = raw.name.span.clone();
        if gid.is_none() && group.members.is_empty() {
            let message = format!("the group `{}` has neither gid nor members", group.name);
            let help = "`gid` makes a group, `members` adds users to one that a package makes";
            errors.push(DefinitionError::new(place.place(), message).help(help));
        }
        if !group.members.is_empty() && !raw.privileged {
            errors.extend(privileged(&group.name, "its members", &place));
        }
        words.push((group.name.clone(), word.map(|_| group)));
    }
    let tell = |name: &String, group: &Group| match group.gid {
        Some(gid) => format!("has a group `{name}` with gid {gid} and members of its own"),
        None => format!("adds members of its own to the group `{name}`"),
    };
    let groups = first_of(settle(words, Group::eq, tell, errors));

    // A user's primary group has its name and number.
    let mut names: BTreeMap<u32, &str> = BTreeMap::new();
    for word in &users {
        let user = &word.value;
        if let Some(other) = names.insert(user.uid, &user.name) {
            let message =
                format!("the users `{other}` and `{}` both have uid {}", user.name, user.uid);
            errors.push(DefinitionError::new(word.place(), message).help("give each its own uid"));
        }
        let sudo_is_there = packages
            .install
            .iter()
            .chain(add_ons.iter().flat_map(|add_on| &add_on.packages))
            .any(|name| name == "sudo");
        let sudo_may_run = setuid.iter().any(|path| path == "/usr/bin/sudo");
        if user.sudo && !(sudo_is_there && sudo_may_run) {
            let lacks = if sudo_is_there { "loses its setuid bit" } else { "is not installed" };
            let message = format!("the user `{}` may use sudo, which {lacks}", user.name);
            errors
                .push(DefinitionError::new(word.place(), message).help(
                    "add \"sudo\" to packages.install and \"/usr/bin/sudo\" to setuid.allow",
                ));
        }
    }
    for word in &groups {
        let group = &word.value;
        let Some(gid) = group.gid else { continue };
        if let Some(other) = names.insert(gid, &group.name)
            && other != group.name
        {
            let message = format!("`{other}` and the group `{}` both have gid {gid}", group.name);
            errors.push(DefinitionError::new(word.place(), message).help("give each its own gid"));
        }
    }
    let users = users.into_iter().map(|word| word.value).collect();
    (users, groups.into_iter().map(|word| word.value).collect())
}

fn first_of<'a, K, V>(settled: BTreeMap<K, Vec<Word<'a, V>>>) -> Vec<Word<'a, V>> {
    settled.into_values().filter_map(|words| words.into_iter().next()).collect()
}

fn user(raw: &tables::User) -> User {
    let name = raw.name.value.0.clone();
    let mut groups: Vec<_> = raw.groups.iter().map(|group| group.value.0.clone()).collect();
    groups.sort();
    groups.dedup();
    let mut authorized_keys: Vec<_> =
        raw.authorized_keys.iter().map(|key| key.value.0.clone()).collect();
    authorized_keys.sort();
    authorized_keys.dedup();
    User {
        // The range permits u32 only.
        uid: u32::try_from(raw.uid.value).unwrap_or(u32::MAX),
        groups,
        shell: raw.shell.as_ref().map_or_else(|| "/bin/bash".to_owned(), |at| at.value.0.clone()),
        home: raw.home.as_ref().map_or_else(|| format!("/home/{name}"), |at| at.value.0.clone()),
        authorized_keys,
        sudo: raw.sudo,
        name,
    }
}
