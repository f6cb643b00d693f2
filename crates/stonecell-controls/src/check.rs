//! Looking whether a system is as a selection wants it.

use serde::Serialize;

use crate::root::Root;
use crate::select::{Cause, Selection};
use crate::state::Finding;
use crate::view::{Cache, View};

/// One thing that is not as wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Path, with a line where there is one, or the name of the thing.
    pub place: String,
    pub found: String,
    pub expected: String,
    pub remedy: String,
    /// A build need not stop for it.
    pub advisory: bool,
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Everything that the control wants holds.
    Pass,
    /// Something does not; never empty.
    Fail { failures: Vec<Failure> },
    /// The control does not concern this system.
    NotApplicable { reason: String },
    /// It could not be found out.
    Error { reason: String },
}

/// The answer for one control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub id: String,
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Verdict {
    /// Whether a build must stop: something fails that is not advisory, or could not be found out.
    #[must_use]
    pub fn stops_build(&self) -> bool {
        match &self.outcome {
            Outcome::Pass | Outcome::NotApplicable { .. } => false,
            Outcome::Fail { failures } => failures.iter().any(|failure| !failure.advisory),
            Outcome::Error { .. } => true,
        }
    }
}

impl Selection {
    /// Checks every control of the selection, in catalogue order, then says why the others of its profile do not apply.
    #[must_use]
    pub fn check(&self, root: &dyn Root) -> Vec<Verdict> {
        let cache = Cache::default();
        let view = View { root, cache: &cache, setuid_allow: &self.setuid_allow };
        let mut verdicts: Vec<Verdict> = self
            .controls
            .iter()
            .map(|control| {
                let findings = control.wants.iter().map(|want| want.state().check(&view));
                Verdict { id: control.id.clone(), outcome: combined(findings) }
            })
            .collect();
        for left_out in self.left_out.iter().filter(|left_out| left_out.cause != Cause::Profile) {
            let reason = left_out.cause.to_string();
            verdicts.push(Verdict {
                id: left_out.id.clone(),
                outcome: Outcome::NotApplicable { reason },
            });
        }
        verdicts
    }
}

/// One outcome from those of all wants: not known beats failed, failed beats held, held beats not applicable.
fn combined(findings: impl Iterator<Item = Result<Finding, crate::state::Unknown>>) -> Outcome {
    let mut failures = Vec::new();
    let mut errors = Vec::new();
    let mut skipped = Vec::new();
    let mut held = false;
    for finding in findings {
        match finding {
            Ok(Finding::Holds) => held = true,
            Ok(Finding::Fails(found)) => failures.extend(found),
            Ok(Finding::Skipped(reason)) => skipped.push(reason),
            Err(error) => errors.push(error.chain()),
        }
    }
    if !errors.is_empty() {
        return Outcome::Error { reason: errors.join("; ") };
    }
    if !failures.is_empty() {
        return Outcome::Fail { failures };
    }
    if held {
        return Outcome::Pass;
    }
    skipped.dedup();
    Outcome::NotApplicable { reason: skipped.join("; ") }
}
