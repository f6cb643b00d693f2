//! `pam`: a line of a stack that is *reached*, not only written. A restriction behind a line that may end the stack with
//! success restricts nobody.

use std::path::{Path, PathBuf};

use super::{Effect, Finding, Site, State, Unable, Unknown, effect, fails, failure, left_out};
use crate::formats::pam::{Control, Rule, insert, normal, parse, remove, replace};
use crate::root::{Links, Root, RootError, glob};
use crate::view::View;
use crate::want::{Pam, PamPosition, PamType};

const FOLDERS: [&str; 2] = ["/etc/pam.d", "/usr/lib/pam.d"];
/// Includes followed before it is called a loop; libpam allows 32.
const DEPTH: usize = 32;
/// A module with these first arguments is a different step each time.
const MODES: [&str; 3] = ["preauth", "authfail", "authsucc"];
/// Modules that decide; what must come first must come before them.
const DECIDING: [&str; 3] = ["pam_unix.so", "pam_permit.so", "pam_deny.so"];

/// One line of a stack after following includes.
struct Step {
    rule: Rule,
    file: PathBuf,
    /// Index of the line (or of the include that brought it) among the lines of the service itself.
    top: usize,
    /// Written in the service itself.
    own: bool,
    /// Its ends and jumps stay within a substack.
    contained: bool,
}

fn locate(root: &dyn Root, service: &str) -> Result<Option<PathBuf>, RootError> {
    for folder in FOLDERS {
        let path = Path::new(folder).join(service);
        if root.status(&path, Links::Follow)?.is_some() {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// The lines of one type in the order in which they run.
fn stack(root: &dyn Root, file: &Path, kind: PamType) -> Result<Vec<Step>, RootError> {
    let mut steps = Vec::new();
    flatten(root, file, kind, DEPTH, (None, false), &mut steps)?;
    Ok(steps)
}

fn flatten(
    root: &dyn Root,
    file: &Path,
    kind: PamType,
    depth: usize,
    within: (Option<usize>, bool),
    steps: &mut Vec<Step>,
) -> Result<(), RootError> {
    let (parent, contained) = within;
    let text = root.text(file)?.unwrap_or_default();
    for (index, rule) in parse(&text).into_iter().enumerate() {
        if rule.kind.is_some_and(|other| other != kind) {
            continue;
        }
        let top = parent.unwrap_or(index);
        if rule.control_text().is_none() {
            let inner = contained || rule.control == Control::Substack;
            if depth > 0
                && let Some(file) = locate(root, &rule.module)?
            {
                flatten(root, &file, kind, depth - 1, (Some(top), inner), steps)?;
            }
            continue;
        }
        steps.push(Step { rule, file: file.to_owned(), top, own: parent.is_none(), contained });
    }
    Ok(())
}

/// The first step before `index` that can end the stack or jump past it with success; steps of `excused` may.
fn cut_off_by<'s>(steps: &'s [Step], index: usize, excused: Option<&str>) -> Option<&'s Step> {
    steps.iter().enumerate().take(index).find_map(|(at, step)| {
        let past = at + 1 + step.rule.jumps_on_success() > index;
        let cuts = !step.contained && (step.rule.ends_on_success() || past);
        (cuts && excused != Some(step.rule.module_name())).then_some(step)
    })
}

fn mode(args: &[String]) -> Option<&str> {
    args.iter().map(String::as_str).find(|arg| MODES.contains(arg))
}

/// A control with the numbers of jumps left out: they follow from where lines stand, and inserting a line changes them.
fn without_jumps(control: &str) -> String {
    let mut text = String::new();
    for word in normal(control).split(' ') {
        let (word, end) = word.strip_suffix(']').map_or((word, ""), |word| (word, "]"));
        let jump = word.split_once('=').filter(|(_, action)| action.parse::<usize>().is_ok());
        match jump {
            Some((name, _)) => text.push_str(&format!("{name}=N")),
            None => text.push_str(word),
        }
        text.push_str(end);
        text.push(' ');
    }
    text.trim_end().to_owned()
}

/// What a want with a position says, with its three fields at hand (the reader of the catalogue demands them together).
struct Placement<'w> {
    want: &'w Pam,
    kind: PamType,
    control: &'w str,
    position: &'w PamPosition,
}

impl Pam {
    fn placement(&self) -> Option<Placement<'_>> {
        match (self.kind, &self.control, &self.position) {
            (Some(kind), Some(control), Some(position)) => {
                Some(Placement { want: self, kind, control, position })
            }
            _ => None,
        }
    }

    fn module_name(&self) -> &str {
        self.module.rsplit('/').next().unwrap_or(&self.module)
    }

    fn services(&self, root: &dyn Root) -> Result<Vec<PathBuf>, RootError> {
        if self.service.contains(['*', '?', '[']) {
            return glob(root, &format!("/etc/pam.d/{}", self.service));
        }
        Ok(locate(root, &self.service)?.into_iter().collect())
    }

    /// Whether an argument is one that must not be there; `name=` means any value.
    fn unwanted(&self, arg: &str) -> bool {
        self.absent_args
            .iter()
            .any(|absent| absent == arg || (absent.ends_with('=') && arg.starts_with(absent)))
    }

    fn strips(&self, rule: &Rule) -> bool {
        rule.module_name() == self.module_name()
            && self.kind.is_none_or(|kind| rule.kind == Some(kind))
            && rule.args.iter().any(|arg| self.unwanted(arg))
    }

    fn check_absent_args(&self, root: &dyn Root) -> Result<Finding, RootError> {
        let mut failures = Vec::new();
        for file in self.services(root)? {
            let text = root.text(&file)?.unwrap_or_default();
            for rule in parse(&text).iter().filter(|rule| self.strips(rule)) {
                let place = format!("{}:{}", file.display(), rule.line + 1);
                let found = format!("{} {}", rule.module, rule.args.join(" "));
                let expected = format!("{} without {}", self.module, self.absent_args.join(", "));
                failures.push(failure(place, found, expected, "remove the argument"));
            }
        }
        Ok(Finding::of(failures))
    }

    fn apply_absent_args(&self, site: &mut Site<'_>) -> Result<Effect, RootError> {
        let mut changed = Vec::new();
        for file in self.services(site.root())? {
            let done = site.edit(&file, &|text| {
                let mut text = text.to_owned();
                while let Some(old) = parse(&text).into_iter().find(|rule| self.strips(rule)) {
                    let mut new = old.clone();
                    new.args.retain(|arg| !self.unwanted(arg));
                    text = replace(&text, &old, &new);
                }
                text
            })?;
            if let Effect::Changed { paths } = done {
                changed.extend(paths);
            }
        }
        Ok(effect(changed))
    }
}

impl Placement<'_> {
    /// Whether a line is this step of the stack, however it is controlled.
    fn is_mine(&self, rule: &Rule) -> bool {
        rule.kind == Some(self.kind)
            && rule.control_text().is_some()
            && rule.module_name() == self.want.module_name()
            && mode(&rule.args) == mode(&self.want.args)
    }

    fn controls_alike(&self, found: &str) -> bool {
        if *self.position == PamPosition::Replace {
            return without_jumps(found) == without_jumps(self.control);
        }
        normal(found) == normal(self.control)
    }

    /// Whether all wanted arguments are there and none gives another value to one of them.
    fn args_hold(&self, found: &[String]) -> bool {
        let name = |arg: &str| arg.split_once('=').map(|(name, _)| name.to_owned());
        let wanted = &self.want.args;
        wanted.iter().all(|arg| found.contains(arg))
            && found.iter().all(|arg| {
                wanted.contains(arg)
                    || name(arg).is_none_or(|name_found| {
                        !wanted.iter().any(|arg| name(arg).as_ref() == Some(&name_found))
                    })
            })
    }

    fn expected(&self) -> String {
        let rule = Rule::new(self.kind, self.control, &self.want.module, &self.want.args);
        format!("{} ({})", rule.render().replace('\t', " "), self.position)
    }

    /// Why the step at `index` stands in the wrong place, if it does.
    fn misplaced(&self, steps: &[Step], index: usize) -> Option<String> {
        let is = |step: &Step, module: &String| step.rule.module_name() == module.as_str();
        let harmless = |step: &Step| {
            let rule = &step.rule;
            step.own
                && !rule.ends_on_success()
                && rule.jumps_on_success() == 0
                && !DECIDING.contains(&rule.module_name())
        };
        let excused = match self.position {
            PamPosition::After(module) => Some(module.as_str()),
            _ => None,
        };
        if let Some(step) = cut_off_by(steps, index, excused) {
            let place = format!("{}:{}", step.file.display(), step.rule.line + 1);
            let control = step.rule.control_text().unwrap_or_default();
            return Some(format!(
                "not reached: {place} ({control} {}) can end or leave the stack first",
                step.rule.module
            ));
        }
        let (before, behind) = (steps.iter().take(index), steps.iter().skip(index + 1));
        match self.position {
            PamPosition::First => before
                .into_iter()
                .find(|step| !harmless(step))
                .map(|step| format!("{} stands before it", step.rule.module)),
            PamPosition::Last => behind
                .into_iter()
                .find(|step| !harmless(step))
                .map(|step| format!("{} stands behind it", step.rule.module)),
            PamPosition::Before(module) => {
                let found = behind.into_iter().any(|step| is(step, module));
                (!found).then(|| format!("{module} does not stand behind it"))
            }
            PamPosition::After(module) => {
                let found = before.into_iter().any(|step| is(step, module));
                (!found).then(|| format!("{module} does not stand before it"))
            }
            PamPosition::Replace => None,
        }
    }

    fn check(&self, root: &dyn Root, file: &Path) -> Result<Finding, RootError> {
        let steps = stack(root, file, self.kind)?;
        let place = |rule: &Rule| format!("{}:{}", file.display(), rule.line + 1);
        let mut complaint = None;
        for (index, step) in
            steps.iter().enumerate().filter(|(_, step)| step.own && self.is_mine(&step.rule))
        {
            let control = step.rule.control_text().unwrap_or_default();
            if !self.controls_alike(control) || !self.args_hold(&step.rule.args) {
                complaint.get_or_insert_with(|| {
                    (place(&step.rule), step.rule.render().replace('\t', " "))
                });
                continue;
            }
            match self.misplaced(&steps, index) {
                None => return Ok(Finding::Holds),
                Some(reason) => {
                    complaint.get_or_insert_with(|| (place(&step.rule), reason));
                }
            }
        }
        let (place, found) = complaint
            .unwrap_or_else(|| (file.display().to_string(), "the line is missing".to_owned()));
        Ok(fails(place, found, self.expected(), "write the line in that place"))
    }

    /// The physical line before which the new line goes.
    fn place(&self, root: &dyn Root, file: &Path, text: &str) -> Result<usize, Unable> {
        let rules = parse(text);
        let concerns = |rule: &&Rule| rule.kind.is_none_or(|kind| kind == self.kind);
        let ends = |rule: &Rule| rule.line + rule.span;
        let missing = |module: &str| Unable::Missing {
            thing: format!("{module} in the {} stack of {}", self.kind.name(), file.display()),
            remedy: "correct the position in the control",
        };
        let bringing = |module: &str, steps: &[Step], last: bool| {
            let mut tops =
                steps.iter().filter(|step| step.rule.module_name() == module).map(|step| step.top);
            if last { tops.next_back() } else { tops.next() }
        };
        match self.position {
            PamPosition::First => Ok(rules
                .iter()
                .find(concerns)
                .map_or_else(|| text.lines().count(), |rule| rule.line)),
            PamPosition::Last => {
                Ok(rules.iter().rfind(concerns).map_or_else(|| text.lines().count(), ends))
            }
            PamPosition::Before(module) => {
                let top = bringing(module, &stack(root, file, self.kind)?, false);
                top.and_then(|top| rules.get(top))
                    .map(|rule| rule.line)
                    .ok_or_else(|| missing(module))
            }
            PamPosition::After(module) => {
                let top = bringing(module, &stack(root, file, self.kind)?, true);
                top.and_then(|top| rules.get(top)).map(ends).ok_or_else(|| missing(module))
            }
            PamPosition::Replace => Err(missing(&self.want.module)),
        }
    }

    fn apply(&self, site: &mut Site<'_>, file: &Path) -> Result<Effect, Unable> {
        if self.check(site.root(), file)? == Finding::Holds {
            return Ok(Effect::AlreadySo);
        }
        let mut new = Rule::new(self.kind, self.control, &self.want.module, &self.want.args);
        let text = site.root().text(file)?.unwrap_or_default();
        let mine = |text: &str| parse(text).into_iter().find(|rule| self.is_mine(rule));
        let fresh = if *self.position == PamPosition::Replace {
            let Some(old) = mine(&text) else {
                return Err(Unable::Missing {
                    thing: format!(
                        "a {} line of {} in {}",
                        self.kind.name(),
                        self.want.module,
                        file.display()
                    ),
                    remedy: "use another position in the control",
                });
            };
            if let Some(control) = old.control_text().filter(|found| self.controls_alike(found)) {
                new = Rule::new(self.kind, control, &self.want.module, &self.want.args);
            }
            replace(&text, &old, &new)
        } else {
            let mut text = text;
            while let Some(old) = mine(&text) {
                text = remove(&text, &old);
            }
            // The place is looked up in the file as it is without the old lines.
            site.edit(file, &|_| text.clone())?;
            let at = self.place(site.root(), file, &text)?;
            insert(&text, at, &new)
        };
        let done = site.edit(file, &|_| fresh.clone())?;
        match self.check(site.root(), file)? {
            Finding::Fails(failures) => Err(Unable::Ambiguous {
                what: failures.first().map_or_else(String::new, |failure| {
                    format!("{}: {}", failure.place, failure.found)
                }),
                remedy: "correct the position in the control, or the lines before it",
            }),
            Finding::Holds | Finding::Skipped(_) => Ok(done),
        }
    }
}

impl State for Pam {
    fn check(&self, view: &View<'_>) -> Result<Finding, Unknown> {
        let files = self.services(view.root)?;
        let Some(file) = files.first() else {
            if self.if_present || self.placement().is_none() {
                return Ok(Finding::Skipped(format!("there is no PAM service {}", self.service)));
            }
            return Ok(fails(
                format!("/etc/pam.d/{}", self.service),
                "no such file",
                "the service",
                "add its package, or set `if_present = true` in the control",
            ));
        };
        Ok(match self.placement() {
            Some(placement) => placement.check(view.root, file)?,
            None => self.check_absent_args(view.root)?,
        })
    }

    fn apply(&self, site: &mut Site<'_>) -> Result<Effect, Unable> {
        let files = self.services(site.root())?;
        let Some(file) = files.first() else {
            if self.if_present || self.placement().is_none() {
                return Ok(left_out(format!("there is no PAM service {}", self.service)));
            }
            return Err(Unable::Missing {
                thing: format!("the PAM service {}", self.service),
                remedy: "add its package, or set `if_present = true` in the control",
            });
        };
        match self.placement() {
            Some(placement) => placement.apply(site, file),
            None => Ok(self.apply_absent_args(site)?),
        }
    }
}
