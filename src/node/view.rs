//! What a node looks like from outside, for pictures and summaries: plain values, of which nothing inside
//! depends. The core decides by none of this.

use std::net::SocketAddr;

use serde::Serialize;

use super::Node;
use super::fetch::FetchView;
use super::remote::Remote;
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

    /// The other hosts that are known, by their addresses.
    pub fn host_views(&self) -> Vec<HostView> {
        self.discovery
            .iter()
            .flat_map(|discovery| discovery.remotes.values().map(Remote::view))
            .collect()
    }
}
