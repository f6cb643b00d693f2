//! The list of modules in the initrd: what needs what, and which alias names which.
//!
//! Written at build time by `stonecell-kernel` and read here, so both use this one type. It is text,
//! one record a line:
//!
//! ```text
//! stonecell-modules 1
//! module dm_verity dm_bufio dm_mod
//! before libcrc32c crc32c_generic crc32c_intel
//! always dm_verity
//! alias virtio:d00000002v* virtio_blk
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::pattern;

/// The first line of the text form.
const HEAD: &str = "stonecell-modules 1";

/// A module and what must be loaded before it. Names are written with underscores.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Module {
    /// Modules whose symbols it uses.
    pub needs: BTreeSet<String>,
    /// Modules that should come before if they load at all (a soft dependency).
    pub before: BTreeSet<String>,
}

/// The modules of an initrd.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Index {
    /// By name; each lies in the initrd as `modules/NAME.ko`.
    pub modules: BTreeMap<String, Module>,
    /// Loaded whatever the machine is; if one fails, so does the boot.
    pub always: BTreeSet<String>,
    /// Alias pattern and module, both normalised (no dash outside of brackets).
    pub aliases: BTreeSet<(String, String)>,
}

/// Why an index cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IndexError {
    /// Another version or no index at all.
    #[error(
        "module index: the first line is not `{HEAD}`; init and initrd are of different builds"
    )]
    Version,
    /// A line with an unknown first word or too few words.
    #[error("module index, line {0}: unknown record; init and initrd are of different builds")]
    Record(usize),
    /// A module is named that is not there.
    #[error("module index: {0} is named but not in the initrd")]
    Missing(String),
}

impl Index {
    /// The text form; equal indexes give equal bytes.
    pub fn render(&self) -> String {
        let mut text = format!("{HEAD}\n");
        let words = |names: &BTreeSet<String>| {
            names.iter().fold(String::new(), |all, name| all + " " + name)
        };
        // Writing to a String cannot fail.
        for (name, module) in &self.modules {
            let _ = writeln!(text, "module {name}{}", words(&module.needs));
            if !module.before.is_empty() {
                let _ = writeln!(text, "before {name}{}", words(&module.before));
            }
        }
        for name in &self.always {
            let _ = writeln!(text, "always {name}");
        }
        for (pattern, name) in &self.aliases {
            let _ = writeln!(text, "alias {pattern} {name}");
        }
        text
    }

    /// Reads the text form; every module that is named must be in it.
    pub fn parse(text: &str) -> Result<Self, IndexError> {
        let mut lines = text.lines();
        if lines.next() != Some(HEAD) {
            return Err(IndexError::Version);
        }
        let mut index = Self::default();
        for (number, line) in (2..).zip(lines) {
            let mut words = line.split(' ').map(str::to_owned);
            let (Some(kind), Some(first)) = (words.next(), words.next()) else {
                return Err(IndexError::Record(number));
            };
            match (kind.as_str(), words.next()) {
                ("module", second) => {
                    let module = index.modules.entry(first).or_default();
                    module.needs.extend(second.into_iter().chain(words));
                }
                ("before", second) => {
                    let module = index.modules.entry(first).or_default();
                    module.before.extend(second.into_iter().chain(words));
                }
                ("always", None) => {
                    index.always.insert(first);
                }
                ("alias", Some(name)) => {
                    index.aliases.insert((first, name));
                }
                _ => return Err(IndexError::Record(number)),
            }
        }
        let named = index.modules.values().flat_map(|m| m.needs.iter().chain(&m.before));
        let named = named.chain(&index.always).chain(index.aliases.iter().map(|(_, name)| name));
        for name in named {
            if !index.modules.contains_key(name) {
                return Err(IndexError::Missing(name.clone()));
            }
        }
        Ok(index)
    }

    /// The modules that drive a device.
    pub fn drivers(&self, modalias: &str) -> BTreeSet<&str> {
        self.aliases
            .iter()
            .filter(|(pattern, _)| pattern::matches(pattern, modalias))
            .map(|(_, name)| name.as_str())
            .collect()
    }

    /// What to load for `name`, itself last. The flag is false for what may fail (soft dependencies
    /// and what only they need). A circle is cut where it closes.
    pub fn load_order(&self, name: &str) -> Vec<(&str, bool)> {
        let mut order = Vec::new();
        self.visit(name, true, &mut BTreeSet::new(), &mut order);
        order
    }

    fn visit<'a>(
        &'a self,
        name: &str,
        hard: bool,
        seen: &mut BTreeSet<(&'a str, bool)>,
        order: &mut Vec<(&'a str, bool)>,
    ) {
        let Some((name, module)) = self.modules.get_key_value(name) else { return };
        // What a hard dependency already brought need not be visited again as a soft one.
        if seen.contains(&(name.as_str(), true)) || !seen.insert((name, hard)) {
            return;
        }
        for before in &module.before {
            self.visit(before, false, seen, order);
        }
        for needed in &module.needs {
            self.visit(needed, hard, seen, order);
        }
        order.push((name, hard));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "stonecell-modules 1\n\
        module crc32c_generic\nmodule crc32c_intel\n\
        module dm_bufio dm_mod\nmodule dm_mod\nmodule dm_verity dm_bufio dm_mod\n\
        module erofs libcrc32c\nmodule libcrc32c\nbefore libcrc32c crc32c_generic crc32c_intel\n\
        always dm_verity\nalways erofs\nalias virtio:d00000002v* dm_mod\n";

    #[test]
    fn text_form_round_trips() {
        assert_eq!(Index::parse(TEXT).unwrap().render(), TEXT);
    }

    #[test]
    fn loads_in_order_with_soft_ones_allowed_to_fail() {
        let index = Index::parse(TEXT).unwrap();
        assert_eq!(
            index.load_order("dm_verity"),
            [("dm_mod", true), ("dm_bufio", true), ("dm_verity", true)]
        );
        assert_eq!(
            index.load_order("erofs"),
            [
                ("crc32c_generic", false),
                ("crc32c_intel", false),
                ("libcrc32c", true),
                ("erofs", true)
            ]
        );
        assert_eq!(index.drivers("virtio:d00000002v00001AF4"), BTreeSet::from(["dm_mod"]));
    }

    #[test]
    fn a_hard_need_counts_even_if_it_was_soft_before() {
        let index = "stonecell-modules 1\nmodule a c\nbefore a b\nmodule b c\nmodule c\n";
        let order = Index::parse(index).unwrap();
        assert!(order.load_order("a").contains(&("c", true)));
    }

    #[test]
    fn a_circle_ends() {
        let index = Index::parse("stonecell-modules 1\nmodule a b\nmodule b a\n").unwrap();
        assert_eq!(index.load_order("a"), [("b", true), ("a", true)]);
    }

    #[test]
    fn foreign_text_is_refused() {
        assert_eq!(Index::parse("modules"), Err(IndexError::Version));
        assert_eq!(Index::parse(&format!("{TEXT}alias x\n")), Err(IndexError::Record(13)));
        assert_eq!(
            Index::parse(&format!("{TEXT}always nvme\n")),
            Err(IndexError::Missing("nvme".into()))
        );
    }

    proptest! {
        #[test]
        fn every_needed_module_comes_first(edges in proptest::collection::vec((0_u8..9, 0_u8..9), 0..20)) {
            let mut index = Index::default();
            for n in 0..9 {
                index.modules.entry(format!("m{n}")).or_default();
            }
            for (a, b) in edges {
                // From high to low only: no circles.
                if let Some(module) = index.modules.get_mut(&format!("m{}", a.max(b))) && a != b {
                    module.needs.insert(format!("m{}", a.min(b)));
                }
            }
            let order = index.load_order("m8");
            for (at, (name, _)) in order.iter().enumerate() {
                for needed in &index.modules[*name].needs {
                    prop_assert!(order[..at].iter().any(|(earlier, _)| earlier == needed));
                }
            }
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = Index::parse(&format!("{HEAD}\n{text}"));
        }
    }
}
