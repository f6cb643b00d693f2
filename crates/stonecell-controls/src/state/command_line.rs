//! `command_line`: words of the kernel command line. They are part of the signed kernel image, so the builder puts them there.

use super::{Effect, Finding, Site, State, Unable, Unknown, fails};
use crate::view::View;
use crate::want::CommandLine;

const PLACE: &str = "kernel command line";

/// Parameters of which every occurrence counts, not only the last.
const REPEATED: [&str; 3] = ["console", "earlycon", "modprobe.blacklist"];

/// The kernel takes `-` and `_` in names of parameters for the same.
fn name_of(word: &str) -> String {
    word.split_once('=').map_or(word, |(name, _)| name).replace('-', "_")
}

fn same(word: &str, wanted: &str) -> bool {
    let value =
        |word: &str| word.split_once('=').map(|(_, value)| value.trim_matches('"').to_owned());
    name_of(word) == name_of(wanted) && value(word) == value(wanted)
}

impl State for CommandLine {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let words = view.root.command_line().ok_or(Unknown::Missing(
            "the kernel command line is not known; say it when the root is opened",
        ))?;
        let name = name_of(&self.parameter);
        if self.absent {
            let any_value = !self.parameter.contains('=');
            let found = words.iter().find(|word| {
                if any_value { name_of(word) == name } else { same(word, &self.parameter) }
            });
            return Ok(match found {
                Some(word) => {
                    fails(PLACE, word, format!("no {}", self.parameter), "remove the word")
                }
                None => Finding::Holds,
            });
        }
        let mine: Vec<&String> = words.iter().filter(|word| name_of(word) == name).collect();
        let remedy = "add the word to the command line of the definition";
        if REPEATED.contains(&name.as_str()) {
            return Ok(if mine.iter().any(|word| same(word, &self.parameter)) {
                Finding::Holds
            } else {
                fails(PLACE, "the word is missing", &self.parameter, remedy)
            });
        }
        Ok(match mine.last() {
            Some(word) if same(word, &self.parameter) => Finding::Holds,
            Some(word) => fails(
                PLACE,
                word.as_str(),
                &self.parameter,
                "the last word of a name counts; change it",
            ),
            None => fails(PLACE, "the word is missing", &self.parameter, remedy),
        })
    }

    fn apply(&self, _: &mut Site<'_>) -> Result<Effect, Unable> {
        Ok(Effect::Builder)
    }
}
