//! The steps of a trace through a core, with nothing around it: no socket, no disk, no waiting. The first
//! thing that is other than it was is told, with what was expected and what came.
//!
//! A panic of the core is the caller's to catch; [`expects_panic`](Replay::expects_panic) says whether the
//! recorded one panicked there too.

use std::fmt::Write;

use super::datagram::whole;
use super::line::{Checkpoint, Due, End, Header, How, Sum};
use super::masking::Masking;
use super::reader::{Event, Expected, Step};
use super::recorder::{Recorder, sections};
use super::tally::{RunningSum, Tally};
use crate::node::output::FetchEnding;
use crate::node::{Deadline, FetchId, Input, Instant, Node, Output, json_of};

/// So many files of a core are looked at for one input, on the average: the invariants of a hundred
/// thousand after each of the inputs that they come with would take hours.
const FILES_EACH: usize = 512;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rigour {
    /// Everything: the same core gives the same.
    Equal,
    /// How it ends, and that no invariant breaks: for a core that was changed on purpose. Inputs may be
    /// missing, and answers to what this core did not ask find nothing.
    Against,
}

/// Something is other than it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What, in one line.
    pub what: String,
    /// What was expected.
    pub expected: String,
    /// What came.
    pub came: String,
}

/// What came of a step.
#[derive(Debug)]
pub struct Played {
    /// Everything that the core asked for, in order.
    pub outputs: Vec<Output>,
    /// When it wants to be woken, and why.
    pub deadline: Option<Deadline>,
}

/// A core, and what is known of how it got there.
#[derive(Debug)]
pub struct Replay {
    node: Node,
    rigour: Rigour,
    masking: Masking,
    tally: Tally,
    count: u64,
    now: Instant,
    sum: RunningSum,
    endings: Vec<(FetchId, FetchEnding)>,
    unfinished: bool,
    /// Inputs since the invariants were looked at.
    unchecked: usize,
}

impl Replay {
    /// A core as the recorded one was at its start.
    pub fn new(header: &Header, rigour: Rigour) -> Self {
        let now = Instant::from_micros(header.begins);
        Self {
            node: Node::new(header.config.clone(), now),
            rigour,
            masking: if header.private { Masking::Again } else { Masking::Off },
            tally: Tally::default(),
            count: 0,
            now,
            sum: RunningSum::default(),
            endings: Vec::new(),
            unfinished: false,
            unchecked: 0,
        }
    }

    /// Goes on from a state.
    ///
    /// # Errors
    /// It is not one that this core can take up.
    pub fn restore(
        &mut self,
        count: u64,
        at: Instant,
        sum: Sum,
        state: &str,
    ) -> Result<(), crate::node::SnapshotError> {
        self.node = Node::restore(state)?;
        (self.count, self.now, self.sum) = (count, at, sum.into());
        Ok(())
    }

    /// The core.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// How many inputs it has been handed.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The time of the last one.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Hands a step in, takes what comes of it, and compares. A recorder notes it anew.
    ///
    /// # Errors
    /// The first difference. The core has gone on all the same.
    ///
    /// # Panics
    /// Where the core does, or an invariant is broken.
    pub fn step(
        &mut self,
        step: &Step,
        mut recorder: Option<&mut Recorder>,
    ) -> Result<Played, (Difference, Option<Played>)> {
        self.check_order(step).map_err(|difference| (difference, None))?;
        self.count = if self.rigour == Rigour::Equal { step.n } else { self.count + 1 };
        self.now = step.at;
        self.unfinished = step.expected.is_none();
        self.tally.clear();
        let woken = self.hand_in(step, recorder.as_deref_mut());
        let mut played = Played { outputs: Vec::new(), deadline: None };
        while let Some(output) = self.node.poll_output() {
            self.tally.output(&output, &mut self.masking);
            if let Some(recorder) = recorder.as_deref_mut() {
                recorder.output(&output);
            }
            if let Output::FetchEnded { fetch, ending } = &output {
                self.endings.push((*fetch, ending.clone()));
            }
            played.outputs.push(output);
        }
        self.unchecked += 1;
        // What panicked when it was recorded may have done so here.
        if self.unfinished || self.unchecked * FILES_EACH >= self.node.file_count() {
            self.check_invariants();
        }
        played.deadline = self.node.poll_timeout();
        if let Some(recorder) = recorder {
            recorder.after(&self.node);
        }
        let results = self.tally.finish(played.deadline);
        self.sum.add(results);
        let compared = woken.and_then(|()| match &step.expected {
            Some(expected) if self.rigour == Rigour::Equal => {
                self.compare(expected, results, &played)
            }
            _ => Ok(()),
        });
        match compared {
            Ok(()) => Ok(played),
            Err(difference) => Err((difference, Some(played))),
        }
    }

    fn check_invariants(&mut self) {
        self.unchecked = 0;
        self.node.check_invariants();
    }

    fn check_order(&self, step: &Step) -> Result<(), Difference> {
        if step.at < self.now {
            return Err(Difference {
                what: "the time goes back".to_owned(),
                expected: format!("{} or later", self.now),
                came: step.at.to_string(),
            });
        }
        let next = self.count + 1;
        if self.rigour == Rigour::Equal && step.n != next {
            return Err(Difference {
                what: "inputs are missing, or there are too many".to_owned(),
                expected: format!("input {next}"),
                came: format!("input {}", step.n),
            });
        }
        Ok(())
    }

    /// The input itself. A wake-up has to be one that this core wants, too.
    fn hand_in(
        &mut self,
        step: &Step,
        mut recorder: Option<&mut Recorder>,
    ) -> Result<(), Difference> {
        let now = step.at;
        let mut hand_in = |node: &mut Node, input: Input<'_>| {
            if let Some(recorder) = recorder.as_deref_mut() {
                recorder.before(node, now, &input);
            }
            node.handle_input(now, input);
        };
        match &step.event {
            Event::Datagram { from, bytes, left_out } => {
                let whole;
                let bytes = if *left_out == 0 {
                    bytes
                } else {
                    whole = self::whole(bytes, *left_out);
                    &whole
                };
                hand_in(&mut self.node, Input::Datagram { from: *from, bytes });
            }
            Event::Input(input) => hand_in(&mut self.node, copy(input)),
            Event::Wake { reason } => {
                let wanted = self.node.poll_timeout();
                if let Some(recorder) = recorder {
                    recorder.before_wake(now, wanted.map_or("nothing", |due| due.reason));
                }
                self.node.handle_timeout(now);
                let wanted_now = wanted.is_some_and(|due| due.at <= now && due.reason == *reason);
                if self.rigour == Rigour::Equal && !wanted_now {
                    return Err(Difference {
                        what: "the core was woken, and did not want to be".to_owned(),
                        expected: format!("by {now}, for: {reason}"),
                        came: deadline_text(wanted),
                    });
                }
            }
        }
        Ok(())
    }

    /// The results with the recorded ones: kinds first, because they say most.
    fn compare(
        &self,
        expected: &Expected,
        results: u64,
        played: &Played,
    ) -> Result<(), Difference> {
        let outputs = || played.outputs.iter().map(|output| json(output) + "\n").collect();
        let kinds: Vec<_> = self.tally.each().map(|(kind, _)| kind).collect();
        if expected.kinds != kinds {
            return Err(Difference {
                what: "other outputs".to_owned(),
                expected: kinds_text(expected.kinds.iter().map(|kind| &**kind)),
                came: format!("{}\n{}", kinds_text(kinds.into_iter()), outputs_text(outputs)),
            });
        }
        for (index, (kind, digest)) in self.tally.each().enumerate() {
            let recorded = expected.each.get(index);
            if recorded.is_some_and(|recorded| *recorded != digest as u16) {
                return Err(Difference {
                    what: format!("output {} ({kind}) is another", index + 1),
                    expected: format!("digest {:04x}", recorded.unwrap_or(&0)),
                    came: format!("digest {:04x}: {}", digest as u16, json(&played.outputs[index])),
                });
            }
        }
        if let Some(due) = &expected.due {
            if *due != Due::of(played.deadline, self.now) {
                return Err(Difference {
                    what: "another deadline".to_owned(),
                    expected: due_text(due, self.now),
                    came: deadline_text(played.deadline),
                });
            }
        }
        match expected.results {
            Some(recorded) if recorded != results as u16 => Err(Difference {
                what: "an output, or the deadline, is another".to_owned(),
                expected: format!("digest {recorded:04x}"),
                came: format!(
                    "digest {:04x}: {}; {}",
                    results as u16,
                    deadline_text(played.deadline),
                    outputs_text(outputs)
                ),
            }),
            _ => Ok(()),
        }
    }

    /// The state with the recorded one.
    ///
    /// # Errors
    /// Which part of it is other than it was.
    ///
    /// # Panics
    /// Where an invariant is broken.
    pub fn checkpoint(&mut self, recorded: &Checkpoint) -> Result<(), Difference> {
        self.check_invariants();
        if self.rigour == Rigour::Against {
            return Ok(());
        }
        self.check_sum(recorded.n, recorded.t, recorded.sum)?;
        let (state, _) = sections(&self.node, &mut self.masking);
        if state == recorded.state {
            return Ok(());
        }
        let other = |(name, sum): &&(String, Sum)| {
            !recorded.state.iter().any(|(known, value)| known == name && value == sum)
        };
        let names = |parts: Vec<&(String, Sum)>| {
            let texts: Vec<_> =
                parts.iter().map(|(name, sum)| format!("{name} {:016x}", sum.0)).collect();
            texts.join(", ")
        };
        let gone = recorded.state.iter().filter(|part| !state.contains(part)).collect();
        Err(Difference {
            what: "the state is another, though all outputs were the same".to_owned(),
            expected: names(gone),
            came: names(state.iter().filter(other).collect()),
        })
    }

    fn check_sum(&self, count: u64, at: u64, sum: Sum) -> Result<(), Difference> {
        if count != self.count {
            return Err(Difference {
                what: "inputs are missing, or there are too many".to_owned(),
                expected: format!("{count} inputs up to here"),
                came: format!("{}", self.count),
            });
        }
        if at != self.now.as_micros() {
            return Err(Difference {
                what: "the time is another".to_owned(),
                expected: Instant::from_micros(at).to_string(),
                came: self.now.to_string(),
            });
        }
        if self.unfinished || sum == self.sum.get() {
            return Ok(());
        }
        Err(Difference {
            what: "some output or deadline was another, and its digest was not".to_owned(),
            expected: format!("the sum {:016x}", sum.0),
            came: format!("{:016x}", self.sum.get().0),
        })
    }

    /// How it ended.
    ///
    /// # Errors
    /// In another way, or with another sum.
    ///
    /// # Panics
    /// Where an invariant is broken.
    pub fn end(&self, end: &End) -> Result<(), Difference> {
        if self.rigour == Rigour::Equal {
            if let How::Panic { message, in_core: true } = &end.how {
                return Err(Difference {
                    what: "the core does not panic".to_owned(),
                    expected: message.clone(),
                    came: "it returned".to_owned(),
                });
            }
            self.check_sum(end.n, end.t, end.sum)?;
        }
        self.node.check_invariants();
        let texts = |endings: &[(FetchId, FetchEnding)]| {
            let endings = endings.iter();
            endings.map(|(id, ending)| format!("{id}: {ending:?}")).collect::<Vec<_>>().join(", ")
        };
        let (recorded, came) = (texts(&end.endings), texts(&self.masked_endings()));
        if recorded == came {
            return Ok(());
        }
        let what = "the fetches end otherwise".to_owned();
        Err(Difference { what, expected: recorded, came })
    }

    /// The endings as the trace has them: without texts, where it has none.
    fn masked_endings(&self) -> Vec<(FetchId, FetchEnding)> {
        let blank = |ending: &FetchEnding| match (ending, &self.masking) {
            (FetchEnding::Failed(_), Masking::Again) => FetchEnding::Failed(String::new()),
            (other, _) => other.clone(),
        };
        self.endings.iter().map(|(id, ending)| (*id, blank(ending))).collect()
    }

    /// Whether a panic with that message is what the recorded core did, too.
    pub fn expects_panic(end: &End, message: &str) -> bool {
        matches!(&end.how, How::Panic { message: recorded, in_core: true } if recorded == message)
    }
}

/// An input once more: replay lends its steps, and the core takes its inputs.
fn copy(input: &Input<'static>) -> Input<'static> {
    input.clone()
}

/// The JSON of an output.
pub(crate) fn json(output: &Output) -> String {
    json_of(output)
}

fn outputs_text(outputs: impl Fn() -> String) -> String {
    let text = outputs();
    if text.is_empty() { "no outputs".to_owned() } else { text }
}

fn kinds_text<'a>(kinds: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for kind in kinds {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{kind}", if text.is_empty() { "" } else { ", " });
    }
    if text.is_empty() { "no outputs".to_owned() } else { text }
}

fn due_text(due: &Due, now: Instant) -> String {
    match &due.0 {
        None => "no deadline".to_owned(),
        Some((delta, reason)) => {
            let at = now.as_micros().wrapping_add_signed(*delta);
            format!("{}: {reason}", Instant::from_micros(at))
        }
    }
}

pub(crate) fn deadline_text(deadline: Option<Deadline>) -> String {
    deadline.map_or_else(|| "no deadline".to_owned(), |due| format!("{}: {}", due.at, due.reason))
}
