//! The program under test, with a cache, a home and an output directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::init::init;

/// A place in which one user works.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.path("out")
    }

    /// Writes a definition `cell.toml` with these lines after its head.
    pub(crate) fn define(&self, body: &str) -> PathBuf {
        let path = self.path("cell.toml");
        let head = "schema = 1\nname = \"cell\"\nversion = \"1.0\"\n";
        std::fs::write(&path, format!("{head}{body}")).unwrap();
        path
    }

    /// The program with these arguments; `DEFINITION`, `OUT` and `LOCK` stand for the paths of this place.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stonecell"));
        for argument in arguments {
            match *argument {
                "DEFINITION" => command.arg(self.path("cell.toml")),
                "OUT" => command.arg(self.out()),
                other => command.arg(other),
            };
        }
        command
            .env("HOME", self.dir.path())
            .env("STONECELL_INIT", init())
            .env("STONECELL_CACHE", self.path("cache"))
            .env("TMPDIR", self.temporary())
            .env_remove("XDG_DATA_HOME")
            .env_remove("STONECELL_MIRROR")
            .stdin(Stdio::null());
        for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(&self.command(arguments).output().unwrap())
    }

    /// The directory for the program's temporary files.
    pub(crate) fn temporary(&self) -> PathBuf {
        let path = self.path("tmp");
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Nothing of a build is there: no output, no staging directory, no temporary file.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        assert!(!self.out().exists(), "{:?}", names(&self.out()));
        assert_eq!(names(&self.temporary()), Vec::<String>::new());
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let here = self.dir.path().to_str().unwrap();
        assert!(!mounts.contains(here), "a mount was left: {mounts}");
    }
}

impl Ended {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The program refused with this code, and said all of this.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in:\n{}", self.err);
        }
    }

    #[track_caller]
    pub(crate) fn succeeded(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self
    }
}

/// The names in a directory, sorted; none when it does not exist.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
