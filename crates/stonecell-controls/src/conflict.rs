//! Two controls that want different values for the same thing cannot both hold; better said before a build than by a check
//! after it.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::catalogue::Control;
use crate::formats::{fstab, sysctl};
use crate::select::SelectError;
use crate::want::{PackageState, Pam, Want};

/// What a want says: about a thing, a value.
struct Claim {
    thing: String,
    value: String,
}

fn claim(thing: impl Into<String>, value: impl Into<String>) -> Claim {
    Claim { thing: thing.into(), value: value.into() }
}

/// Finds the first contradiction, in catalogue order.
pub(crate) fn find(controls: &[Control]) -> Result<(), SelectError> {
    let mut said: BTreeMap<String, (String, &str)> = BTreeMap::new();
    for control in controls {
        for Claim { thing, value } in control.wants.iter().flat_map(claims) {
            match said.get(&thing) {
                None => {
                    said.insert(thing, (value, &control.id));
                }
                Some((first, one)) if *first != value => {
                    return Err(SelectError::Contradiction {
                        one: (*one).to_owned(),
                        other: control.id.clone(),
                        thing,
                        first: first.clone(),
                        second: value,
                    });
                }
                Some(_) => {}
            }
        }
    }
    globs(controls)
}

fn claims(want: &Want) -> Vec<Claim> {
    match want {
        Want::Sysctl(want) => {
            vec![claim(format!("sysctl {}", sysctl::path(&want.key)), sysctl::normal(&want.value))]
        }
        Want::CommandLine(want) => {
            let name =
                want.parameter.split_once('=').map_or(want.parameter.as_str(), |(name, _)| name);
            if want.absent {
                vec![claim(format!("command line word {}", want.parameter), "absent")]
            } else {
                vec![
                    claim(format!("command line word {}", want.parameter), "present"),
                    claim(format!("command line parameter {name}"), want.parameter.clone()),
                ]
            }
        }
        Want::Unit(want) => vec![claim(format!("unit {}", want.name), want.state.name())],
        Want::UnitSetting(want) => vec![claim(
            format!("{} of [{}] in unit {}", want.key, want.section, want.unit),
            want.value.as_slice().join(" + "),
        )],
        Want::SystemdSetting(want) => vec![claim(
            format!("{} of [{}] in {}", want.key, want.section, want.file),
            want.value.as_slice().join(" + "),
        )],
        Want::Setting(want) => {
            let section = want
                .section
                .as_ref()
                .map_or_else(String::new, |section| format!(" of [{section}]"));
            let key = match want.format {
                crate::want::SettingFormat::Ssh => want.key.to_ascii_lowercase(),
                _ => want.key.clone(),
            };
            vec![claim(format!("{key}{section} in {}", want.path), want.value.clone())]
        }
        Want::File(want) => vec![
            claim(format!("the file {}", want.path), "present"),
            claim(format!("the content of {}", want.path), want.content.clone()),
            claim(format!("the mode of {}", want.path), want.mode.to_string()),
        ],
        Want::Link(want) => vec![
            claim(format!("the file {}", want.path), "present"),
            claim(format!("the content of {}", want.path), format!("link to {}", want.target)),
        ],
        Want::Attributes(want) => {
            let mut claims = Vec::new();
            let fields = [
                ("mode", want.mode.map(|mode| mode.to_string())),
                ("owner", want.owner.clone()),
                ("group", want.group.clone()),
            ];
            for (field, value) in fields {
                claims.extend(
                    value.map(|value| claim(format!("the {field} of {}", want.path), value)),
                );
            }
            claims
        }
        Want::Mount(want) => {
            let mut claims: Vec<Claim> = want
                .options
                .iter()
                .map(|option| match (option.split_once('='), fstab::opposite(option)) {
                    (Some((name, value)), _) => {
                        claim(format!("option {name}= of {}", want.target), value)
                    }
                    (None, Some(opposite)) => {
                        // Both names of a pair share one thing.
                        let pair = option.clone().min(opposite);
                        claim(format!("option {pair} of {}", want.target), option.clone())
                    }
                    (None, None) => {
                        claim(format!("option {option} of {}", want.target), option.clone())
                    }
                })
                .collect();
            claims.extend(
                want.size
                    .iter()
                    .map(|size| claim(format!("option size= of {}", want.target), size)),
            );
            claims
        }
        Want::Pam(want) => pam(want),
        Want::Account(want) => {
            let user = &want.user;
            let mut claims = Vec::new();
            if want.exists == Some(false) {
                claims.push(claim(format!("account {user}"), "gone"));
            } else if user != "*system" {
                claims.push(claim(format!("account {user}"), "there"));
            }
            claims.extend(want.shell.iter().map(|shell| claim(format!("shell of {user}"), shell)));
            claims
        }
        Want::KernelConfig(want) => {
            vec![claim(format!("kernel option {}", want.option), want.value.clone())]
        }
        Want::Line(_)
        | Want::Module(_)
        | Want::Package(_)
        | Want::Absent(_)
        | Want::AuditRule(_)
        | Want::SpecialBits(_)
        | Want::TreeScan(_) => Vec::new(),
    }
}

fn pam(want: &Pam) -> Vec<Claim> {
    let (Some(kind), Some(control)) = (want.kind, &want.control) else {
        return Vec::new();
    };
    // Lines of one module that differ in their first argument (pam_faillock preauth, authfail) are different lines.
    let mode = want.args.first().map_or("", String::as_str);
    let place = format!("{} {} {mode} in /etc/pam.d/{}", kind.name(), want.module, want.service);
    vec![claim(place, format!("{control} {}", want.args.join(" ")))]
}

/// Globs against names: a package wanted and unwanted, a file written and forbidden.
fn globs(controls: &[Control]) -> Result<(), SelectError> {
    let wants = || {
        controls
            .iter()
            .flat_map(|control| control.wants.iter().map(move |want| (control.id.as_str(), want)))
    };
    let packages = Forbidden::of(
        "package",
        wants().filter_map(|(id, want)| match want {
            Want::Package(want) if want.state == PackageState::Absent => Some((id, &*want.name)),
            _ => None,
        }),
    )?;
    let paths = Forbidden::of(
        "absent",
        wants().filter_map(|(id, want)| match want {
            Want::Absent(want) => Some((id, &*want.path)),
            _ => None,
        }),
    )?;
    for (id, want) in wants() {
        let (forbidden, kind, name) = match want {
            Want::Package(want) if want.state == PackageState::Present => {
                (&packages, "package", &want.name)
            }
            Want::File(want) => (&paths, "the file", &want.path),
            Want::Link(want) => (&paths, "the link", &want.path),
            _ => continue,
        };
        if let Some(other) = forbidden.by(name) {
            return Err(SelectError::Contradiction {
                one: id.to_owned(),
                other: other.to_owned(),
                thing: format!("{kind} {name}"),
                first: "present".to_owned(),
                second: "absent".to_owned(),
            });
        }
    }
    Ok(())
}

/// Names that may not be, and the control that says so of each. All globs are one set: a regular expression of its own
/// for each, made again for each name, was half of the time that loading a definition takes.
struct Forbidden<'a> {
    controls: Vec<&'a str>,
    globs: GlobSet,
}

impl<'a> Forbidden<'a> {
    /// `said`: control and glob, out of wants of this `kind`.
    fn of(
        kind: &'static str,
        said: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, SelectError> {
        let unreadable = |id: &str, error: globset::Error| SelectError::BadParameter {
            id: id.to_owned(),
            kind,
            reason: error.to_string(),
        };
        let (mut controls, mut globs) = (Vec::new(), GlobSetBuilder::new());
        for (id, glob) in said {
            let glob = GlobBuilder::new(glob).literal_separator(true).build();
            globs.add(glob.map_err(|error| unreadable(id, error))?);
            controls.push(id);
        }
        let globs = globs.build().map_err(|error| unreadable(&controls.join(", "), error))?;
        Ok(Self { controls, globs })
    }

    fn by(&self, name: &str) -> Option<&'a str> {
        self.globs.matches(name).first().map(|first| self.controls[*first])
    }
}
