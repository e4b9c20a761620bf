//! What a node looks like from outside, for pictures and summaries: plain values, of which nothing inside
//! depends. The core decides by none of this.

use std::net::SocketAddr;

use serde::Serialize;

use super::fetch::FetchView;
use super::locate::Locate;
use super::remote::Remote;
use super::{HolderSeen, HostSeen, Node};
use crate::wire::InstanceId;

/// One other host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostView {
    /// Where.
    pub host: SocketAddr,
    /// Which run of it.
    pub instance: Option<InstanceId>,
    /// How it stands: `heard` of, `proven` (it receives where it says it is), `listed`, or
    /// `listing` (its listing is on its way).
    pub state: &'static str,
    /// How many files it lists.
    pub files: usize,
    /// The smoothed round trip in microseconds.
    pub rtt: u64,
}

impl Node {
    /// The fetches, by their numbers.
    pub fn fetch_views(&self) -> Vec<FetchView> {
        self.fetches.iter().map(|(&id, fetch)| fetch.view(id, self.now)).collect()
    }

    /// What a look has found; all of it once [`Output::LookEnded`](super::Output::LookEnded) has come.
    pub fn hosts_seen(&self) -> Vec<HostSeen> {
        let discovery = self.discovery.as_ref();
        discovery
            .map_or_else(Vec::new, |discovery| discovery.hosts_seen(self.now, &self.interfaces))
    }

    /// What a search for holders has found; all of it once [`Output::Located`](super::Output::Located) has come.
    pub fn holders_seen(&self) -> Vec<HolderSeen> {
        self.locate.as_ref().map_or_else(Vec::new, Locate::holders_seen)
    }

    /// The other hosts that are known, by their addresses.
    pub fn host_views(&self) -> Vec<HostView> {
        self.discovery
            .iter()
            .flat_map(|discovery| discovery.remotes.values().map(Remote::view))
            .collect()
    }
}
