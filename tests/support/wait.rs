//! Waiting for something that can be seen, never for a length of time.

use std::time::{Duration, Instant};

/// Long enough for whatever ought to happen at once, on a slow and busy machine.
pub const SHORT: Duration = Duration::from_secs(15);

/// Long enough for whatever ought to happen after a time-out or a transfer.
pub const LONG: Duration = Duration::from_secs(60);

/// Waits until `condition` holds; fails the test, naming `what`, when it has not within `limit`.
/// Returns how long it took.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    wait_for(what, limit, || condition().then_some(()));
    start.elapsed()
}

/// Waits until `look` finds something, and returns it; fails the test, naming `what`, when it has
/// not within `limit`.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Fails the test, naming `what`, when `condition` ceases to hold within `span`. It is for what must
/// *not* happen; nothing relies on something having happened after it.
#[track_caller]
pub fn holds_for(what: &str, span: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < span {
        assert!(condition(), "ceased to hold after {:?}: {what}", start.elapsed());
        std::thread::sleep(Duration::from_millis(10));
    }
}
