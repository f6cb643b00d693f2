//! Builds a root from a directory of .deb files, without the command line:
//! `root DEBS CACHE TARGET [--slim]`.

#[path = "../tests/against_dpkg/locked.rs"]
mod locked;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use stonecell_definition::causes;
use stonecell_root::sandbox::{self, Inner};
use stonecell_root::{Event, RootSpec, Store, Synthetic, build_root};

use locked::locked;

fn main() -> ExitCode {
    if let Some(code) = sandbox::dispatch() {
        return code;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.split_first() {
        Some((word, rest)) if word == "inside" => inside(rest),
        Some(_) => outside(&args),
        None => Err("usage: root DEBS CACHE TARGET [--slim]".into()),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        for cause in causes(error.as_ref()) {
            eprintln!("  because: {cause}");
        }
        ExitCode::FAILURE
    })
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn outside(args: &[String]) -> Result<ExitCode> {
    let inner = Inner {
        program: std::env::current_exe()?,
        args: ["inside"].iter().map(Into::into).chain(args.iter().map(Into::into)).collect(),
        env: Vec::new(),
    };
    let status = sandbox::respawn(&inner, &AtomicBool::new(false))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn inside(args: &[String]) -> Result<ExitCode> {
    let [debs, cache, target, flags @ ..] = args else { return Err("three paths wanted".into()) };
    let mut packages = Vec::new();
    for entry in std::fs::read_dir(debs)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            packages.push((locked(&path)?, path));
        }
    }
    packages.sort();
    std::fs::create_dir_all(target)?;
    let slim = flags.iter().any(|flag| flag == "--slim");
    let initrd = Synthetic {
        name: "stonecell-initrd".into(),
        version: "1".into(),
        provides: "linux-initramfs-tool".into(),
        description: "initrd made by the build".into(),
        maintainer: "Stonecell <stonecell@example.org>".into(),
        ..Synthetic::default()
    };
    let has_tool = packages.iter().any(|(lock, _)| lock.name == "initramfs-tools");
    let spec = RootSpec {
        target: PathBuf::from(target),
        packages,
        synthetic: if has_tool { Vec::new() } else { vec![initrd] },
        epoch: 1_700_000_000,
        path_exclude: if slim {
            vec!["/usr/share/doc/*".into(), "/usr/share/man/*".into()]
        } else {
            vec![]
        },
        path_include: if slim { vec!["/usr/share/doc/*/copyright".into()] } else { vec![] },
        database: slim.then(|| "usr/lib/stonecell/dpkg".into()),
    };
    let start = Instant::now();
    let report = build_root(&spec, &Store::open(Path::new(cache))?, &|event| match event {
        Event::Loaded { converted: false, .. } => {}
        other => eprintln!("{:8.3} {other:?}", start.elapsed().as_secs_f64()),
    })?;
    println!("{:8.3} {report:?}", start.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}
