//! `setting`: one value in a configuration file, read the way the program reads it.

use std::path::{Path, PathBuf};

use super::{Effect, Finding, Site, State, Unable, Unknown, fails, left_out};
use crate::formats::keyed::Between;
use crate::formats::{ini, keyed, ssh};
use crate::root::{Links, Root, RootError, glob};
use crate::view::View;
use crate::want::{Setting, SettingFormat};

/// How deep OpenSSH follows includes.
const DEPTH: usize = 16;

/// A line of an ssh configuration with its file, and whether it stands in a `Match` or `Host` block.
struct Placed {
    file: PathBuf,
    word: ssh::Word,
    in_block: bool,
}

/// All lines in the order in which OpenSSH reads them.
fn ssh_lines(
    root: &dyn Root,
    file: &Path,
    inside: bool,
    depth: usize,
    found: &mut Vec<Placed>,
) -> Result<(), RootError> {
    let text = root.text(file)?.unwrap_or_default();
    let mut in_block = inside;
    for word in ssh::words(&text) {
        if ssh::opens_block(&word.key) {
            in_block = true;
        } else if word.key == "include" && depth > 0 {
            for pattern in word.value.split_whitespace() {
                let folder = file.parent().unwrap_or_else(|| Path::new("/"));
                let whole = folder.join(pattern);
                // A block in an included file ends with that file.
                for included in glob(root, &whole.to_string_lossy())? {
                    ssh_lines(root, &included, in_block, depth - 1, found)?;
                }
            }
        } else {
            found.push(Placed { file: file.to_owned(), word, in_block });
        }
    }
    Ok(())
}

impl Setting {
    fn expected(&self) -> String {
        match (self.format, &self.section) {
            (SettingFormat::Ini, Some(section)) => {
                format!("[{section}] {}={}", self.key, self.value)
            }
            (SettingFormat::Equals | SettingFormat::Ini, _) => {
                format!("{} = {}", self.key, self.value)
            }
            (SettingFormat::Ssh | SettingFormat::Space, _) => {
                format!("{} {}", self.key, self.value)
            }
        }
    }

    fn remedy(&self) -> String {
        format!("set it in {}", self.path)
    }

    fn check_ssh(&self, root: &dyn Root) -> Result<Finding, RootError> {
        let mut lines = Vec::new();
        ssh_lines(root, Path::new(&self.path), false, DEPTH, &mut lines)?;
        let key = self.key.to_ascii_lowercase();
        let wanted = ssh::normal(&self.value);
        let mine: Vec<&Placed> = lines.iter().filter(|placed| placed.word.key == key).collect();
        let global: Vec<&&Placed> = mine.iter().filter(|placed| !placed.in_block).collect();
        let Some(first) = global.first() else {
            return Ok(fails(
                &self.path,
                format!("{} is not set", self.key),
                self.expected(),
                self.remedy(),
            ));
        };
        let place = |placed: &Placed| format!("{}:{}", placed.file.display(), placed.word.line);
        let value = if ssh::adds_up(&key) {
            global.iter().map(|placed| placed.word.value.as_str()).collect::<Vec<_>>().join(" ")
        } else {
            first.word.value.clone()
        };
        if value != wanted {
            return Ok(fails(
                place(first),
                format!("{} {value}", self.key),
                self.expected(),
                self.remedy(),
            ));
        }
        if let Some(other) =
            mine.iter().find(|placed| placed.in_block && placed.word.value != wanted)
        {
            let found = format!("{} {} in a conditional block", self.key, other.word.value);
            return Ok(fails(
                place(other),
                found,
                self.expected(),
                "remove the line from the block",
            ));
        }
        Ok(Finding::Holds)
    }

    fn read(&self, text: &str) -> Option<(String, usize)> {
        match self.format {
            SettingFormat::Space => keyed::get(text, &self.key, Between::Space),
            SettingFormat::Equals => keyed::get(text, &self.key, Between::Equals),
            SettingFormat::Ini => {
                ini::get(text, self.section.as_deref().unwrap_or_default(), &self.key)
            }
            SettingFormat::Ssh => None,
        }
    }

    fn edit(&self, text: &str) -> String {
        match self.format {
            SettingFormat::Space => keyed::set(text, &self.key, &self.value, Between::Space),
            // Files in /etc/default are read by shells, which allow no space around the sign.
            SettingFormat::Equals if text.is_empty() && self.path.starts_with("/etc/default/") => {
                format!("{}={}\n", self.key, self.value)
            }
            SettingFormat::Equals => keyed::set(text, &self.key, &self.value, Between::Equals),
            SettingFormat::Ini => {
                ini::set(text, self.section.as_deref().unwrap_or_default(), &self.key, &self.value)
            }
            SettingFormat::Ssh => ssh::set(text, &self.key, &self.value, false),
        }
    }
}

impl State for Setting {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let path = Path::new(&self.path);
        if view.root.status(path, Links::Follow)?.is_none() {
            if self.if_present {
                return Ok(Finding::Skipped(format!("{} is not there", self.path)));
            }
            return Ok(fails(&self.path, "no such file", self.expected(), self.remedy()));
        }
        if self.format == SettingFormat::Ssh {
            return Ok(self.check_ssh(view.root)?);
        }
        let text = view.root.text(path)?.unwrap_or_default();
        let wanted = self.value.trim_matches('"');
        Ok(match self.read(&text) {
            Some((value, _)) if value == self.value || value == wanted => Finding::Holds,
            Some((value, line)) => {
                let found = format!("{} is {value}", self.key);
                fails(format!("{}:{line}", self.path), found, self.expected(), self.remedy())
            }
            None => fails(
                &self.path,
                format!("{} is not set", self.key),
                self.expected(),
                self.remedy(),
            ),
        })
    }

    fn apply(&self, site: &mut Site<'_>) -> Result<Effect, Unable> {
        let path = Path::new(&self.path);
        if self.if_present && site.root().status(path, Links::Follow)?.is_none() {
            return Ok(left_out(format!("{} is not there", self.path)));
        }
        let effect = site.edit(path, &|text| self.edit(text))?;
        if self.format != SettingFormat::Ssh || self.check_ssh(site.root())? == Finding::Holds {
            return Ok(effect);
        }
        // An included file said something else before; the line must come first.
        Ok(site.edit(path, &|text| ssh::set(text, &self.key, &self.value, true))?)
    }
}
