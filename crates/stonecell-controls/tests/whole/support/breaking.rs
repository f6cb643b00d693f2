//! For every kind of want, ways to break it that an administrator, a package or an attacker would use. The match is
//! exhaustive: a new kind does not compile until someone says how it is broken.

mod files;
mod kernel;
mod logins;
mod units;

use std::path::Path;

use stonecell_controls::{Links, Ownership, Root, RootMut, Want};

use super::undo::Undo;

/// A way to break a want.
pub(crate) struct Break {
    pub(crate) name: &'static str,
    pub(crate) run: Box<dyn Fn(&mut Undo<'_>)>,
}

fn how(name: &'static str, run: impl Fn(&mut Undo<'_>) + 'static) -> Break {
    Break { name, run: Box::new(run) }
}

fn put(root: &mut Undo<'_>, path: &str, text: &str) {
    root.write(Path::new(path), text.as_bytes(), Ownership::PLAIN).expect("can be written");
}

/// Edits a file where it lies, keeping mode and owner; does nothing when it is not there.
fn change(root: &mut Undo<'_>, path: &str, edit: &dyn Fn(String) -> String) {
    let Some(place) = root.resolve(Path::new(path)).expect("resolves") else { return };
    let Some(status) = root.status(&place, Links::Stay).expect("is there") else { return };
    let text = root.text(&place).expect("is text").unwrap_or_default();
    let ownership = Ownership { mode: status.mode, uid: status.uid, gid: status.gid };
    root.write(&place, edit(text).as_bytes(), ownership).expect("can be written");
}

/// `text` without the lines for which `gone` holds.
fn without(text: &str, gone: impl Fn(&str) -> bool) -> String {
    text.lines().filter(|line| !gone(line)).map(|line| format!("{line}\n")).collect()
}

/// Another value than this one, of the same kind.
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

/// All ways to break a want.
pub(crate) fn breaks(want: &Want) -> Vec<Break> {
    match want.clone() {
        Want::Sysctl(want) => kernel::sysctl(want),
        Want::CommandLine(want) => kernel::command_line(want),
        Want::Module(want) => kernel::module(want),
        Want::KernelConfig(want) => kernel::config(want),
        Want::AuditRule(want) => kernel::audit_rule(want),
        Want::Package(want) => units::package(want),
        Want::Unit(want) => units::unit(want),
        Want::UnitSetting(want) => units::unit_setting(want),
        Want::SystemdSetting(want) => units::systemd_setting(want),
        Want::Setting(want) => files::setting(want),
        Want::File(want) => files::file(want),
        Want::Link(want) => files::link(want),
        Want::Absent(want) => files::absent(want),
        Want::Attributes(want) => files::attributes(want),
        Want::Line(want) => files::line(want),
        Want::Mount(want) => files::mount(want),
        Want::SpecialBits(_) => files::special_bits(),
        Want::TreeScan(want) => files::scans(want.deny),
        Want::Pam(want) if !want.absent_args.is_empty() => logins::pam_argument(want),
        Want::Pam(want) => logins::pam_line(want),
        Want::Account(want) => logins::account(want),
    }
}
