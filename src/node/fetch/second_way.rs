//! A host with several addresses is several ways to the same bytes. Two flows would compete behind one bottleneck, neither
//! would ever see the way empty, and beside others the host would count twice: so the second way rests while the first
//! gives well.
//!
//! Anybody can say to be another host, and must not keep it from giving by that. So a way rests only after it was
//! measured, too; and if it really leads to the same host through the same bottleneck, the first one now gives what both
//! gave together. Where it does not, or is not as fast any more, the other way is one of its own from then on.

use std::net::SocketAddr;
use std::time::Duration;

use log::debug;
use serde::{Deserialize, Serialize};

use super::Fetch;
use super::source::Source;
use crate::node::directory::host_text;
use crate::node::time::Instant;
use crate::wire::InstanceId;

/// Bytes a second below which a second way to a host is tried beside the first.
const WORTH_HAVING: u64 = 500_000;
/// After so many bytes it is known how fast a way is: far past startup's first windows.
const MEASURED: u64 = 256 * 1024;
/// After so long the first way has to give what both gave. It is looked every second, over the second before.
const TAKES_OVER: Duration = Duration::from_millis(2_000);

/// What is known of a source as one of several ways to a host.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Way {
    /// Bytes that had come when it was last looked, and when that was.
    looked: Option<(u64, Instant)>,
    /// Bytes a second between the last two looks.
    recent: u64,
    /// Since when it rests for the sake of another way, and how many bytes a second both gave then.
    rests: Option<(Instant, u64)>,
    /// It does not share another's bottleneck, whoever its host says to be.
    is_its_own: bool,
}

impl Fetch {
    /// Whether this is a second address of a host that gives well by another one.
    pub(super) fn is_second_way(&self, address: SocketAddr, now: Instant) -> bool {
        self.first_way(address, now).is_some()
    }

    /// The way to the same host that is used instead of this one.
    fn first_way(&self, address: SocketAddr, now: Instant) -> Option<&Source> {
        let source = self.sources.get(&address)?;
        if source.instance == InstanceId::NONE
            || source.way.is_its_own
            || source.flow.delivered() < MEASURED
        {
            return None;
        }
        let best = self.sources.values().map(|source| source.flow.rate()).max().unwrap_or(0);
        let worth = (best / 8).max(WORTH_HAVING).max(source.flow.rate() / 2);
        self.sources.values().find(|other| {
            other.address != address
                && other.instance == source.instance
                && self.gives(other, now)
                && other.held_blocks().is_none()
                && other.flow.rate() >= worth
                && (other.flow.delivered(), other.given) > (source.flow.delivered(), source.given)
        })
    }

    /// A way rests for the sake of another.
    pub(super) fn note_second_way(&mut self, address: SocketAddr, now: Instant) {
        let Some(first) = self.first_way(address, now).map(|first| first.flow.rate()) else {
            return;
        };
        if let Some(source) = self.sources.get_mut(&address) {
            let both = first + source.flow.rate();
            source.way.rests.get_or_insert((now, both));
        }
    }

    /// Measures what each way gives of late, and lets those give again whose rest has gained nothing.
    pub(super) fn look_at_ways(&mut self, now: Instant) {
        for source in self.sources.values_mut() {
            let came = source.flow.delivered();
            let last = source.way.looked.replace((came, now));
            let Some((before, at)) = last else { continue };
            let micros = now.since(at).as_micros().max(1);
            let rate = u128::from(came.saturating_sub(before)) * 1_000_000 / micros;
            source.way.recent = u64::try_from(rate).unwrap_or(u64::MAX);
        }
        let resting: Vec<(SocketAddr, InstanceId, u64)> = self
            .sources
            .values()
            .filter_map(|source| {
                let (since, both) = source.way.rests?;
                let is_told = now.since(since) >= TAKES_OVER && !source.way.is_its_own;
                is_told.then_some((source.address, source.instance, both))
            })
            .collect();
        for (address, instance, both) in resting {
            let others = self
                .sources
                .values()
                .filter(|source| source.address != address && source.instance == instance);
            let first = others.map(|source| source.way.recent).max().unwrap_or(0);
            if first >= both / 4 * 3 {
                continue;
            }
            debug!("{}: another way to its host does not give as much", host_text(address));
            if let Some(source) = self.sources.get_mut(&address) {
                source.way.is_its_own = true;
            }
        }
    }
}
