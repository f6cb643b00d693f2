//! What the tests over the whole catalogue share.

pub(crate) mod breaking;
pub(crate) mod populate;
pub(crate) mod undo;

use std::path::Path;

use stonecell_controls::{
    Catalogue, Context, Links, Outcome, PROFILES, Requirements, Root, RootMut, Selection, Verdict,
};

/// The shipped catalogue.
pub(crate) fn catalogue() -> Catalogue {
    Catalogue::embedded().unwrap_or_else(|faults| panic!("{faults}"))
}

/// The default profile with sets of roles, platforms and releases that together select each control, and every other
/// profile once.
pub(crate) fn contexts() -> Vec<Context> {
    let mut contexts: Vec<Context> = [
        (["minimal", "hardened"], vec!["qemu", "aws"], "bookworm"),
        (["ssh", "web"], vec!["qemu", "google"], "trixie"),
        (["container-host", "ssh"], vec!["alicloud"], "bookworm"),
        (["database", "ssh"], vec!["azure", "vsphere"], "trixie"),
        (["bosh", "ssh"], vec!["bosh", "azure", "aws"], "bookworm"),
    ]
    .into_iter()
    .map(|(roles, platforms, release)| context("stonecell", &roles, &platforms, release))
    .collect();
    for profile in &PROFILES[1..] {
        contexts.push(context(profile, &["minimal"], &["qemu"], "bookworm"));
    }
    contexts
}

/// One context without opt-outs.
pub(crate) fn context(profile: &str, roles: &[&str], platforms: &[&str], release: &str) -> Context {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Context {
        profile: profile.to_owned(),
        roles: owned(roles),
        platforms: owned(platforms),
        release: release.to_owned(),
        setuid_allow: vec!["/usr/bin/sudo".to_owned()],
        ..Context::default()
    }
}

/// The command line that satisfies a selection.
pub(crate) fn command_line(requirements: &Requirements) -> Vec<String> {
    let mut words = vec!["ro".to_owned(), "console=ttyS0".to_owned()];
    words.extend(requirements.command_line.iter().cloned());
    words
}

/// Applies and panics with the whole chain of reasons when that fails.
pub(crate) fn apply(selection: &Selection, root: &mut dyn RootMut) -> stonecell_controls::Applied {
    let mut seen = 0;
    let applied = selection.apply(root, &mut |event| {
        seen += 1;
        assert_eq!(event.done, seen, "progress counts every want");
        assert!(event.done <= event.total);
    });
    match applied {
        Ok(applied) => applied,
        Err(error) => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(error) = source {
                text = format!("{text}: {error}");
                source = error.source();
            }
            panic!("{text}")
        }
    }
}

/// Verdicts that are neither pass nor not-applicable, as text.
pub(crate) fn troubles(verdicts: &[Verdict]) -> Vec<String> {
    verdicts
        .iter()
        .filter(|verdict| verdict.stops_build())
        .map(|verdict| match &verdict.outcome {
            Outcome::Fail { failures } => {
                let lines: Vec<String> = failures
                    .iter()
                    .map(|failure| {
                        format!(
                            "{}: {} (wanted: {})",
                            failure.place, failure.found, failure.expected
                        )
                    })
                    .collect();
                format!("{} fails: {}", verdict.id, lines.join("; "))
            }
            other => format!("{}: {other:?}", verdict.id),
        })
        .collect()
}

/// Whether something is at the path, links followed.
pub(crate) fn is_there(root: &dyn Root, path: &str) -> bool {
    root.status(Path::new(path), Links::Follow).expect("can be looked at").is_some()
}
