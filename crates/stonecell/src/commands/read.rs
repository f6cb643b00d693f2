//! `stonecell inspect`, `verify`, `diff` and `extract`: looking at what somebody hands us.

use stonecell_build::progress::{Event, Progress, Unit};
use stonecell_image::secure_boot::read_certificate;
use stonecell_stemcell::signature::VerifyingKey;
use stonecell_stemcell::verify::Trust;
use stonecell_stemcell::{diff, extract, inspect, verify};

use super::abandon_on_signal;
use crate::cli::{DiffArgs, ExtractArgs, InspectArgs, VerifyArgs};
use crate::failure::{Class, Failure};
use crate::progress::Reporter;
use crate::terminal::Terminal;

/// Shows the library's events.
fn forward(reporter: &Reporter) -> impl Fn(stonecell_stemcell::progress::Event<'_>) + '_ {
    |event| match event {
        stonecell_stemcell::progress::Event::Phase(name) => reporter.phase(name),
        stonecell_stemcell::progress::Event::Bytes { done, total } => {
            reporter.event(&Event::Amount { done, total, unit: Unit::Bytes });
        }
    }
}

pub(super) fn inspect(args: &InspectArgs, terminal: &Terminal) -> Result<(), Failure> {
    abandon_on_signal()?;
    let reporter = terminal.reporter();
    let facts = inspect::inspect(&args.path, &forward(&reporter))
        .map_err(|error| Failure::new(Class::Failed, error))?;
    reporter.finish();
    terminal.facts(&facts, || facts.iter().map(inspect::text).collect::<Vec<_>>().join("\n"));
    Ok(())
}

pub(super) fn verify(args: &VerifyArgs, terminal: &Terminal) -> Result<(), Failure> {
    abandon_on_signal()?;
    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| Failure::new(Class::Failed, error);
    let key = args.key.as_deref().map(VerifyingKey::read).transpose();
    let certificate = args.certificate.as_deref().map(read_certificate).transpose();
    let trust = Trust {
        key: key.map_err(|error| failed(error.into()))?,
        certificate: certificate.map_err(|error| failed(error.into()))?,
    };
    let reporter = terminal.reporter();
    let report = verify::verify(&args.path, &trust, &forward(&reporter))
        .map_err(|error| failed(error.into()))?;
    reporter.finish();
    terminal.facts(&report, || verify::text(&report));
    if report.ok {
        return Ok(());
    }
    let bad = report.files.iter().filter(|file| !file.ok).count();
    Err(Failure::new(
        Class::Verification,
        format!("{bad} of {} files are not what they should be", report.files.len()),
    ))
}

pub(super) fn diff(args: &DiffArgs, terminal: &Terminal) -> Result<(), Failure> {
    abandon_on_signal()?;
    let reporter = terminal.reporter();
    let difference = diff::diff(&args.old, &args.new, &forward(&reporter))
        .map_err(|error| Failure::new(Class::Failed, error))?;
    reporter.finish();
    terminal.facts(&difference, || diff::text(&difference));
    if args.exit_code && !difference.is_empty() {
        return Err(Failure::new(Class::Verification, "the two differ"));
    }
    Ok(())
}

pub(super) fn extract(args: &ExtractArgs, terminal: &Terminal) -> Result<(), Failure> {
    abandon_on_signal()?;
    let reporter = terminal.reporter();
    let extracted = extract::extract(&args.stemcell, &args.dir, &forward(&reporter))
        .map_err(|error| Failure::new(Class::Failed, error))?;
    reporter.finish();
    terminal.facts(&extracted, || {
        let mut text = format!(
            "{} files, {} directories, {} links and devices ({:.1} MB) in {}\n",
            extracted.files,
            extracted.directories,
            extracted.others,
            extracted.bytes as f64 / 1e6,
            extracted.directory.display(),
        );
        for note in &extracted.notes {
            text.push_str(&format!("note: {note}\n"));
        }
        text
    });
    Ok(())
}
