//! One source of one fetch: what it has told, the flow from it, what it is still to be asked for, and
//! how it has behaved.
//!
//! Its contact goes from *asking* to *told*, and back when its cookie or what it holds has changed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::content::RangeSet;
use crate::node::context::Context;
use crate::node::deadline::{Deadline, Earliest};
use crate::node::flow::{Flow, FlowTag, PROBE_TIMEOUT_MAX, Piece};
use crate::node::ids::BufferId;
use crate::node::time::Instant;
use crate::wire::{About, Ask, Cookie, InstanceId, Message, Tell};

use super::second_way::Way;

/// Waits for an answer, one after the other; the last one again and again.
const PATIENCE: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1_600),
    Duration::from_secs(3),
];
/// A source that has told is asked again this often: cookies die after one to two minutes.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// A source that has nothing of the file is asked again this often.
const ASK_EMPTY_HANDED: Duration = Duration::from_secs(3);
/// What a source that holds a part has, is looked at again this often.
const HAVE_AGAIN: Duration = Duration::from_secs(1);
/// The longest time for which a source that gave a bad block is not used.
const SIDELINED_MAX: Duration = Duration::from_secs(300);
/// And for the first one.
const SIDELINED_FIRST: Duration = Duration::from_secs(2);
/// And for a bad one that may be another's: each doubles that, so many times.
const SIDELINED_DOUBLED: u32 = 7;

/// Packets are damaged on their way as well: so many bad blocks for each good one are forgiven the last source there is, as a way
/// needs that damages one packet in fifty (of 46 in a block of 64 KiB).
const FORGIVEN: u32 = 4;
/// For how long it is not used when it gave one more; each one doubles that, so many times.
const LAST_ONE_RESTS: Duration = Duration::from_millis(500);
const LAST_ONE_RESTS_DOUBLED: u32 = 6;

/// Runs of blocks that are known of one source, 256 KiB of memory. A source that holds a content of up to 32 GiB has no
/// more; where one says so, it is asked for those that there was room for.
pub(crate) const RUNS_MAX: usize = 16_384;

/// What a grant was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Tag {
    /// A block.
    Block(BufferId),
    /// The chain of a claim.
    Chain(usize),
    /// The bitmap of what the source holds.
    Have,
    /// The last state of a content of another size than the caller said.
    LastState {
        /// That size in bytes.
        size: u64,
    },
}

impl FlowTag for Tag {
    const SILENCE_MAX: Duration = PROBE_TIMEOUT_MAX;
}

/// What a source says it holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Held {
    /// All of it.
    Whole,
    /// These blocks, as far as it is known.
    Part { blocks: RangeSet, look_at: Instant },
}

/// What a source has told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    /// The content's size, as it says.
    pub(crate) size: u64,
    /// The claim it makes; none, where there was no room for it or the size is another.
    pub(crate) claim: Option<usize>,
    pub(crate) held: Held,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Question {
    nonce: u64,
    sent_at: Instant,
    /// Sent more than once: its answer says nothing about the round trip.
    repeated: bool,
}

/// What stays of a source that gave bad blocks, when it is none for a while.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Shame {
    bad_blocks: u32,
    blamed_at: Instant,
    until: Instant,
}

impl Shame {
    /// Whether it is still set aside.
    pub(crate) fn lasts(&self, now: Instant) -> bool {
        now < self.until
    }
}

/// One source.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) address: SocketAddr,
    /// Who it says it is. Two addresses of one host are two sources, and one host for people; it is
    /// nobody's proof of anything.
    pub(crate) instance: InstanceId,
    /// The caller named it, or somebody with `--peer`: it is asked again and again.
    pub(crate) given: bool,
    pub(crate) told: Option<Told>,
    pub(crate) flow: Flow<Tag>,
    /// What it is to be asked for, before anything else.
    pub(crate) todo: VecDeque<Piece<Tag>>,
    /// It had a block that we had not.
    #[serde(default)]
    pub(crate) had_more: bool,
    /// When it was first seen to have a part.
    #[serde(default)]
    pub(crate) met_at: Option<Instant>,
    /// When it last told of blocks that it has got.
    #[serde(default)]
    pub(crate) grew_at: Option<Instant>,
    /// The block after the one that was last asked of it.
    #[serde(default)]
    pub(crate) run_at: Option<u64>,
    pub(crate) bad_blocks: u32,
    /// Grows by one with each of them, and shrinks by [`FORGIVEN`] with each good one; beyond that, it rests.
    #[serde(default)]
    distrust: u32,
    /// It has given a good block, and no bad one since.
    #[serde(default)]
    pub(crate) has_proven_itself: bool,
    /// When it last gave a bad block: what it was asked for before that says nothing new.
    #[serde(default)]
    pub(crate) blamed_at: Option<Instant>,
    /// How often it was set aside since it last gave a good block: others come first.
    #[serde(default)]
    pub(crate) let_downs: u32,
    /// It is known by hearsay, and has not answered yet: it is asked so often at most.
    #[serde(default)]
    questions_max: Option<usize>,
    /// It receives where it says it is: it has answered what only it was asked, or given bytes.
    pub(crate) proven: bool,
    /// The other size that it could not prove, and when it may try again, if at all.
    size_tried: Option<(u64, Option<Instant>)>,
    sidelined_until: Option<Instant>,
    /// What this way gives of late, and whether it is another one to a host that gives well.
    #[serde(default)]
    pub(super) way: Way,
    question: Option<Question>,
    unanswered: usize,
    /// It has refused the cookie that it gave, and nothing has come since.
    #[serde(default)]
    cookie_refused: bool,
    ask_at: Option<Instant>,
    cookie: Cookie,
}

impl Source {
    pub(crate) fn new(address: SocketAddr, given: bool, ctx: &mut Context<'_>) -> Self {
        let mut flow = Flow::new(address, ctx.random);
        flow.set_background(ctx.config.restraint.background);
        Self {
            address,
            instance: InstanceId::NONE,
            given,
            told: None,
            flow,
            todo: VecDeque::new(),
            had_more: false,
            met_at: None,
            grew_at: None,
            run_at: None,
            bad_blocks: 0,
            distrust: FORGIVEN,
            has_proven_itself: false,
            blamed_at: None,
            let_downs: 0,
            questions_max: None,
            proven: false,
            size_tried: None,
            sidelined_until: None,
            way: Way::default(),
            question: None,
            unanswered: 0,
            cookie_refused: false,
            ask_at: given.then_some(ctx.now),
            cookie: Cookie::NONE,
        }
    }

    /// One that somebody said to be there: if that is a stranger, it costs that one so many questions.
    pub(crate) fn hearsay(address: SocketAddr, questions: usize, ctx: &mut Context<'_>) -> Self {
        let (questions_max, ask_at) = (Some(questions), Some(ctx.now));
        Self { questions_max, ask_at, ..Self::new(address, false, ctx) }
    }

    /// How often it is asked in vain.
    fn questions(&self) -> usize {
        self.questions_max.unwrap_or(PATIENCE.len())
    }

    /// Something was said in its name that anybody could have said: whether it is asked itself. A call goes on several
    /// ways, and is answered on each: that is no reason to ask as often.
    pub(crate) fn is_worth_asking(&self, now: Instant) -> bool {
        self.question.is_none_or(|it| it.repeated || now.since(it.sent_at) >= PATIENCE[0])
    }

    /// Asks what it has of the content.
    pub(crate) fn ask(&mut self, ctx: &mut Context<'_>, about: About) {
        // A repeated question keeps its nonce: the way may be longer than our patience.
        let question = match self.question {
            Some(question) => Question { repeated: true, ..question },
            None => Question { nonce: ctx.random.next_u64(), sent_at: ctx.now, repeated: false },
        };
        let nonce = question.nonce;
        self.question = Some(question);
        let ask = Ask {
            about,
            to_many: false,
            tell_hosts: false,
            hosts_from: 0,
            tell_age: false,
            nonce,
            instance: InstanceId::NONE,
            cookie: self.cookie,
        };
        ctx.send(self.address, &Message::Ask(ask));
        self.unanswered += 1;
        // After the last question there is nothing to do but to wait: the way may be long.
        let is_last = self.questions_max.is_some_and(|most| self.unanswered >= most);
        let step = if is_last { PATIENCE.len() } else { self.unanswered };
        let patience = PATIENCE[step.min(PATIENCE.len()) - 1];
        self.ask_at = Some(ctx.now + patience);
    }

    pub(crate) fn awaits(&self, nonce: u64) -> bool {
        self.question.is_some_and(|question| question.nonce == nonce)
    }

    /// It has answered; what it holds follows separately.
    pub(crate) fn answered(&mut self, now: Instant, tell: &Tell, holds: bool) {
        match self.question.take() {
            Some(Question { repeated: false, sent_at, .. }) => {
                self.flow.sample_round_trip(now, now.since(sent_at));
            }
            Some(question) => self.flow.suppose_round_trip(now.since(question.sent_at)),
            None => {}
        }
        self.unanswered = 0;
        self.questions_max = None;
        self.flow.answers();
        self.instance = tell.instance;
        self.cookie = tell.cookie;
        self.flow.set_cookie(tell.cookie);
        self.ask_at = Some(now + if holds { ASK_AGAIN } else { ASK_EMPTY_HANDED });
    }

    /// It refuses the cookie that it gave. Whether that is so not for the first time.
    pub(crate) const fn cookie_refused(&mut self) -> bool {
        std::mem::replace(&mut self.cookie_refused, true)
    }

    /// Something came: its cookie is good.
    pub(crate) const fn cookie_accepted(&mut self) {
        self.cookie_refused = false;
    }

    /// Whether its claim that the content has this size may be put to the proof now.
    pub(crate) fn may_try_size(&self, size: u64, now: Instant) -> bool {
        match self.size_tried {
            Some((tried, again_at)) if tried == size => again_at.is_some_and(|at| at <= now),
            Some(_) | None => true,
        }
    }

    /// It did not prove this size; it may try again then, if at all.
    pub(crate) const fn size_tried(&mut self, size: u64, again_at: Option<Instant>) {
        self.size_tried = Some((size, again_at));
    }

    /// Its answers are not what they were: it is asked again soon.
    pub(crate) fn ask_again(&mut self, at: Instant) {
        self.ask_at = Some(self.ask_at.map_or(at, |asked| asked.min(at)));
    }

    pub(crate) fn is_question_due(&self, now: Instant) -> bool {
        let due = self.ask_at.is_some_and(|at| at <= now);
        // One that only turned up is not called after for ever.
        due && (self.given || self.unanswered < self.questions())
    }

    /// Nothing is to be expected of it for now: it has said that it has nothing, has said nothing at all though it was asked so
    /// often, owes what it was asked for, or is set aside for bad blocks.
    pub(crate) fn is_idle(&self, now: Instant, times: usize) -> bool {
        let answered = self.proven && self.question.is_none();
        let has_nothing = self.told.is_none() && (answered || self.unanswered >= times);
        has_nothing || self.flow.is_stalled() || self.bad_blocks > 0 && self.is_sidelined(now)
    }

    /// What is to be remembered of it, if it has given bad blocks.
    pub(crate) fn shame(&self) -> Option<Shame> {
        let (bad_blocks, blamed_at) = (self.bad_blocks, self.blamed_at?);
        Some(Shame { bad_blocks, blamed_at, until: self.sidelined_until? })
    }

    /// It was here before, and that is remembered.
    pub(crate) fn bear(&mut self, shame: Option<Shame>) {
        if let Some(Shame { bad_blocks, blamed_at, until }) = shame {
            (self.bad_blocks, self.blamed_at) = (bad_blocks, Some(blamed_at));
            self.sidelined_until = Some(until);
        }
    }

    /// A source that turned up and has not answered for long.
    pub(crate) fn is_lost(&self, now: Instant) -> bool {
        let is_waited_for = self.ask_at.is_some_and(|at| at > now);
        !self.given && self.unanswered >= self.questions() && !is_waited_for
    }

    /// Gave a block that does not fit the chain it claims. `harmless`: it is the last source there is, and
    /// is only set aside for a moment. Who has not given a good one yet, and had been asked for another,
    /// which nobody will look at now, has had both chances that there are.
    pub(crate) fn blame(&mut self, now: Instant, harmless: bool) {
        let has_more = !self.has_proven_itself && self.flow.in_flight() > 0;
        self.bad_blocks = self.bad_blocks.saturating_add(1);
        self.let_downs = self.let_downs.saturating_add(1);
        self.distrust = self.distrust.saturating_add(1);
        self.has_proven_itself = false;
        self.blamed_at = Some(now);
        let pause = match (harmless, self.bad_blocks) {
            (true, _) => self.rests(),
            (false, 1) if !has_more => SIDELINED_FIRST,
            (false, _) => SIDELINED_MAX,
        };
        self.sidelined_until = Some(now + pause);
    }

    /// How long it rests after a bad block where there is nobody else.
    fn rests(&self) -> Duration {
        let Some(before) = self.distrust.checked_sub(FORGIVEN + 1) else { return Duration::ZERO };
        LAST_ONE_RESTS * (1 << before.min(LAST_ONE_RESTS_DOUBLED))
    }

    /// Gave a good block; where that is one of those that were on their way with its first bad one, the bad one
    /// was an accident.
    pub(crate) fn gave_good(&mut self) {
        if let (1, Some(blamed_at)) = (self.bad_blocks, self.blamed_at) {
            let pause = self.sidelined_until.as_mut();
            if let Some(until) = pause.filter(|until| **until == blamed_at + SIDELINED_MAX) {
                *until = blamed_at + SIDELINED_FIRST;
            }
        }
        self.let_downs = 0;
        self.distrust = self.distrust.saturating_sub(FORGIVEN);
        self.has_proven_itself = true;
    }

    /// Began a block that others had to finish, and that was bad: nobody knows by whom. Who has given a good one
    /// is not asked less for that. Who leaves a packet out of each block and makes the rest up would be for ever,
    /// though, so it rests, the longer the more often it was so.
    pub(crate) fn doubt(&mut self, now: Instant) {
        if !self.has_proven_itself {
            self.rest(now + SIDELINED_FIRST * (1 << self.let_downs.min(SIDELINED_DOUBLED)));
        }
    }

    /// Is not to be asked for anything for a while, without blame.
    pub(crate) fn rest(&mut self, until: Instant) {
        self.let_downs = self.let_downs.saturating_add(1);
        self.sidelined_until = Some(self.sidelined_until.map_or(until, |at| at.max(until)));
    }

    /// There is nobody else by now: it is tried again soon, the less so the more bad blocks it has given in a row.
    pub(crate) fn relent(&mut self, at: Instant) {
        let at = self.blamed_at.map_or(at, |blamed_at| at.max(blamed_at + self.rests()));
        self.sidelined_until = self.sidelined_until.map(|until| until.min(at));
    }

    pub(crate) fn is_sidelined(&self, now: Instant) -> bool {
        self.sidelined_until.is_some_and(|until| now < until)
    }

    /// Whether it may be asked for bytes of the content as the caller describes it.
    pub(crate) fn is_usable(&self, now: Instant) -> bool {
        !self.is_sidelined(now) && self.flow.is_open() && self.claim().is_some()
    }

    pub(crate) fn claim(&self) -> Option<usize> {
        self.told.as_ref()?.claim
    }

    /// The blocks it has; all, where there is nothing.
    pub(crate) fn held_blocks(&self) -> Option<&RangeSet> {
        match &self.told.as_ref()?.held {
            Held::Whole => None,
            Held::Part { blocks, .. } => Some(blocks),
        }
    }

    /// Whether it has this block, as far as is known.
    pub(crate) fn holds(&self, block: u64) -> bool {
        self.told.is_some() && self.held_blocks().is_none_or(|held| held.contains(block))
    }

    /// The piece to ask for so as to see what it holds by now, if it is time.
    pub(crate) fn look_at_part(&mut self, now: Instant, bitmap_length: u64) -> Option<Piece<Tag>> {
        let Some(Told { held: Held::Part { look_at, .. }, .. }) = &mut self.told else {
            return None;
        };
        if *look_at > now || bitmap_length == 0 {
            return None;
        }
        *look_at = now + HAVE_AGAIN;
        Some(Piece { tag: Tag::Have, offset: 0, length: bitmap_length })
    }

    /// Bytes of the bitmap have come. Whether there was room for all that they say, of so many runs.
    pub(crate) fn note_held(
        &mut self,
        offset: u64,
        payload: &[u8],
        block_count: u64,
        runs_max: usize,
    ) -> bool {
        let Some(Told { held: Held::Part { blocks, .. }, .. }) = &mut self.told else {
            return true;
        };
        let mut fits = true;
        for (index, byte) in payload.iter().enumerate() {
            let first = (offset + index as u64) * 8;
            for bit in 0..8 {
                let block = first + bit;
                if block < block_count && byte & (0x80 >> bit) != 0 {
                    fits &= blocks.insert_within(block..block + 1, runs_max);
                }
            }
        }
        fits
    }

    /// It has told that it holds these blocks.
    pub(crate) fn note_blocks(&mut self, range: Range<u64>) {
        if let Some(Told { held: Held::Part { blocks, .. }, .. }) = &mut self.told {
            blocks.insert_within(range, RUNS_MAX);
        }
    }

    /// How long all that it is asked for and to be asked for takes it; a second for each 64 KiB where its
    /// speed is not known.
    pub(crate) fn finishes_in(&self, more: u64) -> Duration {
        let todo: u64 = self.todo.iter().map(|piece| piece.length).sum();
        let bytes = self.flow.in_flight() + todo + more;
        if self.flow.is_stalled() {
            return Duration::from_secs(3_600);
        }
        let rate = match self.flow.rate() {
            0 => 64 * 1024,
            rate => rate,
        };
        Duration::from_micros(bytes.saturating_mul(1_000_000) / rate) + self.flow.round_trip()
    }

    pub(crate) fn deadline(&self, now: Instant) -> Option<Deadline> {
        let mut earliest = Earliest::default();
        if !self.is_lost(now) {
            earliest.at(self.ask_at, "a source is asked, or given up");
        }
        earliest.consider(self.flow.deadline());
        earliest.at(self.sidelined_until.filter(|&until| until > now), "a source is tried again");
        if let Some(Told { held: Held::Part { look_at, .. }, .. }) = &self.told {
            earliest.at(Some(*look_at).filter(|&at| at > now), "what a source holds by now");
        }
        let size_again = self.size_tried.and_then(|(_, again_at)| again_at);
        earliest.at(size_again.filter(|&at| at > now), "the size is put to the proof again");
        // With something in flight, what comes back sets things going.
        let paced = self.flow.paced_until();
        if paced > now {
            earliest.at(Some(paced), "more may be asked for");
        }
        earliest.get()
    }
}
