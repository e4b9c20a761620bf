//! What the network says to a fetch: answers, packets and refusals of its sources.

use std::net::SocketAddr;

use log::debug;

use super::claims::{CLAIMS_MAX, ChainBytes};
use super::source::{Held, RUNS_MAX, Source, Tag, Told};
use super::{CONTESTED, Fetch, REFUSED_REST};
use crate::content::RangeSet;
use crate::node::context::Context;
use crate::node::counters::DropReason;
use crate::node::directory::host_text;
use crate::node::flow::Stray;
use crate::wire::{Answer, Data, DataKind, Holding, PAYLOAD_LENGTHS, RefuseReason, Tell};

/// So many questions are put to an address in whose name a call was answered: it costs that one no more than was said.
pub(crate) const CALLED_QUESTIONS: usize = 1;

impl Fetch {
    pub(crate) fn on_tell(&mut self, ctx: &mut Context<'_>, from: SocketAddr, tell: &Tell) -> bool {
        if self.on_tracker_tell(ctx, from, tell) {
            return true;
        }
        let awaited = self.sources.get(&from).is_some_and(|source| source.awaits(tell.nonce));
        let Answer::Content { holding, chain, size, .. } = tell.answer else { return false };
        if !awaited {
            let is_call = self.seek.awaits(tell.nonce);
            if is_call && holding != Holding::Nothing {
                self.on_answer_to_call(ctx, from);
            }
            return is_call;
        }
        let made = self.claims.made();
        let claim = (holding != Holding::Nothing && size == self.request.size)
            .then(|| self.claim_of(ctx, chain));
        if self.claims.made() > made.max(1) && self.claims.made() <= CLAIMS_MAX {
            self.contested_until = Some(ctx.now + CONTESTED);
        }
        if claim == Some(None) {
            ctx.counters.drop(DropReason::TooManyChains);
        }
        let Some(source) = self.sources.get_mut(&from) else { return true };
        source.proven = true;
        source.answered(ctx.now, tell, holding != Holding::Nothing);
        let held = match (holding, source.told.take()) {
            (Holding::Whole, _) => Held::Whole,
            // What it held before, it most likely holds still.
            (_, Some(Told { held: held @ Held::Part { .. }, .. })) => held,
            _ => Held::Part { blocks: RangeSet::new(), look_at: ctx.now },
        };
        source.told =
            (holding != Holding::Nothing).then_some(Told { size, claim: claim.flatten(), held });
        self.advance(ctx);
        true
    }

    /// Everybody hears a call, so anybody can answer it, in anybody's name: who is said to have the content is asked itself, and
    /// what was said is not believed.
    fn on_answer_to_call(&mut self, ctx: &mut Context<'_>, from: SocketAddr) {
        let about = self.about();
        if !self.sources.contains_key(&from) {
            if !self.has_room_for_source(ctx) {
                return ctx.counters.drop(DropReason::TooManySources);
            }
            debug!("{} has it, it is said", host_text(from));
            self.sources.insert(from, Source::hearsay(from, CALLED_QUESTIONS, ctx));
        }
        let Some(source) = self.sources.get_mut(&from) else { return };
        let is_of_use = source.flow.is_open() && source.claim().is_some();
        if !is_of_use && source.is_worth_asking(ctx.now) {
            source.ask(ctx, about);
        }
    }

    /// Whether this fetch would read this packet's payload to decide by it: a part of a chain, or of a bitmap
    /// of what a source holds. Nothing where it is none of this fetch's packets.
    pub(crate) fn reads_payload(&self, from: SocketAddr, data: &Data<'_>) -> Option<bool> {
        let (header, length) = (data.header, data.payload.len() as u64);
        match self.sources.get(&from)?.flow.tag_of(header.nonce, header.offset, length) {
            Ok(tag) => Some(header.kind == DataKind::Meta && !matches!(tag, Tag::Block(_))),
            Err(Stray::Nonce) => None,
            Err(Stray::Cut | Stray::Duplicate) => Some(false),
        }
    }

    /// A packet from a source of this fetch. False where it is none.
    pub(crate) fn on_data(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        data: &Data<'_>,
    ) -> bool {
        let Some(source) = self.sources.get_mut(&from) else { return false };
        let (header, length) = (data.header, data.payload.len() as u64);
        let piece = match source.flow.arrived(ctx.now, header.nonce, header.offset, length) {
            Ok(piece) => piece,
            Err(Stray::Nonce) => return false,
            Err(stray) => {
                ctx.counters.drop(stray.into());
                return true;
            }
        };
        let file_bytes = matches!(piece.tag, Tag::Block(_));
        if file_bytes != (header.kind == DataKind::Data) {
            // Nobody else knows the nonce. Asked again it would send the same.
            ctx.counters.drop(DropReason::WrongCut);
            self.blame(ctx, from, "it sends other bytes than those it was asked for");
            self.advance(ctx);
            return true;
        }
        source.proven = true;
        source.cookie_accepted();
        self.bytes_moved_at = Some(ctx.now);
        match piece.tag {
            Tag::Block(buffer) => {
                let is_liar = source.blamed_at.is_some();
                if self.assembly.keep(ctx, buffer, from, piece.offset, length, is_liar) {
                    self.block_gathered(ctx, buffer);
                }
            }
            Tag::Have => {
                let count = self.assembly.layout().block_count();
                source.note_held(piece.offset, data.payload, count, RUNS_MAX);
                self.meet(ctx.now, from);
            }
            Tag::Chain(claim) => {
                match self.claims.receive(claim, from, piece.offset, data.payload) {
                    ChainBytes::More => {}
                    ChainBytes::Known => self.claim_known(ctx, claim),
                    ChainBytes::False => self.blame(ctx, from, "its chain is not what it claimed"),
                }
            }
            Tag::LastState { size } => {
                self.size_trial.receive_state(from, size, data.payload);
                if let Some(buffer) = self.size_trial.buffer() {
                    self.block_gathered(ctx, buffer);
                }
            }
        }
        self.pump(ctx, from);
        true
    }

    /// A refusal from a source of this fetch. False where it is none.
    pub(crate) fn on_refuse(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        nonce: u64,
        reason: RefuseReason,
    ) -> bool {
        let Some(source) = self.sources.get_mut(&from) else { return false };
        let asked = source.flow.asked_payload_length(nonce);
        let shorter = asked.is_some_and(|length| length > u64::from(PAYLOAD_LENGTHS[0]));
        let Some(pieces) = source.flow.refused(nonce, reason == RefuseReason::TooLong) else {
            return false;
        };
        for piece in pieces {
            source.todo.push_front(piece);
        }
        match reason {
            RefuseReason::TooLong if shorter => {}
            // What it was to be asked for, others may have meanwhile.
            RefuseReason::TooLong | RefuseReason::Busy => {
                source.rest(ctx.now + REFUSED_REST / 5);
                self.let_go(ctx, from);
            }
            RefuseReason::StaleCookie => {
                source.flow.forget_cookie();
                // Once, it has grown old. Again before anything came, its cookies are none.
                let again = source.cookie_refused();
                if again {
                    source.rest(ctx.now + REFUSED_REST);
                }
                source.ask_again(if again { ctx.now + REFUSED_REST } else { ctx.now });
                // Whether it answers is not known: others may have what it was asked for.
                self.let_go(ctx, from);
                self.ask_due(ctx);
            }
            RefuseReason::UnknownObject | RefuseReason::BadRange | RefuseReason::Changed => {
                debug!("{} does not have it any more", host_text(from));
                source.told = None;
                source.ask_again(ctx.now + REFUSED_REST);
                self.let_go(ctx, from);
            }
        }
        self.advance(ctx);
        true
    }
}
