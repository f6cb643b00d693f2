//! Names and aliases of modules, as modprobe compares them.

use stonecell_init::pattern;

/// A module's name: the file name without directory and suffixes, with underscores.
pub(crate) fn module_name(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (name, _) = file.split_once(".ko")?;
    (!name.is_empty()).then(|| normal(name))
}

/// Dashes become underscores, except in brackets.
pub(crate) fn normal(name: &str) -> String {
    let mut bracket = false;
    name.chars()
        .map(|c| {
            bracket = (bracket || c == '[') && c != ']';
            if c == '-' && !bracket { '_' } else { c }
        })
        .collect()
}

/// The modules whose alias matches, in the order of the list.
pub(crate) fn find<'a>(
    aliases: &'a [(String, String)],
    name: &str,
) -> impl Iterator<Item = &'a str> {
    let name = normal(name);
    aliases
        .iter()
        .filter(move |(alias, _)| pattern::matches(alias, &name))
        .map(|(_, module)| module.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_kernel() {
        assert_eq!(module_name("kernel/drivers/block/xen-blkfront.ko.xz").unwrap(), "xen_blkfront");
        assert_eq!(module_name("kernel/fs/erofs/erofs.ko").unwrap(), "erofs");
        assert_eq!(module_name("kernel/fs/erofs"), None);
        assert_eq!(normal("a-b[0-9]-c"), "a_b[0-9]_c");
    }
}
