//! The `Release` text of a suite, after its signature was verified.
//!
//! Source: `DebianRepository/Format`. It ties the indexes (by SHA-256 and size) to a suite name and
//! to a span of time; both are checked here so that a mirror can neither serve one suite for another
//! nor keep serving an old state past the date that the archive itself set.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use thiserror::Error;

/// How far in the future a `Date` may lie, in seconds: clocks differ.
const CLOCK_TOLERANCE: i64 = 24 * 60 * 60;

/// What a Release file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `Origin`, for example `Debian`; empty when absent.
    pub origin: String,
    /// `Suite`, for example `oldstable`; empty when absent.
    pub suite: String,
    /// `Codename`, for example `bookworm`; empty when absent.
    pub codename: String,
    /// `Date`, in seconds since 1970.
    pub date: i64,
    /// `Valid-Until`, in seconds since 1970.
    pub valid_until: Option<i64>,
    /// `Acquire-By-Hash: yes`.
    pub by_hash: bool,
    /// `NotAutomatic: yes`: apt takes packages from here only when told to (backports).
    pub not_automatic: bool,
    /// `ButAutomaticUpgrades: yes`.
    pub but_automatic_upgrades: bool,
    /// `Architectures`.
    pub architectures: Vec<String>,
    /// `Architecture: all` packages have an index of their own.
    pub separate_all: bool,
    /// The `SHA256` list: path below the suite's directory to size and checksum.
    pub files: BTreeMap<String, ReleaseFile>,
}

/// One file of the `SHA256` list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReleaseFile {
    /// Bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: [u8; 32],
}

/// Why a Release file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReleaseError {
    /// A line that is neither a field nor the continuation of one.
    #[error("line {line} of the Release file is neither `Field: value` nor a continuation")]
    NotAField {
        /// Line, counted from 1.
        line: usize,
    },
    /// A needed field is not there.
    #[error("the Release file has no `{field}`")]
    Missing {
        /// Name of the field.
        field: &'static str,
    },
    /// A field occurs twice.
    #[error("the Release file has `{field}` twice")]
    Twice {
        /// Name of the field.
        field: String,
    },
    /// A value is not what its field may hold.
    #[error("the Release file has `{value}` in `{field}`, not {expected}")]
    Value {
        /// Name of the field.
        field: &'static str,
        /// The value, cut to a readable length.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The file is of another suite than the one asked for.
    #[error(
        "the mirror serves suite `{suite}` (codename `{codename}`) where `{asked}` was asked for; \
         check the mirror's address"
    )]
    OtherSuite {
        /// What was asked for.
        asked: String,
        /// `Suite` of the file.
        suite: String,
        /// `Codename` of the file.
        codename: String,
    },
    /// `Valid-Until` is over.
    #[error(
        "the Release file was valid until {until} and it is {now} now; the mirror is out of date: \
         use another one, or a dated snapshot if the old state is wanted"
    )]
    Expired {
        /// `Valid-Until`, RFC 3339.
        until: String,
        /// The time it was compared with, RFC 3339.
        now: String,
    },
    /// `Date` lies in the future.
    #[error("the Release file is dated {date} and it is {now} now; check this machine's clock")]
    NotYetValid {
        /// `Date`, RFC 3339.
        date: String,
        /// The time it was compared with, RFC 3339.
        now: String,
    },
}

/// Reads the text of a Release file.
///
/// # Errors
///
/// [`ReleaseError::NotAField`], [`ReleaseError::Missing`], [`ReleaseError::Twice`] or
/// [`ReleaseError::Value`].
pub fn parse(text: &str) -> Result<Release, ReleaseError> {
    let fields = fields(text)?;
    let get = |field: &str| fields.get(field).map(|value| value.0).unwrap_or_default();
    let date = fields.get("Date").ok_or(ReleaseError::Missing { field: "Date" })?;
    let list = fields.get("SHA256").ok_or(ReleaseError::Missing { field: "SHA256" })?;
    let valid_until = fields.get("Valid-Until").map(|until| time("Valid-Until", until.0));
    let architectures: Vec<String> =
        get("Architectures").split_whitespace().map(String::from).collect();
    let all_is_merged =
        get("No-Support-for-Architecture-all").split_whitespace().any(|what| what == "Packages");
    Ok(Release {
        origin: get("Origin").to_owned(),
        suite: get("Suite").to_owned(),
        codename: get("Codename").to_owned(),
        date: time("Date", date.0)?,
        valid_until: valid_until.transpose()?,
        by_hash: get("Acquire-By-Hash") == "yes",
        not_automatic: get("NotAutomatic") == "yes",
        but_automatic_upgrades: get("ButAutomaticUpgrades") == "yes",
        separate_all: !all_is_merged && architectures.iter().any(|name| name == "all"),
        architectures,
        files: list.1.iter().map(|line| file(line)).collect::<Result<_, _>>()?,
    })
}

/// Checks that the file is of the suite `asked` and valid at `now` (seconds since 1970).
///
/// `asked` must be the file's `Suite`, or its `Codename`; the latter does not count when the suite is
/// a part of the release, because Ubuntu's `jammy-updates` has the codename `jammy`.
///
/// # Errors
///
/// [`ReleaseError::OtherSuite`], [`ReleaseError::Expired`] or [`ReleaseError::NotYetValid`].
pub fn check(release: &Release, asked: &str, now: i64) -> Result<(), ReleaseError> {
    let pocket = release
        .suite
        .strip_prefix(release.codename.as_str())
        .is_some_and(|rest| rest.starts_with('-'));
    if release.suite != asked && (release.codename != asked || pocket) {
        return Err(ReleaseError::OtherSuite {
            asked: asked.to_owned(),
            suite: release.suite.clone(),
            codename: release.codename.clone(),
        });
    }
    if release.date > now.saturating_add(CLOCK_TOLERANCE) {
        return Err(ReleaseError::NotYetValid { date: rfc3339(release.date), now: rfc3339(now) });
    }
    match release.valid_until {
        Some(until) if until < now => {
            Err(ReleaseError::Expired { until: rfc3339(until), now: rfc3339(now) })
        }
        _ => Ok(()),
    }
}

/// Seconds since 1970 as RFC 3339 in UTC.
pub(crate) fn rfc3339(seconds: i64) -> String {
    // A time that no calendar holds is only ever shown, so its number does as well.
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// First line and continuation lines of every field.
type Field<'a> = (&'a str, Vec<&'a str>);

fn fields(text: &str) -> Result<BTreeMap<&str, Field<'_>>, ReleaseError> {
    let mut fields: BTreeMap<&str, Field<'_>> = BTreeMap::new();
    let mut last = None;
    for (at, line) in text.lines().enumerate() {
        let line_number = at + 1;
        if line.trim().is_empty() {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            let field = last.and_then(|key| fields.get_mut(key));
            field.ok_or(ReleaseError::NotAField { line: line_number })?.1.push(line.trim());
            continue;
        }
        let (key, value) =
            line.split_once(':').ok_or(ReleaseError::NotAField { line: line_number })?;
        if fields.insert(key, (value.trim(), Vec::new())).is_some() {
            return Err(ReleaseError::Twice { field: key.chars().take(80).collect() });
        }
        last = Some(key);
    }
    Ok(fields)
}

fn file(line: &str) -> Result<(String, ReleaseFile), ReleaseError> {
    let bad = |expected| ReleaseError::Value {
        field: "SHA256",
        value: line.chars().take(160).collect(),
        expected,
    };
    let mut words = line.split_whitespace();
    let (Some(digest), Some(size), Some(path), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(bad("`checksum size path`"));
    };
    let mut sha256 = [0; 32];
    hex::decode_to_slice(digest, &mut sha256).map_err(|_| bad("a checksum of 64 digits"))?;
    let size = size.parse().map_err(|_| bad("a number of bytes"))?;
    Ok((path.to_owned(), ReleaseFile { size, sha256 }))
}

/// A date as archives write it: `Sat, 11 Jul 2026 10:16:37 UTC`.
fn time(field: &'static str, value: &str) -> Result<i64, ReleaseError> {
    let bad = || ReleaseError::Value {
        field,
        value: value.chars().take(80).collect(),
        expected: "a date such as `Sat, 11 Jul 2026 10:16:37 UTC`",
    };
    let utc = ["UTC", "GMT", "+0000", "Z"].into_iter().find_map(|zone| value.strip_suffix(zone));
    let civil = utc.ok_or_else(bad)?.trim();
    let parsed = DateTime::strptime("%a, %d %b %Y %H:%M:%S", civil).map_err(|_| bad())?;
    Ok(parsed.to_zoned(TimeZone::UTC).map_err(|_| bad())?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "Origin: Debian\nSuite: oldstable-security\nCodename: bookworm-security\n\
        Date: Fri, 20 Nov 2026 00:12:41 UTC\nValid-Until: Fri, 27 Nov 2026 00:12:41 UTC\n\
        Acquire-By-Hash: yes\nArchitectures: all amd64\nSHA256:\n \
        0000000000000000000000000000000000000000000000000000000000000001  12 main/binary-amd64/Packages.xz\n";
    const DATE: i64 = 1_795_133_561;

    #[test]
    fn reads_what_is_needed() {
        let release = parse(TEXT).expect("well formed");
        assert_eq!((release.origin.as_str(), release.date), ("Debian", DATE));
        assert_eq!(release.valid_until, Some(DATE + 7 * 86_400));
        assert!(release.by_hash && release.separate_all && !release.not_automatic);
        assert_eq!(release.files["main/binary-amd64/Packages.xz"].size, 12);
        let merged = parse(&format!("No-Support-for-Architecture-all: Packages\n{TEXT}"));
        assert!(!merged.expect("well formed").separate_all);
    }

    #[test]
    fn refuses_other_suites_and_times() {
        let release = parse(TEXT).expect("well formed");
        assert_eq!(check(&release, "bookworm-security", DATE), Ok(()));
        assert_eq!(check(&release, "oldstable-security", DATE + 7 * 86_400), Ok(()));
        for (asked, now, wanted) in [
            ("bookworm", DATE, "serves suite"),
            ("bookworm-security", DATE + 7 * 86_400 + 1, "valid until 2026-11-27T00:12:41Z"),
            ("bookworm-security", DATE - 2 * 86_400, "clock"),
        ] {
            let error = check(&release, asked, now).expect_err(wanted).to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn an_update_pocket_is_not_the_release() {
        let mut release = parse(TEXT).expect("well formed");
        release.suite = "jammy-updates".into();
        release.codename = "jammy".into();
        assert!(check(&release, "jammy", DATE).is_err());
        assert_eq!(check(&release, "jammy-updates", DATE), Ok(()));
        release.suite = "jammy".into();
        assert_eq!(check(&release, "jammy", DATE), Ok(()));
    }

    #[test]
    fn says_what_is_wrong() {
        for (from, to, wanted) in [
            ("Date: Fri", "Day: Fri", "no `Date`"),
            ("Fri, 20 Nov", "20 November", "a date such as"),
            ("SHA256:", "SHA1:", "no `SHA256`"),
            (" 12 ", " many ", "bytes"),
            ("Origin: Debian", "Origin", "line 1"),
            ("Origin: Debian", "Suite: x", "`Suite` twice"),
        ] {
            let error = parse(&TEXT.replace(from, to)).expect_err(to).to_string();
            assert!(error.contains(wanted), "{to}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(Date|Suite|SHA256|: | |\n|[a-z0-9]){0,60}") {
            let _ = parse(&text);
        }
    }
}
