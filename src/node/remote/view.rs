//! What another host looks like from outside.

use super::Remote;
use crate::node::view::HostView;

impl Remote {
    /// As it is at this moment.
    pub(crate) fn view(&self) -> HostView {
        HostView {
            host: self.address,
            instance: self.instance,
            state: match () {
                () if self.is_downloading() => "listing",
                () if self.listed.is_some() => "listed",
                () if self.is_proven() => "proven",
                () => "heard",
            },
            files: self.listed.as_ref().map_or(0, |listed| listed.entries.len()),
            rtt: self.flow.round_trip().as_micros() as u64,
        }
    }
}
