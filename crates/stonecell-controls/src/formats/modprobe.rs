//! modprobe.d(5): `install NAME COMMAND` and `blacklist NAME`. modprobe takes the first `install` line of a module.

/// One directive that concerns a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Directive {
    /// The command that runs instead of loading.
    Install {
        module: String,
        command: String,
        line: usize,
    },
    Blacklist {
        module: String,
        line: usize,
    },
}

/// A module's name with underscores, as the kernel knows it.
pub(crate) fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// The install and blacklist directives of one file.
pub(crate) fn parse(text: &str) -> Vec<Directive> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace();
        let (Some(verb), Some(name)) = (words.next(), words.next()) else { continue };
        let (module, line) = (canonical(name), index + 1);
        match verb {
            "install" => {
                let command = words.collect::<Vec<_>>().join(" ");
                found.push(Directive::Install { module, command, line });
            }
            "blacklist" => found.push(Directive::Blacklist { module, line }),
            _ => {}
        }
    }
    found
}

/// Whether a command is one that loads nothing.
pub(crate) fn loads_nothing(command: &str) -> bool {
    matches!(command, "/bin/false" | "/usr/bin/false" | "/bin/true" | "/usr/bin/true")
}

/// Lines that block a module.
pub(crate) fn render(module: &str) -> String {
    format!("blacklist {module}\ninstall {module} /bin/false\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Directive, parse, render};

    proptest! {
        #[test]
        fn what_is_rendered_is_read(module in "[a-z][a-z0-9_]{0,9}") {
            let read = parse(&render(&module));
            prop_assert_eq!(read, vec![
                Directive::Blacklist { module: module.clone(), line: 1 },
                Directive::Install { module, command: "/bin/false".to_owned(), line: 2 },
            ]);
        }

        #[test]
        fn any_text_is_read(text in "\\PC{0,80}") {
            parse(&text);
        }
    }
}
