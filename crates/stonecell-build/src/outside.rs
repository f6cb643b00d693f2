//! The outside of a build: load, fetch, start the inside, put finished outputs in place.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use jiff::civil::Date;
use serde::Serialize;
use stonecell_root::sandbox::{self, Inner, SandboxError};

use crate::inner::io_at;
use crate::keys;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::project::Project;
use crate::{BuildError, archive, reproducible};

/// A tmpfs is used for the tree when this much memory (bytes) is available; a large root takes 2 GiB.
const MEMORY_FOR_TMPFS: u64 = 4 << 30;

/// What is to be built.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The definition.
    pub definition: PathBuf,
    /// The lock; beside the definition when absent.
    pub lock: Option<PathBuf>,
    /// Directory for the results.
    pub out: PathBuf,
    /// Infrastructures instead of the definition's; empty for those.
    pub iaas: Vec<String>,
    /// Loose disk images instead of the definition's; empty for those.
    pub formats: Vec<String>,
    /// Package cache.
    pub cache: PathBuf,
    /// Directory for the work instead of a tmpfs.
    pub work_dir: Option<PathBuf>,
    /// Connections at once.
    pub jobs: usize,
    /// The day against which opt-outs expire.
    pub today: Date,
    /// Where development keys live.
    pub development_keys: Option<PathBuf>,
    /// Arguments that start the inside: the program's own hidden command and options, without the plan.
    pub inner_arguments: Vec<OsString>,
    /// Build twice and compare.
    pub check_reproducible: bool,
}

/// What was built.
#[derive(Debug, Clone, Serialize)]
pub struct Built {
    /// The results, sorted.
    pub outputs: Vec<PathBuf>,
    /// Were development keys used?
    pub development_keys: bool,
    /// How many packages are in the image.
    pub packages: usize,
}

/// Builds.
///
/// # Errors
/// [`BuildError`]; nothing but what was there before is then in the output directory.
pub fn build(
    request: &BuildRequest,
    progress: &dyn Progress,
    cancel: &AtomicBool,
) -> Result<Built, BuildError> {
    let project = Project::load(&request.definition, request.today, &request.iaas)?;
    let lock_path = request.lock.clone().unwrap_or_else(|| project.lock_path());
    let (lock, _) = project.read_lock(&lock_path)?;
    known(&request.iaas, &request.formats, &project)?;
    let keys = keys::choose(&project.definition, request.development_keys.as_deref())?;
    let init = find_init()?;
    archive::acquire(&project, &lock, &request.cache, request.jobs, progress, cancel)?;

    fs::create_dir_all(&request.out).map_err(io_at("make", &request.out))?;
    let out = fs::canonicalize(&request.out).map_err(io_at("find", &request.out))?;
    let base = Plan {
        definition: absolute(&request.definition)?,
        lock: absolute(&lock_path)?,
        today: request.today,
        cache: absolute(&request.cache)?,
        staging: PathBuf::new(),
        done: PathBuf::new(),
        work: PathBuf::new(),
        memory: request.work_dir.is_none() && available_memory() >= MEMORY_FOR_TMPFS,
        iaas: chosen(&request.iaas, project.definition.output.iaas.iter().map(|i| i.name())),
        formats: chosen(
            &request.formats,
            project.definition.output.formats.iter().map(format_name),
        ),
        stemcell_key: absolute(&keys.stemcell)?,
        secure_boot_key: absolute(&keys.secure_boot_key)?,
        secure_boot_certificate: absolute(&keys.secure_boot_certificate)?,
        development_keys: keys.development,
        init,
    };
    let first = Staging::new(request.work_dir.as_deref(), &out)?;
    inside(&base, &first, request)?;
    if request.check_reproducible {
        progress.phase("build again");
        let second = Staging::new(request.work_dir.as_deref(), &out)?;
        inside(&base, &second, request)?;
        progress.phase("compare");
        let differences = reproducible::compare(&first.done, &second.done)?;
        if !differences.is_empty() {
            return Err(BuildError::Unreproducible(differences));
        }
    }
    let mut outputs = Vec::new();
    for entry in fs::read_dir(&first.done).map_err(io_at("read", &first.done))? {
        let entry = entry.map_err(io_at("read", &first.done))?;
        let to = out.join(entry.file_name());
        fs::rename(entry.path(), &to).map_err(io_at("write", &to))?;
        outputs.push(to);
    }
    outputs.sort();
    Ok(Built { outputs, development_keys: keys.development, packages: lock.package.len() })
}

/// Refuses names that the inside could not serve, before anything is fetched.
fn known(iaas: &[String], formats: &[String], project: &Project) -> Result<(), BuildError> {
    for name in iaas {
        crate::inner::iaas(name)?;
    }
    for name in chosen(formats, project.definition.output.formats.iter().map(format_name)) {
        if !["raw", "qcow2", "vhd", "vmdk"].contains(&name.as_str()) {
            return Err(BuildError::Request(format!(
                "disk format {name} cannot be written: expected raw, qcow2, vhd or vmdk"
            )));
        }
    }
    Ok(())
}

/// Runs the inside with `plan` completed by the staging directory.
fn inside(base: &Plan, staging: &Staging, request: &BuildRequest) -> Result<(), BuildError> {
    let plan = Plan {
        staging: staging.dir.clone(),
        done: staging.done.clone(),
        work: staging.work.clone(),
        ..base.clone()
    };
    let path = staging.dir.join("plan.json");
    let text = serde_json::to_vec(&plan).map_err(BuildError::Json)?;
    fs::write(&path, text).map_err(io_at("write", &path))?;
    let mut args = request.inner_arguments.clone();
    args.push(path.into_os_string());
    let inner = Inner { program: PathBuf::from("/proc/self/exe"), args, env: Vec::new() };
    let status = match sandbox::respawn(&inner) {
        Err(SandboxError::Interrupted { .. }) => return Err(BuildError::Interrupted),
        other => other?,
    };
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => Err(BuildError::Inside(u8::try_from(code).unwrap_or(1))),
        None => Err(BuildError::Inside(1)),
    }
}

/// Directories of the moment: for disks and what is finished, on the file system of the results (they are
/// renamed), and for the tree, where the user wants it. All go when this is dropped.
#[derive(Debug)]
struct Staging {
    dir: PathBuf,
    done: PathBuf,
    work: PathBuf,
    _guards: Vec<tempfile::TempDir>,
}

impl Staging {
    fn new(work: Option<&Path>, out: &Path) -> Result<Self, BuildError> {
        let mut guards = Vec::new();
        let mut make = |parent: &Path, prefix: &str| {
            fs::create_dir_all(parent).map_err(io_at("make", parent))?;
            let dir = tempfile::Builder::new()
                .prefix(prefix)
                .tempdir_in(parent)
                .map_err(io_at("make a directory in", parent))?;
            let path = dir.path().to_owned();
            guards.push(dir);
            Ok::<_, BuildError>(path)
        };
        let dir = make(out, ".stonecell-work-")?;
        let done = make(out, ".stonecell-done-")?;
        let work = match work {
            Some(parent) => absolute(&make(parent, ".stonecell-tree-")?)?,
            None => dir.join("tree"),
        };
        Ok(Self { dir, done, work, _guards: guards })
    }
}

/// The program of the initrd: `STONECELL_INIT`, else beside this program, else in libexec.
fn find_init() -> Result<PathBuf, BuildError> {
    if let Some(path) = std::env::var_os("STONECELL_INIT") {
        return absolute(Path::new(&path));
    }
    let exe = std::env::current_exe().map_err(|_| BuildError::NoInit)?;
    let dir = exe.parent().ok_or(BuildError::NoInit)?;
    [dir.join("stonecell-init"), dir.join("../libexec/stonecell/stonecell-init")]
        .into_iter()
        .find(|path| path.is_file())
        .ok_or(BuildError::NoInit)
}

fn absolute(path: &Path) -> Result<PathBuf, BuildError> {
    std::path::absolute(path).map_err(io_at("find", path))
}

fn chosen<'a>(asked: &[String], defined: impl Iterator<Item = &'a str>) -> Vec<String> {
    if asked.is_empty() { defined.map(str::to_owned).collect() } else { asked.to_vec() }
}

fn format_name(format: &stonecell_definition::definition::DiskFormat) -> &'static str {
    use stonecell_definition::definition::DiskFormat;
    match format {
        DiskFormat::Raw => "raw",
        DiskFormat::Qcow2 => "qcow2",
        DiskFormat::Vhd => "vhd",
        DiskFormat::Vhdx => "vhdx",
        DiskFormat::Vmdk => "vmdk",
    }
}

/// `MemAvailable` of /proc/meminfo in bytes; 0 when it cannot be read.
fn available_memory() -> u64 {
    fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        })
        .map_or(0, |kib| kib << 10)
}
