//! What a selection asks of the builder beyond the files that it changes itself: packages, modules, mounts, command line.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::formats::modprobe;
use crate::select::Selection;
use crate::want::{PackageState, UnitState, Want};

/// A file system and the options that it must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MountWant {
    pub target: String,
    /// Type for what is no partition (`tmpfs`, `proc`); `None` for a partition of the definition.
    pub fs: Option<String>,
    /// Sorted, without repetition.
    pub options: Vec<String>,
    pub size: Option<String>,
}

/// All lists are sorted and without repetition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Requirements {
    /// Words that the signed command line must have.
    pub command_line: Vec<String>,
    /// Words that it must not have: `NAME` for any value, `NAME=VALUE` for that one.
    pub command_line_absent: Vec<String>,
    /// Names of packages to install.
    pub packages_present: Vec<String>,
    /// Globs over names of packages that must not be installed.
    pub packages_absent: Vec<String>,
    /// Modules (with underscores) whose files the builder removes from the module tree before it makes the module index.
    pub modules_blocked: Vec<String>,
    pub mounts: Vec<MountWant>,
    /// Units that must exist because they are to be enabled.
    pub units_enabled: Vec<String>,
}

impl Selection {
    /// Collects what the builder must do before and after [`Selection::apply`].
    #[must_use]
    pub fn requirements(&self) -> Requirements {
        let mut words = BTreeSet::new();
        let mut words_absent = BTreeSet::new();
        let mut present = BTreeSet::new();
        let mut absent = BTreeSet::new();
        let mut modules = BTreeSet::new();
        let mut units = BTreeSet::new();
        for want in self.controls.iter().flat_map(|control| &control.wants) {
            match want {
                Want::CommandLine(want) if want.absent => {
                    words_absent.insert(want.parameter.clone())
                }
                Want::CommandLine(want) => words.insert(want.parameter.clone()),
                Want::Package(want) => match want.state {
                    PackageState::Present => present.insert(want.name.clone()),
                    PackageState::Absent => absent.insert(want.name.clone()),
                },
                Want::Module(want) => modules.insert(modprobe::canonical(&want.name)),
                Want::Unit(want) if want.state == UnitState::Enabled && !want.if_present => {
                    units.insert(want.name.clone())
                }
                _ => false,
            };
        }
        Requirements {
            command_line: words.into_iter().collect(),
            command_line_absent: words_absent.into_iter().collect(),
            packages_present: present.into_iter().collect(),
            packages_absent: absent.into_iter().collect(),
            modules_blocked: modules.into_iter().collect(),
            mounts: self.mounts(),
            units_enabled: units.into_iter().collect(),
        }
    }

    /// Mounts with the options of all controls that speak of them.
    fn mounts(&self) -> Vec<MountWant> {
        let mut mounts: BTreeMap<&str, MountWant> = BTreeMap::new();
        for want in self.controls.iter().flat_map(|control| &control.wants) {
            let Want::Mount(want) = want else { continue };
            let mount = mounts.entry(&want.target).or_insert_with(|| MountWant {
                target: want.target.clone(),
                fs: None,
                options: Vec::new(),
                size: None,
            });
            mount.fs = mount.fs.take().or_else(|| want.fs.clone());
            mount.size = mount.size.take().or_else(|| want.size.clone());
            mount.options.extend(want.options.iter().cloned());
        }
        let mut mounts: Vec<MountWant> = mounts.into_values().collect();
        for mount in &mut mounts {
            mount.options.sort_unstable();
            mount.options.dedup();
        }
        mounts
    }
}
