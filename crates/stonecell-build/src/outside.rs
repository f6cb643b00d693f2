//! The outside of a build: load, fetch, start the inside, put finished outputs in place.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::civil::Date;
use serde::Serialize;
use stonecell_controls::LeftOut;
use stonecell_definition::with_causes;
use stonecell_root::sandbox::{self, Inner, SandboxError};

use crate::inner::io_at;
use crate::keys;
use crate::plan::Plan;
use crate::progress::{Event, Progress};
use crate::project::{self, Project};
use crate::staging::{Made, Staging};
use crate::{BuildError, archive, formats, reproducible, results};

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
    /// Controls that were declined, by the definition or for the sake of an infrastructure.
    pub left_out: Vec<LeftOut>,
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
    let asked_iaas =
        chosen(&request.iaas, project.definition.output.iaas.iter().map(|iaas| iaas.name()));
    let asked_formats = chosen(
        &request.formats,
        project.definition.output.formats.iter().map(|format| format.name()),
    );
    known(&asked_iaas, &asked_formats)?;
    for name in project::light_left_out(&project.definition) {
        let text = format!("no light stemcell for {name}: --iaas leaves that infrastructure out");
        progress.event(&Event::Note { text });
    }
    let keys = keys::choose(&project.definition, request.development_keys.as_deref())?;
    let init = find_init()?;
    let expected = results::names(&project.definition, &asked_iaas, &asked_formats)?;
    results::no_foreign(&request.out, &project.definition, &expected)?;
    archive::acquire(&project, &lock, &request.cache, request.jobs, progress, cancel)?;

    let _made_out = Made::directory(&request.out)?;
    let _made_work = request.work_dir.as_deref().map(Made::directory).transpose()?;
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
        iaas: asked_iaas,
        formats: asked_formats,
        stemcell_key: absolute(&keys.stemcell)?,
        secure_boot_key: absolute(&keys.secure_boot_key)?,
        secure_boot_certificate: absolute(&keys.secure_boot_certificate)?,
        development_keys: keys.development,
        init,
    };
    let mut stagings = Vec::new();
    let result = build_into(&out, &base, request, &mut stagings, progress, cancel);
    for staging in stagings {
        if let Err(error) = staging.remove() {
            // The build's own end is what counts; this one is told beside it.
            progress.event(&Event::Note { text: with_causes(&error) });
        }
    }
    Ok(Built {
        outputs: result?,
        development_keys: keys.development,
        packages: lock.package.len(),
        left_out: project.left_out(),
    })
}

/// Builds once or twice in new staging directories, and puts the results into `out`.
fn build_into(
    out: &Path,
    base: &Plan,
    request: &BuildRequest,
    stagings: &mut Vec<Staging>,
    progress: &dyn Progress,
    cancel: &AtomicBool,
) -> Result<Vec<PathBuf>, BuildError> {
    let first = Staging::new(request.work_dir.as_deref(), out)?;
    let done = first.done.clone();
    let ran = inside(base, &first, request, cancel);
    stagings.push(first);
    ran?;
    if request.check_reproducible {
        progress.phase("build again");
        let second = Staging::new(request.work_dir.as_deref(), out)?;
        let again = second.done.clone();
        let ran = inside(base, &second, request, cancel);
        stagings.push(second);
        ran?;
        progress.phase("compare");
        let differences = reproducible::compare(&done, &again, cancel)?;
        if !differences.is_empty() {
            return Err(BuildError::Unreproducible(differences));
        }
    }
    if cancel.load(Ordering::SeqCst) {
        return Err(BuildError::Interrupted);
    }
    results::put(&done, out)
}

/// Refuses names that the inside could not serve, before anything is fetched.
fn known(iaas: &[String], formats: &[String]) -> Result<(), BuildError> {
    for name in iaas {
        crate::inner::iaas(name)?;
    }
    for name in formats {
        formats::of_name(name)?;
    }
    Ok(())
}

/// Runs the inside with `plan` completed by the staging directory.
fn inside(
    base: &Plan,
    staging: &Staging,
    request: &BuildRequest,
    cancel: &AtomicBool,
) -> Result<(), BuildError> {
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
    let status = match sandbox::respawn(&inner, cancel) {
        Err(SandboxError::Interrupted { .. }) => return Err(BuildError::Interrupted),
        other => other?,
    };
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => Err(BuildError::Inside(u8::try_from(code).unwrap_or(1))),
        None => Err(BuildError::Inside(1)),
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
