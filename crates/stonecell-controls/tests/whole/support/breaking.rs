//! For every kind of want, ways to break it that an administrator, a package or an attacker would use. The match is
//! exhaustive: a new kind does not compile until someone says how it is broken.

use std::path::{Path, PathBuf};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use stonecell_controls::want::{PackageState, ScanRule, SettingFormat, UnitState};
use stonecell_controls::{Kind, Links, Ownership, Root, RootMut, Want};

use super::undo::Undo;

/// A way to break a want.
pub(crate) struct Break {
    pub(crate) name: &'static str,
    pub(crate) run: Box<dyn Fn(&mut Undo<'_>)>,
}

fn how(name: &'static str, run: impl Fn(&mut Undo<'_>) + 'static) -> Break {
    Break { name, run: Box::new(run) }
}

const ZZ: Ownership = Ownership::PLAIN;

fn put(root: &mut Undo<'_>, path: &str, text: &str) {
    root.write(Path::new(path), text.as_bytes(), ZZ).expect("can be written");
}

/// Edits a file where it lies, keeping mode and owner; does nothing when it is not there.
fn change(root: &mut Undo<'_>, path: &str, edit: &dyn Fn(String) -> String) {
    let Some(place) = root.resolve(Path::new(path)).expect("resolves") else { return };
    let Some(status) = root.status(&place, Links::Stay).expect("is there") else { return };
    let text = root.text(&place).expect("is text").unwrap_or_default();
    let ownership = Ownership { mode: status.mode, uid: status.uid, gid: status.gid };
    root.write(&place, edit(text).as_bytes(), ownership).expect("can be written");
}

fn other(value: &str) -> String {
    match value {
        "0" => "1".to_owned(),
        "no" => "yes".to_owned(),
        "yes" => "no".to_owned(),
        "true" => "false".to_owned(),
        "false" => "true".to_owned(),
        number if number.parse::<i64>().is_ok() => "0".to_owned(),
        text => format!("{text}x"),
    }
}

/// A name that a glob matches.
fn concrete(glob: &str) -> String {
    let class = regex::Regex::new(r"\[(.)[^]]*\]").expect("a pattern");
    class.replace_all(glob, "$1").replace("**", "x").replace('*', "x").replace('?', "y")
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

/// All ways to break a want.
pub(crate) fn breaks(want: &Want) -> Vec<Break> {
    match want.clone() {
        Want::Sysctl(want) => {
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
                    root.remove(Path::new("/usr/lib/sysctl.d/99-zz-stonecell.conf"))
                        .expect("is there");
                    // What packages set by themselves is not the control's doing.
                    for folder in ["/usr/lib/sysctl.d", "/etc/sysctl.d"] {
                        for name in root.list(Path::new(folder)).expect("lists").unwrap_or_default()
                        {
                            root.remove(&Path::new(folder).join(name)).expect("is there");
                        }
                    }
                }),
            ]
        }
        Want::CommandLine(want) => {
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
        Want::Module(want) => {
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
        Want::Package(want) => match want.state {
            PackageState::Absent => vec![how("it is installed", move |root| {
                let name = concrete(&want.name);
                change(root, "/var/lib/dpkg/status", &move |text| {
                    format!("{text}\nPackage: {name}\nStatus: install ok installed\n\n")
                });
            })],
            PackageState::Present => vec![how("it is removed", |root| {
                change(root, "/var/lib/dpkg/status", &|text| {
                    text.replace("install ok installed", "deinstall ok config-files")
                });
            })],
        },
        Want::Unit(want) => {
            let path = PathBuf::from(format!("/etc/systemd/system/{}", want.name));
            match want.state {
                UnitState::Enabled => {
                    let name = want.name.clone();
                    vec![
                        how("it is masked", move |root| {
                            root.link(&path, Path::new("/dev/null")).expect("links")
                        }),
                        how("its links are gone", move |root| remove_links(root, &name)),
                    ]
                }
                UnitState::Disabled => vec![how("a target wants it", move |root| {
                    let link = format!("/etc/systemd/system/multi-user.target.wants/{}", want.name);
                    root.link(Path::new(&link), Path::new("/usr/lib/systemd/system/x"))
                        .expect("links");
                })],
                UnitState::Masked => {
                    let unit = path.clone();
                    vec![how("the mask is replaced by a unit", move |root| {
                        put(root, &unit.to_string_lossy(), "[Service]\nExecStart=/bin/true\n");
                    })]
                }
            }
        }
        Want::UnitSetting(want) => {
            let file = format!("/etc/systemd/system/{}.d/zz-later.conf", want.unit);
            vec![later_drop_in(file, want.section, want.key, want.value.as_slice())]
        }
        Want::SystemdSetting(want) => {
            let file = format!("/etc/systemd/{}.d/zz-later.conf", want.file);
            vec![later_drop_in(file, want.section, want.key, want.value.as_slice())]
        }
        Want::Setting(want) => {
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
        Want::File(want) => {
            let (text, mode, gone) = (want.path.clone(), want.clone(), want.path.clone());
            vec![
                how("one byte more", move |root| change(root, &text, &|text| format!("{text}#"))),
                how("another mode", move |root| {
                    root.set_mode(Path::new(&mode.path), mode.mode.0 ^ 0o002).expect("is there");
                }),
                how("it is gone", move |root| root.remove(Path::new(&gone)).expect("is there")),
            ]
        }
        Want::Link(want) => {
            let gone = want.path.clone();
            vec![
                how("it leads elsewhere", move |root| {
                    root.link(Path::new(&want.path), Path::new("/elsewhere")).expect("links");
                }),
                how("it is gone", move |root| root.remove(Path::new(&gone)).expect("is there")),
            ]
        }
        Want::Absent(want) => vec![how("it is there", move |root| {
            put(root, &concrete(&want.path), "x");
        })],
        Want::Attributes(want) => {
            let mut ways = Vec::new();
            if let Some(mode) = want.mode.or(want.mode_max) {
                let glob = want.path.clone();
                ways.push(how("another mode", move |root| {
                    let target = first_match(root, &glob);
                    let flipped = if mode.0 & 0o002 == 0 {
                        mode.0 | 0o002
                    } else {
                        mode.0 & !0o7000 & !0o002
                    };
                    root.set_mode(&target, flipped).expect("is there");
                }));
            }
            if want.owner.is_some() {
                let glob = want.path.clone();
                ways.push(how("another owner", move |root| {
                    let target = first_match(root, &glob);
                    let status =
                        root.status(&target, Links::Stay).expect("looks").expect("is there");
                    root.set_owner(&target, 4711, status.gid).expect("is there");
                    root.set_mode(&target, status.mode).expect("is there");
                }));
            }
            if want.group.is_some() {
                let glob = want.path;
                ways.push(how("another group", move |root| {
                    let target = first_match(root, &glob);
                    let status =
                        root.status(&target, Links::Stay).expect("looks").expect("is there");
                    root.set_owner(&target, status.uid, 4711).expect("is there");
                    root.set_mode(&target, status.mode).expect("is there");
                }));
            }
            ways
        }
        Want::Line(want) => match (want.line, want.pattern) {
            (Some(line), _) => vec![how("the line is gone", move |root| {
                let line = line.clone();
                change(root, &want.path, &move |text| {
                    text.lines()
                        .filter(|other| other.trim_end() != line.trim_end())
                        .map(|line| format!("{line}\n"))
                        .collect()
                });
            })],
            (None, Some(pattern)) => vec![how("a line matches", move |root| {
                let line = matching(&pattern);
                change(root, &want.path, &move |text| format!("{text}\n{line}\n"));
            })],
            (None, None) => panic!("the reader of the catalogue lets no such want through"),
        },
        Want::Mount(want) => {
            let (gone, target) = (want.target.clone(), want.target.clone());
            let mut ways = vec![how("the line is gone", move |root| {
                let target = gone.clone();
                change(root, "/etc/fstab", &move |text| {
                    text.lines()
                        .filter(|line| line.split_whitespace().nth(1) != Some(target.as_str()))
                        .map(|line| format!("{line}\n"))
                        .collect()
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
        Want::AuditRule(want) => {
            let key = format!("-k {}", want.key);
            let source = key.clone();
            let without = |text: String, key: &str| -> String {
                text.lines()
                    .filter(|line| !line.ends_with(key))
                    .map(|line| format!("{line}\n"))
                    .collect()
            };
            vec![
                how("the rule is not compiled", move |root| {
                    change(root, "/etc/audit/audit.rules", &|text| without(text, &key));
                }),
                how("the rule is not in its source", move |root| {
                    change(root, "/etc/audit/rules.d/50-stonecell.rules", &|text| {
                        without(text, &source)
                    });
                }),
                how("an earlier rule stops all recording", |root| {
                    put(root, "/etc/audit/rules.d/00-first.rules", "-a never,exit\n");
                }),
            ]
        }
        Want::Pam(want) if !want.absent_args.is_empty() => {
            vec![how("the argument is there", move |root| {
                let (module, argument) = (want.module.clone(), want.absent_args[0].clone());
                let argument =
                    if argument.ends_with('=') { format!("{argument}x") } else { argument };
                let kind = want.kind.map_or("auth", |kind| match kind {
                    stonecell_controls::want::PamType::Auth => "auth",
                    stonecell_controls::want::PamType::Account => "account",
                    stonecell_controls::want::PamType::Password => "password",
                    stonecell_controls::want::PamType::Session => "session",
                });
                let path = format!("/etc/pam.d/{}", want.service.replace('*', "common-auth"));
                change(root, &path, &move |text| {
                    format!("{text}\n{kind} optional {module} {argument}\n")
                });
            })]
        }
        Want::Pam(want) => {
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
                    change(root, &gone, &move |text| {
                        text.lines()
                            .filter(|line| !mine(line, &kind, &module))
                            .map(|line| format!("{line}\n"))
                            .collect()
                    });
                }),
                how("the line is optional", move |root| {
                    let (mine, kind, module) =
                        (mine_too.clone(), kind_too.clone(), module_too.clone());
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
        Want::Account(want) => {
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
                ways.push(how("an empty password", move |root| {
                    set(root, "/etc/shadow", &user, 1, "")
                }));
            }
            ways
        }
        Want::SpecialBits(_) => vec![
            how("a set-user-id program", |root| {
                root.write(
                    Path::new("/usr/bin/zz-new"),
                    b"x",
                    Ownership { mode: 0o4755, uid: 0, gid: 0 },
                )
                .expect("writes");
            }),
            how("a set-group-id program", |root| {
                root.write(
                    Path::new("/usr/bin/zz-new"),
                    b"x",
                    Ownership { mode: 0o2755, uid: 0, gid: 0 },
                )
                .expect("writes");
            }),
        ],
        Want::TreeScan(want) => scans(want.deny),
        Want::KernelConfig(want) => vec![how("the kernel was built otherwise", move |root| {
            let text = format!("{}={}\n", want.option, if want.value == "y" { "n" } else { "y" });
            put(root, "/boot/config-0-test", &text);
        })],
    }
}

fn scans(rule: ScanRule) -> Vec<Break> {
    let write = |name, path: &'static str, text: &'static str, mode, uid| {
        how(name, move |root: &mut Undo<'_>| {
            root.write(Path::new(path), text.as_bytes(), Ownership { mode, uid, gid: uid })
                .expect("writes");
        })
    };
    let append = |name, path: &'static str, line: &'static str| {
        how(name, move |root: &mut Undo<'_>| change(root, path, &|text| format!("{text}{line}\n")))
    };
    match rule {
        ScanRule::WorldWritable => vec![write("a file", "/opt/x", "x", 0o666, 0)],
        ScanRule::Unowned => vec![write("a file", "/opt/x", "x", 0o644, 4711)],
        ScanRule::SetuidScript => vec![write("a script", "/opt/x", "#!/bin/sh\n", 0o4755, 0)],
        ScanRule::EmptyPassword => vec![
            append("in shadow", "/etc/shadow", "zed::1:0:99999:7:::"),
            append("in passwd", "/etc/passwd", "zed::4711:4711::/:/bin/sh"),
        ],
        ScanRule::DuplicateIds => vec![
            append("a number", "/etc/passwd", "toor:x:0:0::/:/bin/sh"),
            append("a name", "/etc/group", "root:x:4711:"),
        ],
        ScanRule::GroupWritableSystem => vec![
            write("a program", "/usr/bin/zz-new", "x", 0o775, 0),
            write("a program of another", "/usr/bin/zz-new", "x", 0o755, 1),
        ],
        ScanRule::LegacyPlusEntries => vec![append("in passwd", "/etc/passwd", "+::::::")],
        ScanRule::Rhosts => vec![write("a file", "/root/.rhosts", "+ +\n", 0o600, 0)],
        ScanRule::PrivateKeys => {
            vec![write("a key", "/etc/x.pem", "-----BEGIN PRIVATE KEY-----\nMII\n", 0o600, 0)]
        }
    }
}

fn later_drop_in(file: String, section: String, key: String, values: &[String]) -> Break {
    let wrong = match values.first().map(String::as_str) {
        None | Some("") => "wrong".to_owned(),
        Some(value) => other(value),
    };
    how("a later drop-in says otherwise", move |root| {
        put(root, &file, &format!("[{section}]\n{key}={wrong}\n"));
    })
}

fn remove_links(root: &mut Undo<'_>, unit: &str) {
    for folder in ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system"] {
        for name in root.list(Path::new(folder)).expect("lists").unwrap_or_default() {
            let text = name.to_string_lossy();
            let path = Path::new(folder).join(&*text);
            if [".wants", ".requires", ".upholds"].iter().any(|end| text.ends_with(end)) {
                let link = path.join(unit);
                if root.status(&link, Links::Stay).expect("looks").is_some() {
                    root.remove(&link).expect("is there");
                }
            } else if folder.starts_with("/etc")
                && root
                    .read_link(&path)
                    .expect("reads")
                    .is_some_and(|target| target.ends_with(unit))
            {
                root.remove(&path).expect("is there");
            }
        }
    }
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
