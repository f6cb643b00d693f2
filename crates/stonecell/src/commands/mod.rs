//! One module a command.

mod boot;
mod build;
mod check;
mod controls;
mod keys;
mod lock;
mod read;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::CommandFactory;
use stonecell_build::archive::AcquireError;

use crate::cli::{Cli, Command};
use crate::failure::{Class, Failure};
use crate::terminal::Terminal;

/// Runs the command.
pub(crate) fn run(cli: &Cli, terminal: &Terminal) -> Result<(), Failure> {
    match &cli.command {
        Command::Check(args) => check::run(args, terminal),
        Command::Lock(args) => lock::run(args, &cache(cli)?, terminal),
        Command::Build(args) => build::run(cli, args, &cache(cli)?, terminal),
        Command::Inner { plan } => build::inner(plan, terminal),
        Command::Boot(args) => boot::run(args, terminal),
        Command::Controls(args) => controls::run(args, terminal),
        Command::Keys(args) => keys::run(args, terminal),
        Command::Completions { shell } => {
            clap_complete::generate(
                *shell,
                &mut Cli::command(),
                "stonecell",
                &mut std::io::stdout(),
            );
            Ok(())
        }
        Command::Man { dir } => {
            std::fs::create_dir_all(dir).map_err(|error| Failure::new(Class::Failed, error))?;
            clap_mangen::generate_to(Cli::command(), dir)
                .map_err(|error| Failure::new(Class::Failed, error))
        }
        Command::Inspect(args) => read::inspect(args, terminal),
        Command::Verify(args) => read::verify(args, terminal),
        Command::Diff(args) => read::diff(args, terminal),
        Command::Extract(args) => read::extract(args, terminal),
    }
}

/// The package cache: option, environment, or the user's cache directory.
fn cache(cli: &Cli) -> Result<PathBuf, Failure> {
    if let Some(path) = &cli.global.cache {
        return Ok(path.clone());
    }
    let variable = |name: &str| std::env::var(name).ok();
    stonecell_packages::default_cache_dir(
        None,
        variable("XDG_CACHE_HOME").as_deref(),
        variable("HOME").as_deref(),
    )
    .ok_or_else(|| {
        Failure::new(Class::Failed, "no place for the package cache: set HOME or give --cache")
    })
}

/// A flag that SIGINT and SIGTERM set. A second signal does no more: some senders send two, and what was made
/// must still be removed.
fn interruptible() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&flag))
            .map_err(|error| Failure::new(Class::Failed, error))?;
    }
    Ok(flag)
}

/// The failure of an acquisition, unless the user interrupted it.
fn acquire_failure(error: AcquireError, cancel: &AtomicBool) -> Failure {
    if cancel.load(std::sync::atomic::Ordering::Relaxed) {
        Failure::new(Class::Interrupted, "interrupted; what was fetched stays in the cache")
    } else {
        error.into()
    }
}

/// Today, in UTC: the day against which opt-outs expire.
fn today() -> jiff::civil::Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}
