//! Recording what one process learns and wants, as `--trace` does: `sprat replay` understands it.

use std::cell::RefCell;
use std::fs::File;
use std::io::BufWriter;
use std::net::SocketAddr;
use std::path::Path;

use sprat::node::{Input, Instant, Node, NodeConfig, Output};
use sprat::trace::{Header, How, Recorder};

thread_local! {
    /// What the last panic of this thread said; whoever catches panics notes it.
    pub(crate) static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A recording of one process, complete when it is dropped.
pub(crate) struct Recording {
    recorder: Recorder,
}

impl Recording {
    /// Begins a file in this folder; its name says who is recorded, and which start of it this is.
    pub(crate) fn begin(
        folder: &Path,
        address: SocketAddr,
        times: u8,
        begins: Instant,
        config: NodeConfig,
    ) -> Option<Self> {
        let command = if config.serves { "peer" } else { "fetch" };
        let header = Header::new(command, 0, begins, config);
        let name = format!("{}-{}-{times}.trace", address.ip(), address.port());
        let file = File::create(folder.join(name)).ok()?;
        Some(Self { recorder: Recorder::new(&header, Box::new(BufWriter::new(file))) })
    }

    pub(crate) fn before(&mut self, node: &Node, at: Instant, input: &Input<'_>) {
        self.recorder.before(node, at, input);
    }

    pub(crate) fn before_wake(&mut self, at: Instant, reason: &'static str) {
        self.recorder.before_wake(at, reason);
    }

    pub(crate) fn output(&mut self, output: &Output) {
        self.recorder.output(output);
    }

    /// The core is about to be looked at as a whole.
    pub(crate) fn checks(&mut self) {
        self.recorder.set_in_core(true);
    }

    pub(crate) fn after(&mut self, node: &Node) {
        self.recorder.after(node);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let how = if std::thread::panicking() {
            let message = LAST_PANIC.with(|message| message.borrow().clone());
            How::Panic { message, in_core: self.recorder.is_in_core() }
        } else {
            How::Signal(9)
        };
        self.recorder.finish(how);
    }
}
