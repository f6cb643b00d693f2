//! The same real packages, installed by dpkg and apt and by Stonecell, give the same root.
//!
//! Packages come from the archive that this machine's apt uses; they are kept below the build
//! directory, so that a second run fetches only indexes. Differences that are allowed are listed in
//! [`ALLOWED`], each with its reason; anything else fails.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::AtomicBool;

use sha2::Digest;
use stonecell_definition::causes;
use stonecell_definition::lock::LockedPackage;
use stonecell_root::sandbox::{self, InRoot, Inner};
use stonecell_root::{Event, RootSpec, Store, Synthetic, SyntheticFile, build_root, control, deb};

/// Beside essential and required packages: services, triggers, alternatives, users, Pre-Depends on
/// something that is not essential, debconf, and a library that sets off ldconfig.
const WANTED: [&str; 7] =
    ["apt", "ca-certificates", "cron", "dbus", "nano", "openssh-server", "systemd-sysv"];

/// Paths whose difference is meant. A pattern ends in `*` for a prefix.
const ALLOWED: [(&str, &str); 21] = [
    ("dev*", "the reference is made without a /dev of its own"),
    ("etc/.pwd.lock", "lock file, cleaned"),
    ("etc/group-", "backup, cleaned"),
    ("etc/gshadow-", "backup, cleaned"),
    ("etc/machine-id", "emptied"),
    ("etc/passwd-", "backup, cleaned"),
    ("etc/shadow-", "backup, cleaned"),
    ("etc/subgid-", "backup, cleaned"),
    ("etc/subuid-", "backup, cleaned"),
    ("etc/ssh/ssh_host_*", "host keys are made at first boot"),
    ("run*", "a tmpfs in the reference"),
    ("tmp*", "a tmpfs in the reference"),
    ("usr/sbin/policy-rc.d", "removed by Stonecell after use"),
    ("var/cache/*", "cleaned"),
    ("var/lib/apt/*", "apt installed the reference and kept its notes"),
    ("var/lib/dbus/machine-id", "cleaned"),
    ("var/lib/dpkg/*", "compared by meaning below"),
    ("var/lib/systemd/random-seed", "cleaned"),
    ("var/log/*", "cleaned"),
    ("var/tmp/*", "cleaned"),
    ("debs*", "where the reference got its packages from"),
];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    if let Some(code) = sandbox::dispatch() {
        return code;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.first().map(String::as_str) {
        Some("inside") => inside(Path::new(&args[1])),
        _ => outside(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("failed: {error}");
            for cause in causes(error.as_ref()) {
                println!("  because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn outside() -> Result<()> {
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("against-dpkg");
    fetch(&work)?;
    let inner = Inner {
        program: std::env::current_exe()?,
        args: vec!["inside".into(), work.into()],
        env: Vec::new(),
    };
    let status = sandbox::respawn(&inner, &AtomicBool::new(false))?;
    if status.success() { Ok(()) } else { Err(format!("inside: {status}").into()) }
}

/// Downloads the package set with an apt that thinks nothing is installed.
fn fetch(work: &Path) -> Result<()> {
    for dir in ["debs/partial", "lists/partial"] {
        std::fs::create_dir_all(work.join(dir))?;
    }
    std::fs::write(work.join("status"), "")?;
    let option = |name: &str, path: &str| format!("{name}={}", work.join(path).display());
    let options = [
        option("Dir::State::status", "status"),
        option("Dir::State::lists", "lists"),
        option("Dir::Cache::archives", "debs"),
        option("Dir::State::extended_states", "extended_states"),
        option("Dir::Cache::pkgcache", "pkgcache.bin"),
        option("Dir::Cache::srcpkgcache", "srcpkgcache.bin"),
        "APT::Install-Recommends=false".into(),
        "APT::Sandbox::User=root".into(),
        "Acquire::Languages=none".into(),
        "Acquire::Retries=3".into(),
    ];
    let apt = |words: &[&str]| -> Result<()> {
        let mut command = Command::new("apt-get");
        command.env("LC_ALL", "C").stdin(Stdio::null()).arg("-qq");
        for option in &options {
            command.args(["-o", option]);
        }
        let output = command.args(words).output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("apt-get {words:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
    };
    apt(&["update"])?;
    // Only what this run resolves to may lie there; what is known is not fetched again.
    let output = Command::new("dpkg").arg("--print-architecture").output()?;
    let architecture = String::from_utf8(output.stdout)?.trim().to_owned();
    // apt's own word `native` matches nothing when the status file is empty.
    let patterns = ["essential", "priority(required)"]
        .map(|what| format!("?and(?{what},?or(?architecture({architecture}),?architecture(all)))"));
    let patterns = patterns.iter().map(String::as_str);
    let words: Vec<&str> =
        ["-y", "-d", "install"].into_iter().chain(patterns).chain(WANTED).collect();
    apt(&words)?;
    apt(&["autoclean"])
}

fn packages(work: &Path) -> Result<Vec<(LockedPackage, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(work.join("debs"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "deb") {
            continue;
        }
        let bytes = std::fs::read(&path)?;
        let files = deb::open(&bytes)?.control_files()?;
        let text = files.iter().find(|file| file.name == "control").ok_or("no control")?;
        let control = control::parse(&text.data)?.into_iter().next().ok_or("empty control")?;
        let field = |name: &str| control.get(name).unwrap_or_default().to_owned();
        let lock = LockedPackage {
            name: field("Package"),
            version: field("Version"),
            architecture: field("Architecture"),
            source: field("Source"),
            source_version: field("Version"),
            suite: "test".into(),
            filename: path.to_string_lossy().into_owned(),
            size: bytes.len() as u64,
            sha256: hex::encode(sha2::Sha256::digest(&bytes)),
            essential: field("Essential") == "yes",
        };
        found.push((lock, path));
    }
    found.sort();
    Ok(found)
}

fn inside(work: &Path) -> Result<()> {
    let packages = packages(work)?;
    let store = Store::open(&work.join("cache"))?;
    let scratch = tempfile::tempdir_in("/tmp")?;
    let reference = scratch.path().join("reference");
    println!("test the same tree as dpkg's ({} packages) ...", packages.len());
    install_by_dpkg(&reference, &packages)?;
    let spec = |name: &str| RootSpec {
        target: scratch.path().join(name),
        packages: packages.clone(),
        synthetic: Vec::new(),
        epoch: 1_700_000_000,
        path_exclude: Vec::new(),
        path_include: Vec::new(),
        database: None,
    };
    let plain = spec("plain");
    build(&plain, &store)?;
    // Before apt and dpkg look at it, which leaves locks and caches.
    let first = describe(&plain.target, true)?;
    let mut differences = compare_trees(&reference, &plain.target)?;
    differences.extend(compare_databases(&reference, &plain.target)?);
    if !differences.is_empty() {
        return Err(format!("differences:\n  {}", differences.join("\n  ")).into());
    }
    accepted(&plain.target)?;

    println!("test no time is later than the epoch, and a second build is the same ...");
    let again = spec("again");
    build(&again, &store)?;
    let second = describe(&again.target, true)?;
    if first != second {
        let changed: Vec<_> =
            first.iter().filter(|(path, what)| second.get(*path) != Some(what)).collect();
        return Err(format!("a second build differs: {changed:?}").into());
    }
    if let Some((path, _)) = first.iter().find(|(_, what)| what.mtime > 1_700_000_000) {
        return Err(format!("{path} is later than the epoch").into());
    }

    println!("test exclusions, a package of the build's own and a moved database ...");
    let slim = RootSpec {
        path_exclude: vec![
            "/usr/share/doc/*".into(),
            "/usr/share/man/*".into(),
            "/usr/share/locale/*".into(),
        ],
        path_include: vec!["/usr/share/doc/*/copyright".into()],
        synthetic: vec![Synthetic {
            name: "stonecell-initrd".into(),
            version: "1".into(),
            provides: "linux-initramfs-tool".into(),
            description: "initrd made by the build".into(),
            maintainer: "Nobody <nobody@stonecell.invalid>".into(),
            files: vec![SyntheticFile {
                path: "usr/lib/stonecell/initrd".into(),
                mode: 0o644,
                content: b"made".to_vec(),
            }],
            ..Synthetic::default()
        }],
        database: Some("usr/lib/stonecell/dpkg".into()),
        ..spec("slim")
    };
    build(&slim, &store)?;
    accepted(&slim.target)?;
    let doc = slim.target.join("usr/share/doc");
    for (path, wanted) in
        [("bash/copyright", true), ("bash/README.gz", false), ("../man/man1/bash.1.gz", false)]
    {
        if doc.join(path).exists() != wanted {
            return Err(format!("usr/share/doc/{path}: expected {wanted}").into());
        }
    }
    let link = std::fs::read_link(slim.target.join("var/lib/dpkg"))?;
    assert_eq!(link, Path::new("../../usr/lib/stonecell/dpkg"));
    let listed = run(
        &slim.target,
        &["dpkg-query", "-W", "-f=${db:Status-Abbrev}${Version}", "stonecell-initrd"],
    )?;
    assert_eq!(listed, ["ii 1"]);

    println!("test a failing maintainer script is named and its output shown ...");
    let bad = bad_package(work)?;
    let mut failing = spec("failing");
    failing.packages.push(bad);
    let error = build(&failing, &store).expect_err("its postinst fails").to_string();
    for words in ["`stonecell-bad`", "exit status 42", "this is why"] {
        assert!(error.contains(words), "{words:?} is not in: {error}");
    }
    Ok(())
}

fn build(spec: &RootSpec, store: &Store) -> Result<()> {
    std::fs::create_dir(&spec.target)?;
    build_root(spec, store, &|event| {
        if let Event::Unpacking { packages } = event {
            println!("  unpacking {packages}");
        }
    })?;
    Ok(())
}

/// As debootstrap and mmdebstrap do it: essential packages are extracted so that there is a shell and a
/// dpkg, then dpkg installs them, then apt installs everything.
fn install_by_dpkg(root: &Path, packages: &[(LockedPackage, PathBuf)]) -> Result<()> {
    std::fs::create_dir_all(root.join("debs"))?;
    for name in ["bin", "lib", "lib64", "sbin"] {
        std::fs::create_dir_all(root.join("usr").join(name))?;
        std::os::unix::fs::symlink(format!("usr/{name}"), root.join(name))?;
    }
    for dir in ["info", "updates", "triggers", "alternatives", "parts"] {
        std::fs::create_dir_all(root.join("var/lib/dpkg").join(dir))?;
    }
    for file in ["status", "available"] {
        std::fs::write(root.join("var/lib/dpkg").join(file), "")?;
    }
    let mut files = Vec::new();
    for (_, path) in packages {
        let name = path.file_name().ok_or("no name")?.to_string_lossy().into_owned();
        std::fs::copy(path, root.join("debs").join(&name))?;
        files.push(format!("/debs/{name}"));
    }
    let essential = essential_closure(packages)?;
    let mut inside = Vec::new();
    for ((lock, path), file) in packages.iter().zip(&files) {
        if essential.contains(&lock.name) {
            let mut extract = Command::new("dpkg-deb")
                .arg("--fsys-tarfile")
                .arg(path)
                .stdout(Stdio::piped())
                .spawn()?;
            let tar = extract.stdout.take().ok_or("no pipe")?;
            let status = Command::new("tar")
                .args(["--extract", "--keep-directory-symlink", "--numeric-owner", "-C"])
                .arg(root)
                .stdin(tar)
                .status()?;
            if !status.success() || !extract.wait()?.success() {
                return Err(format!("cannot extract {file}").into());
            }
            inside.push(file.as_str());
        }
    }
    std::fs::write(root.join("usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n")?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(root.join("usr/sbin/policy-rc.d"), mode)?;
    let mut words = vec!["dpkg", "--force-depends", "--force-unsafe-io", "--install"];
    words.extend(inside);
    run(root, &words)?;
    let mut words = vec![
        "apt-get",
        "-y",
        "-o",
        "APT::Sandbox::User=root",
        "-o",
        "Dir::Etc::SourceList=/dev/null",
        "install",
    ];
    words.extend(files.iter().map(String::as_str));
    run(root, &words)?;
    std::fs::remove_dir_all(root.join("debs"))?;
    Ok(())
}

/// Names of the essential packages, apt, and all that they need, as apt's own tools of this machine see it.
fn essential_closure(packages: &[(LockedPackage, PathBuf)]) -> Result<BTreeSet<String>> {
    let mut needs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut provides: BTreeMap<String, String> = BTreeMap::new();
    for (lock, path) in packages {
        let field = |name: &str| -> Result<Vec<String>> {
            let output = Command::new("dpkg-deb").arg("--field").arg(path).arg(name).output()?;
            let text = String::from_utf8(output.stdout)?;
            let word = |part: &str| {
                part.split('|')
                    .map(|one| {
                        one.split([' ', '(', ':']).find(|w| !w.is_empty()).unwrap_or("").to_owned()
                    })
                    .collect::<Vec<_>>()
            };
            Ok(text
                .split([',', '\n'])
                .flat_map(|part| word(part.trim()))
                .filter(|w| !w.is_empty())
                .collect())
        };
        needs.insert(lock.name.clone(), [field("Depends")?, field("Pre-Depends")?].concat());
        provides.extend(field("Provides")?.into_iter().map(|name| (name, lock.name.clone())));
    }
    let mut todo: Vec<String> = packages
        .iter()
        .filter(|(lock, _)| lock.essential || lock.name == "apt")
        .map(|(lock, _)| lock.name.clone())
        .collect();
    let mut found = BTreeSet::new();
    while let Some(name) = todo.pop() {
        let name =
            if needs.contains_key(&name) { Some(name) } else { provides.get(&name).cloned() };
        if let Some(name) = name
            && found.insert(name.clone())
        {
            todo.extend(needs.get(&name).cloned().unwrap_or_default());
        }
    }
    Ok(found)
}

/// Runs a command in a root with the environment that Stonecell documents.
fn run(root: &Path, words: &[&str]) -> Result<Vec<String>> {
    let env = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("LC_ALL", "C.UTF-8"),
        ("TZ", "UTC"),
        ("HOME", "/root"),
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
        ("SOURCE_DATE_EPOCH", "1700000000"),
        ("SYSTEMD_OFFLINE", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let argv: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let outcome = sandbox::run_in_root(&InRoot { root, argv: &argv, env: &env }, &mut |_| ())?;
    if outcome.status.success() {
        return Ok(outcome.tail);
    }
    let end = outcome.tail.join("\n");
    Err(format!("{} in {}: {}\n{end}", words[0], root.display(), outcome.status).into())
}

/// What dpkg and apt themselves say of a root.
fn accepted(root: &Path) -> Result<()> {
    for words in [&["dpkg", "--verify"][..], &["dpkg", "--audit"]] {
        let lines = run(root, words)?;
        if !lines.is_empty() {
            return Err(format!("{words:?}: {lines:?}").into());
        }
    }
    run(root, &["apt-get", "check"])?;
    let states = run(root, &["dpkg-query", "-W", "-f=${db:Status-Abbrev}${Package}\\n"])?;
    match states.iter().find(|line| !line.starts_with("ii ")) {
        Some(line) => Err(format!("not installed: {line}").into()),
        None => Ok(()),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Thing {
    mode: u32,
    owner: (u32, u32),
    mtime: i64,
    links: u64,
    content: String,
    xattrs: Vec<(String, Vec<u8>)>,
}

fn describe(root: &Path, everything: bool) -> Result<BTreeMap<String, Thing>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            let meta = path.symlink_metadata()?;
            if !everything && allowed(&name) {
                continue;
            }
            let content = if meta.is_symlink() {
                format!("-> {}", std::fs::read_link(&path)?.display())
            } else if meta.is_file() {
                hex::encode(sha2::Sha256::digest(std::fs::read(&path)?))
            } else {
                todo.push(path.clone());
                "directory".to_owned()
            };
            let thing = Thing {
                mode: meta.mode(),
                owner: (meta.uid(), meta.gid()),
                mtime: meta.mtime(),
                links: if meta.is_dir() { 0 } else { meta.nlink() },
                content,
                xattrs: xattrs(&path)?,
            };
            found.insert(name, thing);
        }
    }
    Ok(found)
}

fn xattrs(path: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut buffer = vec![0_u8; 65536];
    let count = rustix::fs::llistxattr(path, buffer.as_mut_slice())?;
    let names: Vec<String> = buffer[..count]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    let mut found = Vec::new();
    for name in names {
        let mut value = vec![0_u8; 65536];
        let count = rustix::fs::lgetxattr(path, name.as_str(), value.as_mut_slice())?;
        value.truncate(count);
        found.push((name, value));
    }
    found.sort();
    Ok(found)
}

fn allowed(path: &str) -> bool {
    ALLOWED.iter().any(|(pattern, _)| match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => path == *pattern,
    })
}

fn compare_trees(reference: &Path, ours: &Path) -> Result<Vec<String>> {
    let (theirs, ours) = (describe(reference, false)?, describe(ours, false)?);
    assert!(theirs.len() > 3000, "the reference has only {} paths", theirs.len());
    let paths: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let mut differences = Vec::new();
    for path in paths {
        let same = match (theirs.get(path), ours.get(path)) {
            // Times are clamped, and those of directories are of the build.
            (Some(a), Some(b)) => {
                Thing { mtime: 0, ..a.clone() } == Thing { mtime: 0, ..b.clone() }
            }
            _ => false,
        };
        if !same {
            differences.push(format!("{path}: {:?} / {:?}", theirs.get(path), ours.get(path)));
        }
    }
    Ok(differences)
}

/// `status` field by field, every file in `info`, alternatives, diversions, overrides, triggers.
fn compare_databases(reference: &Path, ours: &Path) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    let status = |root: &Path| -> Result<BTreeMap<String, BTreeMap<String, String>>> {
        let bytes = std::fs::read(root.join("var/lib/dpkg/status"))?;
        Ok(control::parse(&bytes)?
            .into_iter()
            .map(|s| {
                (s.get("Package").unwrap_or_default().to_owned(), s.fields.into_iter().collect())
            })
            .collect())
    };
    let (theirs, mine) = (status(reference)?, status(ours)?);
    for name in theirs.keys().chain(mine.keys()).collect::<BTreeSet<_>>() {
        let (a, b) = (theirs.get(name), mine.get(name));
        if a != b {
            differences.push(format!("status of {name}: {a:?} / {b:?}"));
        }
    }
    for dir in ["info", "alternatives", "triggers"] {
        let read = |root: &Path| -> Result<BTreeMap<String, BTreeSet<String>>> {
            let mut files = BTreeMap::new();
            for entry in std::fs::read_dir(root.join("var/lib/dpkg").join(dir))? {
                let entry = entry?;
                let text = String::from_utf8_lossy(&std::fs::read(entry.path())?).into_owned();
                // The order of lines in lists of interests is that of unpacking.
                files.insert(
                    entry.file_name().to_string_lossy().into_owned(),
                    text.lines().map(str::to_owned).collect(),
                );
            }
            files.remove("Lock");
            Ok(files)
        };
        let (a, b) = (read(reference)?, read(ours)?);
        for name in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
            if a.get(name) != b.get(name) {
                differences.push(format!("{dir}/{name}: {:?} / {:?}", a.get(name), b.get(name)));
            }
        }
    }
    for file in ["diversions", "statoverride"] {
        let read =
            |root: &Path| std::fs::read(root.join("var/lib/dpkg").join(file)).unwrap_or_default();
        if read(reference) != read(ours) {
            differences.push(format!("{file} differs"));
        }
    }
    Ok(differences)
}

/// A package whose postinst fails, built by dpkg-deb.
fn bad_package(work: &Path) -> Result<(LockedPackage, PathBuf)> {
    let dir = tempfile::tempdir()?;
    let debian = dir.path().join("DEBIAN");
    std::fs::create_dir(&debian)?;
    std::fs::write(
        debian.join("control"),
        "Package: stonecell-bad\nVersion: 1\nArchitecture: all\nMaintainer: x <x@stonecell.invalid>\nDescription: x\n",
    )?;
    let mut script = std::fs::File::create(debian.join("postinst"))?;
    script.write_all(b"#!/bin/sh\necho this is why >&2\nexit 42\n")?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(debian.join("postinst"), mode)?;
    drop(script);
    let path = work.join("bad.deb");
    let status = Command::new("dpkg-deb")
        .arg("--build")
        .arg(dir.path())
        .arg(&path)
        .stdout(Stdio::null())
        .status()?;
    assert!(status.success());
    let bytes = std::fs::read(&path)?;
    let text = |text: &str| text.to_owned();
    let lock = LockedPackage {
        name: text("stonecell-bad"),
        version: text("1"),
        architecture: text("all"),
        source: text("stonecell-bad"),
        source_version: text("1"),
        suite: text("test"),
        filename: text("bad.deb"),
        size: bytes.len() as u64,
        sha256: hex::encode(sha2::Sha256::digest(&bytes)),
        essential: false,
    };
    Ok((lock, path))
}
