//! For each kind of want: how it is made so, and how one sees whether it is so. The two stand side by side in one file.

mod account;
mod attributes;
mod audit_rule;
mod collected;
mod command_line;
mod files;
mod kernel_config;
mod line;
mod module;
mod mount;
mod package;
mod pam;
mod setting;
mod special_bits;
mod sysctl;
mod systemd;
mod tree_scan;
mod unit;

use std::path::{Path, PathBuf};

pub(crate) use collected::Collected;

use crate::apply::Effect;
use crate::check::Failure;
use crate::requirements::MountWant;
use crate::root::{Links, Ownership, Root, RootError, RootMut};
use crate::view::{Cache, View};
use crate::want::Want;

/// What a check of one want found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    Holds,
    Fails(Vec<Failure>),
    Skipped(String),
}

impl Finding {
    /// Holds without failures, fails with them.
    fn of(failures: Vec<Failure>) -> Self {
        if failures.is_empty() { Self::Holds } else { Self::Fails(failures) }
    }
}

/// One failure.
fn failure(
    place: impl Into<String>,
    found: impl Into<String>,
    expected: impl Into<String>,
    remedy: impl Into<String>,
) -> Failure {
    Failure {
        place: place.into(),
        found: found.into(),
        expected: expected.into(),
        remedy: remedy.into(),
        advisory: false,
    }
}

/// A single failure as a finding.
fn fails(
    place: impl Into<String>,
    found: impl Into<String>,
    expected: impl Into<String>,
    remedy: impl Into<String>,
) -> Finding {
    Finding::Fails(vec![failure(place, found, expected, remedy)])
}

/// It could not be found out whether a want holds.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unknown {
    #[error(transparent)]
    Root(#[from] RootError),
    #[error("{0}")]
    Missing(&'static str),
    #[error("`{pattern}` is not a pattern")]
    Pattern { pattern: String },
}

impl Unknown {
    /// The message with those of its sources.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        text
    }
}

/// A want could not be made so.
#[derive(Debug, thiserror::Error)]
pub enum Unable {
    /// A file could not be read or written.
    #[error("a file of the root is in the way")]
    Root(#[from] RootError),
    /// Something that the want needs is not there.
    #[error("{thing} is not in the root; {remedy}")]
    Missing { thing: String, remedy: &'static str },
    /// It is not clear how to make it so.
    #[error("{what}; {remedy}")]
    Ambiguous { what: String, remedy: &'static str },
    /// A pattern of the catalogue cannot be used (with the parameters of this selection).
    #[error("`{pattern}` is not a pattern")]
    Pattern { pattern: String },
}

/// When a want is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Edit,
    Collect,
    Attributes,
    Scan,
}

impl Stage {
    pub(crate) const ALL: [Self; 4] = [Self::Edit, Self::Collect, Self::Attributes, Self::Scan];
}

/// One kind of want.
pub(crate) trait State {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown>;

    /// Makes it so, or hands it to [`Site::collected`] (then answering `AlreadySo`; the truth is known when it is written).
    fn apply(&self, site: &mut Site<'_>) -> Result<Effect, Unable>;

    fn stage(&self) -> Stage {
        Stage::Edit
    }

    /// The files that a collected want goes to.
    fn contributes_to(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

impl Want {
    pub(crate) fn state(&self) -> &dyn State {
        match self {
            Self::Sysctl(want) => want,
            Self::CommandLine(want) => want,
            Self::Module(want) => want,
            Self::Package(want) => want,
            Self::Unit(want) => want,
            Self::UnitSetting(want) => want,
            Self::SystemdSetting(want) => want,
            Self::Setting(want) => want,
            Self::File(want) => want,
            Self::Link(want) => want,
            Self::Absent(want) => want,
            Self::Attributes(want) => want,
            Self::Line(want) => want,
            Self::Mount(want) => want,
            Self::AuditRule(want) => want,
            Self::Pam(want) => want,
            Self::Account(want) => want,
            Self::SpecialBits(want) => want,
            Self::TreeScan(want) => want,
            Self::KernelConfig(want) => want,
        }
    }
}

/// A root being changed, with what was collected for its common files.
pub(crate) struct Site<'a> {
    root: &'a mut dyn RootMut,
    cache: Cache,
    setuid_allow: &'a [String],
    pub(crate) mounts: &'a [MountWant],
    pub(crate) collected: Collected,
}

impl<'a> Site<'a> {
    pub(crate) fn new(
        root: &'a mut dyn RootMut,
        setuid_allow: &'a [String],
        mounts: &'a [MountWant],
    ) -> Self {
        Self {
            root,
            cache: Cache::default(),
            setuid_allow,
            mounts,
            collected: Collected::default(),
        }
    }

    pub(crate) fn view(&self) -> View<'_> {
        View { root: self.root(), cache: &self.cache, setuid_allow: self.setuid_allow }
    }

    pub(crate) fn root(&self) -> &dyn Root {
        &*self.root
    }

    /// The root for a change; what was known of it is forgotten.
    pub(crate) fn change(&mut self) -> &mut dyn RootMut {
        self.cache = Cache::default();
        self.root
    }

    /// Writes what was collected; answers the paths that changed.
    pub(crate) fn write_collected(&mut self) -> Result<Vec<PathBuf>, (&'static str, Unable)> {
        let collected = std::mem::take(&mut self.collected);
        collected.write(self)
    }

    /// Writes a file if its content, mode or owner differ; answers whether it did. A link at the path is replaced.
    pub(crate) fn put(
        &mut self,
        path: &Path,
        content: &[u8],
        ownership: Ownership,
    ) -> Result<bool, RootError> {
        let root = self.root();
        if let Some(status) = root.status(path, Links::Stay)?
            && status.kind == crate::root::Kind::File
            && (status.mode, status.uid, status.gid)
                == (ownership.mode, ownership.uid, ownership.gid)
            && root.read(path)?.as_deref() == Some(content)
        {
            return Ok(false);
        }
        self.change().write(path, content, ownership)?;
        Ok(true)
    }

    /// Edits a text file where it really lies, keeping its mode and owner; `edit` gets "" for a file that is not there.
    pub(crate) fn edit(
        &mut self,
        path: &Path,
        edit: &dyn Fn(&str) -> String,
    ) -> Result<Effect, RootError> {
        let place = self.root().resolve_parent(path)?;
        let ownership = match self.root().status(&place, Links::Stay)? {
            Some(status) => Ownership { mode: status.mode, uid: status.uid, gid: status.gid },
            None => Ownership::PLAIN,
        };
        let old = self.root().text(&place)?;
        let new = edit(old.as_deref().unwrap_or_default());
        if old.as_ref() == Some(&new) {
            return Ok(Effect::AlreadySo);
        }
        self.change().write(&place, new.as_bytes(), ownership)?;
        Ok(Effect::Changed { paths: vec![place] })
    }

    /// Numbers of a user and a group of the root.
    pub(crate) fn owner_ids(&self, owner: &str, group: &str) -> Result<(u32, u32), Unable> {
        let view = self.view();
        let accounts = view.accounts()?;
        let missing =
            |thing: String| Unable::Missing { thing, remedy: "add the package that makes it" };
        let uid = accounts.users.get(owner).ok_or_else(|| missing(format!("the user {owner}")))?;
        let gid =
            accounts.groups.get(group).ok_or_else(|| missing(format!("the group {group}")))?;
        Ok((*uid, *gid))
    }
}

/// `Changed` with these paths, or `AlreadySo` without any.
fn effect(paths: Vec<PathBuf>) -> Effect {
    if paths.is_empty() { Effect::AlreadySo } else { Effect::Changed { paths } }
}

fn left_out(reason: impl Into<String>) -> Effect {
    Effect::LeftOut { reason: reason.into() }
}
