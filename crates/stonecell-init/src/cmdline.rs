//! The kernel command line: the root hash, our options, and parameters of modules.
//!
//! With Secure Boot the line lies inside the signed kernel image, so it is trusted, but a wrong
//! value still ends the boot with a message: a machine that guesses is worse than one that stops.

use std::collections::BTreeMap;
use std::time::Duration;

/// The dm-verity root hash (SHA-256), from which the partitions' UUIDs follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootHash([u8; 32]);

impl RootHash {
    /// Parses 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// The hash as 64 lower-case digits.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The UUID of the root partition: the first 128 bits (Discoverable Partitions Specification).
    pub fn root_uuid(&self) -> [u8; 16] {
        std::array::from_fn(|at| self.0[at])
    }

    /// The UUID of the verity partition: the last 128 bits.
    pub fn verity_uuid(&self) -> [u8; 16] {
        std::array::from_fn(|at| self.0[at + 16])
    }
}

/// What a block that does not match its hash does to the machine; also what a failed boot does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnCorruption {
    /// The kernel panics (and does what `panic=` says).
    #[default]
    Panic,
    /// The machine restarts.
    Restart,
    /// The read fails; a failed boot still panics.
    IoError,
}

/// What the command line says to the first program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `roothash=`.
    pub root_hash: RootHash,
    /// `stonecell.verity=panic|restart|io-error`.
    pub on_corruption: OnCorruption,
    /// `stonecell.timeout=SECONDS`: how long to wait for the disk.
    pub timeout: Duration,
    /// `MODULE.PARAMETER[=VALUE]`, by module name with underscores, in the kernel's own form.
    pub module_options: BTreeMap<String, String>,
}

/// Why the command line cannot be obeyed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CmdlineError {
    /// There is no `roothash=`.
    #[error("no roothash= on the kernel command line; expected 64 hexadecimal digits")]
    NoRootHash,
    /// Two different `roothash=`.
    #[error("more than one roothash= on the kernel command line; expected one")]
    TwoRootHashes,
    /// `roothash=` is not a SHA-256 digest.
    #[error("roothash={0}: expected 64 hexadecimal digits")]
    BadRootHash(String),
    /// `stonecell.verity=` has an unknown value.
    #[error("stonecell.verity={0}: expected panic, restart or io-error")]
    BadVerity(String),
    /// `stonecell.timeout=` is no number of seconds in the range.
    #[error("stonecell.timeout={0}: expected seconds from 1 to 3600")]
    BadTimeout(String),
    /// An option of ours that does not exist.
    #[error("{0}: unknown option; expected stonecell.verity= or stonecell.timeout=")]
    Unknown(String),
}

/// How long the disk may take when the line does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// Reads `/proc/cmdline`. What is not ours is left to the kernel and systemd.
pub fn parse(line: &str) -> Result<Options, CmdlineError> {
    let mut root_hash = None;
    let mut on_corruption = OnCorruption::default();
    let mut timeout = DEFAULT_TIMEOUT;
    let mut module_options = BTreeMap::<String, String>::new();
    for word in words(line) {
        let (key, value) = word.split_once('=').unwrap_or((&word, ""));
        match key {
            "roothash" => {
                let hash = RootHash::parse(value)
                    .ok_or_else(|| CmdlineError::BadRootHash(value.to_owned()))?;
                if root_hash.is_some_and(|other| other != hash) {
                    return Err(CmdlineError::TwoRootHashes);
                }
                root_hash = Some(hash);
            }
            "stonecell.verity" => {
                on_corruption = match value {
                    "panic" => OnCorruption::Panic,
                    "restart" => OnCorruption::Restart,
                    "io-error" => OnCorruption::IoError,
                    _ => return Err(CmdlineError::BadVerity(value.to_owned())),
                }
            }
            "stonecell.timeout" => {
                timeout = match value.parse() {
                    Ok(seconds @ 1..=3600) => Duration::from_secs(seconds),
                    _ => return Err(CmdlineError::BadTimeout(value.to_owned())),
                }
            }
            _ if key.starts_with("stonecell.") => return Err(CmdlineError::Unknown(word)),
            _ => {
                // Built-in modules have taken theirs already; the others get them from us, as
                // modprobe would do.
                let Some((module, parameter)) = word.split_once('.') else { continue };
                if module.is_empty() || module.contains('=') || module == "systemd" {
                    continue;
                }
                let all = module_options.entry(module.replace('-', "_")).or_default();
                if !all.is_empty() {
                    all.push(' ');
                }
                all.push_str(parameter);
            }
        }
    }
    let root_hash = root_hash.ok_or(CmdlineError::NoRootHash)?;
    Ok(Options { root_hash, on_corruption, timeout, module_options })
}

/// Splits at white space outside double quotes, and drops the quotes, as the kernel does.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_ascii_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "00112233445566778899aabbccddeefff0e0d0c0b0a090807060504030201000";

    #[test]
    fn reads_our_options_among_others() {
        let line = format!(
            "quiet roothash={HASH} systemd.show_status=0 stonecell.verity=restart \
             stonecell.timeout=7 nvme-core.io_timeout=9 nvme_core.x=1 root=\"a b.c\"\n"
        );
        let options = parse(&line).unwrap();
        assert_eq!(options.root_hash.hex(), HASH);
        assert_eq!(options.on_corruption, OnCorruption::Restart);
        assert_eq!(options.timeout, Duration::from_secs(7));
        let modules: Vec<_> = options.module_options.into_iter().collect();
        assert_eq!(modules, [("nvme_core".to_owned(), "io_timeout=9 x=1".to_owned())]);
    }

    #[test]
    fn the_partitions_follow_from_the_hash() {
        let hash = RootHash::parse(HASH).unwrap();
        assert_eq!(hex::encode(hash.root_uuid()), HASH[..32]);
        assert_eq!(hex::encode(hash.verity_uuid()), HASH[32..]);
    }

    #[test]
    fn refuses_what_it_would_have_to_guess() {
        let with = |rest: &str| parse(&format!("roothash={HASH} {rest}")).unwrap_err();
        assert_eq!(parse("quiet"), Err(CmdlineError::NoRootHash));
        assert_eq!(parse("roothash=12"), Err(CmdlineError::BadRootHash("12".into())));
        assert_eq!(with(&format!("roothash={}", "0".repeat(64))), CmdlineError::TwoRootHashes);
        assert_eq!(with("stonecell.verity=off"), CmdlineError::BadVerity("off".into()));
        assert_eq!(with("stonecell.timeout=0"), CmdlineError::BadTimeout("0".into()));
        assert_eq!(with("stonecell.timout=9"), CmdlineError::Unknown("stonecell.timout=9".into()));
    }

    proptest! {
        #[test]
        fn no_line_panics(line in ".*") {
            let _ = parse(&line);
        }
    }
}
