//! Messages that somebody means: what is written is read as it was meant, and damage on the way is no panic.

use sprat::wire::decode;

use super::choices::Choices;
use super::making::{Buffer, Seen, message};

pub(crate) fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let (seen, mut buffer) = (Seen::default(), Buffer::new());
    let Some(message) = message(&mut choices, &seen, &mut buffer) else { return };
    let encoded = message.encode();
    assert_eq!(decode(&encoded), Ok(message), "{message}");
    let mut damaged = encoded.clone();
    while !choices.is_over() {
        match choices.byte() % 3 {
            0 => {
                let at = choices.below(damaged.len().max(1));
                damaged.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8));
            }
            1 => damaged.truncate(choices.below(damaged.len() + 1)),
            _ => damaged.extend_from_slice(choices.take(4)),
        }
        if let Ok(other) = decode(&damaged) {
            assert_eq!(decode(&other.encode()), Ok(other));
        }
    }
}
