//! Strings with a form: each is a pattern that the JSON Schema states and [`super::shape`] enforces.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// A value and the bytes of the file that it was read from.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { span: spanned.span(), value: spanned.into_inner() })
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

macro_rules! text {
    ($($name:ident: $pattern:literal, $expected:literal;)*) => { $(
        #[doc = $expected]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        #[serde(transparent)]
        pub(crate) struct $name(pub(crate) String);

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "patternErrorMessage": $expected })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )* };
}

// The patterns mean the same to ECMA 262 (the JSON Schema) and to the regex crate: no look-around, no
// escapes but those of punctuation.
text! {
    Name: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        "a name of lower-case letters, digits and hyphens, at most 63";
    Version: r"^(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){0,5}$",
        "numbers with dots between, such as \"1.0\"";
    Line: "^[ -~]{1,120}$",
        "one line of at most 120 printable ASCII characters";
    RelativeFile: r"^[^/\x00-\x1f][^\x00-\x1f]*\.toml$",
        "a relative path that ends in .toml";
    HostFile: r"^[^\x00-\x1f]+$",
        "a path, absolute or relative to this file";
    Url: r#"^(https?://[^/\s"]+|file:///)[^\s"]*$"#,
        "a URL that begins with http://, https:// or file:///";
    Suite: "^[a-z][a-z0-9.+/-]*$",
        "a suite of the archive, such as \"bookworm-updates\"";
    Component: "^[a-z][a-z0-9/-]*$",
        "a component of the archive, such as \"main\"";
    Snapshot: "^[0-9]{8}T[0-9]{6}Z$",
        "a time as dated mirrors write it, such as \"20260131T000000Z\"";
    PackageName: r"^[a-z0-9][a-z0-9+.-]+$",
        "a Debian package name";
    PackageGlob: r"^[a-z0-9+.*?\[\]{},!-]+$",
        "a Debian package name, with * and ? as wild cards";
    Parameter: r#"^[^\s"]+$"#,
        "one kernel parameter without spaces or quotes";
    ModuleGlob: r"^[A-Za-z0-9_./*?\[\]{},-]+$",
        "a module name such as \"virtio_*\" or a path such as \"kernel/fs/ext4/*\"";
    UnitName: r"^[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]*)?$",
        "a systemd unit name";
    ControlId: "^SC-[A-Z0-9]{2,8}-[0-9]{3}$",
        "the id of a control, such as \"SC-NET-001\"";
    Key: "^[a-z][a-z0-9_]*$",
        "the name of a parameter: lower-case letters, digits and _";
    Reason: "^.*[^ ].{18,}[^ ].*$",
        "a reason of at least 20 characters on one line";
    Owner: "^[^ ].*[^ ]$",
        "who answers for it: a person or a team";
    SizeText: "^[1-9][0-9]{0,7}[MGT]$",
        "a number and M, G or T, as in \"512M\"";
    SizeOrAuto: "^(auto|[1-9][0-9]{0,7}[MGT])$",
        "\"auto\", or a number and M, G or T, as in \"512M\"";
    AbsolutePath: r"^(/(\.?[^/.\x00-\x20\x7f][^/\x00-\x20\x7f]*|\.\.[^/\x00-\x20\x7f]+))+$",
        "an absolute path without spaces, \"..\" or a final slash";
    LinkTarget: r"^[^\x00-\x20\x7f]+$",
        "the target of a symbolic link, without spaces";
    MountOptions: "^[a-z0-9_.=/-]+$",
        "one mount option";
    UserName: "^[a-z_][a-z0-9_-]{0,30}$",
        "a user or group name: lower-case letters, digits, _ and -";
    AuthorizedKey: "^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\\.com|sk-ecdsa-sha2-nistp256@openssh\\.com) [A-Za-z0-9+/=]+( [^\\x00-\\x1f]*)?$",
        "an OpenSSH public key: type, base64, comment";
    Mode: "^0?[0-7]{3}$",
        "permissions in octal, such as \"0644\", without setuid, setgid or sticky bit";
    Cidr: r"^[0-9a-fA-F.:]+(/[0-9]{1,3})?$",
        "an address or network, such as \"10.0.0.0/8\"";
    Sha256: "^[0-9a-f]{64}$",
        "a SHA-256 of 64 lower-case hexadecimal digits";
}

/// A date, written as a string or as TOML's own date.
#[derive(Debug, Clone)]
pub(crate) struct Date(pub(crate) String);

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => Ok(Self(text)),
            toml::Value::Datetime(date) => Ok(Self(date.to_string())),
            other => Err(serde::de::Error::invalid_type(
                serde::de::Unexpected::Other(other.type_str()),
                &"a date",
            )),
        }
    }
}

impl JsonSchema for Date {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Date")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
            "patternErrorMessage": "a date as year-month-day, such as \"2027-01-31\"",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches<T: JsonSchema>(text: &str) -> bool {
        let schema = T::json_schema(&mut SchemaGenerator::default());
        let pattern = schema.get("pattern").and_then(|pattern| pattern.as_str()).unwrap();
        regex::Regex::new(pattern).unwrap().is_match(text)
    }

    #[test]
    fn absolute_paths_have_no_way_out() {
        for good in ["/etc", "/etc/.hidden", "/usr/lib/x.y", "/a/..b", "/a/b..", "/opt/-x"] {
            assert!(matches::<AbsolutePath>(good), "{good}");
        }
        for bad in ["", "/", "etc", "/etc/", "/a//b", "/a/../b", "/a/./b", "/a/..", "/a b", "/a\nb"]
        {
            assert!(!matches::<AbsolutePath>(bad), "{bad}");
        }
    }

    #[test]
    fn versions_are_dotted_numbers_without_leading_zeros() {
        for good in ["1", "1.0", "0.59", "621.45", "589.0.0"] {
            assert!(matches::<Version>(good), "{good}");
        }
        for bad in ["", "1.", ".1", "01", "v1", "1.0-rc1", "1 "] {
            assert!(!matches::<Version>(bad), "{bad}");
        }
    }

    #[test]
    fn a_reason_says_something() {
        assert!(matches::<Reason>("containers need to route"));
        assert!(!matches::<Reason>("because"));
        assert!(!matches::<Reason>("                              "));
    }
}
