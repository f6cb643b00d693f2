//! The parts of `/etc` that change at run time.
//!
//! `/etc` is on the verity root. Each path that must change is a symbolic link out of it: to `/run` when it
//! is made anew at every boot, to `/var/lib/stonecell/etc` when it is kept. A tmpfiles.d fragment creates
//! the target with the content that the image shipped, when there is none yet. A directory that others fill
//! is a mount in memory instead: whoever walks it sees a directory, not a link. Account files are links to
//! a directory that [`crate::kept_accounts`] covers.

use std::fmt::Write;

use crate::kept_accounts::IMAGE_ACCOUNTS;

/// Where a mutable file lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// Made anew at every boot.
    Run,
    /// Kept on `/var`.
    Kept,
    /// A directory in memory, empty at every boot.
    Empty,
    /// An account file.
    Account,
}

/// One path below `/etc`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mutable {
    /// Absolute path, for example `/etc/hostname`.
    pub path: String,
    /// Where it lives.
    pub keep: Keep,
}

impl Mutable {
    /// The path below `/etc`, for example `hostname`; `None` when it is not there.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let name = self.path.strip_prefix("/etc/")?;
        (!name.split('/').any(|part| matches!(part, "" | "." | ".."))).then_some(name)
    }

    /// Where the link points; `None` when the path is no link.
    #[must_use]
    pub fn target(&self) -> Option<String> {
        let name = self.name()?;
        match self.keep {
            Keep::Run => Some(format!("/run/stonecell/etc/{name}")),
            Keep::Kept => Some(format!("/var/lib/stonecell/etc/{name}")),
            Keep::Account => Some(format!("{IMAGE_ACCOUNTS}/{name}")),
            Keep::Empty => None,
        }
    }

    /// Where the image keeps the content that the file starts with.
    #[must_use]
    pub fn factory(&self) -> Option<String> {
        let name = self.name()?;
        match self.keep {
            Keep::Run | Keep::Kept => Some(format!("/etc/stonecell/factory/{name}")),
            Keep::Account => Some(format!("{IMAGE_ACCOUNTS}/{name}")),
            Keep::Empty => None,
        }
    }
}

/// Lines of `/etc/fstab` that mount what is empty at every boot. Sorted by path.
#[must_use]
pub fn mounts(list: &[Mutable]) -> Vec<String> {
    let mut empty: Vec<&Mutable> =
        list.iter().filter(|entry| entry.keep == Keep::Empty && entry.name().is_some()).collect();
    empty.sort();
    empty
        .iter()
        .map(|entry| {
            format!("tmpfs {} tmpfs mode=0755,size=4M,nosuid,nodev,noexec 0 0", entry.path)
        })
        .collect()
}

/// What AppArmor lets every program read that asks for names; its own list has the paths of `/etc`, and it sees
/// where a link leads. Empty when nothing of that moved.
#[must_use]
pub fn name_service(list: &[Mutable]) -> String {
    const READ: [&str; 3] = ["/etc/group", "/etc/hosts", "/etc/passwd"];
    let mut moved: Vec<&Mutable> =
        list.iter().filter(|entry| READ.contains(&entry.path.as_str())).collect();
    moved.sort();
    moved.iter().filter_map(|entry| Some(format!("  {} r,\n", entry.target()?))).collect()
}

/// The tmpfiles.d fragment that seeds the targets. Sorted by path.
#[must_use]
pub fn tmpfiles(list: &[Mutable]) -> String {
    let mut text = String::from(
        "# Written by stonecell: what may change below /etc (the definition's etc.mutable).\n",
    );
    let mut sorted: Vec<&Mutable> = list.iter().collect();
    sorted.sort();
    sorted.dedup();
    for entry in sorted {
        if entry.keep == Keep::Account {
            continue;
        }
        if let (Some(target), Some(factory)) = (entry.target(), entry.factory()) {
            let _ = writeln!(text, "C {target} - - - - {factory}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_from_the_factory_copy() {
        let list = [
            Mutable { path: "/etc/resolv.conf".into(), keep: Keep::Run },
            Mutable { path: "/etc/hostname".into(), keep: Keep::Kept },
            Mutable { path: "/usr/bin/sh".into(), keep: Keep::Run },
            Mutable { path: "/etc/../x".into(), keep: Keep::Run },
            Mutable { path: "/etc/passwd".into(), keep: Keep::Account },
            Mutable { path: "/etc/systemd/network".into(), keep: Keep::Empty },
        ];
        let text = tmpfiles(&list);
        assert_eq!(
            text.lines().skip(1).collect::<Vec<_>>(),
            [
                "C /var/lib/stonecell/etc/hostname - - - - /etc/stonecell/factory/hostname",
                "C /run/stonecell/etc/resolv.conf - - - - /etc/stonecell/factory/resolv.conf",
            ]
        );
        assert_eq!(
            mounts(&list),
            ["tmpfs /etc/systemd/network tmpfs mode=0755,size=4M,nosuid,nodev,noexec 0 0"]
        );
        assert_eq!(name_service(&list), "  /etc/stonecell/accounts/passwd r,\n");
        assert_eq!(list[4].target(), Some("/etc/stonecell/accounts/passwd".into()));
    }
}
