//! What a node is configured with: values, and no decision.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sync::SyncRules;
use crate::wire::DEFAULT_PORT;

/// How often the directory is handed out, where nothing else is said: front ends take a `d.json` that is older than some
/// seconds for one that nobody keeps.
const SWEEP: Duration = Duration::from_secs(2);

/// What a node is told at its start and never again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Whether it offers files, announces itself and keeps the directory.
    pub serves: bool,
    /// Its own port.
    pub port: u16,
    /// The port that others listen on.
    pub default_port: u16,
    /// Hosts to talk to although no broadcast may reach them; half of the table's room is used at most.
    pub peers: Vec<SocketAddr>,
    /// Hosts that tell of others, and are told what there is here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trackers: Vec<SocketAddr>,
    /// Whether it is a tracker itself, and nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tracks: bool,
    /// What of others' files it fetches by itself, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncRules>,
    /// Where all randomness comes from.
    #[serde(with = "crate::content::hex")]
    pub seed: [u8; 32],
    /// How often the directory is handed out, changed or not.
    pub sweep: Duration,
    /// How it holds back for the sake of others.
    #[serde(default, skip_serializing_if = "Restraint::is_none")]
    pub restraint: Restraint,
}

impl NodeConfig {
    /// One that fetches, on the port that everybody knows, with nobody named and nothing held back.
    pub const fn new(seed: [u8; 32]) -> Self {
        Self {
            serves: false,
            port: DEFAULT_PORT,
            default_port: DEFAULT_PORT,
            peers: Vec::new(),
            trackers: Vec::new(),
            tracks: false,
            sync: None,
            seed,
            sweep: SWEEP,
            restraint: Restraint { limit: None, background: false },
        }
    }
}

/// How a node holds back for the sake of others: if at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restraint {
    /// Bytes a second, as the network counts them, that it sends where it serves, and asks for where it
    /// fetches: data packets with all their headers.
    #[serde(default)]
    pub limit: Option<u64>,
    /// Whether what it fetches gives way to everything else on the path.
    #[serde(default)]
    pub background: bool,
}

impl Restraint {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
