//! The same real packages, installed by dpkg and apt and by Stonecell, give the same root.
//!
//! Packages come from the archive that this machine's apt uses; they are kept below the build
//! directory, so that a second run fetches only indexes. Differences that are allowed are listed in
//! `compare.rs`, each with its reason; anything else fails.

mod compare;
mod locked;
mod packages;
mod reference;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use stonecell_definition::causes;
use stonecell_root::sandbox::{self, InRoot, Inner};
use stonecell_root::{Event, RootSpec, Store, Synthetic, SyntheticFile, build_root};

use compare::{compare_databases, compare_trees, describe};

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
    packages::fetch(&work)?;
    let inner = Inner {
        program: std::env::current_exe()?,
        args: vec!["inside".into(), work.into()],
        env: Vec::new(),
    };
    let status = sandbox::respawn(&inner, &AtomicBool::new(false))?;
    if status.success() { Ok(()) } else { Err(format!("inside: {status}").into()) }
}

fn inside(work: &Path) -> Result<()> {
    let packages = packages::read(work)?;
    let store = Store::open(&work.join("cache"))?;
    let scratch = tempfile::tempdir_in("/tmp")?;
    let reference = scratch.path().join("reference");
    println!("test the same tree as dpkg's ({} packages) ...", packages.len());
    reference::install_by_dpkg(&reference, &packages)?;
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
    let bad = packages::bad(work)?;
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
