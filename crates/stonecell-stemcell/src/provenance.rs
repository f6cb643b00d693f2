//! Where a stemcell comes from: an in-toto Statement v1 with the SLSA v1 provenance predicate, in a DSSE
//! envelope signed with the stemcell key.
//!
//! Subjects are the outputs; resolved dependencies are the lock: every package, every signed index, the
//! definition and its roles. No clock is read: `startedOn` and `finishedOn` are left out, which SLSA allows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use crate::facts::{Facts, Output, Package};
use crate::signature::{SigningKey, VerifyingKey};

/// Media type of the payload.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// What kind of build this is: names the meaning of `externalParameters`.
pub const BUILD_TYPE: &str = "https://stonecell.invalid/build/v1";

/// A DSSE envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// [`PAYLOAD_TYPE`].
    pub payload_type: String,
    /// The statement, base64.
    pub payload: String,
    /// One signature.
    pub signatures: Vec<EnvelopeSignature>,
}

/// A signature of an [`Envelope`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvelopeSignature {
    /// Fingerprint of the key, `SHA256:…`.
    pub keyid: String,
    /// Ed25519 signature over the pre-authentication encoding, base64.
    pub sig: String,
}

/// Why an envelope is not good.
#[derive(Debug, Error)]
pub enum EnvelopeError {
    /// Not JSON of the right shape.
    #[error("the provenance is not a DSSE envelope")]
    Format(#[source] serde_json::Error),
    /// Not base64.
    #[error("the provenance's payload or signature is not base64")]
    Base64,
    /// Another payload.
    #[error("the provenance carries {0:?}, expected {PAYLOAD_TYPE:?}")]
    PayloadType(String),
    /// No signature by that key.
    #[error("no signature on the provenance is by key {0}")]
    Signature(String),
}

/// The statement over `outputs`, whose paths are shown by their file names.
#[must_use]
pub fn statement(facts: &Facts, outputs: &[Output], parameters: &Value) -> Value {
    let subject: Vec<Value> = outputs
        .iter()
        .map(|output| {
            let name = output.path.file_name().unwrap_or_default().to_string_lossy();
            let mut subject =
                json!({ "name": name, "digest": { output.of.name(): output.sha256 } });
            if let (false, Some(map)) = (output.parts.is_empty(), subject.as_object_mut()) {
                map.insert("annotations".into(), json!({ "parts": output.parts }));
            }
            subject
        })
        .collect();
    let purl = |package: &Package| package.purl(&facts.distribution, &facts.release_version);
    let mut dependencies: Vec<Value> = Vec::new();
    for index in &facts.indexes {
        dependencies.push(json!({
            "name": format!("{}/InRelease", index.suite),
            "digest": { "sha256": index.sha256 },
            "annotations": { "date": index.date },
        }));
    }
    for source in &facts.sources {
        dependencies.push(json!({ "name": source.path, "digest": { "sha256": source.sha256 } }));
    }
    for package in facts.packages.iter().chain(&facts.tools).filter(|p| !p.sha256.is_empty()) {
        dependencies.push(json!({
            "uri": purl(package),
            "name": package.filename,
            "digest": { "sha256": package.sha256 },
        }));
    }
    let builder: Vec<Value> = facts
        .builder_files
        .iter()
        .map(|file| json!({ "name": file.path, "digest": { "sha256": file.sha256 } }))
        .collect();
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": parameters,
                "internalParameters": { "sourceDateEpoch": facts.epoch },
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": {
                    "id": format!("{BUILD_TYPE}/stonecell"),
                    "version": { "stonecell": facts.builder_version },
                    "builderDependencies": builder,
                },
                "metadata": { "invocationId": format!("lock:{}", facts.lock_sha256) },
            },
        },
    })
}

/// Signs a statement.
///
/// # Errors
/// Only when the key cannot sign, which its reader rules out.
pub fn seal(statement: &Value, key: &SigningKey) -> Result<Envelope, ssh_key::Error> {
    let payload = statement.to_string().into_bytes();
    let signature = key.sign_bytes(&pre_authentication(PAYLOAD_TYPE, &payload))?;
    Ok(Envelope {
        payload_type: PAYLOAD_TYPE.to_owned(),
        payload: STANDARD.encode(payload),
        signatures: vec![EnvelopeSignature {
            keyid: key.public().fingerprint(),
            sig: STANDARD.encode(signature),
        }],
    })
}

/// Checks the envelope's signature and gives the statement.
///
/// # Errors
/// [`EnvelopeError`] that says what is wrong.
pub fn open(text: &[u8], key: &VerifyingKey) -> Result<Value, EnvelopeError> {
    let envelope: Envelope = serde_json::from_slice(text).map_err(EnvelopeError::Format)?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(EnvelopeError::PayloadType(envelope.payload_type));
    }
    let payload = STANDARD.decode(&envelope.payload).map_err(|_| EnvelopeError::Base64)?;
    let message = pre_authentication(&envelope.payload_type, &payload);
    let good = envelope.signatures.iter().any(|signature| {
        STANDARD.decode(&signature.sig).is_ok_and(|bytes| key.verify_bytes(&message, &bytes))
    });
    if !good {
        return Err(EnvelopeError::Signature(key.fingerprint()));
    }
    serde_json::from_slice(&payload).map_err(EnvelopeError::Format)
}

/// DSSE's PAE: `DSSEv1 LEN(type) type LEN(body) body`.
fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut message =
        format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_opens_with_its_key_only() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::generate_development(&dir.path().join("a")).unwrap();
        let other = SigningKey::generate_development(&dir.path().join("b")).unwrap();
        let statement = json!({ "subject": [] });
        let text = serde_json::to_vec(&seal(&statement, &key).unwrap()).unwrap();
        assert_eq!(open(&text, &key.public()).unwrap(), statement);
        assert!(matches!(open(&text, &other.public()), Err(EnvelopeError::Signature(_))));
        let changed = String::from_utf8(text).unwrap().replace("payload\":\"e", "payload\":\"f");
        assert!(open(changed.as_bytes(), &key.public()).is_err());
    }

    #[test]
    fn the_encoding_is_that_of_the_dsse_specification() {
        assert_eq!(
            pre_authentication("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }
}
