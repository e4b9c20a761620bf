//! `sprat get`: looks the network over, finds out what is meant, and fetches it with the machinery of
//! `sprat fetch`, several files in one run if that is wanted. What is to go elsewhere goes there when all have come.

mod choosing;
mod delivering;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::process::ExitCode;

use indicatif::MultiProgress;
use serde::Serialize;

use self::choosing::{Choice, choose};
use self::delivering::Delivery;
use super::asking::catalog::Catalog;
use super::asking::{Answer, Answers};
use super::clock::Clock;
use super::event_loop::{EventLoop, Turn};
use super::executor::Executor;
use super::lines::complain;
use super::looking::{Look, looked};
use super::progress::{Progress, bars};
use super::recording::Recording;
use super::run::{
    COLLIDING, End, FAILED, NOT_NOW, Trouble, finish, give_way, looking_config, loop_failed,
    open_loop, open_share, open_socket, recorded, tell_statistics,
};
use super::signals::outlive_file_size_limit;
use crate::config::{Config, GetConfig, LOOK_TIME, Verbosity};
use crate::content::ShareName;
use crate::node::FetchId;
use crate::node::input::{Command, FetchRequest};
use crate::node::output::FetchEnding;

/// What became of one file.
#[derive(Serialize)]
struct GetAnswer<'a> {
    name: &'a str,
    size: u64,
    sha1: String,
    /// Its name below `share/`.
    shared_as: Option<&'a str>,
    /// Why it is not there.
    trouble: Option<&'a str>,
}

impl Answer for GetAnswer<'_> {
    fn text(&self) -> String {
        self.shared_as.unwrap_or_default().to_owned()
    }
}

/// How one fetch ended: the name below `share/`, or why not.
type Got = Result<ShareName, Trouble>;

/// Gets what is wanted. Where a signal ends it, this does not return.
pub fn run_get(config: &Config, get: &GetConfig) -> ExitCode {
    outlive_file_size_limit();
    give_way(config);
    finish(get_all(config, get))
}

fn get_all(config: &Config, get: &GetConfig) -> Result<End, Trouble> {
    let clock = Clock::start();
    Recording::check(config.trace.as_ref())?;
    let delivery = Delivery::prepare(get)?;
    let share = open_share(&config.root)?;
    let socket = open_socket(config, 0)?;
    let node_config = looking_config(config, &socket)?;
    let executor = Executor::new(&config.root, share, socket, None);
    let mut got = None;
    let end = recorded(open_loop(config, clock, node_config, executor)?, |run| {
        let patience = get.timeout.unwrap_or(LOOK_TIME).min(LOOK_TIME);
        run.begin(Some(Command::Look { patience }));
        let ended = |signal: Option<i32>| signal.map_or(End::Code(FAILED), End::BySignal);
        let catalog = match looked(run)? {
            Look::Seen(hosts) => Catalog::of(&hosts),
            Look::Ended(signal) => return Ok(ended(signal)),
        };
        let (choices, unclear) = match choose(run, get, &catalog)? {
            Look::Seen(chosen) => chosen,
            Look::Ended(signal) => return Ok(ended(signal)),
        };
        let outcomes = Fetches::new(config, get, &choices).run(run)?;
        run.stop();
        while run.turn().map_err(loop_failed)? != Turn::Over {}
        tell_statistics(run);
        let signal = run.ended_by;
        got = outcomes.map(|outcomes| (choices, outcomes, unclear));
        Ok(signal.map_or(End::Code(0), End::BySignal))
    })?;
    match (end, got) {
        (End::Code(0), Some((choices, outcomes, unclear))) => {
            let end = tell(config, get, &delivery, &choices, outcomes)?;
            unclear.iter().for_each(|trouble| complain(&trouble.sentence));
            Ok(if unclear.is_empty() { end } else { End::Code(FAILED) })
        }
        (End::Code(0), None) => Ok(End::Code(FAILED)),
        (end, _) => Ok(end),
    }
}

/// Says how it went, and puts elsewhere what is to go there.
fn tell(
    config: &Config,
    get: &GetConfig,
    delivery: &Delivery,
    choices: &[Choice],
    outcomes: Vec<Got>,
) -> Result<End, Trouble> {
    let share = open_share(&config.root)?;
    let mut out = get.json.then(|| Answers::new(io::stdout().lock(), true));
    let mut code = 0;
    let mut fails = |trouble: &Trouble| code = if code == FAILED { FAILED } else { trouble.code };
    for (choice, outcome) in choices.iter().zip(outcomes) {
        let delivered = outcome.and_then(|name| {
            delivery.deliver(&share, &name, choice)?;
            Ok(name)
        });
        if let Err(trouble) = &delivered {
            complain(&format!("{}: {}", choice.name, trouble.sentence));
            fails(trouble);
        }
        if let Some(out) = &mut out {
            out.all(std::iter::once(GetAnswer {
                name: choice.name.as_str(),
                size: choice.content.1,
                sha1: choice.content.0.to_string(),
                shared_as: delivered.as_ref().ok().map(ShareName::as_str),
                trouble: delivered.as_ref().err().map(|trouble| trouble.sentence.as_str()),
            }))?;
        }
    }
    Ok(End::Code(code))
}

/// The fetches of one run.
struct Fetches<'a> {
    config: &'a Config,
    get: &'a GetConfig,
    choices: &'a [Choice],
    waiting: VecDeque<usize>,
    running: BTreeMap<FetchId, (usize, Option<Progress>)>,
    ended: BTreeMap<usize, Got>,
    bars: MultiProgress,
}

impl<'a> Fetches<'a> {
    fn new(config: &'a Config, get: &'a GetConfig, choices: &'a [Choice]) -> Self {
        Self {
            config,
            get,
            choices,
            waiting: (0..choices.len()).collect(),
            running: BTreeMap::new(),
            ended: BTreeMap::new(),
            bars: bars(),
        }
    }

    /// Fetches all, so many at once as may be. How they ended, in their order; nothing, where the run did.
    fn run(mut self, run: &mut EventLoop) -> Result<Option<Vec<Got>>, Trouble> {
        loop {
            self.start(run);
            if self.running.is_empty() {
                return Ok(Some(self.ended.into_values().collect()));
            }
            let turn = run.turn().map_err(loop_failed)?;
            for (id, (_, progress)) in &mut self.running {
                if let (Some(progress), Some(known)) = (progress, run.node.fetch_progress(*id)) {
                    progress.update(run.now(), known);
                }
            }
            let endings: Vec<_> = run.executor.endings.drain(..).collect();
            for (id, ending) in endings {
                self.end(run, id, ending);
            }
            if turn == Turn::Over || run.ended_by.is_some() {
                return Ok(None);
            }
        }
    }

    /// Starts what may be started: one content is fetched once at a time, and then found in `share/`.
    fn start(&mut self, run: &mut EventLoop) {
        while self.running.len() < self.get.jobs {
            let content = |index: &usize| self.choices[*index].content.0;
            let running: Vec<_> = self.running.values().map(|(index, _)| content(index)).collect();
            let free = self.waiting.iter().position(|index| !running.contains(&content(index)));
            let Some(index) = free.and_then(|at| self.waiting.remove(at)) else { return };
            let Choice { name, content: (content, size), sources, .. } = &self.choices[index];
            let fetch = FetchId(u32::try_from(index).unwrap_or(u32::MAX));
            let quiet = self.config.verbosity == Verbosity::Quiet;
            run.command(Command::Fetch(FetchRequest {
                fetch,
                content: *content,
                size: *size,
                name: name.clone(),
                sources: sources.clone(),
                timeout: self.get.timeout,
                alone: false,
            }));
            // It begins now, and not when somebody was asked which one is meant.
            let began = run.now();
            let progress = Progress::new(&name.to_string(), *size, quiet, &self.bars, began);
            self.running.insert(fetch, (index, Some(progress)));
        }
    }

    fn end(&mut self, run: &EventLoop, id: FetchId, ending: FetchEnding) {
        let Some((index, progress)) = self.running.remove(&id) else { return };
        let wanted = &self.choices[index].name;
        if let Some(progress) = progress {
            progress.end(run.now(), matches!(ending, FetchEnding::Done(_)));
        }
        let got = match ending {
            FetchEnding::Done(name) => {
                if name != *wanted {
                    self.bars.suspend(|| {
                        log::warn!("share/{wanted} is another file, so this one is share/{name}");
                    });
                }
                Ok(name)
            }
            FetchEnding::WrongSize { size } => {
                Err(format!("the file has {size} bytes, and not as many as its hosts say").into())
            }
            FetchEnding::Colliding => Err(COLLIDING.to_owned().into()),
            FetchEnding::TimedOut | FetchEnding::GivenUp => {
                let sentence = "the time is over; the same call goes on from what is here";
                Err(Trouble { sentence: sentence.to_owned(), code: NOT_NOW })
            }
            FetchEnding::Failed(sentence) => Err(sentence.into()),
        };
        self.ended.insert(index, got);
    }
}
