//! A signed archive of the moment, with whatever packages a test wants, also bad ones.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::civil::date;
use sha2::{Digest, Sha256};
use stonecell_build::archive::STUB_PACKAGE;
use stonecell_build::project::Project;
use tempfile::TempDir;

use crate::keys::Key;
use crate::program::Place;

/// A mirror directory with one suite.
pub(crate) struct Archive {
    pub(crate) root: TempDir,
    pub(crate) key: Key,
    suite: &'static str,
    stanzas: Vec<String>,
}

impl Archive {
    pub(crate) fn new(suite: &'static str) -> Self {
        Self { root: TempDir::new().unwrap(), key: Key::new(), suite, stanzas: Vec::new() }
    }

    /// An archive with an empty package for every name that the definition of `place` demands, so that it can be
    /// locked and fetched. `place` must have been defined with [`Self::base`] or less.
    pub(crate) fn for_place(place: &Place, but: &[&str]) -> Self {
        let mut archive = Self::new("bookworm");
        let project = Project::load(&place.path("cell.toml"), date(2026, 1, 1), &[]).unwrap();
        let mut wanted: BTreeSet<&str> = project.definition.wanted_packages();
        wanted.extend(project.requirements.packages_present.iter().map(String::as_str));
        wanted.insert(STUB_PACKAGE);
        for name in wanted.into_iter().filter(|name| !but.contains(name)) {
            archive.add(name, "", &[]);
        }
        archive
    }

    /// `[base]` of a definition that reads this archive at `url`.
    pub(crate) fn base(&self, url: &str) -> String {
        let keyring = self.key.keyring();
        format!(
            "[base]\nrelease = \"bookworm\"\nmirror = \"{url}\"\nsuites = [\"{}\"]\nkeyring = \"{}\"\n",
            self.suite,
            keyring.display()
        )
    }

    pub(crate) fn file_url(&self) -> String {
        format!("file://{}", self.root.path().display())
    }

    /// Adds version 1 of a package: further control fields, and files of its control archive (`postinst`).
    pub(crate) fn add(&mut self, name: &str, fields: &str, scripts: &[(&str, &str)]) {
        let tree = TempDir::new().unwrap();
        let control = tree.path().join("DEBIAN");
        fs::create_dir(&control).unwrap();
        fs::write(control.join("control"), format!("{}{fields}", Self::control(name))).unwrap();
        for (script, text) in scripts {
            fs::write(control.join(script), text).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(control.join(script), mode).unwrap();
        }
        let deb = tree.path().join("deb");
        let build = Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Znone", "--build"])
            .args([tree.path(), &deb])
            .stdout(Stdio::null())
            .status();
        assert!(build.unwrap().success());
        self.add_bytes(name, fields, &fs::read(&deb).unwrap());
    }

    /// The control fields of every package here.
    pub(crate) fn control(name: &str) -> String {
        format!(
            "Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: Test <t@mirror.invalid>\n\
             Description: of a test\n"
        )
    }

    /// Adds a package whose file has these bytes.
    pub(crate) fn add_bytes(&mut self, name: &str, fields: &str, bytes: &[u8]) {
        let filename = Self::filename(name);
        self.write(&filename, bytes);
        let digest = hex::encode(Sha256::digest(bytes));
        let control = Self::control(name);
        self.stanzas.push(format!(
            "{control}{fields}Filename: {filename}\nSize: {}\nSHA256: {digest}\n",
            bytes.len()
        ));
    }

    pub(crate) fn filename(name: &str) -> String {
        format!("pool/{name}.deb")
    }

    /// Writes the index and the Release file, signed by `key`, with `fields` added.
    pub(crate) fn publish_as(&self, key: &Key, fields: &str) {
        let packages = self.stanzas.join("\n");
        let path = "main/binary-amd64/Packages";
        self.write(&format!("dists/{}/{path}", self.suite), packages.as_bytes());
        let digest = hex::encode(Sha256::digest(packages.as_bytes()));
        let release = format!(
            "Origin: Test\nSuite: {suite}\nCodename: {suite}\nDate: Fri, 20 Nov 2026 00:00:00 UTC\n\
             Architectures: amd64\nComponents: main\n{fields}SHA256:\n {digest} {} {path}\n",
            packages.len(),
            suite = self.suite,
        );
        let signed = key.clearsign(&release, &[]);
        self.write(&format!("dists/{}/InRelease", self.suite), &signed);
    }

    pub(crate) fn publish(&self) {
        self.publish_as(&self.key, "");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path: &Path = &self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
