//! `stonecell build`, outside and inside.

use std::ffi::OsString;
use std::path::Path;

use serde_json::json;
use stonecell_build::plan::Plan;
use stonecell_build::project::Project;
use stonecell_build::{BuildError, BuildRequest, keys};
use stonecell_stemcell::printable::printable;

use super::{interruptible, today};
use crate::cli::{BuildArgs, Cli, Colour};
use crate::failure::{Class, Failure};
use crate::terminal::Terminal;

pub(super) fn run(
    cli: &Cli,
    args: &BuildArgs,
    cache: &Path,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let request = request(cli, args, cache);
    if args.dry_run {
        return dry_run(&request, terminal);
    }
    let reporter = terminal.reporter();
    let cancel = interruptible()?;
    let built = stonecell_build::build(&request, &reporter, &cancel).map_err(|error| {
        if cancel.load(std::sync::atomic::Ordering::Relaxed) {
            BuildError::Interrupted.into()
        } else {
            Failure::from(error)
        }
    })?;
    reporter.finish();
    terminal.facts(&built, || {
        let mut text = String::new();
        for path in &built.outputs {
            let size = std::fs::metadata(path).map_or(0, |file| {
                use std::os::unix::fs::MetadataExt;
                file.blocks() * 512
            });
            text.push_str(&format!("{:>9.1} MB  {}\n", size as f64 / 1e6, path.display()));
        }
        for left in &built.left_out {
            let why = printable(&format!("{} ({}): {}", left.id, left.title, left.cause));
            text.push_str(&format!("control left out: {why}\n"));
        }
        if built.development_keys {
            text.push_str("signed with DEVELOPMENT keys: not for production\n");
        }
        text
    });
    Ok(())
}

/// The inside: shows progress and errors itself, on the terminal that it inherited.
pub(super) fn inner(plan: &Path, terminal: &Terminal) -> Result<(), Failure> {
    let text = std::fs::read(plan).map_err(|error| Failure::new(Class::Failed, error))?;
    let plan: Plan =
        serde_json::from_slice(&text).map_err(|error| Failure::new(Class::Failed, error))?;
    let reporter = terminal.reporter();
    stonecell_build::inner::run(&plan, &reporter)?;
    reporter.finish();
    Ok(())
}

fn request(cli: &Cli, args: &BuildArgs, cache: &Path) -> BuildRequest {
    let mut inner_arguments: Vec<OsString> = Vec::new();
    if cli.global.json {
        inner_arguments.push("--json".into());
    }
    if cli.global.quiet {
        inner_arguments.push("--quiet".into());
    }
    inner_arguments.push("--color".into());
    inner_arguments.push(
        match cli.global.color {
            Colour::Auto => "auto",
            Colour::Always => "always",
            Colour::Never => "never",
        }
        .into(),
    );
    inner_arguments.push("__inner".into());
    let variable = |name: &str| std::env::var(name).ok();
    BuildRequest {
        definition: args.definition.clone(),
        lock: args.lock.clone(),
        out: args.out.clone(),
        iaas: args.iaas.clone(),
        formats: args.format.clone(),
        cache: cache.to_owned(),
        work_dir: args.work_dir.clone(),
        jobs: args.jobs,
        today: today(),
        development_keys: keys::development_directory(
            variable("XDG_DATA_HOME").as_deref(),
            variable("HOME").as_deref(),
        ),
        inner_arguments,
        check_reproducible: args.check_reproducible,
    }
}

fn dry_run(request: &BuildRequest, terminal: &Terminal) -> Result<(), Failure> {
    let project = Project::load(&request.definition, request.today, &request.iaas)?;
    let path = request.lock.clone().unwrap_or_else(|| project.lock_path());
    let (lock, _) = project.read_lock(&path)?;
    let cache = stonecell_packages::Cache::open(&request.cache)
        .map_err(|error| Failure::new(Class::Failed, error))?;
    let missing: Vec<_> = lock
        .package
        .iter()
        .chain(&lock.tool)
        .filter(|package| !cache.deb(&package.sha256).exists())
        .collect();
    let bytes: u64 = missing.iter().map(|package| package.size).sum();
    let iaas: Vec<&str> = if request.iaas.is_empty() {
        project.definition.output.iaas.iter().map(|iaas| iaas.name()).collect()
    } else {
        request.iaas.iter().map(String::as_str).collect()
    };
    let facts = json!({
        "name": project.definition.name,
        "version": project.definition.version,
        "packages": lock.package.len(),
        "to_fetch": missing.len(),
        "bytes_to_fetch": bytes,
        "iaas": iaas,
        "out": request.out,
    });
    terminal.facts(&facts, || {
        format!(
            "would build {} {} from {} packages for {} into {}\nwould fetch {} packages ({:.1} MB)\n",
            project.definition.name,
            project.definition.version,
            lock.package.len(),
            iaas.join(", "),
            request.out.display(),
            missing.len(),
            bytes as f64 / 1e6,
        )
    });
    Ok(())
}
