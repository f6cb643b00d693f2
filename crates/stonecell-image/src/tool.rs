//! Running the few outside programs: argument lists only, fixed locale, output kept for the error.

use std::io;
use std::process::Command;
use std::process::Stdio;

/// Why an outside program gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The program is not installed or not executable.
    #[error("cannot run {program}; install the Debian package {package}")]
    Start {
        /// Name as looked up in `PATH`.
        program: &'static str,
        /// The package that ships it.
        package: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The program ran and refused.
    #[error("{program} failed with {status}: {output}")]
    Failed {
        /// Name as looked up in `PATH`.
        program: &'static str,
        /// Exit code or signal.
        status: std::process::ExitStatus,
        /// The last lines it printed.
        output: String,
    },
}

/// An outside program and the Debian package that ships it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

impl Tool {
    /// A command with a fixed locale, nothing on its standard input and both outputs kept.
    pub(crate) fn command(self) -> Command {
        let mut command = Command::new(self.program);
        command.env("LC_ALL", "C").env("TZ", "UTC").stdin(Stdio::null());
        command
    }

    /// Runs `command` to its end and returns its standard output.
    pub(crate) fn run(self, command: &mut Command) -> Result<Vec<u8>, ToolError> {
        let output = command.output().map_err(|source| ToolError::Start {
            program: self.program,
            package: self.package,
            source,
        })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let mut said = output.stderr;
        said.extend_from_slice(&output.stdout);
        Err(ToolError::Failed {
            program: self.program,
            status: output.status,
            output: last_lines(&said),
        })
    }
}

/// The last 2,000 bytes of what a program printed, as text.
fn last_lines(said: &[u8]) -> String {
    let start = said.len().saturating_sub(2000);
    String::from_utf8_lossy(said.get(start..).unwrap_or_default()).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_the_package() {
        let tool = Tool { program: "stonecell-no-such-program", package: "some-package" };
        let error = tool.run(&mut tool.command()).unwrap_err().to_string();
        assert!(error.contains("some-package"), "{error}");
    }

    #[test]
    fn a_refusal_carries_what_was_said() {
        let tool = Tool { program: "ls", package: "coreutils" };
        let error = tool.run(tool.command().arg("/no/such/place")).unwrap_err().to_string();
        assert!(error.contains("/no/such/place"), "{error}");
    }
}
