//! Files: their content, modes and owners, lines of tables, and what must not be anywhere in the tree.

use std::path::{Path, PathBuf};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use stonecell_controls::want::{
    Absent, Attributes, File, Line, Link, Mount, ScanRule, Setting, SettingFormat,
};
use stonecell_controls::{Kind, Links, Ownership, Root, RootMut};

use super::{Break, change, concrete, how, other, put, without};
use crate::support::undo::Undo;

pub(super) fn setting(want: Setting) -> Vec<Break> {
    let flip = want.clone();
    let mut ways = vec![how("another value is in force", move |root| {
        let (key, value) = (flip.key.clone(), other(&flip.value));
        let section = flip.section.clone().unwrap_or_default();
        let format = flip.format;
        change(root, &flip.path, &move |text| match format {
            SettingFormat::Ssh => format!("{key} {value}\n{text}"),
            SettingFormat::Space => format!("{text}\n{key} {value}\n"),
            SettingFormat::Equals => format!("{text}\n{key}={value}\n"),
            SettingFormat::Ini => format!("{text}\n[{section}]\n{key}={value}\n"),
        });
    })];
    if want.format == SettingFormat::Ssh {
        let block = want.clone();
        ways.push(how("a block says otherwise", move |root| {
            let (key, value) = (block.key.clone(), other(&block.value));
            change(root, &block.path, &move |text| {
                format!("{text}\nMatch User x\n  {key} {value}\n")
            });
        }));
    }
    let emptied = want.clone();
    ways.push(how("the file is emptied", move |root| {
        change(root, &emptied.path, &|_| String::new())
    }));
    ways
}

pub(super) fn file(want: File) -> Vec<Break> {
    let (text, mode, gone) = (want.path.clone(), want.clone(), want.path.clone());
    vec![
        how("one byte more", move |root| change(root, &text, &|text| format!("{text}#"))),
        how("another mode", move |root| {
            root.set_mode(Path::new(&mode.path), mode.mode.0 ^ 0o002).expect("is there");
        }),
        how("it is gone", move |root| root.remove(Path::new(&gone)).expect("is there")),
    ]
}

pub(super) fn link(want: Link) -> Vec<Break> {
    let gone = want.path.clone();
    vec![
        how("it leads elsewhere", move |root| {
            root.link(Path::new(&want.path), Path::new("/elsewhere")).expect("links");
        }),
        how("it is gone", move |root| root.remove(Path::new(&gone)).expect("is there")),
    ]
}

pub(super) fn absent(want: Absent) -> Vec<Break> {
    vec![how("it is there", move |root| {
        put(root, &concrete(&want.path), "x");
    })]
}

pub(super) fn attributes(want: Attributes) -> Vec<Break> {
    let mut ways = Vec::new();
    if let Some(mode) = want.mode.or(want.mode_max) {
        let glob = want.path.clone();
        ways.push(how("another mode", move |root| {
            let target = first_match(root, &glob);
            let flipped =
                if mode.0 & 0o002 == 0 { mode.0 | 0o002 } else { mode.0 & !0o7000 & !0o002 };
            root.set_mode(&target, flipped).expect("is there");
        }));
    }
    if want.owner.is_some() {
        let glob = want.path.clone();
        ways.push(how("another owner", move |root| {
            let target = first_match(root, &glob);
            let status = root.status(&target, Links::Stay).expect("looks").expect("is there");
            root.set_owner(&target, 4711, status.gid).expect("is there");
            root.set_mode(&target, status.mode).expect("is there");
        }));
    }
    if want.group.is_some() {
        let glob = want.path;
        ways.push(how("another group", move |root| {
            let target = first_match(root, &glob);
            let status = root.status(&target, Links::Stay).expect("looks").expect("is there");
            root.set_owner(&target, status.uid, 4711).expect("is there");
            root.set_mode(&target, status.mode).expect("is there");
        }));
    }
    ways
}

pub(super) fn line(want: Line) -> Vec<Break> {
    match (want.line, want.pattern) {
        (Some(line), _) => vec![how("the line is gone", move |root| {
            let line = line.clone();
            change(root, &want.path, &move |text| {
                without(&text, |other| other.trim_end() == line.trim_end())
            });
        })],
        (None, Some(pattern)) => vec![how("a line matches", move |root| {
            let line = matching(&pattern);
            change(root, &want.path, &move |text| format!("{text}\n{line}\n"));
        })],
        (None, None) => panic!("the reader of the catalogue lets no such want through"),
    }
}

pub(super) fn mount(want: Mount) -> Vec<Break> {
    let (gone, target) = (want.target.clone(), want.target.clone());
    let mut ways = vec![how("the line is gone", move |root| {
        let target = gone.clone();
        change(root, "/etc/fstab", &move |text| {
            without(&text, |line| line.split_whitespace().nth(1) == Some(target.as_str()))
        });
    })];
    for option in want.options {
        let target = target.clone();
        ways.push(how("an option is gone", move |root| {
            let (target, option) = (target.clone(), option.clone());
            change(root, "/etc/fstab", &move |text| {
                text.lines()
                    .map(|line| {
                        let mut fields: Vec<String> =
                            line.split_whitespace().map(str::to_owned).collect();
                        if fields.get(1) == Some(&target) && fields.len() > 3 {
                            let kept: Vec<&str> =
                                fields[3].split(',').filter(|one| *one != option).collect();
                            fields[3] = if kept.is_empty() {
                                "defaults".to_owned()
                            } else {
                                kept.join(",")
                            };
                        }
                        format!("{}\n", fields.join(" "))
                    })
                    .collect()
            });
        }));
    }
    ways
}

pub(super) fn special_bits() -> Vec<Break> {
    [("a set-user-id program", 0o4755), ("a set-group-id program", 0o2755)]
        .map(|(name, mode)| written(name, "/usr/bin/zz-new", "x", mode, 0))
        .into()
}

/// A file that is there beside the others.
fn written(
    name: &'static str,
    path: &'static str,
    text: &'static str,
    mode: u32,
    id: u32,
) -> Break {
    how(name, move |root: &mut Undo<'_>| {
        root.write(Path::new(path), text.as_bytes(), Ownership { mode, uid: id, gid: id })
            .expect("writes");
    })
}

pub(super) fn scans(rule: ScanRule) -> Vec<Break> {
    let append = |name, path: &'static str, line: &'static str| {
        how(name, move |root: &mut Undo<'_>| change(root, path, &|text| format!("{text}{line}\n")))
    };
    match rule {
        ScanRule::WorldWritable => vec![written("a file", "/opt/x", "x", 0o666, 0)],
        ScanRule::Unowned => vec![written("a file", "/opt/x", "x", 0o644, 4711)],
        ScanRule::SetuidScript => vec![written("a script", "/opt/x", "#!/bin/sh\n", 0o4755, 0)],
        ScanRule::EmptyPassword => vec![
            append("in shadow", "/etc/shadow", "zed::1:0:99999:7:::"),
            append("in passwd", "/etc/passwd", "zed::4711:4711::/:/bin/sh"),
        ],
        ScanRule::DuplicateIds => vec![
            append("a number", "/etc/passwd", "toor:x:0:0::/:/bin/sh"),
            append("a name", "/etc/group", "root:x:4711:"),
        ],
        ScanRule::GroupWritableSystem => vec![
            written("a program", "/usr/bin/zz-new", "x", 0o775, 0),
            written("a program of another", "/usr/bin/zz-new", "x", 0o755, 1),
        ],
        ScanRule::LegacyPlusEntries => vec![append("in passwd", "/etc/passwd", "+::::::")],
        ScanRule::Rhosts => vec![written("a file", "/root/.rhosts", "+ +\n", 0o600, 0)],
        ScanRule::PrivateKeys => {
            vec![written("a key", "/etc/x.pem", "-----BEGIN PRIVATE KEY-----\nMII\n", 0o600, 0)]
        }
    }
}

/// A text that a pattern matches.
fn matching(pattern: &str) -> String {
    let regex = regex_lite(pattern);
    let plain = pattern
        .trim_start_matches("(?i)")
        .trim_start_matches('^')
        .trim_end_matches('$')
        .replace("\\b", "");
    let strategy =
        proptest::string::string_regex(&plain).expect("a pattern that can be generated from");
    let mut runner = TestRunner::deterministic();
    for _ in 0..20_000 {
        let text = strategy.new_tree(&mut runner).expect("a value").current();
        if !text.contains(['\n', '\r'])
            && regex.is_match(&text)
            && text.chars().all(|sign| sign == '\t' || !sign.is_control())
        {
            return text;
        }
    }
    panic!("no text found that matches {pattern}")
}

fn regex_lite(pattern: &str) -> regex::Regex {
    regex::Regex::new(pattern).expect("a pattern of the catalogue")
}

/// The first file that a glob of one level matches, links resolved.
fn first_match(root: &Undo<'_>, glob: &str) -> PathBuf {
    let mut paths = vec![PathBuf::from("/")];
    for part in glob.split('/').filter(|part| !part.is_empty()) {
        let pattern = regex::escape(part).replace("\\*", ".*").replace("\\?", ".");
        let regex = regex::Regex::new(&format!("^{pattern}$")).expect("a pattern");
        let mut next = Vec::new();
        for path in &paths {
            for name in root.list(path).expect("lists").unwrap_or_default() {
                let text = name.to_string_lossy();
                if regex.is_match(&text) && (part.starts_with('.') || !text.starts_with('.')) {
                    next.push(path.join(&*text));
                }
            }
        }
        paths = next;
    }
    paths
        .into_iter()
        .filter_map(|path| root.resolve(&path).expect("resolves"))
        .find(|path| {
            root.status(path, Links::Stay)
                .expect("looks")
                .is_some_and(|status| status.kind != Kind::Link)
        })
        .unwrap_or_else(|| panic!("nothing matches {glob}"))
}
