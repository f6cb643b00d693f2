//! Packages, units and their settings.

use std::path::{Path, PathBuf};

use stonecell_controls::want::{
    Package, PackageState, SystemdSetting, Unit, UnitSetting, UnitState,
};
use stonecell_controls::{Links, Root, RootMut};

use super::{Break, change, concrete, how, other, put};
use crate::support::undo::Undo;

pub(super) fn package(want: Package) -> Vec<Break> {
    match want.state {
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
    }
}

pub(super) fn unit(want: Unit) -> Vec<Break> {
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
            root.link(Path::new(&link), Path::new("/usr/lib/systemd/system/x")).expect("links");
        })],
        UnitState::Masked => {
            let unit = path.clone();
            vec![how("the mask is replaced by a unit", move |root| {
                put(root, &unit.to_string_lossy(), "[Service]\nExecStart=/bin/true\n");
            })]
        }
    }
}

pub(super) fn unit_setting(want: UnitSetting) -> Vec<Break> {
    let file = format!("/etc/systemd/system/{}.d/zz-later.conf", want.unit);
    vec![later_drop_in(file, want.section, want.key, want.value.as_slice())]
}

pub(super) fn systemd_setting(want: SystemdSetting) -> Vec<Break> {
    let file = format!("/etc/systemd/{}.d/zz-later.conf", want.file);
    vec![later_drop_in(file, want.section, want.key, want.value.as_slice())]
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
