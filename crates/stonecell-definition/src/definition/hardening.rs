//! What holds: the control profile with its exceptions.

use jiff::civil::Date;
use serde::Serialize;

/// Names of the control profiles, sorted; the catalogue knows the same.
pub const PROFILES: [&str; 8] = [
    "anssi-enhanced",
    "anssi-high",
    "anssi-intermediary",
    "anssi-minimal",
    "cis-l1",
    "cis-l2",
    "stig",
    "stonecell",
];

/// The hardening profile and the exceptions from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Controls {
    /// Name of the profile.
    pub profile: String,
    /// Controls left out, by id.
    pub opt_outs: Vec<OptOut>,
    /// Parameters changed, by control and name.
    pub parameters: Vec<ParameterValue>,
}

/// A control that is left out for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OptOut {
    /// Id.
    pub control: String,
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// First day on which it no longer holds.
    pub expires: Date,
}

/// A parameter of a control with another value than the catalogue's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParameterValue {
    /// Id of the control.
    pub control: String,
    /// Name of the parameter.
    pub name: String,
    /// Value.
    pub value: String,
    /// Why.
    pub reason: String,
}
