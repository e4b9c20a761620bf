//! The clock of one process: microseconds since an origin of its own. It may jump ahead, as it does over a
//! suspend, and stand still, as it does in a virtual machine; it never goes back.

use std::time::Duration;

use sprat::node::Instant;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// What the process reads is the world's time, this much on, or back.
    ahead: u64,
    behind: u64,
    /// Until then (of the world's time) it stands at a value.
    stands: Option<(Instant, Instant)>,
}

impl Clock {
    /// A clock that began to run at this moment of the world's.
    pub(crate) fn started(at: Instant) -> Self {
        Self { ahead: 0, behind: at.as_micros(), stands: None }
    }

    /// The world's own.
    pub(crate) fn of_the_world() -> Self {
        Self { ahead: 0, behind: 0, stands: None }
    }

    /// What the process reads.
    pub(crate) fn read(&mut self, world: Instant) -> Instant {
        if let Some((until, value)) = self.stands {
            if world < until {
                return value;
            }
            // It goes on from where it stood.
            self.stands = None;
            let lost = self.local(until).since(value);
            self.behind += lost.as_micros() as u64;
        }
        self.local(world)
    }

    fn local(&self, world: Instant) -> Instant {
        let micros = world.as_micros().saturating_add(self.ahead);
        Instant::from_micros(micros.saturating_sub(self.behind))
    }

    /// When, in the world's time, it will show this.
    pub(crate) fn shows_at(&self, local: Instant) -> Instant {
        let micros = local.as_micros().saturating_add(self.behind).saturating_sub(self.ahead);
        let at = Instant::from_micros(micros);
        match self.stands {
            // Not exact: it wakes, sees, and looks again.
            Some((until, value)) if local > value => at.max(until),
            _ => at,
        }
    }

    pub(crate) fn jump(&mut self, by: Duration) {
        self.ahead = self.ahead.saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX));
    }

    /// Stands still for a while.
    pub(crate) fn stop(&mut self, world: Instant, lasting: Duration) {
        let value = self.read(world);
        self.stands = Some((world + lasting, value));
    }

    /// Runs again.
    pub(crate) fn go_on(&mut self, world: Instant) {
        if let Some((until, value)) = self.stands {
            self.stands = Some((world.min(until), value));
            self.read(world);
        }
    }
}
