//! What the disk answers to a fetch.

use super::*;

impl Fetch {
    pub(crate) fn store_opened(&mut self, ctx: &mut Context<'_>, outcome: StoreOpening) {
        if !matches!(self.phase, Phase::Opening { retry_at: None }) {
            return;
        }
        match outcome {
            StoreOpening::Taken => {
                self.no_room_until = None;
                self.phase = Phase::Opening { retry_at: Some(ctx.now + TAKEN_RETRY) };
            }
            StoreOpening::Failed(fault) if fault.kind == DiskFaultKind::NoRoom => {
                warn!("{}", fault.message);
                let retry_at = self.no_room_retry(ctx.now);
                self.no_room_until = Some(retry_at);
                self.phase = Phase::Opening { retry_at: Some(retry_at) };
            }
            StoreOpening::Failed(fault) => self.end(ctx, FetchEnding::Failed(fault.message)),
            StoreOpening::Ours { extents, chain } => {
                if self.request.content == ContentId::EMPTY && self.request.size != 0 {
                    return self.end(ctx, FetchEnding::WrongSize { size: 0 });
                }
                self.assembly.load(ctx, &extents);
                let chain = chain.and_then(|states| {
                    Chain::from_bytes(self.request.content, self.request.size, states)
                });
                if let (None, Some(chain)) = (self.claims.current(), chain) {
                    if let Some(claim) = self.claims.add_known(chain) {
                        self.claims.go_by(claim);
                    }
                }
                if self.searched {
                    self.go_on_fetching(ctx);
                } else {
                    self.begin_search(ctx);
                }
            }
        }
    }

    pub(crate) fn stored_checked(&mut self, ctx: &mut Context<'_>, block: u64, proof: Proof) {
        if !matches!(self.phase, Phase::Fetching | Phase::Publishing(_)) {
            return;
        }
        self.assembly.checked(ctx, block, proof);
        self.advance(ctx);
    }

    pub(crate) fn stored(
        &mut self,
        ctx: &mut Context<'_>,
        buffer: BufferId,
        outcome: Result<(), DiskFault>,
    ) {
        if self.has_ended() {
            return;
        }
        self.assembly.stored(ctx, buffer, outcome.is_ok());
        match outcome {
            Ok(()) => self.no_room_since = None,
            // What is in `share/` is copied instead.
            Err(_) if matches!(self.phase, Phase::Publishing(_)) => {}
            Err(fault) => return self.disk_fault(ctx, fault),
        }
        self.advance(ctx);
    }

    pub(super) fn disk_fault(&mut self, ctx: &mut Context<'_>, fault: DiskFault) {
        match fault.kind {
            DiskFaultKind::NoRoom => {
                if self.no_room_until.is_none() {
                    warn!("{}", fault.message);
                }
                self.no_room_until = Some(self.no_room_retry(ctx.now));
            }
            DiskFaultKind::Vanished => {
                warn!("{}: starting over with what is left", fault.message);
                self.assembly.forget_disk();
                self.open(ctx);
            }
            DiskFaultKind::Final => self.end(ctx, FetchEnding::Failed(fault.message)),
        }
    }

    /// There is no room: when to try again. Of one attempt several parts may fail.
    pub(super) fn no_room_retry(&mut self, now: Instant) -> Instant {
        let since = *self.no_room_since.get_or_insert(now);
        let is_first = now < since + NO_ROOM_RETRY;
        now + if is_first { NO_ROOM_RETRY } else { NO_ROOM_RETRY_AGAIN }
    }
}
