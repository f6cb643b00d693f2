//! Is this stemcell what its maker signed? Every check has a name, so that a changed byte is found and named.
//!
//! Two kinds of check: those over the whole file (signature, provenance), which find any change, and those of
//! the parts (members, packages, partition tables, boot file, hash tree, state), which say where it is.
//! Without a key from the user, the key beside the file is taken and the report says that nobody vouched for it.

mod content;
mod disk;
mod origin;

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use stonecell_definition::with_causes;
use thiserror::Error as ThisError;
use x509_cert::Certificate;

use crate::printable::printable;
use crate::progress::{Event, Progress};
use crate::scratch::Scratch;
use crate::signature::VerifyingKey;

/// Whom the user trusts.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// The key that must have signed the stemcell.
    pub key: Option<VerifyingKey>,
    /// The certificate that must have signed the boot file.
    pub certificate: Option<Certificate>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked, for example `boot file`.
    pub name: &'static str,
    /// Does it hold?
    pub ok: bool,
    /// What was found; on a failure, what is wrong and where.
    pub detail: String,
}

/// The checks of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Its name.
    pub file: String,
    /// Do all checks hold?
    pub ok: bool,
    /// Were key and certificate given by the user?
    pub vouched: bool,
    /// The checks in the order in which they were made.
    pub checks: Vec<Check>,
}

/// The verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Do all checks of all files hold?
    pub ok: bool,
    /// One for each file.
    pub files: Vec<FileReport>,
}

/// Why nothing could be checked. A stemcell that is not good is not an error but a [`Report`].
#[derive(Debug, ThisError)]
pub enum VerifyError {
    /// The path cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A directory without outputs.
    #[error("{path} holds no stemcell and no disk image")]
    Nothing {
        /// Which.
        path: PathBuf,
    },
    /// There is no room to unpack into.
    #[error(
        "cannot make a work directory in {path}: set TMPDIR to a directory with room for the disk"
    )]
    Work {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Verifies a stemcell, a disk image, or every one of them in a directory.
///
/// # Errors
/// [`VerifyError`] when nothing could be checked.
pub fn verify(path: &Path, trust: &Trust, progress: Progress<'_>) -> Result<Report, VerifyError> {
    let read = |source| VerifyError::Read { path: path.to_owned(), source };
    let paths = if std::fs::metadata(path).map_err(read)?.is_dir() {
        crate::outputs::of_directory(path).map_err(read)?
    } else {
        vec![path.to_owned()]
    };
    if paths.is_empty() {
        return Err(VerifyError::Nothing { path: path.to_owned() });
    }
    let mut files = Vec::new();
    for path in paths {
        files.push(verify_file(&path, trust, progress)?);
    }
    Ok(Report { ok: files.iter().all(|file| file.ok), files })
}

fn verify_file(
    path: &Path,
    trust: &Trust,
    progress: Progress<'_>,
) -> Result<FileReport, VerifyError> {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut checks = Checks::default();
    progress(Event::Phase(&format!("check the signature of {file}")));
    let origin = origin::check(path, trust, &mut checks);
    let work = Scratch::new()
        .map_err(|source| VerifyError::Work { path: std::env::temp_dir(), source })?;
    progress(Event::Phase(&format!("unpack {file}")));
    match crate::open::open_telling(path, work.path(), progress) {
        Ok(opened) => {
            checks.pass("archive", "well formed, nothing missing and nothing after its end");
            progress(Event::Phase(&format!("check the content of {file}")));
            let certificate = certificate(path, trust);
            content::check(&opened, &origin, certificate.as_ref(), &mut checks);
        }
        Err(error) => checks.fail("archive", with_causes(&error)),
    }
    let vouched = trust.key.is_some() && trust.certificate.is_some();
    Ok(FileReport { file, ok: checks.0.iter().all(|check| check.ok), vouched, checks: checks.0 })
}

/// The certificate that must have signed the boot file: the user's, else the one beside the file.
fn certificate(path: &Path, trust: &Trust) -> Option<Certificate> {
    if let Some(certificate) = &trust.certificate {
        return Some(certificate.clone());
    }
    let beside = crate::outputs::beside(path, ".crt");
    beside.iter().find_map(|path| stonecell_image::secure_boot::read_certificate(path).ok())
}

/// The checks so far.
#[derive(Debug, Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn pass(&mut self, name: &'static str, detail: impl Into<String>) {
        self.0.push(Check { name, ok: true, detail: detail.into() });
    }

    fn fail(&mut self, name: &'static str, detail: impl Into<String>) {
        self.0.push(Check { name, ok: false, detail: detail.into() });
    }

    fn result(&mut self, name: &'static str, result: Result<String, String>) {
        match result {
            Ok(detail) => self.pass(name, detail),
            Err(detail) => self.fail(name, detail),
        }
    }
}

/// The report for people: a line a check, and what follows from it.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    for file in &report.files {
        let _ = writeln!(out, "{}", printable(&file.file));
        for check in &file.checks {
            let mark = if check.ok { "ok  " } else { "FAIL" };
            let _ = writeln!(out, "  {mark}  {:<22} {}", check.name, printable(&check.detail));
        }
        let failed = file.checks.iter().filter(|check| !check.ok).count();
        let _ = match (file.ok, file.vouched) {
            (true, true) => writeln!(out, "  good: {} checks", file.checks.len()),
            (true, false) => writeln!(
                out,
                "  unchanged since it was signed, but nobody vouched for the keys: give --key and \
                 --certificate"
            ),
            (false, _) => writeln!(out, "  NOT GOOD: {failed} of {} checks", file.checks.len()),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_image_says_cannot_forge_the_report() {
        let detail =
            "member a\x1b[2J\n  ok    signature              by you: is damaged".to_owned();
        let checks = vec![Check { name: "archive", ok: false, detail }];
        let file =
            FileReport { file: "x\x1b]0;y\x07.tgz".into(), ok: false, vouched: true, checks };
        let text = text(&Report { ok: false, files: vec![file] });
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    }
}
