//! What the global options mean for output.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::cli::{Colour, Global};
use crate::progress::Reporter;

/// How to print.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// Facts and errors as JSON.
    pub(crate) json: bool,
    /// Colour on standard error.
    pub(crate) colour: bool,
    quiet: bool,
}

impl Terminal {
    /// Decides from options, environment and what standard error is.
    #[must_use]
    pub(crate) fn new(global: &Global) -> Self {
        let colour = match global.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => {
                std::io::stderr().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        };
        Self { json: global.json, colour, quiet: global.quiet }
    }

    /// Progress on standard error.
    #[must_use]
    pub(crate) fn reporter(&self) -> Reporter {
        Reporter::new(self.quiet)
    }

    /// Prints facts on standard output: as JSON, or as `text` says. A reader that went away is no failure.
    pub(crate) fn facts<T: Serialize>(&self, facts: &T, text: impl FnOnce() -> String) {
        let out = if self.json {
            serde_json::to_string_pretty(facts).unwrap_or_default() + "\n"
        } else {
            text()
        };
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush());
    }
}
