//! How a download is getting on, for the person who waits for it: a bar where standard error is a
//! terminal, a line now and then where it is not. It is drawn from the loop; no thread ticks.

mod fitting;
mod screen;

use std::io::{IsTerminal, Stderr};
use std::time::Duration;

use indicatif::{DecimalBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use self::fitting::fit;
pub use self::screen::bars;

use super::lines::Lines;
use crate::node::{FetchProgress, Instant};

/// How often the bar is drawn at most.
const BAR_EVERY: Duration = Duration::from_millis(100);
/// How often a line is written at most.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Nothing is said of a download that waits for less than this.
const WAIT_WORTH_TELLING: Duration = Duration::from_secs(2);
/// Over how long the speed is measured.
const SPEED_OVER: Duration = Duration::from_secs(3);

/// The bar or the lines of one download.
#[derive(Debug)]
pub struct Progress {
    name: String,
    began: Instant,
    look: Look,
    speed: Speed,
    next: Instant,
    /// Since when nothing has come.
    still_since: Instant,
    /// It was said that it began.
    begun: bool,
    last: FetchProgress,
    most_sources: usize,
}

#[derive(Debug)]
enum Look {
    Silent,
    Bar(Bar),
    Lines { stderr: Lines<Stderr>, told: String },
}

impl Progress {
    /// For a download of `size` bytes, its bar being one of `bars`. `quiet` says nothing at all.
    pub fn new(name: &str, size: u64, quiet: bool, bars: &MultiProgress, now: Instant) -> Self {
        let look = if quiet {
            Look::Silent
        } else if std::io::stderr().is_terminal() {
            Look::Bar(Bar::new(size, bars))
        } else {
            Look::Lines { stderr: Lines::new(std::io::stderr()), told: String::new() }
        };
        Self {
            name: name.to_owned(),
            began: now,
            look,
            speed: Speed::default(),
            next: now,
            still_since: now,
            begun: false,
            last: FetchProgress { size, stored: 0, received: 0, sources: 0, doing: "" },
            most_sources: 0,
        }
    }

    /// To be called at every turn of the loop; draws or writes where it is time to.
    pub fn update(&mut self, now: Instant, progress: FetchProgress) {
        if progress.received != self.last.received {
            self.still_since = now;
        }
        self.most_sources = self.most_sources.max(progress.sources);
        self.last = progress;
        if now < self.next {
            return;
        }
        let speed = self.speed.measure(now, progress.received);
        let still = now.since(self.still_since);
        match &mut self.look {
            Look::Silent => {}
            Look::Bar(bar) => {
                self.next = now + BAR_EVERY;
                bar.draw(&self.name, &progress, &state(&progress, speed, still));
            }
            Look::Lines { stderr, told } => {
                if !self.begun {
                    stderr.line(&format!("{}: {}", self.name, DecimalBytes(progress.size)));
                    self.begun = true;
                }
                self.next = now + BAR_EVERY;
                let worth = now.since(self.began) >= WAIT_WORTH_TELLING;
                let text = state(&progress, speed, still);
                let waits = still >= WAIT_WORTH_TELLING;
                // What it waits for is told once; how it moves, every now and then.
                if worth && (!waits || *told != text) {
                    self.next = now + LINE_EVERY;
                    let share = percent(&progress);
                    stderr.line(&format!("{}: {share} %, {text}", self.name));
                    *told = if waits { text } else { String::new() };
                }
            }
        }
    }

    /// The download is over: takes the bar away and, where it went well, says how it was.
    pub fn end(mut self, now: Instant, done: bool) {
        let seconds = now.since(self.began).as_secs_f64();
        let size = DecimalBytes(self.last.size);
        let sources = match self.most_sources {
            0 => String::new(),
            1 => ", 1 source".to_owned(),
            more => format!(", {more} sources"),
        };
        let text = format!("{}: {size} in {seconds:.2} s{sources}", self.name);
        match &mut self.look {
            Look::Silent => {}
            Look::Bar(bar) => {
                bar.take_away(|| {
                    if done {
                        Lines::new(std::io::stderr()).line(&text);
                    }
                });
            }
            Look::Lines { stderr, .. } => {
                if done {
                    stderr.line(&text);
                }
            }
        }
    }
}

/// A bar, and those that it is one of.
#[derive(Debug)]
struct Bar {
    bar: ProgressBar,
    bars: MultiProgress,
    has_bar: Option<bool>,
}

impl Bar {
    fn new(size: u64, bars: &MultiProgress) -> Self {
        // Hidden until it is one of them, or it would be drawn beside them, once and for good.
        let hidden = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::hidden());
        Self { bar: bars.add(hidden), bars: bars.clone(), has_bar: None }
    }

    fn draw(&mut self, name: &str, progress: &FetchProgress, state: &str) {
        let columns = usize::from(screen::size().0);
        let share = format!("{:>3} %", percent(progress));
        let beside = match state {
            "" => format!(" of {}", DecimalBytes(progress.size)),
            state => format!(" of {}, {state}", DecimalBytes(progress.size)),
        };
        let fitted = fit(columns, name, &share, &beside);
        if self.has_bar != Some(fitted.has_bar) {
            self.has_bar = Some(fitted.has_bar);
            let template =
                if fitted.has_bar { "{prefix} {wide_bar} {msg}" } else { "{prefix} {msg}" };
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.bar.set_style(style.progress_chars("#>-"));
            }
        }
        self.bar.update(|bar| {
            bar.set_len(progress.size);
            bar.set_pos(progress.stored);
        });
        self.bar.set_prefix(fitted.name);
        self.bar.set_message(fitted.text);
    }

    /// The others are drawn below what is written meanwhile.
    fn take_away(&self, write: impl FnOnce()) {
        self.bars.remove(&self.bar);
        self.bars.suspend(write);
    }
}

/// What to say beside the share that is here.
fn state(progress: &FetchProgress, speed: Option<u64>, still: Duration) -> String {
    let moves = speed.filter(|speed| *speed > 0 && still < WAIT_WORTH_TELLING);
    let Some(speed) = moves else {
        return progress.doing.to_owned();
    };
    let left = progress.size.saturating_sub(progress.stored) / speed;
    let (minutes, seconds) = (left / 60, left % 60);
    let sources = progress.sources;
    let noun = if sources == 1 { "source" } else { "sources" };
    format!("{}/s, {minutes}:{seconds:02} left, {sources} {noun}", DecimalBytes(speed))
}

fn percent(progress: &FetchProgress) -> u64 {
    if progress.size == 0 {
        return 100;
    }
    let share = u128::from(progress.stored) * 100 / u128::from(progress.size);
    u64::try_from(share).unwrap_or(100)
}

/// Bytes a second, over the last seconds.
#[derive(Debug, Default)]
struct Speed {
    marks: std::collections::VecDeque<(Instant, u64)>,
}

impl Speed {
    /// None until there is something to compare with.
    fn measure(&mut self, now: Instant, received: u64) -> Option<u64> {
        while self.marks.len() > 1 && now.since(self.marks[0].0) > SPEED_OVER {
            self.marks.pop_front();
        }
        let (then, before) = *self.marks.front().unwrap_or(&(now, received));
        self.marks.push_back((now, received));
        let micros = now.since(then).as_micros();
        if micros == 0 {
            return None;
        }
        let bytes = u128::from(received.saturating_sub(before));
        u64::try_from(bytes * 1_000_000 / micros).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    #[test]
    fn speed_is_that_of_the_last_seconds() {
        let mut speed = Speed::default();
        assert_eq!(speed.measure(at(0), 1_000), None);
        assert_eq!(speed.measure(at(500), 2_000), Some(2_000));
        // Ten seconds of nothing, and it is nothing.
        for second in 1..11 {
            speed.measure(at(500 + second * 1_000), 2_000);
        }
        assert_eq!(speed.measure(at(11_500), 2_000), Some(0));
        assert!(speed.marks.len() < 10);
    }

    #[test]
    fn what_is_said() {
        let progress = FetchProgress {
            size: 100_000_000,
            stored: 25_000_000,
            received: 25_000_000,
            sources: 2,
            doing: "a source",
        };
        let none = Duration::ZERO;
        assert_eq!(state(&progress, Some(1_000_000), none), "1.00 MB/s, 1:15 left, 2 sources");
        assert_eq!(state(&progress, Some(0), none), "a source");
        assert_eq!(state(&progress, Some(5), Duration::from_secs(60)), "a source");
        assert_eq!(percent(&progress), 25);
        assert_eq!(percent(&FetchProgress { size: 0, ..progress }), 100);
    }
}
