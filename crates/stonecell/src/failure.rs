//! How a failure ends the program: a message with its causes, and an exit code that scripts can rely on.

use std::error::Error;
use std::fmt::Write;
use std::io;
use std::process::ExitCode;

use serde_json::json;
use stonecell_build::BuildError;
use stonecell_build::archive::AcquireError;
use stonecell_build::project::ProjectError;
use stonecell_definition::{DefinitionError, DefinitionErrors, causes};
use stonecell_stemcell::printable::printable;

/// What went wrong, as the exit code tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// The operation failed.
    Failed = 1,
    /// The definition or the lock is wrong.
    Definition = 3,
    /// The archive cannot be reached or trusted.
    Archive = 4,
    /// Verification failed, or things differ.
    Verification = 5,
    /// Two builds from one lock differ.
    Unreproducible = 6,
    /// The user interrupted it.
    Interrupted = 130,
}

/// A failure on its way to the user.
#[derive(Debug)]
pub(crate) struct Failure {
    class: Class,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// A failure of class `class`.
    pub(crate) fn new(class: Class, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { class, error: error.into() }
    }

    /// The exit code.
    #[must_use]
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.class as u8)
    }

    /// Prints it on standard error: with its causes for people, as one object for programs.
    pub(crate) fn print(&self, json: bool, colour: bool) {
        if json {
            let definition = self.definition().map(|errors| json!(errors));
            let causes: Vec<String> =
                causes(self.error.as_ref()).map(ToString::to_string).collect();
            let value = json!({
                "error": self.error.to_string(),
                "causes": causes,
                "help": self.help(),
                "exit_code": self.class as u8,
                "places": definition,
            });
            eprintln!("{value}");
            return;
        }
        eprint!("{}", self.text(colour));
    }

    fn definition(&self) -> Option<&DefinitionErrors> {
        match self.error.downcast_ref::<ProjectError>() {
            Some(ProjectError::Definition(errors)) => Some(errors),
            _ => match self.error.downcast_ref::<BuildError>() {
                Some(BuildError::Project(ProjectError::Definition(errors))) => Some(errors),
                _ => None,
            },
        }
    }

    fn text(&self, colour: bool) -> String {
        let (red, bold, blue, reset) = if colour {
            ("\u{1b}[31;1m", "\u{1b}[1m", "\u{1b}[34;1m", "\u{1b}[0m")
        } else {
            ("", "", "", "")
        };
        let mut out = String::new();
        if let Some(errors) = self.definition() {
            for error in errors {
                place(&mut out, error, red, bold, blue, reset);
            }
            let count = errors.iter().count();
            let noun = if count == 1 { "error" } else { "errors" };
            let _ = writeln!(out, "{count} {noun} in the definition");
            return out;
        }
        for (index, line) in self.error.to_string().lines().enumerate() {
            let line = shown(line);
            let _ = match index {
                0 => writeln!(out, "{red}error:{reset} {bold}{line}{reset}"),
                _ => writeln!(out, "{line}"),
            };
        }
        for cause in causes(self.error.as_ref()) {
            for (index, line) in cause.to_string().lines().enumerate() {
                let lead = if index == 0 { "  because: " } else { "           " };
                let _ = writeln!(out, "{blue}{lead}{reset}{}", shown(line));
            }
        }
        if let Some(help) = self.help() {
            let _ = writeln!(out, "{blue}  help:{reset} {help}");
        }
        out
    }

    /// What to do, where the message itself cannot know: a full file system can be met anywhere.
    fn help(&self) -> Option<&'static str> {
        let error: &(dyn Error + 'static) = self.error.as_ref();
        let full = |error: &(dyn Error + 'static)| {
            error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::StorageFull)
                // Tools that write for us say it in words.
                || error.to_string().contains(NO_ROOM)
        };
        std::iter::once(error).chain(causes(error)).any(full).then_some(ROOM)
    }
}

/// ENOSPC as the C library words it; tools run in the locale C.
const NO_ROOM: &str = "No space left on device";
const ROOM: &str = "make room on that file system, or use another one: --out DIR for results and disks, \
                    --work-dir DIR for the tree of a build, --cache DIR for packages, TMPDIR for what is read";

/// A line of an error: names and output that it quotes come from packages and images.
fn shown(line: &str) -> String {
    printable(&line.replace('\t', "    "))
}

/// One place in a definition: message, line, marks under the part that is meant, remedy.
fn place(
    out: &mut String,
    error: &DefinitionError,
    red: &str,
    bold: &str,
    blue: &str,
    reset: &str,
) {
    let _ = writeln!(out, "{red}error:{reset} {bold}{}{reset}", error.message);
    let _ = writeln!(out, "  {blue}-->{reset} {}", error.place);
    if error.place.line > 0 {
        let number = error.place.line.to_string();
        let width = error.place.span.len().clamp(1, error.place.snippet.chars().count().max(1));
        let marks = "^".repeat(width.min(60));
        let pad = " ".repeat(error.place.column.saturating_sub(1));
        let _ = writeln!(out, "  {blue}{number} |{reset} {}", error.place.snippet);
        let _ =
            writeln!(out, "  {blue}{} |{reset} {pad}{red}{marks}{reset}", " ".repeat(number.len()));
    }
    for related in &error.related {
        let _ = writeln!(out, "  {blue}also:{reset} {}: {}", related.place, related.message);
    }
    if let Some(help) = &error.help {
        let _ = writeln!(out, "  {blue}help:{reset} {help}");
    }
    out.push('\n');
}

impl From<ProjectError> for Failure {
    fn from(error: ProjectError) -> Self {
        Self::new(Class::Definition, error)
    }
}

impl From<AcquireError> for Failure {
    fn from(error: AcquireError) -> Self {
        let class = match &error {
            AcquireError::Resolve(_) => Class::Definition,
            AcquireError::Cache(_) => Class::Failed,
            _ => Class::Archive,
        };
        Self::new(class, error)
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        let class = match error {
            BuildError::Project(_) | BuildError::Request(_) => Class::Definition,
            BuildError::Acquire(error) => return Self::from(error),
            BuildError::Unreproducible(_) => Class::Unreproducible,
            BuildError::Interrupted => Class::Interrupted,
            _ => Class::Failed,
        };
        Self::new(class, error)
    }
}
