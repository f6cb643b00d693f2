//! The results of a build in the output directory: which there will be, what must not lie among them, and how they
//! get there.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use stonecell_definition::Definition;
use stonecell_definition::iaas::Iaas;
use stonecell_definition::manifest;

use crate::BuildError;
use crate::formats;
use crate::inner::{iaas, io_at};

/// Names of everything that a build for these infrastructures and formats writes.
///
/// # Errors
/// [`BuildError::Request`] for an infrastructure that does not exist.
pub(crate) fn names(
    definition: &Definition,
    infrastructures: &[String],
    formats: &[String],
) -> Result<BTreeSet<String>, BuildError> {
    let base = format!("{}-{}", definition.name, definition.version);
    let mut outputs: Vec<String> =
        formats.iter().map(|format| format!("{base}.{format}")).collect();
    for name in infrastructures {
        let iaas = iaas(name)?;
        outputs.push(manifest::file_name(definition, iaas, false));
        if definition.output.light.iter().any(|light| light.iaas == iaas) {
            outputs.push(manifest::file_name(definition, iaas, true));
        }
    }
    let signatures: Vec<String> = outputs.iter().map(|name| format!("{name}.sig")).collect();
    let proof = ["intoto.json", "pub", "crt"].map(|ending| format!("{base}.{ending}"));
    Ok(outputs.into_iter().chain(signatures).chain(proof).collect())
}

/// Refuses an output directory with results of the same stemcell that this build does not replace: the provenance
/// that vouches for them would be replaced, and they would lie unproven among the new ones.
///
/// # Errors
/// [`BuildError::Leftover`] with their names, or [`BuildError::Io`].
pub(crate) fn no_foreign(
    out: &Path,
    definition: &Definition,
    expected: &BTreeSet<String>,
) -> Result<(), BuildError> {
    let entries = match fs::read_dir(out) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(io_at("read", out))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let name = entry.map_err(io_at("read", out))?.file_name().to_string_lossy().into_owned();
        if !expected.contains(&name) && belongs(&name, definition) {
            files.push(name);
        }
    }
    files.sort();
    if files.is_empty() {
        return Ok(());
    }
    Err(BuildError::Leftover {
        out: out.to_owned(),
        stemcell: format!("{} {}", definition.name, definition.version),
        files,
    })
}

/// Is this the name of a result of this definition, for whatever infrastructure or format?
fn belongs(name: &str, definition: &Definition) -> bool {
    let output = name.strip_suffix(".sig").unwrap_or(name);
    let base = format!("{}-{}.", definition.name, definition.version);
    let stemcell = |iaas: Iaas| {
        [false, true].iter().any(|light| manifest::file_name(definition, iaas, *light) == output)
    };
    output.strip_prefix(&base).is_some_and(formats::is_ending)
        || Iaas::ALL.into_iter().any(stemcell)
}

/// Moves what is finished from `done` into `out`, by rename. Gives the new paths, sorted.
///
/// # Errors
/// [`BuildError`]; when something stands in the way, nothing was moved.
pub(crate) fn put(done: &Path, out: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let mut moves = Vec::new();
    for entry in fs::read_dir(done).map_err(io_at("read", done))? {
        let entry = entry.map_err(io_at("read", done))?;
        let to = out.join(entry.file_name());
        if to.symlink_metadata().is_ok_and(|there| there.is_dir()) {
            let kind = io::Error::from(io::ErrorKind::IsADirectory);
            return Err(io_at("replace", &to)(kind));
        }
        moves.push((entry.path(), to));
    }
    moves.sort();
    for (from, to) in &moves {
        fs::rename(from, to).map_err(io_at("write", to))?;
    }
    Ok(moves.into_iter().map(|(_, to)| to).collect())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use stonecell_definition::{Disk, load};

    use super::*;

    fn definition(dir: &Path) -> Definition {
        let path = dir.join("cell.toml");
        let text = "schema = 1\nname = \"cell\"\nversion = \"1.0\"\n[base]\nrelease = \"bookworm\"\n\
                    [signing]\ndevelopment = true\n";
        fs::write(&path, text).unwrap();
        load(&path, date(2026, 1, 1), &Disk).unwrap()
    }

    #[test]
    fn results_of_another_build_are_refused_and_everything_else_may_stay() {
        let dir = tempfile::tempdir().unwrap();
        let definition = definition(dir.path());
        let out = dir.path().join("out");
        let wanted = names(&definition, &["qemu".to_owned()], &["raw".to_owned()]).unwrap();
        no_foreign(&out, &definition, &wanted).unwrap();
        fs::create_dir(&out).unwrap();
        for name in &wanted {
            fs::write(out.join(name), "").unwrap();
        }
        for name in ["cell-0.9.raw", "notes.txt", "other-1.0.qcow2", "cell-1.0.log"] {
            fs::write(out.join(name), "").unwrap();
        }
        no_foreign(&out, &definition, &wanted).unwrap();
        let aws = manifest::file_name(&definition, Iaas::Aws, false);
        for name in ["cell-1.0.qcow2", "cell-1.0.vmdk.sig", aws.as_str()] {
            fs::write(out.join(name), "").unwrap();
            let error = no_foreign(&out, &definition, &wanted).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("--out"), "{error}");
            fs::remove_file(out.join(name)).unwrap();
        }
    }

    #[test]
    fn all_results_move_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let (done, out) = (dir.path().join("done"), dir.path().join("out"));
        for path in [&done, &out, &out.join("b")] {
            fs::create_dir(path).unwrap();
        }
        for name in ["a", "b"] {
            fs::write(done.join(name), "new").unwrap();
        }
        fs::write(out.join("a"), "old").unwrap();
        assert!(put(&done, &out).is_err());
        assert_eq!(fs::read(out.join("a")).unwrap(), b"old");
        fs::remove_dir(out.join("b")).unwrap();
        assert_eq!(put(&done, &out).unwrap(), [out.join("a"), out.join("b")]);
        assert_eq!(fs::read(out.join("a")).unwrap(), b"new");
    }
}
