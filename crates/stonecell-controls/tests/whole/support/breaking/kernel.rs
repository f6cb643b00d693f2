//! The kernel: its parameters, its command line, its modules, what it records and how it was built.

use std::path::Path;

use stonecell_controls::want::{AuditRule, CommandLine, KernelConfig, Module, Sysctl};
use stonecell_controls::{Root, RootMut};

use super::{Break, change, how, other, put, without};
use crate::support::undo::Undo;

pub(super) fn sysctl(want: Sysctl) -> Vec<Break> {
    let later = want.clone();
    vec![
        how("a later file says otherwise", move |root| {
            put(
                root,
                "/etc/sysctl.d/zzz-later.conf",
                &format!("{} = {}\n", later.key, other(&later.value)),
            );
        }),
        how("the file is gone", |root| {
            root.remove(Path::new("/usr/lib/sysctl.d/99-zz-stonecell.conf")).expect("is there");
            // What packages set by themselves is not the control's doing.
            for folder in ["/usr/lib/sysctl.d", "/etc/sysctl.d"] {
                for name in root.list(Path::new(folder)).expect("lists").unwrap_or_default() {
                    root.remove(&Path::new(folder).join(name)).expect("is there");
                }
            }
        }),
    ]
}

pub(super) fn command_line(want: CommandLine) -> Vec<Break> {
    let words = |root: &Undo<'_>| root.command_line().expect("is known");
    if want.absent {
        return vec![how("the word is there", move |root| {
            let mut words = words(root);
            words.push(want.parameter.clone());
            root.set_command_line(words);
        })];
    }
    let (gone, later) = (want.parameter.clone(), want.parameter.clone());
    let mut ways = vec![how("the word is missing", move |root| {
        let mut words = words(root);
        words.retain(|word| *word != gone);
        root.set_command_line(words);
    })];
    if let Some((name, value)) = later.split_once('=')
        && !matches!(name, "console" | "earlycon" | "modprobe.blacklist")
    {
        let word = format!("{name}={}", other(value));
        ways.push(how("a later word says otherwise", move |root| {
            let mut words = words(root);
            words.push(word.clone());
            root.set_command_line(words);
        }));
    }
    ways
}

pub(super) fn module(want: Module) -> Vec<Break> {
    let (first, file) = (want.name.clone(), want.name.clone());
    vec![
        how("an earlier install line loads it", move |root| {
            let text = format!("install {first} /sbin/modprobe --ignore-install {first}\n");
            put(root, "/etc/modprobe.d/000-first.conf", &text);
        }),
        how("the file of modprobe.d is gone", |root| {
            root.remove(Path::new("/usr/lib/modprobe.d/stonecell.conf")).expect("is there");
        }),
        how("the module comes back", move |root| {
            put(root, &format!("/usr/lib/modules/1-test/extra/{file}.ko.xz"), "module");
        }),
    ]
}

pub(super) fn config(want: KernelConfig) -> Vec<Break> {
    vec![how("the kernel was built otherwise", move |root| {
        let text = format!("{}={}\n", want.option, if want.value == "y" { "n" } else { "y" });
        put(root, "/boot/config-0-test", &text);
    })]
}

pub(super) fn audit_rule(want: AuditRule) -> Vec<Break> {
    let key = format!("-k {}", want.key);
    let source = key.clone();
    vec![
        how("the rule is not compiled", move |root| {
            change(root, "/etc/audit/audit.rules", &|text| {
                without(&text, |line| line.ends_with(&key))
            });
        }),
        how("the rule is not in its source", move |root| {
            change(root, "/etc/audit/rules.d/50-stonecell.rules", &|text| {
                without(&text, |line| line.ends_with(&source))
            });
        }),
        how("an earlier rule stops all recording", |root| {
            put(root, "/etc/audit/rules.d/00-first.rules", "-a never,exit\n");
        }),
    ]
}
