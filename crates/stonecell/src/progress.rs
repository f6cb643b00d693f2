//! How long work is shown: bars on a terminal, plain lines elsewhere, nothing when quiet.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Instant;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use stonecell_build::progress::{Event, Progress, Unit};

/// Shows events on standard error.
#[derive(Debug)]
pub(crate) struct Reporter {
    style: Style,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Bars,
    Lines,
    Silent,
}

#[derive(Debug)]
struct State {
    bar: Option<ProgressBar>,
    phase: String,
    began: Instant,
}

impl Reporter {
    /// Bars when standard error is a terminal, lines when not, nothing when `quiet`.
    #[must_use]
    pub(crate) fn new(quiet: bool) -> Self {
        let style = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Style::Silent,
            (false, true) => Style::Bars,
            (false, false) => Style::Lines,
        };
        let state = State { bar: None, phase: String::new(), began: Instant::now() };
        Self { style, state: Mutex::new(state) }
    }

    /// Ends the phase that is shown.
    pub(crate) fn finish(&self) {
        if let Ok(mut state) = self.state.lock() {
            self.end_phase(&mut state);
        }
    }

    fn end_phase(&self, state: &mut State) {
        if state.phase.is_empty() {
            return;
        }
        let seconds = state.began.elapsed().as_secs_f64();
        match self.style {
            Style::Bars => {
                if let Some(bar) = state.bar.take() {
                    bar.finish_and_clear();
                }
                eprintln!("  {:<44} {seconds:>6.1} s", state.phase);
            }
            Style::Lines => eprintln!("{}: done in {seconds:.1} s", state.phase),
            Style::Silent => {}
        }
        state.phase.clear();
    }
}

impl Progress for Reporter {
    fn event(&self, event: &Event) {
        if self.style == Style::Silent {
            return;
        }
        let Ok(mut state) = self.state.lock() else { return };
        match event {
            Event::Phase { name } => {
                self.end_phase(&mut state);
                state.phase.clone_from(name);
                state.began = Instant::now();
                if self.style == Style::Bars {
                    state.bar = Some(spinner(name));
                } else {
                    eprintln!("{name}");
                }
            }
            Event::Amount { done, total, unit } => {
                if let Some(bar) = &state.bar {
                    let text = match unit {
                        Unit::Bytes => format!("{} of {}", HumanBytes(*done), HumanBytes(*total)),
                        Unit::Items => format!("{done} of {total}"),
                    };
                    bar.set_length(*total);
                    bar.set_position(*done);
                    bar.set_message(text);
                }
            }
            Event::Item { name } => {
                if let Some(bar) = &state.bar {
                    bar.set_message(name.clone());
                }
            }
            Event::Note { text } => match &state.bar {
                Some(bar) => bar.println(format!("  {text}")),
                None => eprintln!("  {text}"),
            },
        }
    }
}

fn spinner(name: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("  {prefix:<28} {bar:24} {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(name.to_owned());
    bar
}
