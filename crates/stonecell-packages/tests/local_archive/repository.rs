//! Small signed archives: real `.deb` files, real indexes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use stonecell_packages::{
    Archive, ArchiveError, Cache, FetchOptions, Request, Silent, Sources, SuiteSource,
};
use tempfile::TempDir;
use url::Url;

use crate::keys::Key;

/// The time at which archives of these tests are read: one hour after they were made.
pub(crate) const NOW: i64 = 1_795_136_400;

/// `Date` of the archives.
pub(crate) const DATE: &str = "Fri, 20 Nov 2026 00:00:00 UTC";

/// A mirror directory with a key.
pub(crate) struct Repository {
    pub(crate) root: TempDir,
    pub(crate) key: Key,
    cache: TempDir,
    /// Stanzas by suite.
    stanzas: BTreeMap<String, Vec<String>>,
}

impl Repository {
    pub(crate) fn new() -> Self {
        let dir = || TempDir::new().expect("temporary directory");
        Self { root: dir(), key: Key::new(), cache: dir(), stanzas: BTreeMap::new() }
    }

    /// An archive with these packages in the suite `bookworm`, written and signed.
    pub(crate) fn of(packages: &[(&str, &str)]) -> Self {
        let mut repository = Self::new();
        for (name, fields) in packages {
            repository.add("bookworm", name, fields);
        }
        repository.publish("bookworm", "");
        repository
    }

    /// Adds the package `NAME`, version 1 if `fields` has none. `fields` are control lines.
    pub(crate) fn add(&mut self, suite: &str, name: &str, fields: &str) {
        let tree = TempDir::new().expect("temporary directory");
        fs::create_dir_all(tree.path().join("DEBIAN")).expect("writable");
        let version = if fields.contains("Version:") { "" } else { "Version: 1\n" };
        let fields = if fields.is_empty() { String::new() } else { format!("{fields}\n") };
        let control = format!(
            "Package: {name}\n{version}Architecture: all\nMaintainer: Test\nDescription: {suite}\n\
             {fields}"
        );
        fs::write(tree.path().join("DEBIAN/control"), &control).expect("writable");
        // Content that does not compress, so that transfers have something to break off in.
        let noise: Vec<u8> = (0..8192_u32).flat_map(|n| Sha256::digest(n.to_le_bytes())).collect();
        fs::write(tree.path().join(name), noise).expect("writable");
        let filename = format!("pool/{suite}/{name}.deb");
        let path = self.root.path().join(&filename);
        fs::create_dir_all(path.parent().expect("pool")).expect("writable");
        let status = Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Znone", "--build"])
            .args([tree.path(), &path])
            .stdout(std::process::Stdio::null())
            .status();
        assert!(status.expect("dpkg-deb runs").success());
        let content = fs::read(&path).expect("readable");
        let stanza = format!(
            "{control}Filename: {filename}\nSize: {}\nSHA256: {}\n",
            content.len(),
            hex::encode(Sha256::digest(&content))
        );
        self.stanzas.entry(suite.to_owned()).or_default().push(stanza);
    }

    /// Text of the Release file of a suite, with `fields` added, and the index written.
    pub(crate) fn release(&self, suite: &str, fields: &str) -> String {
        let packages = self.stanzas.get(suite).map(|all| all.join("\n")).unwrap_or_default();
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        std::io::Write::write_all(&mut packed, packages.as_bytes()).expect("memory");
        let packed = packed.finish().expect("memory");
        let mut files = String::new();
        for (name, content) in [("Packages", packages.as_bytes()), ("Packages.gz", &packed)] {
            let path = format!("main/binary-amd64/{name}");
            let digest = hex::encode(Sha256::digest(content));
            files.push_str(&format!(" {digest} {} {path}\n", content.len()));
            self.write(&format!("dists/{suite}/{path}"), content);
        }
        format!(
            "Origin: Test\nSuite: {suite}\nCodename: {suite}\nDate: {DATE}\n\
             Architectures: amd64\nComponents: main\n{fields}SHA256:\n{files}"
        )
    }

    /// Writes index, Release text and signature of a suite.
    pub(crate) fn publish(&self, suite: &str, fields: &str) {
        let message = self.key.clearsign(&self.release(suite, fields), &[]);
        self.write(&format!("dists/{suite}/InRelease"), &message);
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("writable");
        fs::write(path, content).expect("writable");
    }

    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.root.path().join(path)).expect("readable")
    }

    /// The mirror as a `file` URL.
    pub(crate) fn url(&self) -> Url {
        Url::from_directory_path(self.root.path()).expect("absolute")
    }

    pub(crate) fn cache(&self) -> Cache {
        Cache::open(self.cache.path()).expect("writable")
    }

    /// The suites of this archive below `base`.
    pub(crate) fn sources_at(&self, base: &Url, suites: &[&str]) -> Sources {
        let keyring = self.key.keyring();
        let suite = |name: &&str| SuiteSource {
            name: (*name).to_owned(),
            base_url: base.clone(),
            dist_path: (*name).to_owned(),
            components: vec!["main".to_owned()],
            keyring: keyring.clone(),
        };
        Sources { suites: suites.iter().map(suite).collect(), architecture: "amd64".to_owned() }
    }

    pub(crate) fn sources(&self) -> Sources {
        self.sources_at(&self.url(), &["bookworm"])
    }

    pub(crate) fn open(&self) -> Result<Archive, ArchiveError> {
        open(&self.sources(), &self.cache())
    }
}

pub(crate) fn open(sources: &Sources, cache: &Cache) -> Result<Archive, ArchiveError> {
    Archive::open(sources, cache, &options(), NOW, &Silent, &AtomicBool::new(false))
}

/// Two attempts, no waiting.
pub(crate) fn options() -> FetchOptions {
    let mut options = FetchOptions::default();
    options.connection.attempts = 2;
    options.connection.first_pause = Duration::from_millis(1);
    options
}

pub(crate) fn request(install: &[&str]) -> Request {
    Request {
        install: install.iter().map(|name| (*name).to_owned()).collect(),
        ..Request::default()
    }
}

/// The unfinished file that belongs to a file of the cache.
pub(crate) fn part(path: &Path) -> PathBuf {
    let mut part = path.to_owned().into_os_string();
    part.push(".part");
    part.into()
}
