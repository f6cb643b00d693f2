//! Lines in the kernel's log, the only place where anybody can see us.
//!
//! The kernel drops what one writer says beyond ten lines in five seconds, so we say little.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write as _;

/// Severities of syslog: shown on the console even with `quiet`, and not.
const ERROR: u8 = 3;
const WARNING: u8 = 4;
const INFO: u8 = 6;

/// The chain of causes in one line.
pub(crate) fn error(error: &dyn Error) {
    write(ERROR, &chain(error));
}

/// Something that did not stop the boot.
pub(crate) fn warning(error: &dyn Error) {
    write(WARNING, &chain(error));
}

/// Progress.
pub(crate) fn info(text: &str) {
    write(INFO, text);
}

fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        next = cause.source();
    }
    line
}

fn write(level: u8, text: &str) {
    // One write is one record; where there is no log there is nobody to tell.
    if let Ok(mut log) = OpenOptions::new().write(true).open("/dev/kmsg") {
        let _ = log.write_all(format!("<{level}>stonecell-init: {text}\n").as_bytes());
    }
}
