//! The inside of a build: everything between packages in the cache and finished outputs, in a namespace that
//! ends with it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sha2::{Digest, Sha256};
use stonecell_controls::{DirectoryRoot, Outcome};
use stonecell_definition::Definition;
use stonecell_definition::iaas::Iaas;
use stonecell_definition::lock::Lock;
use stonecell_kernel::initrd::{self, InitrdSpec};
use stonecell_kernel::{Tree, drivers, prune};
use stonecell_packages::Cache;
use stonecell_root::{RootSpec, Store, Synthetic, build_root};
use stonecell_stemcell::facts::{Facts, Source};
use uuid::Uuid;

use crate::archive::{INITRD_PACKAGE, STUB_PACKAGE};
use crate::fstab::StateMount;
use crate::image::{self, Common};
use crate::plan::Plan;
use crate::progress::{Event, Progress, Unit};
use crate::project::Project;
use crate::tree::{Owner, RootTree};
use crate::{BuildError, apparmor, customise, packages, vcap};

/// Documentation and translations: nobody reads them in a machine without a login. Copyright files stay. And the
/// sources of udev's hardware database: names of devices, quirks of keyboards and sensors, 22 MB with the database
/// itself, and nothing that a server acts on.
const PATH_EXCLUDE: [&str; 10] = [
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/lintian/*",
    "/usr/share/linda/*",
    "/usr/share/bug/*",
    "/usr/share/gnome/help/*",
    "/lib/udev/hwdb.d/*",
    "/usr/lib/udev/hwdb.d/*",
];
const PATH_INCLUDE: [&str; 1] = ["/usr/share/doc/*/copyright"];

/// Who answers for the packages that the build makes itself.
const MAINTAINER: &str = "Stonecell <stonecell@localhost>";

/// Namespace of every UUID that a build makes.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f5c_3d0e_8b1f_5a54_9d0c_53c7_1a2e_7b90);

/// Runs the build that `plan` describes.
///
/// # Errors
/// [`BuildError`]; the caller removes the staging directory.
pub fn run(plan: &Plan, progress: &dyn Progress) -> Result<(), BuildError> {
    let project = Project::load(&plan.definition, plan.today, &plan.iaas)?;
    let (lock, lock_text) = project.read_lock(&plan.lock)?;
    let work = work_directory(plan)?;
    let root = work.join("root");
    make_directory(&root)?;

    build_tree(plan, &project, &lock, &root, progress)?;
    let tree = RootTree::open(&root)?;
    let kernel_version = kernel_version(&tree)?;
    let mounts = state_mounts(&project);

    progress.phase("apply definition and controls");
    let os_release = furnish(&project, &lock, &tree, &mounts)?;
    harden(&project, &root, progress)?;

    progress.phase("select kernel modules and make the initrd");
    // Before pruning: the initrd may need drivers that the running system does not.
    if !tree.exists(&format!("/usr/lib/modules/{kernel_version}/modules.dep")) {
        prune::depmod(&root, &kernel_version)?;
    }
    let modules = Tree::read(&root, &kernel_version)?;
    for name in plan.iaas.iter().filter(|name| *name != "warden") {
        drivers::check(&modules, name)?;
    }
    let init = fs::read(&plan.init).map_err(io_at("read", &plan.init))?;
    let initrd = initrd::build(&InitrdSpec {
        root: &root,
        kernel_version: &kernel_version,
        init: &init,
        extra_drivers: &[],
        epoch: u32::try_from(lock.epoch).unwrap_or(0),
    })?;
    let blocked: BTreeSet<String> = project.requirements.modules_blocked.iter().cloned().collect();
    if !project.definition.kernel.modules.is_empty() {
        prune::prune(&root, &kernel_version, &allowed_modules(plan, &project), &blocked)?;
    }
    let kernel = work.join("vmlinuz");
    take_kernel(&root, &kernel_version, &kernel)?;
    tell_dpkg(&tree, &kernel_version)?;
    let command_line = command_line(&project);
    check(&project, &root, &command_line)?;

    let status = tree.read("/var/lib/dpkg/status")?;
    let facts = Facts {
        name: project.definition.name.clone(),
        version: project.definition.version.clone(),
        distribution: project.definition.base.distribution.name().to_owned(),
        release: project.definition.base.release.name().to_owned(),
        release_version: project.definition.base.release.number().to_owned(),
        epoch: lock.epoch,
        root_hash: String::new(),
        packages: packages::installed(&tree, &lock, &status),
        tools: lock.tool.iter().map(packages::of_lock).collect(),
        indexes: packages::indexes(&lock),
        sources: project
            .definition
            .sources
            .iter()
            .map(|file| Source { path: file_name(&file.path), sha256: file.sha256.clone() })
            .collect(),
        lock_sha256: hex::encode(Sha256::digest(lock_text.as_bytes())),
        builder_version: env!("CARGO_PKG_VERSION").to_owned(),
        builder_files: vec![Source {
            path: "stonecell-init".to_owned(),
            sha256: hex::encode(Sha256::digest(&init)),
        }],
        development_keys: plan.development_keys,
    };
    let common = Common {
        plan,
        project: &project,
        facts,
        root: &root,
        work: &work,
        kernel: &kernel,
        kernel_version: &kernel_version,
        initrd: &initrd.bytes,
        stub: stub(plan, &lock)?,
        os_release: &os_release,
        command_line,
        packages_txt: package_list(&root, lock.epoch)?,
        namespace: NAMESPACE,
    };
    image::make(&common, progress)
}

/// The tree of the build: on a tmpfs of this namespace, or on the disk of the results.
fn work_directory(plan: &Plan) -> Result<PathBuf, BuildError> {
    let work = plan.work.clone();
    make_directory(&work)?;
    if plan.memory {
        rustix::mount::mount(
            "stonecell",
            &work,
            "tmpfs",
            rustix::mount::MountFlags::NODEV,
            Some(c"mode=0755,size=90%"),
        )
        .map_err(|error| BuildError::Io {
            action: "mount a tmpfs on",
            path: work.clone(),
            source: error.into(),
        })?;
    }
    Ok(work)
}

fn build_tree(
    plan: &Plan,
    project: &Project,
    lock: &Lock,
    root: &Path,
    progress: &dyn Progress,
) -> Result<(), BuildError> {
    let cache = Cache::open(&plan.cache)?;
    let store = Store::open(&plan.cache)?;
    let spec = RootSpec {
        target: root.to_owned(),
        packages: lock
            .package
            .iter()
            .map(|package| (package.clone(), cache.deb(&package.sha256)))
            .collect(),
        synthetic: synthetic(&project.definition)?,
        epoch: lock.epoch,
        path_exclude: PATH_EXCLUDE.map(str::to_owned).into(),
        path_include: PATH_INCLUDE.map(str::to_owned).into(),
        database: Some("usr/lib/stonecell/dpkg".to_owned()),
    };
    progress.phase("unpack and configure packages");
    let total = lock.package.len() as u64;
    let loaded = Mutex::new(0_u64);
    build_root(&spec, &store, &|event| match event {
        stonecell_root::Event::Loaded { .. } => {
            if let Ok(mut count) = loaded.lock() {
                *count += 1;
                progress.event(&Event::Amount { done: *count, total, unit: Unit::Items });
            }
        }
        stonecell_root::Event::Preparing(package)
        | stonecell_root::Event::Configuring(package)
        | stonecell_root::Event::Triggers(package) => {
            progress.event(&Event::Item { name: package.to_owned() });
        }
        _ => {}
    })?;
    Ok(())
}

/// The packages that the build makes itself: one stands for the initrd, one carries the files that other
/// packages read while they are configured.
fn synthetic(definition: &Definition) -> Result<Vec<Synthetic>, BuildError> {
    let mut packages = vec![Synthetic {
        name: INITRD_PACKAGE.to_owned(),
        version: definition.version.clone(),
        provides: "linux-initramfs-tool".to_owned(),
        depends: String::new(),
        maintainer: MAINTAINER.to_owned(),
        description: "stands for the initrd that stonecell builds into the boot image".to_owned(),
        files: Vec::new(),
    }];
    let files = customise::early_files(definition)?;
    if !files.is_empty() {
        packages.push(Synthetic {
            name: "stonecell-early-files".to_owned(),
            version: definition.version.clone(),
            provides: String::new(),
            depends: String::new(),
            maintainer: MAINTAINER.to_owned(),
            description: "configuration that packages read while they are configured".to_owned(),
            files,
        });
    }
    Ok(packages)
}

/// Accounts, add-ons, units, release information, mount table; gives os-release.
fn furnish(
    project: &Project,
    lock: &Lock,
    tree: &RootTree,
    mounts: &[StateMount],
) -> Result<String, BuildError> {
    let definition = &project.definition;
    customise::secrets(tree)?;
    customise::accounts(tree, definition, lock.epoch / 86_400)?;
    customise::add_ons(tree, definition)?;
    customise::services(tree, definition)?;
    apparmor::prune(tree)?;
    let os_release = customise::identity(tree, definition, mounts)?;
    if project.is_bosh() {
        vcap::layout(tree, definition)?;
    }
    for mount in mounts {
        let path = &mount.target;
        if !tree.exists(path) {
            tree.directory(path, Owner::root(0o755))?;
        }
    }
    Ok(os_release)
}

fn harden(project: &Project, root: &Path, progress: &dyn Progress) -> Result<(), BuildError> {
    let mut directory = DirectoryRoot::open(root)?;
    let mut done = 0;
    let total = project.selection.controls.len() as u64;
    project.selection.apply(&mut directory, &mut |_| {
        done += 1;
        progress.event(&Event::Amount { done: done.min(total), total, unit: Unit::Items });
    })?;
    let tree = RootTree::open(root)?;
    customise::mutable_etc(&tree, &project.definition)?;
    Ok(())
}

/// Takes what was removed out of the file list of the kernel's package, as dpkg itself does for files that
/// `path-exclude` keeps out: `dpkg -V` then finds nothing missing.
fn tell_dpkg(tree: &RootTree, version: &str) -> Result<(), BuildError> {
    let kernel = format!("/boot/vmlinuz-{version}");
    for name in tree.names("/var/lib/dpkg/info") {
        let path = format!("/var/lib/dpkg/info/{name}");
        if !name.ends_with(".list") || !name.starts_with("linux-image-") {
            continue;
        }
        let list = tree.read(&path)?;
        if !list.lines().any(|line| line == kernel) {
            continue;
        }
        // depmod has written the order anew, for the modules that are left.
        let stays = |path: &str| tree.exists(path) && !path.ends_with("/modules.order");
        let kept: String =
            list.lines().filter(|line| stays(line)).flat_map(|line| [line, "\n"]).collect();
        tree.write(&path, kept.as_bytes(), Owner::root(0o644))?;
        let path = path.replace(".list", ".md5sums");
        let kept: String = tree
            .read(&path)?
            .lines()
            .filter(|line| line.split_once("  ").is_some_and(|(_, path)| stays(path)))
            .flat_map(|line| [line, "\n"])
            .collect();
        tree.write(&path, kept.as_bytes(), Owner::root(0o644))?;
    }
    Ok(())
}

/// The definition's modules, and those of the configuration drives of the infrastructures that have them.
fn allowed_modules(plan: &Plan, project: &Project) -> Vec<String> {
    let mut allow = project.definition.kernel.modules.clone();
    for iaas in plan.iaas.iter().filter_map(|name| Iaas::of_name(name)) {
        let drives = crate::project::configuration_drives(iaas);
        allow.extend(drives.iter().map(|module| (*module).to_owned()));
    }
    allow
}

/// Every control must hold on what was built; else the build is wrong and says where.
fn check(project: &Project, root: &Path, command_line: &[String]) -> Result<(), BuildError> {
    let directory = DirectoryRoot::open(root)?.with_command_line(command_line.to_vec());
    let failed: Vec<String> = project
        .selection
        .check(&directory)
        .into_iter()
        .filter(stonecell_controls::Verdict::stops_build)
        .map(|verdict| {
            let what = match &verdict.outcome {
                Outcome::Fail { failures } => failures
                    .iter()
                    .map(|f| format!("{}: found {}, expected {}", f.place, f.found, f.expected))
                    .collect::<Vec<_>>()
                    .join("; "),
                Outcome::Error { reason } => reason.clone(),
                Outcome::Pass | Outcome::NotApplicable { .. } => String::new(),
            };
            format!("{}: {what}", verdict.id)
        })
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(BuildError::Controls(failed)) }
}

/// The command line: the controls' parameters (sorted), then the definition's, then how verity reacts.
fn command_line(project: &Project) -> Vec<String> {
    use stonecell_definition::definition::VerityCorruption;
    let mut words = project.requirements.command_line.clone();
    words.extend(project.definition.kernel.command_line.iter().cloned());
    let verity = match project.definition.image.verity_corruption {
        VerityCorruption::Panic => "panic",
        VerityCorruption::Restart => "restart",
        VerityCorruption::IoError => "io-error",
    };
    words.push(format!("stonecell.verity={verity}"));
    words
}

/// Which kernel the root has; exactly one.
fn kernel_version(tree: &RootTree) -> Result<String, BuildError> {
    let versions = tree.names("/usr/lib/modules");
    let versions = if versions.is_empty() { tree.names("/lib/modules") } else { versions };
    match versions.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(BuildError::Kernels(versions)),
    }
}

/// Moves the kernel out of the root: it is in the signed boot image, and nowhere else. The initrd links and
/// what boot loaders would read go too; the configuration stays for audits.
fn take_kernel(root: &Path, version: &str, to: &Path) -> Result<(), BuildError> {
    let boot = root.join("boot");
    let kernel = boot.join(format!("vmlinuz-{version}"));
    fs::rename(&kernel, to).map_err(io_at("take", &kernel))?;
    for link in ["vmlinuz", "vmlinuz.old", "initrd.img", "initrd.img.old"] {
        let path = root.join(link);
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&path).map_err(io_at("remove", &path))?;
        }
    }
    Ok(())
}

/// The UEFI stub out of its package, which is not installed.
fn stub(plan: &Plan, lock: &Lock) -> Result<Vec<u8>, BuildError> {
    let package =
        lock.tool.iter().find(|package| package.name == STUB_PACKAGE).ok_or(BuildError::NoStub)?;
    let path = Cache::open(&plan.cache)?.deb(&package.sha256);
    let bytes = fs::read(&path).map_err(io_at("read", &path))?;
    if hex::encode(Sha256::digest(&bytes)) != package.sha256 {
        return Err(BuildError::Damaged(path));
    }
    let mut stub = None;
    stonecell_root::deb::open(&bytes)?.data(|entry, content| {
        if entry.path == "usr/lib/systemd/boot/efi/linuxx64.efi.stub" {
            let mut found = Vec::new();
            content.read_to_end(&mut found)?;
            stub = Some(found);
        }
        Ok(())
    })?;
    stub.ok_or(BuildError::NoStub)
}

/// `dpkg -l`, as the root's own dpkg prints it.
fn package_list(root: &Path, epoch: i64) -> Result<String, BuildError> {
    let argv = ["dpkg".to_owned(), "-l".to_owned()];
    let env = [
        ("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("LC_ALL".to_owned(), "C.UTF-8".to_owned()),
        ("COLUMNS".to_owned(), "200".to_owned()),
        ("SOURCE_DATE_EPOCH".to_owned(), epoch.to_string()),
    ];
    let mut text = String::new();
    let program = stonecell_root::sandbox::InRoot { root, argv: &argv, env: &env };
    let outcome = stonecell_root::sandbox::run_in_root(&program, &mut |line| {
        text.push_str(line);
        text.push('\n');
    })?;
    if outcome.status.success() { Ok(text) } else { Err(BuildError::PackageList(outcome.tail)) }
}

/// The state partitions as fstab wants them.
fn state_mounts(project: &Project) -> Vec<StateMount> {
    project
        .definition
        .image
        .partitions
        .iter()
        .map(|partition| StateMount {
            target: partition.mount.clone(),
            fs: "ext4".to_owned(),
            uuid: stonecell_image::build::file_system_uuid(
                image::identity(&NAMESPACE, project),
                &image::label(&partition.mount),
            )
            .to_string(),
            options: partition.options.clone(),
        })
        .collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

pub(crate) fn make_directory(path: &Path) -> Result<(), BuildError> {
    fs::create_dir_all(path).map_err(io_at("make", path))
}

pub(crate) fn io_at(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(std::io::Error) -> BuildError + use<> {
    let path = path.to_owned();
    move |source| BuildError::Io { action, path, source }
}

/// The infrastructure of that name.
pub(crate) fn iaas(name: &str) -> Result<Iaas, BuildError> {
    Iaas::of_name(name).ok_or_else(|| BuildError::Request(format!("unknown infrastructure {name}")))
}
