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
use std::sync::atomic::{AtomicBool, Ordering};

use clap::CommandFactory;
use stonecell_build::archive::AcquireError;
use stonecell_stemcell::scratch;

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

/// A flag that the signals which end a build set. A second signal does no more: some senders send two, and what was made
/// must still be removed.
fn interruptible() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in stonecell_root::sandbox::ending_signals() {
        signal_hook::flag::register(signal, Arc::clone(&flag))
            .map_err(|error| Failure::new(Class::Failed, error))?;
    }
    Ok(flag)
}

/// For commands that read: a signal removes their directories of the moment and ends the program at once. Their
/// work is in libraries that know nothing of signals, and nothing of it is worth finishing.
fn abandon_on_signal() -> Result<(), Failure> {
    let signals = signal_hook::iterator::Signals::new(stonecell_root::sandbox::ending_signals());
    let mut signals = signals.map_err(|error| Failure::new(Class::Failed, error))?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            ENDING.store(true, Ordering::SeqCst);
            match scratch::abandon() {
                Ok(()) => eprintln!("error: interrupted; nothing was left behind"),
                Err(error) => eprintln!("error: interrupted; a temporary directory stays: {error}"),
            }
            signal_hook::low_level::exit(Class::Interrupted as i32);
        }
    });
    Ok(())
}

/// Set when a signal ends the program: what other threads run into from then on is no failure of its own.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Does not return when a signal is ending the program.
pub(crate) fn yield_to_signal() {
    while ENDING.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

/// The failure of an acquisition, unless the user interrupted it.
fn acquire_failure(error: AcquireError, cancel: &AtomicBool) -> Failure {
    if cancel.load(Ordering::SeqCst) {
        Failure::new(Class::Interrupted, "interrupted; what was fetched stays in the cache")
    } else {
        error.into()
    }
}

/// Today, in UTC: the day against which opt-outs expire.
fn today() -> jiff::civil::Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}
