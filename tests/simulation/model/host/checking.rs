//! What must hold of a process after every step of it.

use sprat::node::Node;

use super::Host;

impl Host {
    /// What must hold after every step.
    pub(super) fn check(&mut self) {
        // It looks at everything: where there is much, not at each step.
        if let Some(recording) = &mut self.recording {
            recording.checks();
        }
        if !self.checks {
            return;
        }
        if self.steps < 4_000 || self.steps % 16 == 0 {
            self.node.check_invariants();
        }
        if self.is_restored {
            let digests = self.node.digests();
            self.node = Node::restore(&self.node.snapshot()).expect("what was written can be read");
            assert_eq!(self.node.digests(), digests);
        }
        let Some(request) = self.request.as_ref().filter(|_| self.ending.is_none()) else { return };
        if let Some(progress) = self.node.fetch_progress(request.fetch) {
            assert!(progress.received <= self.ledger.kept, "more is counted than came");
            assert!(progress.stored <= progress.size, "more is stored than there is");
        }
        if !self.above_suspicion.is_empty() {
            for source in self.node.fetch_views().iter().flat_map(|view| &view.sources) {
                let innocent = self.above_suspicion.contains(&source.address);
                assert!(source.blamed == 0 || !innocent, "{} is blamed", source.address);
            }
        }
    }
}
