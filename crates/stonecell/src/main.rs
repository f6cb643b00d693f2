//! The command line: argument parsing, progress and printing; everything else is in the other crates.

mod cli;
mod commands;
mod failure;
mod progress;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::terminal::Terminal;

fn main() -> ExitCode {
    // The namespace helpers are this same program; they must run before any thread exists.
    if let Some(code) = stonecell_root::sandbox::dispatch() {
        return code;
    }
    let cli = Cli::parse();
    let terminal = Terminal::new(&cli.global);
    match commands::run(&cli, &terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            commands::yield_to_signal();
            failure.print(terminal.json, terminal.colour);
            failure.code()
        }
    }
}
