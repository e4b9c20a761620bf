//! Which chain is true, which block is genuine, and who lied.
//!
//! A block that closes its link proves its own bytes and the state before it, if the state after it is true.
//! Where two chains differ, the highest block whose start states differ while its end states agree
//! decides: only one of the two start states can lead there. The chain that is gone by is weighed against each
//! other one that becomes known; the first block that comes refutes one of them, with all who claim it.

use std::net::SocketAddr;
use std::time::Duration;

use log::{debug, info, warn};

use super::block::{Purpose, Stage};
use super::source::Tag;
use super::{Fetch, Phase, REFUSED_REST};
use crate::content::state_chain::Proof;
use crate::node::context::Context;
use crate::node::counters::DropReason;
use crate::node::directory::host_text;
use crate::node::flow::Piece;
use crate::node::ids::BufferId;
use crate::node::output::{FetchEnding, Output};
use crate::node::time::Instant;

/// When a source that claims another size and gave no proof of it is asked for one again.
const SIZE_AGAIN: Duration = Duration::from_secs(5);
/// And one whose proof was false.
const SIZE_REFUTED_AGAIN: Duration = Duration::from_secs(10);
/// Liars that are named where nothing more than usual is said: whoever comes in many names must not fill a screen.
const LIARS_NAMED_MAX: u32 = 32;

impl Fetch {
    /// All bytes of a block have come: it is checked as soon as its link is known.
    pub(super) fn block_gathered(&mut self, ctx: &mut Context<'_>, buffer: BufferId) {
        let Some(block) = self.assembly.get(buffer).filter(|b| b.stage == Stage::Gathered) else {
            return;
        };
        let index = block.block;
        let link = match block.purpose {
            Purpose::Content => self.claims.current_chain().map(|chain| chain.link(index)),
            Purpose::Challenge { claim } => self.claims.chain(claim).map(|chain| chain.link(index)),
            Purpose::Size { .. } => self.size_trial.link(self.request.content, buffer),
        };
        if let Some(link) = link {
            self.assembly.verify(ctx, buffer, link);
        }
    }

    /// The answer to [`Output::Verify`].
    pub(crate) fn verified(&mut self, ctx: &mut Context<'_>, buffer: BufferId, proof: Proof) {
        let Some(block) = self.assembly.get(buffer).filter(|b| b.stage == Stage::Verifying) else {
            return;
        };
        let (index, purpose, asked_at) = (block.block, block.purpose, block.owned_at);
        let is_last = Some(index) == self.assembly.last_of_several();
        if purpose == Purpose::Content && is_last {
            self.doubted = self.claims.current().filter(|_| !proof.holds());
        }
        if proof.holds() {
            let giver = self.assembly.sole_giver(buffer);
            if purpose == Purpose::Content {
                self.assembly.hold(buffer, proof);
            }
            // Before, a block that fits the chain speaks for nobody: the chain may be as false as the block.
            let speaks = self.assembly.has_proof() || purpose != Purpose::Content;
            if let Some(source) = giver.filter(|_| speaks).and_then(|it| self.sources.get_mut(&it))
            {
                source.gave_good();
            }
            match purpose {
                Purpose::Content => {}
                Purpose::Challenge { claim } => {
                    self.assembly.release(ctx, buffer);
                    self.challenger_won(ctx, claim, index);
                }
                Purpose::Size { size } => {
                    self.assembly.release(ctx, buffer);
                    return self.end(ctx, FetchEnding::WrongSize { size });
                }
            }
        } else {
            let giver = self.assembly.sole_giver(buffer);
            let first = self.assembly.first_giver(buffer);
            self.assembly.release(ctx, buffer);
            ctx.counters.drop(DropReason::BadBlock);
            let known = giver.and_then(|giver| self.sources.get(&giver)?.blamed_at);
            match (giver, purpose) {
                // It was on its way when its giver was found out: that it is as bad is nothing new.
                _ if known.is_some_and(|blamed_at| asked_at <= blamed_at) => {}
                (Some(giver), Purpose::Size { .. }) => {
                    self.end_size_trial(ctx, true);
                    self.blame(ctx, giver, "it claims a size that is not the content's");
                }
                // It was asked for under a chain that was never known, and claims another one.
                (Some(giver), Purpose::Content) if !self.goes_by_claim_of(giver) => {}
                (Some(giver), _) => {
                    self.blame(ctx, giver, "a block does not fit the chain that it claims");
                }
                (None, _) => {
                    self.assembly.fetch_alone(index);
                    if let Some(source) = first.and_then(|first| self.sources.get_mut(&first)) {
                        source.doubt(ctx.now);
                    }
                }
            }
        }
        self.advance(ctx);
    }

    /// The states of a claim have come.
    pub(super) fn claim_known(&mut self, ctx: &mut Context<'_>, claim: usize) {
        if self.claims.current() == Some(claim) {
            self.current_known(ctx);
        }
        self.advance(ctx);
    }

    /// The chain that is gone by is known: what has come before it can be checked, and a later run can
    /// do without asking for it.
    fn current_known(&mut self, ctx: &mut Context<'_>) {
        if let Some(chain) = self.claims.current_chain() {
            let states = chain.bytes().clone();
            if !states.is_empty() {
                ctx.emit(Output::SaveChain { fetch: self.request.fetch, states });
            }
        }
        let gathered: Vec<BufferId> = self
            .assembly
            .iter()
            .filter(|(_, block)| block.stage == Stage::Gathered)
            .map(|(buffer, _)| buffer)
            .collect();
        for buffer in gathered {
            self.block_gathered(ctx, buffer);
        }
    }

    fn goes_by_claim_of(&self, source: SocketAddr) -> bool {
        let claim = self.sources.get(&source).and_then(|source| source.claim());
        claim.is_some() && claim == self.claims.current()
    }

    /// Goes by a claim that a source makes, a known one if there is; where the one that is gone by is not
    /// known yet, one that is, or that has somebody left, takes its place.
    pub(super) fn choose_claim(&mut self, ctx: &mut Context<'_>) {
        let current = self.claims.current();
        if current.is_some_and(|current| !self.claims.is_wanted(current)) {
            return;
        }
        let supported = |claim: usize| {
            self.sources.values().any(|source| {
                source.claim() == Some(claim) && source.flow.is_open() && !source.flow.is_stalled()
            })
        };
        let candidates = self.claims.numbers().filter(|&claim| !self.claims.is_refuted(claim));
        let mut candidates = candidates.filter(|&claim| supported(claim)).collect::<Vec<_>>();
        candidates
            .sort_by_key(|&claim| (self.claims.is_wanted(claim), Some(claim) != current, claim));
        let Some(&next) = candidates.first().filter(|&&next| Some(next) != current) else { return };
        self.claims.go_by(next);
        // What has come so far can be checked, if the chain is there.
        self.current_known(ctx);
    }

    /// The block that would decide between the chain that is gone by and another one.
    pub(super) fn decisive_block(&self) -> Option<u64> {
        let current = self.claims.current_chain()?;
        let mut challengers = self.claims.challengers().into_iter();
        challengers.find_map(|claim| current.highest_difference(self.claims.chain(claim)?))
    }

    /// Whether sources that are there contradict each other, and there is still time to wait for the block
    /// that decides: what is fetched meanwhile may be false.
    pub(super) fn is_contested(&self, now: Instant) -> bool {
        self.contested_until.is_some_and(|until| now < until)
            && self.sources.values().any(|source| {
                let other = source.claim().filter(|&claim| Some(claim) != self.claims.current());
                other.is_some_and(|claim| !self.claims.is_refuted(claim))
                    && source.is_usable(now)
                    && !source.flow.is_stalled()
            })
    }

    /// Weighs every other known chain against the one that is gone by.
    pub(super) fn weigh_claims(&mut self, ctx: &mut Context<'_>) {
        for claim in self.claims.challengers() {
            let (Some(current), Some(chain)) =
                (self.claims.current_chain(), self.claims.chain(claim))
            else {
                return;
            };
            let Some(block) = current.highest_difference(chain) else { continue };
            let held = self
                .assembly
                .buffer_of(block)
                .and_then(|buffer| self.assembly.get(buffer))
                .is_some_and(|block| matches!(block.stage, Stage::Held | Stage::Storing));
            if held || self.assembly.is_stored(block) {
                self.refute(ctx, claim);
            } else {
                self.challenge(ctx, claim, block);
            }
        }
    }

    /// Has a source that claims another chain prove it by its decisive block.
    fn challenge(&mut self, ctx: &mut Context<'_>, claim: usize, block: u64) {
        let challenge = Purpose::Challenge { claim };
        // One against a chain that is not gone by any more says nothing.
        self.end_challenge(ctx, claim, Some(block));
        let running = self.assembly.iter().find(|(_, trial)| trial.purpose == challenge);
        let running = running.map(|(_, trial)| {
            let gathering = trial.stage == Stage::Gathering;
            (trial.owner.filter(|_| gathering), trial.finishes_in(ctx.now))
        });
        let asked = running.and_then(|(owner, _)| owner);
        if running.is_some() && asked.is_none() {
            return;
        }
        let champions = self.sources.values().filter(|source| {
            source.claim() == Some(claim)
                && asked != Some(source.address)
                && source.is_usable(ctx.now)
                && !source.flow.is_stalled()
                && source.holds(block)
        });
        // Not always the first, or a few that make the true claim and give nothing stand in its way.
        let champion = champions.min_by_key(|source| (source.let_downs, source.address));
        let Some(champion) = champion.map(|source| source.address) else { return };
        if let (Some(asked), Some((_, pace))) = (asked, running) {
            let length = self.assembly.layout().block_length();
            if !self.is_far_slower(asked, pace, champion, length) {
                return;
            }
            self.relieve(ctx, asked);
        }
        let buffer = self.assembly.start(ctx, Purpose::Challenge { claim }, block, champion);
        self.ask_for_missing(buffer, champion);
    }

    /// A block has proven another chain than the one that is gone by.
    fn challenger_won(&mut self, ctx: &mut Context<'_>, claim: usize, block: u64) {
        let Some(old) = self.claims.current() else { return };
        let chains = (self.claims.chain(old).cloned(), self.claims.chain(claim).cloned());
        let (Some(false_chain), Some(true_chain)) = chains else { return };
        if false_chain.highest_difference(&true_chain) != Some(block) {
            // It was asked for against a chain that another one has refuted meanwhile: it says nothing
            // about the one that is gone by now.
            return;
        }
        // What is in memory was asked for under the old chain; it is a window at most.
        let in_memory: Vec<BufferId> = self
            .assembly
            .iter()
            .filter(|(_, block)| block.purpose == Purpose::Content)
            .filter(|(_, block)| false_chain.link(block.block) != true_chain.link(block.block))
            .map(|(buffer, _)| buffer)
            .collect();
        for buffer in in_memory {
            self.assembly.discard(ctx, buffer);
        }
        self.assembly.drop_differing(ctx, &false_chain, &true_chain);
        self.refute(ctx, old);
        self.claims.go_by(claim);
        self.current_known(ctx);
    }

    /// A claim is false, and so is every source that makes it.
    fn refute(&mut self, ctx: &mut Context<'_>, claim: usize) {
        self.claims.refute(claim);
        let liars: Vec<SocketAddr> = self
            .sources
            .values()
            .filter(|source| source.claim() == Some(claim))
            .map(|source| source.address)
            .collect();
        for liar in liars {
            self.blame(ctx, liar, "a block of another source refutes its chain");
            if let Some(told) = self.sources.get_mut(&liar).and_then(|source| source.told.as_mut())
            {
                told.claim = None;
            }
        }
        self.end_challenge(ctx, claim, None);
    }

    /// Gives up the proof of a claim, but for one by this block.
    fn end_challenge(&mut self, ctx: &mut Context<'_>, claim: usize, but: Option<u64>) {
        let trials: Vec<BufferId> = self
            .assembly
            .iter()
            .filter(|(_, trial)| trial.purpose == Purpose::Challenge { claim })
            .filter(|(_, trial)| Some(trial.block) != but)
            .map(|(buffer, _)| buffer)
            .collect();
        for buffer in trials {
            self.assembly.release(ctx, buffer);
        }
    }

    /// Makes room for another claim: who makes this one is asked again, some time.
    pub(super) fn forget_claim(&mut self, ctx: &mut Context<'_>, claim: usize) {
        self.end_challenge(ctx, claim, None);
        self.claims.forget(claim);
        for told in self.sources.values_mut().filter_map(|source| source.told.as_mut()) {
            told.claim.take_if(|made| *made == claim);
        }
    }

    /// A source did what an honest one cannot.
    pub(super) fn blame(&mut self, ctx: &mut Context<'_>, liar: SocketAddr, why: &str) {
        let others = self
            .sources
            .values()
            .any(|source| source.address != liar && self.gives(source, ctx.now));
        let first = self.sources.get(&liar).is_some_and(|source| source.bad_blocks == 0);
        let tell = first && self.liars_named < LIARS_NAMED_MAX;
        self.liars_named += u32::from(tell);
        if let Some(source) = self.sources.get_mut(&liar) {
            // Who is blamed for a packet may have sent a thousand more by then, all of them bad.
            let again = source.is_sidelined(ctx.now);
            source.blame(ctx.now, !others);
            let (host, count) = (host_text(liar), source.bad_blocks);
            match (tell, again) {
                (true, _) => warn!("{host}: {why}"),
                (false, false) => info!("{host}: {why}"),
                (false, true) => debug!("{host}: {why}"),
            }
            if !again {
                info!("{host} bad so far: {count}");
            }
            // What it told us may have been damaged on its way.
            source.ask_again(ctx.now + REFUSED_REST);
        }
        self.let_go(ctx, liar);
        for (buffer, owner) in self.assembly.forget_giver(liar) {
            if let Some(source) = self.sources.get_mut(&owner) {
                source.todo.retain(|piece| piece.tag != Tag::Block(buffer));
            }
            self.ask_for_missing(buffer, owner);
        }
    }

    /// Has a source that claims another size prove it.
    pub(super) fn try_sizes(&mut self, ctx: &mut Context<'_>) {
        if self.phase != Phase::Fetching {
            return;
        }
        let last = self.assembly.layout().block_count().checked_sub(1);
        if last.is_some_and(|last| self.assembly.is_stored(last)) {
            // The size that the caller said is proven.
            return;
        }
        let (now, size) = (ctx.now, self.request.size);
        let claimant = self.sources.values().find_map(|source| {
            let claimed = source.told.as_ref()?.size;
            let fresh = claimed != size
                && claimed > 0
                && source.flow.is_open()
                && !source.is_sidelined(now)
                && !self.size_trial.runs_with(source.address)
                && source.may_try_size(claimed, now);
            fresh.then_some((source.address, claimed))
        });
        if claimant.is_some() && self.size_trial.drags_on(now) {
            self.end_size_trial(ctx, false);
        }
        if !self.size_trial.is_running() {
            let Some((address, claimed)) = claimant else { return };
            let state: Option<Piece<Tag>> = self.size_trial.begin(now, address, claimed);
            if let Some(source) = self.sources.get_mut(&address) {
                source.todo.extend(state);
            }
        }
        if let Some((address, size, block)) = self.size_trial.block_to_start() {
            let buffer = self.assembly.start(ctx, Purpose::Size { size }, block, address);
            self.size_trial.started(buffer);
            self.ask_for_missing(buffer, address);
        }
    }

    /// Ends the trial of a size: it was refuted, or whoever claims it gave no proof in time.
    pub(super) fn end_size_trial(&mut self, ctx: &mut Context<'_>, refuted: bool) {
        let Some((address, size, buffer)) = self.size_trial.end() else { return };
        if let Some(source) = self.sources.get_mut(&address) {
            // A block may have been damaged on its way: even a refuted claim is tried again, some time.
            let again = if refuted { SIZE_REFUTED_AGAIN } else { SIZE_AGAIN };
            source.size_tried(size, Some(ctx.now + again));
        }
        if let Some(buffer) = buffer {
            self.assembly.release(ctx, buffer);
        }
    }
}
