//! The command line: what a user can type, and what `--help` says about it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the operation failed
  2    wrong usage
  3    the definition or the lock is wrong
  4    the archive cannot be reached or trusted
  5    verification failed, or `diff --exit-code` found differences
  6    two builds from one lock differ
  130  interrupted; nothing half-written is left behind";

/// Build, prove and boot hardened, immutable OS images (stemcells).
#[derive(Debug, Parser)]
#[command(name = "stonecell", version, propagate_version = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Print facts and errors as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say less: no progress, only results and errors.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// When to use colour.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    pub(crate) color: Colour,
    /// Where packages and indexes are kept between runs [default: $XDG_CACHE_HOME/stonecell].
    #[arg(long, global = true, env = "STONECELL_CACHE", value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
}

/// When to colour output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check a definition: fields, roles, contradictions, opt-outs, keys.
    Check(CheckArgs),
    /// Verify the archive's signatures, resolve packages, pin every one in a lock file.
    Lock(LockArgs),
    /// Build the stemcells that a definition describes, from its lock.
    Build(BuildArgs),
    /// Print what is in a stemcell or disk image.
    Inspect(InspectArgs),
    /// Check signature, provenance, SBOM, verity tree and boot image of a stemcell.
    Verify(VerifyArgs),
    /// Compare two stemcells: packages, controls, files, sizes, kernel command line.
    Diff(DiffArgs),
    /// Write the root file system of a stemcell as a directory.
    Extract(ExtractArgs),
    /// Boot a stemcell or disk image in QEMU; the image itself is never written.
    Boot(BootArgs),
    /// Print the control catalogue, or what it means for a definition.
    Controls(ControlsArgs),
    /// Make signing keys.
    Keys(KeysArgs),
    /// Print a shell completion script.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Write man pages into a directory.
    Man {
        /// Where to.
        dir: PathBuf,
    },
    /// The inside of a build; started by `build` in a namespace of its own.
    #[command(name = "__inner", hide = true)]
    Inner {
        /// The plan that the outside wrote.
        plan: PathBuf,
    },
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The definition (TOML).
    pub(crate) definition: PathBuf,
}

/// Arguments of `lock`.
#[derive(Debug, Args)]
pub(crate) struct LockArgs {
    /// The definition (TOML).
    pub(crate) definition: PathBuf,
    /// Where to write the lock [default: beside the definition, `.lock` for `.toml`].
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Resolve and report what would change, but write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Connections at once.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(crate) jobs: usize,
}

/// Arguments of `build`.
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// The definition (TOML).
    pub(crate) definition: PathBuf,
    /// Directory for the results; made when missing. They appear by rename, all or none.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// The lock [default: beside the definition, `.lock` for `.toml`].
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// Infrastructures to wrap for, instead of the definition's.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub(crate) iaas: Vec<String>,
    /// Loose disk images to write, instead of the definition's (raw, qcow2, vhd, vmdk).
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub(crate) format: Vec<String>,
    /// Build twice in different places and compare every output byte for byte.
    #[arg(long)]
    pub(crate) check_reproducible: bool,
    /// Say what would be built and fetched, but do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Directory for the work [default: a tmpfs when memory allows, else the output directory].
    #[arg(long, value_name = "DIR")]
    pub(crate) work_dir: Option<PathBuf>,
    /// Connections at once while fetching.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(crate) jobs: usize,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Stemcell (.tgz), disk image, or the output directory of a build.
    pub(crate) path: PathBuf,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Stemcell (.tgz), disk image, or the output directory of a build.
    pub(crate) path: PathBuf,
    /// Public key (OpenSSH) that must have signed the stemcell.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Certificate (PEM) that must have signed the boot image.
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The older stemcell.
    pub(crate) old: PathBuf,
    /// The newer stemcell.
    pub(crate) new: PathBuf,
    /// Exit with 5 when they differ.
    #[arg(long)]
    pub(crate) exit_code: bool,
}

/// Arguments of `extract`.
#[derive(Debug, Args)]
pub(crate) struct ExtractArgs {
    /// Stemcell (.tgz) or disk image.
    pub(crate) stemcell: PathBuf,
    /// Directory to write; must be empty or absent.
    pub(crate) dir: PathBuf,
}

/// Arguments of `boot`.
#[derive(Debug, Args)]
pub(crate) struct BootArgs {
    /// Stemcell (.tgz), disk image, or the output directory of a build.
    pub(crate) path: PathBuf,
    /// Forward a local port to the machine's SSH port and print how to connect.
    #[arg(long)]
    pub(crate) ssh: bool,
    /// Throw away what the machine writes (the default unless --state is given).
    #[arg(long, conflicts_with = "state")]
    pub(crate) snapshot: bool,
    /// Keep what the machine writes in this qcow2 overlay; made when missing.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Firmware with Secure Boot on, trusting the certificate of --certificate or of the build.
    #[arg(long)]
    pub(crate) secure_boot: bool,
    /// Certificate (PEM) to enrol for Secure Boot.
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
    /// Memory in MiB.
    #[arg(long, default_value_t = 1024, value_name = "MIB")]
    pub(crate) memory: u32,
    /// Processors.
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub(crate) cpus: u32,
    /// End the machine after this many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// Print the QEMU command line, but do not start it.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Arguments of `controls`.
#[derive(Debug, Args)]
pub(crate) struct ControlsArgs {
    /// Say which controls apply to this definition, and why others do not.
    #[arg(long, value_name = "FILE")]
    pub(crate) definition: Option<PathBuf>,
    /// Print only this control, whole.
    pub(crate) id: Option<String>,
}

/// Arguments of `keys`.
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    /// Directory for the keys (0700); nothing that exists is overwritten.
    pub(crate) dir: PathBuf,
    /// Mark them as development keys, so that nobody takes them for real ones.
    #[arg(long, required = true)]
    pub(crate) development: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
