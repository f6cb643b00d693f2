//! Which controls of the catalogue hold for one stemcell, with their parameters filled in, and why the others do not.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde::Serialize;

use crate::catalogue::{Catalogue, Control, PROFILES, nearest};
use crate::conflict;
use crate::want::Want;

/// A control that a definition declines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OptOut {
    pub control: String,
    pub reason: String,
    pub owner: String,
    /// First day on which the opt-out no longer holds.
    pub expires: Date,
}

/// What a selection depends on; all of it comes from the definition.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// One of [`crate::PROFILES`].
    pub profile: String,
    /// Roles of the stemcell, included ones too.
    pub roles: Vec<String>,
    /// `bosh` when there is an agent slot; names of the IaaS that are built for.
    pub platforms: Vec<String>,
    /// Code name of the base release, such as `bookworm`.
    pub release: String,
    /// Control id, parameter name, value.
    pub parameters: BTreeMap<String, BTreeMap<String, String>>,
    pub opt_outs: Vec<OptOut>,
    /// The day against which opt-outs expire: that of the build or the audit, handed in so that nothing depends on the clock.
    pub today: Option<Date>,
    /// Paths that may keep set-user-id, set-group-id bits and capabilities; globs.
    pub setuid_allow: Vec<String>,
}

/// Why a control is not in a selection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Cause {
    /// The profile does not contain it.
    Profile,
    /// It is meant for other roles.
    Role { only: Vec<String> },
    /// A role of the stemcell is excepted.
    ExceptRole { role: String, why: String },
    /// It is meant for other platforms.
    Platform { only: Vec<String> },
    /// It is meant for other releases.
    Release { only: Vec<String> },
    /// The definition declines it.
    OptOut { reason: String, owner: String, expires: Date },
}

impl std::fmt::Display for Cause {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Profile => out.write_str("not in the profile"),
            Self::Role { only } => write!(out, "only for the roles {}", only.join(", ")),
            Self::ExceptRole { role, why } => write!(out, "not for the role {role}: {why}"),
            Self::Platform { only } => write!(out, "only on {}", only.join(", ")),
            Self::Release { only } => write!(out, "only for {}", only.join(", ")),
            Self::OptOut { reason, owner, expires } => {
                write!(out, "declined by {owner} until {expires}: {reason}")
            }
        }
    }
}

/// A control that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    pub id: String,
    pub title: String,
    #[serde(flatten)]
    pub cause: Cause,
}

/// Why no selection can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    #[error("profile `{profile}` is not known{}; expected one of {}", meant(hint), PROFILES.join(", "))]
    UnknownProfile { profile: String, hint: Option<String> },
    #[error("{place} names the control `{id}`, which is not in the catalogue{}", meant(hint))]
    UnknownControl { place: &'static str, id: String, hint: Option<String> },
    #[error("control {id} has no parameter `{name}`{}", meant(hint))]
    UnknownParameter { id: String, name: String, hint: Option<String> },
    #[error("the opt-out of {id} has no {field}; write why, who answers for it and until when")]
    IncompleteOptOut { id: String, field: &'static str },
    #[error("control {id} is opted out of twice; keep one")]
    DoubleOptOut { id: String },
    #[error(
        "the opt-out of {id} by {owner} expired on {expires}; remove it or renew it with a new reason"
    )]
    ExpiredOptOut { id: String, owner: String, expires: Date },
    #[error(
        "controls {one} and {other} contradict each other on {thing}: {first} against {second}; opt out of one or correct the catalogue"
    )]
    Contradiction { one: String, other: String, thing: String, first: String, second: String },
    #[error("control {id}: with its parameters a `{kind}` want cannot be read: {reason}")]
    BadParameter { id: String, kind: &'static str, reason: String },
}

fn meant(hint: &Option<String>) -> String {
    hint.as_ref().map_or_else(String::new, |hint| format!(" (did you mean `{hint}`?)"))
}

/// The controls that hold, in catalogue order, ready to be applied and checked.
#[derive(Clone, Debug, Serialize)]
pub struct Selection {
    pub profile: String,
    /// With parameters filled in.
    pub controls: Vec<Control>,
    pub left_out: Vec<LeftOut>,
    pub setuid_allow: Vec<String>,
}

impl Catalogue {
    /// Chooses the controls for a stemcell.
    ///
    /// # Errors
    /// When the context names what does not exist, an opt-out is incomplete or expired, or two controls contradict each other.
    pub fn select(&self, context: &Context) -> Result<Selection, SelectError> {
        if !PROFILES.contains(&context.profile.as_str()) {
            let hint = nearest(&context.profile, PROFILES).map(str::to_owned);
            return Err(SelectError::UnknownProfile { profile: context.profile.clone(), hint });
        }
        self.check_parameters(context)?;
        let opt_outs = self.check_opt_outs(context)?;
        let mut controls = Vec::new();
        let mut left_out = Vec::new();
        for control in self.controls() {
            match cause(control, context, opt_outs.get(control.id.as_str()).copied()) {
                Some(cause) => {
                    left_out.push(LeftOut {
                        id: control.id.clone(),
                        title: control.title.clone(),
                        cause,
                    });
                }
                None => controls.push(filled_in(control, context)?),
            }
        }
        conflict::find(&controls)?;
        let setuid_allow = context.setuid_allow.clone();
        Ok(Selection { profile: context.profile.clone(), controls, left_out, setuid_allow })
    }

    fn known(&self, place: &'static str, id: &str) -> Result<&Control, SelectError> {
        self.control(id).ok_or_else(|| SelectError::UnknownControl {
            place,
            id: id.to_owned(),
            hint: nearest(id, self.controls().map(|control| control.id.as_str()))
                .map(str::to_owned),
        })
    }

    fn check_parameters(&self, context: &Context) -> Result<(), SelectError> {
        for (id, values) in &context.parameters {
            let control = self.known("a parameter", id)?;
            if let Some(name) = values.keys().find(|name| !control.parameters.contains_key(*name)) {
                let known = control.parameters.keys().map(String::as_str);
                let hint = nearest(name, known).map(str::to_owned);
                return Err(SelectError::UnknownParameter {
                    id: id.clone(),
                    name: name.clone(),
                    hint,
                });
            }
        }
        Ok(())
    }

    fn check_opt_outs<'c>(
        &self,
        context: &'c Context,
    ) -> Result<BTreeMap<&'c str, &'c OptOut>, SelectError> {
        let mut opt_outs = BTreeMap::new();
        for opt_out in &context.opt_outs {
            let id = opt_out.control.clone();
            self.known("an opt-out", &id)?;
            for (field, text) in [("reason", &opt_out.reason), ("owner", &opt_out.owner)] {
                if text.trim().is_empty() {
                    return Err(SelectError::IncompleteOptOut { id, field });
                }
            }
            if context.today.is_some_and(|today| today >= opt_out.expires) {
                let (owner, expires) = (opt_out.owner.clone(), opt_out.expires);
                return Err(SelectError::ExpiredOptOut { id, owner, expires });
            }
            if opt_outs.insert(opt_out.control.as_str(), opt_out).is_some() {
                return Err(SelectError::DoubleOptOut { id });
            }
        }
        Ok(opt_outs)
    }
}

fn cause(control: &Control, context: &Context, opt_out: Option<&OptOut>) -> Option<Cause> {
    if !control.profiles.contains(&context.profile) {
        return Some(Cause::Profile);
    }
    let meets = |only: &[String], have: &[String]| {
        only.is_empty() || only.iter().any(|one| have.contains(one))
    };
    if !meets(&control.roles, &context.roles) {
        return Some(Cause::Role { only: control.roles.clone() });
    }
    if !meets(&control.platforms, &context.platforms) {
        return Some(Cause::Platform { only: control.platforms.clone() });
    }
    if !meets(&control.releases, std::slice::from_ref(&context.release)) {
        return Some(Cause::Release { only: control.releases.clone() });
    }
    if let Some(role) = control.except_roles.iter().find(|role| context.roles.contains(role)) {
        let why = control.except_why.clone().unwrap_or_default();
        return Some(Cause::ExceptRole { role: role.clone(), why });
    }
    opt_out.map(|opt_out| Cause::OptOut {
        reason: opt_out.reason.clone(),
        owner: opt_out.owner.clone(),
        expires: opt_out.expires,
    })
}

/// The control with `${name}` replaced everywhere in its wants.
fn filled_in(control: &Control, context: &Context) -> Result<Control, SelectError> {
    let mut control = control.clone();
    if control.parameters.is_empty() {
        return Ok(control);
    }
    for (name, value) in context.parameters.get(&control.id).into_iter().flatten() {
        if let Some(parameter) = control.parameters.get_mut(name) {
            parameter.default.clone_from(value);
        }
    }
    for want in &mut control.wants {
        let bad = |reason: serde_json::Error| SelectError::BadParameter {
            id: control.id.clone(),
            kind: want.kind(),
            reason: reason.to_string(),
        };
        let mut value = serde_json::to_value(&*want).map_err(&bad)?;
        each_text(&mut value, &mut |text| {
            for (name, parameter) in &control.parameters {
                *text = text.replace(&format!("${{{name}}}"), &parameter.default);
            }
        });
        let filled = serde_json::from_value(value).map_err(bad)?;
        *want = filled;
    }
    Ok(control)
}

fn each_text(value: &mut serde_json::Value, change: &mut dyn FnMut(&mut String)) {
    match value {
        serde_json::Value::String(text) => change(text),
        serde_json::Value::Array(items) => {
            items.iter_mut().for_each(|item| each_text(item, change))
        }
        serde_json::Value::Object(fields) => {
            fields.values_mut().for_each(|field| each_text(field, change));
        }
        _ => {}
    }
}

/// Names used as `${name}` (lower case) in the strings of the wants. `${NAME}` in capitals is text for a shell or systemd.
pub(crate) fn placeholders(wants: &[Want]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for want in wants {
        let Ok(mut value) = serde_json::to_value(want) else { continue };
        each_text(&mut value, &mut |text| {
            let mut rest = text.as_str();
            while let Some((_, after)) = rest.split_once("${") {
                let Some((name, behind)) = after.split_once('}') else { break };
                let plain =
                    |sign: char| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '_';
                if !name.is_empty() && name.chars().all(plain) {
                    names.insert(name.to_owned());
                }
                rest = behind;
            }
        });
    }
    names
}
