//! Saying that we are here, again where nobody could hear it, and that we leave.

use std::time::Duration;

use log::info;

use super::{ASK_JITTER, Discovery};
use crate::node::context::{Context, Ways};
use crate::node::remote::liveness::GONE_AFTER;
use crate::node::time::Instant;
use crate::wire::{Announce, Farewell, ListingSummary, Message};

/// How often a host announces itself when nothing changes, where few others are; sooner by up to a sixteenth by
/// chance, so that hosts do not fall into step. Not by more: who has vanished is missed as late as one could come.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(5);
const ANNOUNCE_SOONER: u32 = 16;
/// Where there are many, so much for each of them, so that a hundred together say no more than eighty: with headers
/// less than 2 KB a second.
const ANNOUNCE_EVERY_EACH: Duration = Duration::from_millis(64);
/// But at least as often as this: who has vanished is missed after it, asked, and gone within ten seconds.
const ANNOUNCE_SELDOM: Duration = Duration::from_millis(6_400);
/// After a change, announcements are repeated, because broadcasts get lost.
const ANNOUNCE_AGAIN: [Duration; 2] = [Duration::from_millis(400), Duration::from_millis(1_200)];
/// At the start, more often: who is not known yet is asked once for each that is heard, and that question or its answer gets
/// lost as well. Of a thousand hosts that lose one packet in ten, one of 2,600 would miss three of them on both ways.
const ANNOUNCE_START: [Duration; 4] = [
    Duration::from_millis(400),
    Duration::from_millis(1_200),
    Duration::from_millis(2_000),
    Duration::from_millis(3_000),
];

impl Discovery {
    /// There are ways that there were not: whoever is there hears of us at once, as at the start.
    pub(crate) fn announce_anew(&mut self, now: Instant) {
        if self.announced.is_some() {
            self.announce_at = now;
            self.announcements_again = 0;
            self.is_known = false;
        }
    }

    /// We slept for `gap`, and could hear nobody. Whoever was there counts as heard for that time; he is asked
    /// whether he still is, and told that we are.
    pub(crate) fn woke(&mut self, ctx: &mut Context<'_>, gap: Duration) {
        if self.is_looking() {
            return;
        }
        info!("nothing happened here for {:.1} s: asking who is there", gap.as_secs_f64());
        for remote in self.remotes.values_mut() {
            let ask_at = ctx.soon(ASK_JITTER);
            remote.woke(ctx.now, gap, ask_at);
        }
        let now = ctx.now;
        if gap > GONE_AFTER {
            self.back_at = Some(now);
        }
        self.listeners.values_mut().for_each(|asked_at| *asked_at = (*asked_at + gap).min(now));
        self.announce_anew(now);
        self.look_at_all(ctx);
    }

    /// How often we announce ourselves.
    fn announce_every(&self) -> Duration {
        let hosts = self.remotes.values().filter(|remote| remote.is_main()).count();
        let each = ANNOUNCE_EVERY_EACH * u32::try_from(hosts).unwrap_or(u32::MAX);
        each.clamp(ANNOUNCE_EVERY, ANNOUNCE_SELDOM)
    }

    /// Tells everybody that we leave.
    pub(crate) fn say_farewell(&self, ctx: &mut Context<'_>) {
        if self.is_looking() {
            return;
        }
        let farewell = Message::Farewell(Farewell { secret: self.secret });
        ctx.send_to_all(&farewell, Ways::ALL);
        for (&address, remote) in &self.remotes {
            if remote.is_proven() {
                ctx.send(address, &farewell);
            }
        }
    }

    /// Announces our listing if it is another one or if it is time.
    pub(crate) fn announce_due(&mut self, ctx: &mut Context<'_>, listing: ListingSummary) {
        let changed = self.announced != Some(listing.digest);
        if !changed && ctx.now < self.announce_at {
            return;
        }
        if changed {
            self.announcements_again = 0;
        }
        let times: &[Duration] = if self.is_known { &ANNOUNCE_AGAIN } else { &ANNOUNCE_START };
        let again = times.get(self.announcements_again).copied();
        self.is_known |= again.is_none();
        let every = self.announce_every();
        let until_next = again.unwrap_or(every - ctx.random.jitter(every / ANNOUNCE_SOONER));
        // That one of the first is repeated soon is no reason to miss us where the repetition is lost.
        let within = if again.is_some() { every } else { until_next };
        let again_within = u8::try_from(within.as_millis().div_ceil(100)).unwrap_or(u8::MAX);
        let announce = Announce { instance: self.instance, listing, again_within };
        let message = Message::Announce(announce);
        if changed {
            self.announced = Some(listing.digest);
            for &listener in self.listeners.keys() {
                ctx.send(listener, &message);
            }
        }
        self.announcements_again += 1;
        if changed || again.is_some() {
            ctx.send_to_all(&message, Ways::ALL);
        } else {
            self.turn += 1;
            ctx.send_to_all(&message, Ways::in_turn(self.turn));
        }
        self.announce_at = ctx.now + until_next;
    }
}
