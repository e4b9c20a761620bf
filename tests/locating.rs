//! A search for holders, from its command to its end.

use std::time::Duration;

use sprat::content::ContentId;
use sprat::node::input::{Command, LocateRequest};
use sprat::node::{Input, Instant, Node, NodeConfig, Output};

fn looker() -> Node {
    let config = NodeConfig { port: 5_000, ..NodeConfig::new([1; 32]) };
    Node::new(config, Instant::ORIGIN)
}

/// However little patience there is, it is over in time, and no firing is due again at once, on time or late.
#[test]
fn a_search_is_over_when_the_patience_is() {
    for (millis, late) in [(0, 0), (1, 0), (115, 0), (115, 200), (250, 0), (300, 0), (5_000, 70)] {
        let mut node = looker();
        let patience = Duration::from_millis(millis);
        let (content, sources) = (ContentId([1; 20]), Vec::new());
        let request = LocateRequest { content, size: 9, sources, patience };
        node.handle_input(Instant::ORIGIN, Input::Command(Command::Locate(request)));
        let (mut is_over, mut now) = (false, Instant::ORIGIN);
        let late = Duration::from_millis(late);
        while let Some(due) = node.poll_timeout() {
            now = due.at + late;
            node.handle_timeout(now);
            assert!(node.poll_timeout().is_none_or(|next| next.at > now), "{millis} ms");
            while let Some(output) = node.poll_output() {
                is_over |= matches!(output, Output::Located { .. });
            }
        }
        assert!(is_over && now <= Instant::ORIGIN + patience + late, "{millis} ms: {now}");
    }
}
