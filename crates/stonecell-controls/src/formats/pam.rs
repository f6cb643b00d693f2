//! `/etc/pam.d`: pam.d(5). What counts is whether a line is *reached*: a `sufficient` line or a `success=done` before it ends
//! the stack, a `success=2` jumps over it, and an include brings such lines with it.

use super::{join, split};
use crate::want::PamType;

/// How a line's result moves the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// `required`, `requisite`, `optional`, `sufficient`, or `[value=action ...]`; single spaces.
    Rule(String),
    /// `include FILE`: its lines stand here.
    Include,
    /// `substack FILE`: its lines stand here, but their ends end only the substack.
    Substack,
}

/// One active line of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// `None` for `@include`, which brings lines of every type.
    pub(crate) kind: Option<PamType>,
    pub(crate) control: Control,
    /// Name of the module, or of the file that is included.
    pub(crate) module: String,
    pub(crate) args: Vec<String>,
    /// Index of the first physical line.
    pub(crate) line: usize,
    /// Number of physical lines.
    pub(crate) span: usize,
    quiet: bool,
}

impl Rule {
    /// The control word, `None` for includes.
    pub(crate) fn control_text(&self) -> Option<&str> {
        match &self.control {
            Control::Rule(text) => Some(text),
            Control::Include | Control::Substack => None,
        }
    }

    /// Whether success of this line ends the whole stack there.
    pub(crate) fn ends_on_success(&self) -> bool {
        match self.control_text() {
            Some("sufficient") => true,
            Some(text) => matches!(action_on_success(text), Some("done")),
            None => false,
        }
    }

    /// How many lines success of this line jumps over.
    pub(crate) fn jumps_on_success(&self) -> usize {
        self.control_text()
            .and_then(action_on_success)
            .and_then(|action| action.parse().ok())
            .unwrap_or(0)
    }

    /// The line as it is written.
    pub(crate) fn render(&self) -> String {
        let kind = self.kind.map_or("", PamType::name);
        let quiet = if self.quiet { "-" } else { "" };
        let control = match &self.control {
            Control::Rule(text) => text.as_str(),
            Control::Include => "include",
            Control::Substack => "substack",
        };
        let mut text = format!("{quiet}{kind}\t{control}\t{}", self.module);
        for arg in &self.args {
            text.push(' ');
            text.push_str(arg);
        }
        text
    }

    /// A new line.
    pub(crate) fn new(kind: PamType, control: &str, module: &str, args: &[String]) -> Self {
        Self {
            kind: Some(kind),
            control: Control::Rule(normal(control)),
            module: module.to_owned(),
            args: args.to_vec(),
            line: 0,
            span: 1,
            quiet: false,
        }
    }

    /// Name of the module without the folder that some files give.
    pub(crate) fn module_name(&self) -> &str {
        self.module.rsplit('/').next().unwrap_or(&self.module)
    }
}

/// The action of a bracketed control on success: that of `success`, else that of `default`.
fn action_on_success(control: &str) -> Option<&str> {
    let inner = control.strip_prefix('[')?.strip_suffix(']')?;
    let action = |name: &str| {
        inner
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, action)| action)
    };
    action("success").or_else(|| action("default"))
}

/// A control with single spaces and no space at its brackets.
pub(crate) fn normal(control: &str) -> String {
    let words = control.split_whitespace().collect::<Vec<_>>().join(" ");
    words.replace("[ ", "[").replace(" ]", "]")
}

/// Splits off the first word; a word may be in brackets and then hold spaces.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let end = if text.starts_with('[') {
        text.find(']').map_or(text.len(), |at| at + 1)
    } else {
        text.find(char::is_whitespace).unwrap_or(text.len())
    };
    text.split_at(end)
}

fn parse_line(text: &str, line: usize, span: usize) -> Option<Rule> {
    let text = text.split('#').next().unwrap_or_default();
    let (first, rest) = word(text);
    if first == "@include" {
        let (file, _) = word(rest);
        return Some(Rule {
            kind: None,
            control: Control::Include,
            module: file.to_owned(),
            args: Vec::new(),
            line,
            span,
            quiet: false,
        })
        .filter(|rule| !rule.module.is_empty());
    }
    let quiet = first.starts_with('-');
    let kind = match first.trim_start_matches('-').to_ascii_lowercase().as_str() {
        "auth" => PamType::Auth,
        "account" => PamType::Account,
        "password" => PamType::Password,
        "session" => PamType::Session,
        _ => return None,
    };
    let (control, rest) = word(rest);
    let (module, mut rest) = word(rest);
    if module.is_empty() {
        return None;
    }
    let mut args = Vec::new();
    loop {
        let (arg, after) = word(rest);
        if arg.is_empty() {
            break;
        }
        args.push(arg.to_owned());
        rest = after;
    }
    let control = match control {
        "include" => Control::Include,
        "substack" => Control::Substack,
        other => Control::Rule(normal(other)),
    };
    Some(Rule { kind: Some(kind), control, module: module.to_owned(), args, line, span, quiet })
}

/// The active lines of a service file; a backslash at the end continues a line.
pub(crate) fn parse(text: &str) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut whole = String::new();
    let mut begin = None;
    for (index, line) in text.lines().enumerate() {
        let start = *begin.get_or_insert(index);
        if let Some(open) = line.strip_suffix('\\') {
            whole.push_str(open);
            whole.push(' ');
            continue;
        }
        whole.push_str(line);
        rules.extend(parse_line(&whole, start, index + 1 - start));
        whole.clear();
        begin = None;
    }
    if let Some(start) = begin {
        rules.extend(parse_line(&whole, start, text.lines().count() - start));
    }
    rules
}

/// Puts a rule before physical line `at` and lengthens the jumps that led behind that place, so that they land where they did.
pub(crate) fn insert(text: &str, at: usize, rule: &Rule) -> String {
    let mut lines = split(text);
    let text = adjust(&mut lines, at, rule.kind, true);
    let mut lines = split(&text);
    lines.insert(at.min(lines.len()), rule.render());
    join(&lines)
}

/// Takes out a rule and shortens the jumps that led over it.
pub(crate) fn remove(text: &str, rule: &Rule) -> String {
    let mut lines = split(text);
    let text = adjust(&mut lines, rule.line, rule.kind, false);
    let mut lines = split(&text);
    let end = (rule.line + rule.span).min(lines.len());
    lines.drain(rule.line.min(end)..end);
    join(&lines)
}

/// Replaces a rule in its place.
pub(crate) fn replace(text: &str, old: &Rule, new: &Rule) -> String {
    let mut lines = split(text);
    let end = (old.line + old.span).min(lines.len());
    lines.splice(old.line.min(end)..end, [new.render()]);
    join(&lines)
}

/// Corrects the jumps of one type for a line that comes (or goes) at physical line `at`.
fn adjust(lines: &mut [String], at: usize, kind: Option<PamType>, comes: bool) -> String {
    let rules = parse(&join(lines));
    let same: Vec<&Rule> =
        rules.iter().filter(|rule| rule.kind == kind && kind.is_some()).collect();
    let place = same.iter().position(|rule| rule.line >= at).unwrap_or(same.len());
    for (index, rule) in same.iter().enumerate().take(place) {
        let jump = rule.jumps_on_success();
        let target = index + 1 + jump;
        if jump == 0 || target <= place {
            continue;
        }
        let fresh = if comes { jump + 1 } else { jump - 1 };
        let (old, new) = (
            format!("success={jump}"),
            if fresh == 0 { "success=ignore".to_owned() } else { format!("success={fresh}") },
        );
        for line in lines.iter_mut().skip(rule.line).take(rule.span) {
            *line = line.replacen(&old, &new, 1);
        }
    }
    join(lines)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Rule, insert, parse, remove};
    use crate::want::PamType;

    const DEBIAN: &str = "# auth\nauth\t[success=1 default=ignore]\tpam_unix.so nullok\nauth\trequisite\tpam_deny.so\nauth\trequired\tpam_permit.so\n";

    #[test]
    fn reads_what_debian_writes() {
        let rules = parse(DEBIAN);
        assert_eq!(rules.len(), 3);
        assert_eq!(rules[0].jumps_on_success(), 1);
        assert_eq!(rules[0].args, ["nullok"]);
        assert!(!rules[1].ends_on_success());
        assert!(parse("auth sufficient pam_rootok.so")[0].ends_on_success());
        assert!(parse("auth [success=done] pam_x.so")[0].ends_on_success());
        assert!(parse("auth [default=done] pam_x.so")[0].ends_on_success());
        assert_eq!(parse("@include common-auth\n")[0].module, "common-auth");
        assert_eq!(parse("session optional \\\n pam_x.so a\\\n b")[0].args, ["a", "b"]);
        assert_eq!(parse("-session optional pam_x.so")[0].kind, Some(PamType::Session));
    }

    #[test]
    fn a_new_line_keeps_jumps_where_they_land() {
        let rule =
            Rule::new(PamType::Auth, "[default=die]", "pam_faillock.so", &["authfail".to_owned()]);
        let text = insert(DEBIAN, 2, &rule);
        let rules = parse(&text);
        assert_eq!(rules[0].jumps_on_success(), 2, "{text}");
        assert_eq!(rules[1].module, "pam_faillock.so");
        assert_eq!(remove(&text, &rules[1]), DEBIAN);
    }

    #[test]
    fn a_line_at_the_landing_place_is_landed_on() {
        let rule = Rule::new(PamType::Auth, "required", "pam_x.so", &[]);
        let text = insert(DEBIAN, 3, &rule);
        assert_eq!(parse(&text)[0].jumps_on_success(), 1, "{text}");
    }

    proptest! {
        #[test]
        fn inserting_and_removing_gives_back(
            lines in proptest::collection::vec("(auth|account) (required|\\[success=[123] default=ignore\\]) pam_[a-d].so", 0..6),
            at in 0_usize..6,
        ) {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let at = at.min(lines.len());
            let rule = Rule::new(PamType::Auth, "required", "pam_new.so", &[]);
            let with = insert(&text, at, &rule);
            let rules = parse(&with);
            let found = rules.iter().find(|rule| rule.module == "pam_new.so").expect("inserted");
            prop_assert_eq!(found.line, at);
            prop_assert_eq!(remove(&with, found), text);
        }

        #[test]
        fn any_text_is_read(text in "\\PC{0,120}") {
            for rule in parse(&text) {
                rule.jumps_on_success();
                rule.ends_on_success();
            }
        }
    }
}
