//! Making a system so. The same input gives the same bytes, and applying twice is applying once.
//!
//! Wants are applied in four stages, each in catalogue order: files are edited; what many controls contribute to (sysctl,
//! modprobe, drop-ins, audit rules) is written, once for each file; modes and owners are set, on those files too; at last the
//! whole tree is scanned.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use crate::root::RootMut;
use crate::select::Selection;
use crate::state::{Site, Stage, Unable};

/// What applying one want did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// These paths were written, changed or removed.
    Changed { paths: Vec<PathBuf> },
    /// Nothing had to be done.
    AlreadySo,
    /// The builder sees to it, from [`crate::Requirements`].
    Builder,
    /// It does not concern this system (a program or file is not there).
    LeftOut { reason: String },
}

/// The effect of one want of one control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    pub control: String,
    /// Number of the want within the control, from 0.
    pub want: usize,
    #[serde(flatten)]
    pub effect: Effect,
}

/// What [`Selection::apply`] did, in catalogue order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    pub records: Vec<Record>,
}

impl Applied {
    /// Every path that was written, changed or removed; sorted.
    #[must_use]
    pub fn changed(&self) -> BTreeSet<&PathBuf> {
        self.records
            .iter()
            .filter_map(|record| match &record.effect {
                Effect::Changed { paths } => Some(paths),
                _ => None,
            })
            .flatten()
            .collect()
    }
}

/// Progress of [`Selection::apply`]: one event for each want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    pub control: &'a str,
    /// From 1 to `total`.
    pub done: usize,
    pub total: usize,
}

/// A control cannot be applied; the tree is part-way and must be thrown away.
#[derive(Debug, thiserror::Error)]
#[error("cannot apply control {control} ({title}): its `{kind}` want")]
pub struct ApplyError {
    pub control: String,
    pub title: String,
    pub kind: &'static str,
    pub source: Unable,
}

impl Selection {
    /// Makes `root` as the selection wants it.
    ///
    /// # Errors
    /// The first want that cannot be made so, with what is missing.
    pub fn apply(
        &self,
        root: &mut dyn RootMut,
        progress: &mut dyn FnMut(Event<'_>),
    ) -> Result<Applied, ApplyError> {
        let mounts = self.requirements().mounts;
        let mut site = Site::new(root, &self.setuid_allow, &mounts);
        let total = self.controls.iter().map(|control| control.wants.len()).sum();
        let mut done = 0;
        let mut records = Vec::with_capacity(total);
        for stage in Stage::ALL {
            let mut collected = Vec::new();
            for (place, control) in self.controls.iter().enumerate() {
                for (index, want) in control.wants.iter().enumerate() {
                    let state = want.state();
                    if state.stage() != stage {
                        continue;
                    }
                    let failed = |source| ApplyError {
                        control: control.id.clone(),
                        title: control.title.clone(),
                        kind: want.kind(),
                        source,
                    };
                    done += 1;
                    progress(Event { control: &control.id, done, total });
                    let effect = state.apply(&mut site).map_err(failed)?;
                    if stage == Stage::Collect && effect == Effect::AlreadySo {
                        collected.push((records.len(), control, want));
                    }
                    records
                        .push((place, Record { control: control.id.clone(), want: index, effect }));
                }
            }
            // A contribution has changed something when the file that it went to has changed.
            let written = site.write_collected().map_err(|(kind, source)| ApplyError {
                control: "(collected)".to_owned(),
                title: format!("the file that all `{kind}` wants contribute to"),
                kind,
                source,
            })?;
            for (record, control, want) in collected {
                let paths: Vec<PathBuf> = want
                    .state()
                    .contributes_to()
                    .into_iter()
                    .filter(|path| written.contains(path))
                    .collect();
                if let Some((_, record)) = records.get_mut(record)
                    && !paths.is_empty()
                {
                    debug_assert_eq!(record.control, control.id);
                    record.effect = Effect::Changed { paths };
                }
            }
        }
        records.sort_by_key(|(place, record)| (*place, record.want));
        Ok(Applied { records: records.into_iter().map(|(_, record)| record).collect() })
    }
}
