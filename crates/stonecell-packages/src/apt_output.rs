//! What `apt-get --simulate` prints, as data.

use thiserror::Error;

use crate::index::{is_architecture, is_package_name, is_version};

/// One package that apt would install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Package name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Architecture, `all` included.
    pub architecture: String,
}

/// A line of the plan that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("apt's plan has the line `{line}`, which is not an installation into an empty system")]
pub struct PlanError {
    /// The line, cut to a readable length.
    pub line: String,
}

/// Reads the plan: its `Inst` lines, `Inst NAME (VERSION ORIGIN [ARCHITECTURE]) [...]`.
///
/// # Errors
///
/// A removal, an upgrade or an `Inst` line of another form.
pub fn plan(stdout: &str) -> Result<Vec<Planned>, PlanError> {
    let error = |line: &str| PlanError { line: line.chars().take(200).collect() };
    stdout
        .lines()
        .filter(|line| {
            line.starts_with("Inst ") || line.starts_with("Remv ") || line.starts_with("Purg ")
        })
        .map(|line| planned(line).ok_or_else(|| error(line)))
        .collect()
}

fn planned(line: &str) -> Option<Planned> {
    let (name, rest) = line.strip_prefix("Inst ")?.split_once(" (")?;
    let (version, rest) = rest.split_once(' ')?;
    let (origin, _) = rest.split_once(')')?;
    let (_, architecture) = origin.rsplit_once('[')?;
    let architecture = architecture.strip_suffix(']')?;
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    let good = is_package_name(name) && is_version(version) && is_architecture(architecture);
    good.then(|| Planned {
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: architecture.to_owned(),
    })
}

/// The reasons that apt gives for refusing, one a line: its list of unmet dependencies where there is
/// one, else its errors.
pub fn refusal(stdout: &str, stderr: &str) -> Vec<String> {
    let head = "The following packages have unmet dependencies:";
    let mut unmet: Vec<String> = Vec::new();
    for line in stdout.lines().chain(stderr.lines()).skip_while(|line| *line != head).skip(1) {
        let Some(text) = line.strip_prefix(' ') else { break };
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match unmet.last_mut() {
            // A line that goes on with `or` or with a further dependency of the same package.
            Some(last) if text.starts_with(' ') => {
                last.push_str(if last.ends_with(" or") { " " } else { "; " });
                last.push_str(&words);
            }
            _ => unmet.push(words.replacen(" : ", ": ", 1)),
        }
    }
    if unmet.is_empty() {
        unmet.extend(stderr.lines().filter_map(|line| line.strip_prefix("E: ")).map(String::from));
    }
    unmet
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_plan_is_read() {
        let text = "Reading package lists...\n\
            Inst gcc-12-base (12.2.0-14+deb12u1 Debian:12.15/oldstable [amd64])\n\
            Inst libc6:amd64 (2.36-9 A:1/b, C:2/d [amd64]) []\n\
            Inst synthetic (1 localhost [all])\n\
            Conf libc6 (2.36-9 A:1/b [amd64])\n";
        let planned = |name: &str, version: &str, architecture: &str| Planned {
            name: name.into(),
            version: version.into(),
            architecture: architecture.into(),
        };
        assert_eq!(
            plan(text),
            Ok(vec![
                planned("gcc-12-base", "12.2.0-14+deb12u1", "amd64"),
                planned("libc6", "2.36-9", "amd64"),
                planned("synthetic", "1", "all"),
            ])
        );
        for line in ["Inst a [1] (2 x [amd64])", "Remv a [1]", "Inst a", "Inst -a (1 x [all])"] {
            assert_eq!(plan(line), Err(PlanError { line: line.into() }));
        }
    }

    #[test]
    fn refusals_are_boiled_down() {
        let stdout = "Some packages could not be installed.\n\n\
            The following packages have unmet dependencies:\n a : Depends: b (>= 2) but it is not \
            installable or\n              c but it is not going to be installed\n     \
            Recommends: d but it is not installable\n e : Conflicts: f\n";
        let stderr = "E: Unable to correct problems, you have held broken packages.\n";
        assert_eq!(
            refusal(stdout, stderr),
            [
                "a: Depends: b (>= 2) but it is not installable or c but it is not going to be \
                 installed; Recommends: d but it is not installable",
                "e: Conflicts: f",
            ]
        );
        assert_eq!(
            refusal("", stderr),
            ["Unable to correct problems, you have held broken packages."]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(Inst |Remv | |\\(|\\)|\\[|\\]|:|\n|[a-z0-9]){0,40}") {
            if let Ok(planned) = plan(&text) {
                for package in planned {
                    prop_assert!(is_package_name(&package.name));
                }
            }
            refusal(&text, &text);
        }
    }
}
