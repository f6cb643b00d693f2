//! The `Packages` index of one component and architecture.
//!
//! Source: Debian Policy 5 and the repository format (`DebianRepository/Format`). An index of a
//! release has sixty thousand stanzas in fifty megabytes, so the reader makes one pass, copies
//! nothing and keeps only the fields that a resolution or a lock needs. Its input is signed, but
//! what it returns becomes paths, URLs and arguments, so names and paths are checked all the same.

use thiserror::Error;

/// Largest size of a package that is believed, in bytes.
const LARGEST_PACKAGE: u64 = 16 << 30;

/// One package of an index. All texts borrow from the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stanza<'a> {
    /// `Package`.
    pub name: &'a str,
    /// `Version`.
    pub version: &'a str,
    /// `Architecture`: of the machine, or `all`.
    pub architecture: &'a str,
    /// Name in `Source`, or the package's own.
    pub source: &'a str,
    /// Version in `Source`, or the package's own.
    pub source_version: &'a str,
    /// `Essential: yes`.
    pub essential: bool,
    /// `Depends`, or empty.
    pub depends: &'a str,
    /// `Pre-Depends`, or empty.
    pub pre_depends: &'a str,
    /// `Recommends`, or empty.
    pub recommends: &'a str,
    /// `Provides`, or empty.
    pub provides: &'a str,
    /// `Filename`: path below the mirror's root.
    pub filename: &'a str,
    /// `Size` in bytes.
    pub size: u64,
    /// `SHA256`.
    pub sha256: [u8; 32],
    /// The whole stanza, without the empty line that ends it.
    pub text: &'a str,
}

/// Why an index cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IndexError {
    /// A line that is neither a field nor the continuation of one.
    #[error("line {line} of the index is neither `Field: value` nor a continuation")]
    NotAField {
        /// Line, counted from 1.
        line: usize,
    },
    /// A field that every package needs is not there.
    #[error("the package that begins on line {line} of the index has no `{field}`")]
    Missing {
        /// First line of the stanza.
        line: usize,
        /// Name of the field.
        field: &'static str,
    },
    /// A field occurs twice.
    #[error("the package that begins on line {line} of the index has `{field}` twice")]
    Twice {
        /// First line of the stanza.
        line: usize,
        /// Name of the field.
        field: &'static str,
    },
    /// A value is not what its field may hold.
    #[error(
        "the package that begins on line {line} of the index has `{field}: {value}`, not {expected}"
    )]
    Value {
        /// First line of the stanza.
        line: usize,
        /// Name of the field.
        field: &'static str,
        /// Its value, cut to a readable length.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
}

/// Reads an index, in its order.
///
/// # Errors
///
/// The first stanza that is not well formed.
pub fn parse(text: &str) -> Result<Vec<Stanza<'_>>, IndexError> {
    let mut stanzas = Vec::with_capacity(text.len() / 700);
    let mut current = Fields::default();
    let mut number = 0;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        number += 1;
        let start = offset;
        offset += line.len();
        let line = line.strip_suffix('\n').unwrap_or(line);
        if line.is_empty() {
            if current.lines > 0 {
                stanzas.push(current.finish(text)?);
                current = Fields::default();
            }
            continue;
        }
        if current.lines == 0 {
            current.line = number;
            current.start = start;
        }
        current.lines += 1;
        current.end = start + line.len();
        if line.starts_with([' ', '\t']) {
            if current.lines == 1 {
                return Err(IndexError::NotAField { line: number });
            }
            continue;
        }
        current.add(line, number)?;
    }
    if current.lines > 0 {
        stanzas.push(current.finish(text)?);
    }
    Ok(stanzas)
}

/// A stanza while it is read.
#[derive(Default)]
struct Fields<'a> {
    line: usize,
    lines: usize,
    start: usize,
    end: usize,
    name: Option<&'a str>,
    version: Option<&'a str>,
    architecture: Option<&'a str>,
    source: Option<&'a str>,
    essential: Option<&'a str>,
    depends: Option<&'a str>,
    pre_depends: Option<&'a str>,
    recommends: Option<&'a str>,
    provides: Option<&'a str>,
    filename: Option<&'a str>,
    size: Option<&'a str>,
    sha256: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn add(&mut self, line: &'a str, number: usize) -> Result<(), IndexError> {
        let Some((key, value)) = line.split_once(':') else {
            return Err(IndexError::NotAField { line: number });
        };
        let (field, slot) = match key {
            "Package" => ("Package", &mut self.name),
            "Version" => ("Version", &mut self.version),
            "Architecture" => ("Architecture", &mut self.architecture),
            "Source" => ("Source", &mut self.source),
            "Essential" => ("Essential", &mut self.essential),
            "Depends" => ("Depends", &mut self.depends),
            "Pre-Depends" => ("Pre-Depends", &mut self.pre_depends),
            "Recommends" => ("Recommends", &mut self.recommends),
            "Provides" => ("Provides", &mut self.provides),
            "Filename" => ("Filename", &mut self.filename),
            "Size" => ("Size", &mut self.size),
            "SHA256" => ("SHA256", &mut self.sha256),
            _ => return Ok(()),
        };
        if slot.replace(value.trim()).is_some() {
            return Err(IndexError::Twice { line: self.line, field });
        }
        Ok(())
    }

    fn finish(self, text: &'a str) -> Result<Stanza<'a>, IndexError> {
        let line = self.line;
        let need = |field, value: Option<&'a str>| {
            value.filter(|value| !value.is_empty()).ok_or(IndexError::Missing { line, field })
        };
        let check = |field, value: &'a str, good: fn(&str) -> bool, expected| {
            if good(value) {
                return Ok(value);
            }
            let value = value.chars().take(80).collect();
            Err(IndexError::Value { line, field, value, expected })
        };
        let name = need("Package", self.name)?;
        let name = check("Package", name, is_package_name, "a package name")?;
        let version = need("Version", self.version)?;
        let version = check("Version", version, is_version, "a version")?;
        let architecture = need("Architecture", self.architecture)?;
        let architecture = check("Architecture", architecture, is_architecture, "an architecture")?;
        let filename = need("Filename", self.filename)?;
        let filename = check("Filename", filename, is_plain_path, "a relative path without `..`")?;
        let (source, source_version) = source(self.source, name, version);
        check("Source", source, is_package_name, "a package name")?;
        check("Source", source_version, is_version, "a version")?;
        let size_text = need("Size", self.size)?;
        let size_value = |size: &str| size.parse().ok().filter(|size| *size <= LARGEST_PACKAGE);
        check("Size", size_text, |size| size.parse::<u64>().is_ok(), "a number of bytes")?;
        let Some(size) = size_value(size_text) else {
            return Err(IndexError::Value {
                line,
                field: "Size",
                value: size_text.chars().take(80).collect(),
                expected: "at most 16 GiB",
            });
        };
        let sha256_text = need("SHA256", self.sha256)?;
        let mut sha256 = [0; 32];
        hex::decode_to_slice(sha256_text, &mut sha256).map_err(|_| IndexError::Value {
            line,
            field: "SHA256",
            value: sha256_text.chars().take(80).collect(),
            expected: "64 hexadecimal digits",
        })?;
        Ok(Stanza {
            name,
            version,
            architecture,
            source,
            source_version,
            essential: self.essential == Some("yes"),
            depends: self.depends.unwrap_or_default(),
            pre_depends: self.pre_depends.unwrap_or_default(),
            recommends: self.recommends.unwrap_or_default(),
            provides: self.provides.unwrap_or_default(),
            filename,
            size,
            sha256,
            text: text.get(self.start..self.end).unwrap_or_default(),
        })
    }
}

/// Splits `name (version)`; what is missing is the binary package's own.
fn source<'a>(field: Option<&'a str>, name: &'a str, version: &'a str) -> (&'a str, &'a str) {
    let Some(field) = field else { return (name, version) };
    match field.split_once(" (") {
        Some((source, rest)) => (source, rest.strip_suffix(')').unwrap_or(rest)),
        None => (field, version),
    }
}

/// Whether `name` is a package name (Policy 5.6.7, with the one-letter names that dpkg accepts).
///
/// A name that passes can neither be an option nor apt's `name-` or `name=version` notation.
pub fn is_package_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && !name.ends_with('-')
        && name.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'_')
        })
}

/// Whether `version` has only the characters of deb-version(7).
pub fn is_version(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_alphanumeric())
        && version.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-' | b'~' | b':' | b'_')
        })
}

/// Whether `architecture` has the form of one, for example `amd64` or `all`.
pub fn is_architecture(architecture: &str) -> bool {
    !architecture.is_empty()
        && architecture.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Whether `path` is relative, has no empty, `.` or `..` part and only printable ASCII that a URL
/// can carry as it is.
pub fn is_plain_path(path: &str) -> bool {
    !path.is_empty()
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && path.bytes().all(|b| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'/' | b'.' | b'_' | b'-' | b'+' | b'~' | b'=' | b':' | b'@' | b',')
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TWO: &str = "Package: bash\nEssential: yes\nVersion: 5.2.15-2+b7\nArchitecture: amd64\n\
        Source: bash (5.2.15-2)\nPre-Depends: libc6 (>= 2.36)\nDescription: shell\n and more\n\
        Filename: pool/main/b/bash/bash_5.2.15-2+b7_amd64.deb\nSize: 12\nSHA256: \
        0000000000000000000000000000000000000000000000000000000000000001\n\n\n\
        Package: tzdata\nVersion: 2024a-0\nArchitecture: all\nFilename: pool/t.deb\nSize: 1\n\
        SHA256: 0000000000000000000000000000000000000000000000000000000000000002\n";

    #[test]
    fn reads_the_needed_fields() {
        let stanzas = parse(TWO).expect("well formed");
        let [bash, tzdata] = stanzas.as_slice() else { panic!("two stanzas") };
        assert_eq!((bash.name, bash.version, bash.essential), ("bash", "5.2.15-2+b7", true));
        assert_eq!((bash.source, bash.source_version), ("bash", "5.2.15-2"));
        assert_eq!((bash.pre_depends, bash.size), ("libc6 (>= 2.36)", 12));
        assert!(bash.text.starts_with("Package: bash\n") && bash.text.ends_with("0001"));
        assert_eq!((tzdata.source, tzdata.source_version), ("tzdata", "2024a-0"));
        assert!(!tzdata.essential && tzdata.text.ends_with("0002"));
    }

    #[test]
    fn says_which_line_is_wrong() {
        let cases = [
            (" x\n", IndexError::NotAField { line: 1 }),
            ("Package: a\nnothing\n", IndexError::NotAField { line: 2 }),
            ("\nPackage: a\n", IndexError::Missing { line: 2, field: "Version" }),
            ("Package: a\nPackage: a\n", IndexError::Twice { line: 1, field: "Package" }),
        ];
        for (text, error) in cases {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
        for (from, to, field) in [
            ("pool/t.deb", "../t.deb", "Filename"),
            ("pool/t.deb", "/t.deb", "Filename"),
            ("pool/t.deb", "a//t.deb", "Filename"),
            ("tzdata", "-otzdata", "Package"),
            ("Size: 1\n", "Size: 99999999999999\n", "Size"),
            ("Size: 1\n", "Size: -1\n", "Size"),
            ("0002", "000g", "SHA256"),
            ("0002", "002", "SHA256"),
        ] {
            let text = TWO.replace(from, to);
            match parse(&text) {
                Err(IndexError::Value { line: 14, field: got, .. }) => assert_eq!(got, field),
                other => panic!("{to}: {other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(Package|Version|Size|SHA256|a|:| |\n|[a-z0-9]){0,80}") {
            if let Ok(stanzas) = parse(&text) {
                for stanza in stanzas {
                    prop_assert!(text.contains(stanza.text));
                    prop_assert!(is_package_name(stanza.name));
                }
            }
        }

        #[test]
        fn a_written_stanza_comes_back(
            name in "[a-z0-9][a-z0-9+.-]{0,8}[a-z0-9]",
            version in "[0-9][0-9a-z.+~]{0,8}",
            size in 0..LARGEST_PACKAGE,
            sha256: [u8; 32],
        ) {
            let text = format!(
                "Package: {name}\nVersion: {version}\nArchitecture: all\nFilename: pool/{name}.deb\n\
                 Size: {size}\nSHA256: {}\n", hex::encode(sha256));
            let stanzas = parse(&text).expect("well formed");
            prop_assert_eq!(stanzas.len(), 1);
            let stanza = stanzas[0];
            prop_assert_eq!((stanza.name, stanza.version), (name.as_str(), version.as_str()));
            prop_assert_eq!((stanza.size, stanza.sha256), (size, sha256));
        }
    }
}
