//! `sprat replay`: a trace, read from its file, through a core, and what is to be said about it.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Stdout, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;

use super::clock::Slice;
use super::lines::{complain, printable_lines};
use super::recording::panic_message;
use crate::config::{Print, ReplayConfig, Until};
use crate::trace::{
    Difference, End, Header, How, Played, Printer, Reader, Record, Recorder, Replay, Rigour, Step,
};

/// Something is other than it was.
const DIFFERENT: u8 = 1;
/// The trace cannot be read to its end.
const UNREADABLE: u8 = 2;
/// The core panicked where the recorded one did not.
const PANICKED: u8 = 3;

/// So many inputs are told before and after the one that differs.
const AROUND: usize = 10;

/// Why a replay stops before the end.
struct Stop {
    code: u8,
    sentence: String,
}

impl Stop {
    fn new(code: u8, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into() }
    }
}

/// Runs a replay to its exit code.
pub fn run_replay(config: &ReplayConfig) -> ExitCode {
    let told = Session::open(config).and_then(|mut session| {
        let result = catch_unwind(AssertUnwindSafe(|| session.play()))
            .unwrap_or_else(|panic| Err(session.panicked_elsewhere(&panic_message(&*panic))));
        result.and_then(|()| match session.out.flush() {
            Err(error) => unprinted(&error),
            Ok(()) => Ok(()),
        })
    });
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            complain(&stop.sentence);
            ExitCode::from(stop.code)
        }
    }
}

/// A replay under way.
struct Session<'a> {
    config: &'a ReplayConfig,
    reader: Reader<BufReader<File>>,
    replay: Replay,
    recorder: Option<Recorder>,
    printer: Option<Printer>,
    out: BufWriter<Stdout>,
    /// The inputs before the one in hand, as people read them.
    lately: VecDeque<(Step, Option<Played>)>,
    /// Inputs to go on without asking.
    unasked: u64,
    time: Slice,
}

impl<'a> Session<'a> {
    fn open(config: &'a ReplayConfig) -> Result<Self, Stop> {
        let name = config.file.display();
        let file = File::open(&config.file)
            .map_err(|error| Stop::new(UNREADABLE, format!("cannot open {name}: {error}")))?;
        let (header, reader) = Reader::new(BufReader::with_capacity(1 << 16, file))
            .map_err(|error| Stop::new(UNREADABLE, format!("{name}: {error}")))?;
        let rigour = if config.against { Rigour::Against } else { Rigour::Equal };
        let printer = config.print.map(|print| Printer::new(print == Print::Json));
        let mut out = BufWriter::new(io::stdout());
        if let Some(printer) = &printer {
            let _ = out.write_all(printer.header(&header).as_bytes());
        }
        Ok(Self {
            config,
            reader,
            replay: Replay::new(&header, rigour),
            recorder: rewriter(config, header)?,
            printer,
            out,
            lately: VecDeque::new(),
            unasked: 0,
            time: Slice::of(std::time::Duration::ZERO),
        })
    }

    /// Record after record, until the end or the first difference.
    fn play(&mut self) -> Result<(), Stop> {
        let mut told = String::new();
        loop {
            let record = self.reader.next_record().map_err(|error| self.unreadable(&error))?;
            match record {
                None => break,
                Some(Record::Step(step)) => {
                    if self.is_beyond(&step) {
                        let up_to = self.replay.count();
                        self.recorder.iter_mut().for_each(Recorder::flush);
                        return self.tell(&format!("equal up to here, {up_to} inputs"));
                    }
                    if self.play_step(step)? {
                        return Ok(());
                    }
                }
                Some(Record::Snapshot { count, at, sum, state }) => {
                    let restored = catch_unwind(AssertUnwindSafe(|| {
                        self.replay.restore(count, at, sum, state.get()).map(|()| {
                            self.replay.node().check_invariants();
                        })
                    }));
                    let problem = match restored {
                        Ok(Ok(())) => None,
                        Ok(Err(error)) => Some(error.to_string()),
                        Err(panic) => Some(panic_message(&*panic)),
                    };
                    if let Some(problem) = problem {
                        let name = self.config.file.display();
                        return Err(Stop::new(UNREADABLE, format!("{name}: {problem}")));
                    }
                    if let Some(recorder) = &mut self.recorder {
                        recorder.begin_with(state.get(), count, at, sum);
                    }
                }
                Some(Record::Checkpoint(checkpoint)) => {
                    let result = self.replay.checkpoint(&checkpoint);
                    self.differs(result)?;
                    if let Some(printer) = &self.printer {
                        let text = printer.checkpoint(&checkpoint);
                        let _ = self.print(&text);
                    }
                }
                Some(Record::End(end)) => told = self.end(&end)?,
            }
        }
        self.tell(&told)
    }

    fn is_beyond(&self, step: &Step) -> bool {
        match self.config.until {
            None => false,
            Some(Until::Input(n)) => step.n > n,
            Some(Until::Time(micros)) => step.at.as_micros() > micros,
        }
    }

    /// One step; true where the person has seen enough.
    fn play_step(&mut self, step: Step) -> Result<bool, Stop> {
        let recorder = self.recorder.as_mut();
        let replay = &mut self.replay;
        let result = catch_unwind(AssertUnwindSafe(|| replay.step(&step, recorder)));
        let result = match result {
            Ok(result) => result,
            Err(panic) => return self.panicked(step, &panic_message(&*panic)).map(|()| true),
        };
        match result {
            Ok(played) => {
                if let Some(printer) = &mut self.printer {
                    let text = printer.step(&step, &played, self.replay.node());
                    if let Err(error) = self.print(&text) {
                        return unprinted(&error).map(|()| true);
                    }
                }
                self.remember(step, Some(played));
                Ok(self.config.step && self.asks_for_end())
            }
            Err((difference, played)) if self.recorder.is_some() => {
                // It is written anew because it differs.
                drop(difference);
                self.remember(step, played);
                Ok(false)
            }
            Err((difference, played)) => {
                self.remember(step, played);
                self.differs(Err(difference)).map(|()| false)
            }
        }
    }

    fn remember(&mut self, step: Step, played: Option<Played>) {
        if self.lately.len() > AROUND {
            self.lately.pop_front();
        }
        self.lately.push_back((step, played));
    }

    /// Waits for Enter; a number is for so many inputs. Whether it is enough.
    fn asks_for_end(&mut self) -> bool {
        if self.unasked > 0 {
            self.unasked -= 1;
            return false;
        }
        let _ = self.out.flush();
        let mut answer = String::new();
        match io::stdin().read_line(&mut answer) {
            Ok(1..) => {}
            _ => return true,
        }
        let answer = answer.trim();
        self.unasked = answer.parse().map_or(0, |more: u64| more.saturating_sub(1));
        answer == "q"
    }

    fn differs(&mut self, result: Result<(), Difference>) -> Result<(), Stop> {
        let Err(difference) = result else { return Ok(()) };
        if self.recorder.is_some() {
            return Ok(());
        }
        let _ = self.out.flush();
        let Difference { what, expected, came } = difference;
        let place = self.place();
        let sentence = format!(
            "{}: {place}: {what}\n  expected: {}\n  came:     {}\n{}",
            self.config.file.display(),
            indented(&expected),
            indented(&came),
            self.around()
        );
        Err(Stop::new(DIFFERENT, sentence.trim_end().to_owned()))
    }

    /// Where the replay is.
    fn place(&self) -> String {
        match self.lately.back() {
            None => "before the first input".to_owned(),
            Some((step, _)) => {
                format!("line {}, input {}, at {} s", step.line, step.n, step.at)
            }
        }
    }

    /// What lies around the last input.
    fn around(&mut self) -> String {
        let mut text = String::new();
        let mut printer = Printer::new(false);
        for (step, played) in &self.lately {
            text += &match played {
                Some(played) => printer.step(step, played, self.replay.node()),
                None => printer.input(step),
            };
        }
        let mut after = 0;
        while let (true, Ok(Some(record))) = (after < AROUND, self.reader.next_record()) {
            if let Record::Step(step) = record {
                if after == 0 {
                    text += "after it:\n";
                }
                text += &printer.input(&step);
                after += 1;
            }
        }
        text
    }

    /// The core has panicked in this step. That is as recorded, or it is not.
    fn panicked(&mut self, step: Step, message: &str) -> Result<(), Stop> {
        self.remember(step, None);
        let place = self.place();
        let name = self.config.file.display().to_string();
        if let Some(mut recorder) = self.recorder.take() {
            let message = message.to_owned();
            recorder.finish(How::Panic { message, in_core: true });
        }
        let end = loop {
            match self.reader.next_record() {
                Ok(Some(Record::End(end))) => break Some(end),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break None,
            }
        };
        if end.is_some_and(|end| Replay::expects_panic(&end, message)) {
            return self.tell(&format!("equal: {place}, the core panics as it did: {message}"));
        }
        let around = self.around();
        let sentence = format!("{name}: {place}: the core panics: {message}\n{around}");
        Err(Stop::new(PANICKED, sentence.trim_end().to_owned()))
    }

    /// What there is to say of an end that is as it was.
    fn end(&mut self, end: &End) -> Result<String, Stop> {
        if let Some(printer) = &mut self.printer {
            let text = printer.end(end, self.replay.node());
            let _ = self.print(&text);
        }
        if let Some(mut recorder) = self.recorder.take() {
            recorder.finish(end.how.clone());
            return match recorder.trouble() {
                Some(error) => Err(Stop::new(UNREADABLE, format!("cannot write it anew: {error}"))),
                None => Ok(format!("written anew: {} inputs", self.replay.count())),
            };
        }
        let result = self.replay.end(end);
        self.differs(result)?;
        let (inputs, span) = (self.replay.count(), self.replay.now());
        let took = self.time.elapsed().as_secs_f64();
        let against = if self.config.against { "the same end" } else { "equal" };
        Ok(format!("{against}: {inputs} inputs of {span} s, in {took:.2} s"))
    }

    /// Prints; for people without what could drive their terminal.
    fn print(&mut self, text: &str) -> io::Result<()> {
        match self.config.print {
            Some(Print::Json) => self.out.write_all(text.as_bytes()),
            _ => self.out.write_all(printable_lines(text).as_bytes()),
        }
    }

    /// The core panicked while nothing was handed to it: what it was made of cannot be.
    fn panicked_elsewhere(&self, message: &str) -> Stop {
        let (name, place) = (self.config.file.display(), self.place());
        let sentence = format!("{name}: {place}: the core panics when it is looked at: {message}");
        Stop::new(PANICKED, sentence)
    }

    /// The last word, where there is to be one.
    fn tell(&mut self, text: &str) -> Result<(), Stop> {
        if !self.config.quiet && self.config.print != Some(Print::Json) {
            let _ = self.print(&format!("{text}\n"));
        }
        Ok(())
    }

    fn unreadable(&mut self, error: &crate::trace::ReadError) -> Stop {
        let _ = self.out.flush();
        let inputs = self.replay.count();
        if let Some(mut recorder) = self.recorder.take() {
            recorder.flush();
        }
        let name = self.config.file.display();
        Stop::new(
            UNREADABLE,
            format!("{name}: {error}; {inputs} inputs up to there are as recorded"),
        )
    }
}

/// What could not be printed is no replay, unless whoever read it is gone: they have seen enough.
fn unprinted(error: &io::Error) -> Result<(), Stop> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Stop::new(UNREADABLE, format!("cannot print: {error}"))),
    }
}

/// What writes the trace anew, where that is wanted.
fn rewriter(config: &ReplayConfig, mut header: Header) -> Result<Option<Recorder>, Stop> {
    let Some(place) = &config.rewrite else { return Ok(None) };
    let file = create(place).map_err(|error| {
        Stop::new(UNREADABLE, format!("cannot make {}: {error}", place.display()))
    })?;
    header.program = env!("CARGO_PKG_VERSION").to_owned();
    let recorder = Recorder::new(&header, Box::new(file)).again();
    Ok(Some(if config.expand { recorder.one_line_each() } else { recorder }))
}

/// As the trace itself: nobody else may read it.
fn create(place: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).mode(0o600).create_new(true).open(place)
}

fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n            ")
}
