//! The checks over the whole file: its detached signature, and the provenance that names it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;
use stonecell_definition::with_causes;

use super::{Checks, Trust};
use crate::digest::Of;
use crate::outputs::{beside, with};
use crate::provenance;
use crate::signature::{self, VerifyingKey};

/// More bytes than any provenance has.
const LARGEST: u64 = 64 << 20;

/// What the provenance says of the file.
#[derive(Debug, Default)]
pub(super) struct Origin {
    /// The whole statement.
    pub(super) statement: Option<Value>,
    /// The subject that is this file.
    pub(super) subject: Option<Value>,
}

impl Origin {
    /// Digests of the file's parts, by name.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&str, &str)> {
        let parts = self.subject.as_ref().and_then(|s| s["annotations"]["parts"].as_object());
        parts
            .into_iter()
            .flatten()
            .filter_map(|(name, digest)| Some((name.as_str(), digest.as_str()?)))
    }
}

/// Checks signature and provenance of `path`.
pub(super) fn check(path: &Path, trust: &Trust, checks: &mut Checks) -> Origin {
    let beside_keys: Vec<VerifyingKey> =
        beside(path, ".pub").iter().filter_map(|path| VerifyingKey::read(path).ok()).collect();
    let armour = with(path, ".sig");
    let of = signature::claimed_digest(&armour);
    let digest = of.take(path);
    let known = digest.as_ref().ok().map(|digest| (of, digest.as_slice()));
    let signed = signature::verify_known(path, &armour, trust.key.as_ref(), known);
    let signer = signed.as_ref().ok().cloned();
    checks.result(
        "signature",
        match signed {
            Err(error) => Err(with_causes(&error)),
            Ok(signer) => judge_signer(&signer, trust, &beside_keys),
        },
    );
    let key = trust.key.clone().or(signer).or_else(|| beside_keys.into_iter().next());
    let (origin, result) = provenance_of(path, of, digest, key.as_ref());
    checks.result("provenance", result);
    origin
}

/// Who signed, and whether that says anything.
fn judge_signer(
    signer: &VerifyingKey,
    trust: &Trust,
    beside: &[VerifyingKey],
) -> Result<String, String> {
    let print = signer.fingerprint();
    let known = trust.key.iter().chain(beside).find(|key| key.fingerprint() == print);
    let development = match known {
        Some(key) if key.is_development() => ", a development key",
        _ => "",
    };
    match (&trust.key, known) {
        (Some(_), _) => Ok(format!("by {print}{development}")),
        (None, None) if !beside.is_empty() => {
            Err(format!("by {print}, which is not the public key that lies beside the file"))
        }
        (None, _) => Ok(format!("by {print}{development}; nobody vouched for this key")),
    }
}

fn provenance_of(
    path: &Path,
    of: Of,
    digest: io::Result<[u8; 32]>,
    key: Option<&VerifyingKey>,
) -> (Origin, Result<String, String>) {
    let none = |problem: String| (Origin::default(), Err(problem));
    let taken = match digest {
        Ok(digest) => digest,
        Err(error) => return none(error.to_string()),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let files = beside(path, ".intoto.json");
    if files.is_empty() {
        return none("there is no provenance (*.intoto.json) beside the file".to_owned());
    }
    let Some(key) = key else {
        return none("no key to check it with: give --key".to_owned());
    };
    let mut problem = format!("no provenance beside the file names {name}");
    for file in &files {
        let opened = read_bounded(file)
            .map_err(|error| error.to_string())
            .and_then(|text| provenance::open(&text, key).map_err(|error| with_causes(&error)));
        let statement = match opened {
            Ok(statement) => statement,
            Err(error) => {
                problem = format!("{}: {error}", file.display());
                continue;
            }
        };
        let subject = statement["subject"]
            .as_array()
            .and_then(|all| all.iter().find(|subject| subject["name"] == *name))
            .cloned();
        let Some(subject) = subject else { continue };
        // A file that was signed again, as a whole, still has the provenance of its pieces.
        let named = [of, Of::File, Of::Pieces]
            .into_iter()
            .find(|of| subject["digest"][of.name()].is_string())
            .unwrap_or(of);
        let actual = if named == of { Ok(taken) } else { named.take(path) };
        let verdict = actual
            .map_err(|error| error.to_string())
            .and_then(|actual| judge(named, &hex::encode(actual), &statement, &subject));
        return (Origin { statement: Some(statement), subject: Some(subject) }, verdict);
    }
    none(problem)
}

fn judge(of: Of, actual: &str, statement: &Value, subject: &Value) -> Result<String, String> {
    if statement["_type"] != "https://in-toto.io/Statement/v1"
        || statement["predicateType"] != "https://slsa.dev/provenance/v1"
    {
        return Err("it is not an in-toto v1 statement of SLSA v1 provenance".to_owned());
    }
    let what = match of {
        Of::File => "SHA-256",
        Of::Pieces => "SHA-256 of its pieces",
    };
    if subject["digest"][of.name()] != actual {
        let signed = subject["digest"][of.name()].as_str().unwrap_or("no digest");
        return Err(format!("it was made for a file with {what} {signed}; this one has {actual}"));
    }
    let count = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
        .as_array()
        .map_or(0, Vec::len);
    Ok(format!("names this file ({what} {actual}) and {count} materials"))
}

/// A document of a size that a provenance may have; of a longer one only the beginning, which is none.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}
