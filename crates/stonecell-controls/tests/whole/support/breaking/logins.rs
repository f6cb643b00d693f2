//! Logins: lines of PAM, accounts and their passwords.

use stonecell_controls::want::{Account, Pam, PamType};

use super::{Break, change, how, without};
use crate::support::undo::Undo;

pub(super) fn pam_argument(want: Pam) -> Vec<Break> {
    vec![how("the argument is there", move |root| {
        let (module, argument) = (want.module.clone(), want.absent_args[0].clone());
        let argument = if argument.ends_with('=') { format!("{argument}x") } else { argument };
        let kind = want.kind.map_or("auth", |kind| match kind {
            PamType::Auth => "auth",
            PamType::Account => "account",
            PamType::Password => "password",
            PamType::Session => "session",
        });
        let path = format!("/etc/pam.d/{}", want.service.replace('*', "common-auth"));
        change(root, &path, &move |text| format!("{text}\n{kind} optional {module} {argument}\n"));
    })]
}

pub(super) fn pam_line(want: Pam) -> Vec<Break> {
    let kind = want.kind.map(|kind| format!("{kind:?}").to_lowercase()).unwrap_or_default();
    let path = format!("/etc/pam.d/{}", want.service);
    let (gone, flipped) = (path.clone(), path.clone());
    let (module, module_too) = (want.module.clone(), want.module.clone());
    let mode = want
        .args
        .iter()
        .find(|arg| ["preauth", "authfail", "authsucc"].contains(&arg.as_str()))
        .cloned();
    let kind_too = kind.clone();
    let mine = move |line: &str, kind: &str, module: &str| {
        line.trim_start().starts_with(kind)
            && line.contains(module)
            && mode.as_ref().is_none_or(|mode| line.contains(mode.as_str()))
    };
    let mine_too = mine.clone();
    let kind_first = kind.clone();
    vec![
        how("an earlier line ends the stack", move |root| {
            let line = format!("{kind_first} sufficient pam_permit.so");
            change(root, &path, &move |text| format!("{line}\n{text}"));
        }),
        how("an earlier line jumps over it", {
            let (path, kind) = (gone.clone(), kind.clone());
            move |root| {
                let line = format!("{kind} [success=99 default=ignore] pam_succeed_if.so");
                change(root, &path, &move |text| format!("{line}\n{text}"));
            }
        }),
        how("the line is gone", move |root| {
            let (mine, kind, module) = (mine.clone(), kind.clone(), module.clone());
            change(root, &gone, &move |text| without(&text, |line| mine(line, &kind, &module)));
        }),
        how("the line is optional", move |root| {
            let (mine, kind, module) = (mine_too.clone(), kind_too.clone(), module_too.clone());
            change(root, &flipped, &move |text| {
                text.lines()
                    .map(|line| {
                        if mine(line, &kind, &module) {
                            format!("{kind} [default=bad success=bad] {module}\n")
                        } else {
                            format!("{line}\n")
                        }
                    })
                    .collect()
            });
        }),
    ]
}

pub(super) fn account(want: Account) -> Vec<Break> {
    let user = if want.user == "*system" { "daemon".to_owned() } else { want.user.clone() };
    let mut ways = Vec::new();
    let set = |root: &mut Undo<'_>, file: &str, user: &str, index: usize, value: &str| {
        change(root, file, &|text| {
            text.lines()
                .map(|line| {
                    let mut fields: Vec<&str> = line.split(':').collect();
                    if fields[0] == user && fields.len() > index {
                        fields[index] = value;
                    }
                    format!("{}\n", fields.join(":"))
                })
                .collect()
        });
    };
    if want.exists == Some(false) {
        let user = user.clone();
        ways.push(how("the account is there", move |root| {
            let user = user.clone();
            change(root, "/etc/passwd", &move |text| {
                format!("{text}{user}:x:77:77::/:/usr/sbin/nologin\n")
            });
        }));
    }
    if want.shell.is_some() {
        let user = user.clone();
        ways.push(how("another shell", move |root| {
            set(root, "/etc/passwd", &user, 6, "/bin/bash")
        }));
    }
    if want.locked == Some(true) || want.password.is_some() {
        let user = user.clone();
        ways.push(how("a password", move |root| {
            set(root, "/etc/shadow", &user, 1, "$y$j9T$abc$def")
        }));
        let user = want.user.replace("*system", "daemon");
        ways.push(how("an empty password", move |root| set(root, "/etc/shadow", &user, 1, "")));
    }
    ways
}
