//! What is taken for lost, and when: packets that later ones have overtaken, and all of what a source owes that has
//! fallen silent.

use std::time::Duration;

use log::debug;

use super::background::Background;
use super::{Flow, FlowTag, PROBE_TIMEOUT_MAX, Piece};
use crate::node::time::Instant;

/// A packet counts as lost when this many later ones have come (RFC 9002 section 6.1.1), as long as
/// this way has not been seen to reorder.
const PACKET_THRESHOLD: u64 = 3;
/// Grants that are remembered for long after all of their packets were taken for lost, and for how long.
const LATE_MAX: usize = 32;
const LATE: Duration = Duration::from_secs(20);
/// By how much a loop that turns may wake too late.
const WAKES_LATE: Duration = Duration::from_millis(100);

impl<T: FlowTag> Flow<T> {
    /// Takes what has to be taken for lost by now: packets that later ones have overtaken, and, when
    /// nothing has come for too long, whatever is longest on its way.
    pub(crate) fn take_lost(&mut self, now: Instant, lost: &mut Vec<Piece<T>>) {
        self.note_waking(now);
        self.take_overtaken(now, lost);
        if self.in_flight > 0 && now >= self.probe_at() {
            self.take_silent(now, lost);
        }
        self.forget_settled(now);
    }

    fn take_overtaken(&mut self, now: Instant, lost: &mut Vec<Piece<T>>) {
        let window = self.trip.reordering_window();
        for index in 0..self.grants.len() {
            let grant = &mut self.grants[index];
            if grant.first_position >= self.reached {
                break;
            }
            // Bits of the packets that came before the furthest.
            let passed = (self.reached - grant.first_position).min(grant.packets);
            let behind = grant.outstanding() & (u64::MAX >> (64 - passed));
            if behind == 0 {
                grant.overtaken_at = None;
                continue;
            }
            let overtaken_at = *grant.overtaken_at.get_or_insert(now);
            let far = self
                .reached
                .saturating_sub(PACKET_THRESHOLD + grant.first_position)
                .min(grant.packets);
            let mut gone = 0;
            if now >= overtaken_at + window {
                gone = behind;
            } else if !self.reorders && far > 0 {
                gone = behind & (u64::MAX >> (64 - far));
            }
            if gone != 0 {
                grant.lost_since = grant.overtaken_at;
                if gone == behind {
                    grant.overtaken_at = None;
                }
                self.lose(now, index, gone, lost);
            }
        }
    }

    fn take_silent(&mut self, now: Instant, lost: &mut Vec<Piece<T>>) {
        self.probes_unanswered = self.probes_unanswered.saturating_add(1);
        self.quiet_since = now;
        for index in 0..self.grants.len() {
            let outstanding = self.grants[index].outstanding();
            if outstanding == 0 {
                continue;
            }
            self.lose(now, index, outstanding, lost);
            if self.probes_unanswered == 1 {
                // The oldest alone: if its answer comes, the gap tells of the others.
                break;
            }
        }
        let (times, rate, trip) = (self.probes_unanswered, self.rate(), self.round_trip());
        let left = self.in_flight;
        debug!("{}: silent, {times} times; {left} in flight, {rate} B/s, {trip:?}", self.source);
        if self.probes_unanswered >= 2 {
            self.congestion.collapsed(now);
            self.background.iter_mut().for_each(|background| background.collapsed(now));
        }
        self.ladder.silent(now, self.probes_unanswered >= 2);
    }

    /// Takes these packets of a grant for lost.
    fn lose(&mut self, now: Instant, index: usize, packets: u64, lost: &mut Vec<Piece<T>>) {
        let grant = &mut self.grants[index];
        let bytes = grant.lose(packets, lost);
        self.in_flight -= bytes;
        self.lost += bytes;
        if grant.probes {
            // It says that it was too long, not that it was too much (RFC 8899, section 3).
            self.ladder.failed(now);
        } else {
            self.congestion.lost(bytes, grant.snapshot);
            self.background.iter_mut().for_each(Background::lost);
        }
    }

    /// After a clock has jumped, or we were stopped, what was sent before says nothing about the way.
    pub(super) fn note_waking(&mut self, now: Instant) {
        if self.in_flight > 0 && now > self.probe_at() + WAKES_LATE {
            self.woke_at = now;
            self.congestion.collapsed(now);
        }
    }

    pub(super) fn probe_at(&self) -> Instant {
        let (once, backoff) = (self.trip.probe_timeout(), 1 << self.probes_unanswered.min(8));
        let most = T::SILENCE_MAX.max(once).min(PROBE_TIMEOUT_MAX);
        self.quiet_since + (once * backoff).min(most)
    }

    /// Forgets grants of which nothing is to come; those with losses are kept for a while, so that what
    /// was only late is recognised.
    fn forget_settled(&mut self, now: Instant) {
        let patience = self.trip.probe_timeout() * 2;
        while let Some(grant) = self.grants.front() {
            // What comes late shows that a way has become far longer than it was.
            let few = self.grants.len() <= LATE_MAX;
            let patience = if few { patience.max(LATE) } else { patience };
            let settled = grant.outstanding() == 0
                && (grant.received == grant.all() || now >= grant.sent_at + patience);
            if !settled {
                break;
            }
            self.grants.pop_front();
            self.first_sequence += 1;
        }
    }
}
