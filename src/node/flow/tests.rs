//! Flows against ways that do anything at all.

use super::*;
use crate::content::ContentId;
use crate::wire::decode;

impl FlowTag for u8 {
    const SILENCE_MAX: Duration = PROBE_TIMEOUT_MAX;
}

fn flow(random: &mut Random) -> Flow<u8> {
    let mut flow = Flow::new(SocketAddr::from(([192, 0, 2, 1], 9)), random);
    flow.set_cookie(Cookie([1; 16]));
    flow
}

/// A grant for a piece, as the source reads it: nonce, and offset and length of each packet.
fn grant(flow: &mut Flow<u8>, now: Instant, offset: u64, length: u64) -> (u64, Vec<(u64, u64)>) {
    let piece = Piece { tag: 7, offset, length };
    let (datagram, granted) = flow.grant(now, Object::File(ContentId::EMPTY), &[piece], length);
    let Ok(Message::Grant(message)) = decode(&datagram) else { panic!("a grant was made") };
    let (end, payload) = (offset + granted, u64::from(message.ranges.payload_length()));
    let starts = (offset..end).step_by(payload as usize);
    (message.nonce, starts.map(|start| (start, payload.min(end - start))).collect())
}

#[test]
fn only_packets_as_they_were_asked_for_are_taken_and_once() {
    let mut random = Random::new([1; 32]);
    let mut flow = flow(&mut random);
    let now = Instant::from_micros(1_000_000);
    let (nonce, packets) = grant(&mut flow, now, 65_536, 3_000);
    let (offset, length) = packets[1];
    let whole = u64::MAX;
    for (nonce, offset, length, expected) in [
        (nonce ^ 1 << 40, offset, length, Stray::Nonce),
        (nonce + 1, offset, length, Stray::Nonce),
        (nonce.wrapping_sub(1), offset, length, Stray::Nonce),
        (nonce, offset + 1, length, Stray::Cut),
        (nonce, offset, length - 1, Stray::Cut),
        (nonce, offset, length + 1, Stray::Cut),
        (nonce, 0, length, Stray::Cut),
        (nonce, 65_536 + 64 * length, length, Stray::Cut),
        (nonce, whole - length, length, Stray::Cut),
    ] {
        assert_eq!(flow.arrived(now, nonce, offset, length), Err(expected), "{offset}+{length}");
    }
    assert!(flow.arrived(now, nonce, offset, length).is_ok());
    assert_eq!(flow.arrived(now, nonce, offset, length), Err(Stray::Duplicate));
    assert_eq!(flow.refused(nonce ^ 1 << 63, false), None);
    flow.check_invariants();
}

/// Whatever comes, is lost, comes late, is refused or given up: the books balance, each byte is either in
/// flight or given back, and nothing that is due stays due.
#[test]
fn the_books_balance_whatever_happens() {
    for seed in 0..200 {
        let mut random = Random::new([seed; 32]);
        let mut flow = flow(&mut random);
        let mut now = Instant::from_micros(1_000_000);
        let mut sent: Vec<(u64, u64, u64)> = Vec::new();
        let (mut asked, mut came, mut lost) = (0, 0, Vec::new());
        for _ in 0..400 {
            let step = if random.below(20) == 0 { 6_000_000 } else { random.below(9_000) };
            now = now + Duration::from_micros(step);
            match random.below(12) {
                0..5 => {
                    let room = flow.room(now, random.below(400_000));
                    if room > 0 {
                        let (nonce, packets) = grant(&mut flow, now, asked, room);
                        asked += packets.iter().map(|&(_, length)| length).sum::<u64>();
                        sent.extend(packets.iter().map(|&(at, length)| (nonce, at, length)));
                    }
                }
                5..11 => {
                    for _ in 0..random.below(30).min(sent.len() as u64) {
                        let ahead = random.below(sent.len().min(5) as u64) as usize;
                        let (nonce, at, length) = sent.remove(ahead);
                        if random.below(6) > 0 && flow.arrived(now, nonce, at, length).is_ok() {
                            came += length;
                        }
                    }
                }
                _ if random.below(3) == 0 => lost.extend(flow.abandon(now)),
                _ => {
                    let any = random.below(sent.len().max(1) as u64) as usize;
                    if let Some(&(nonce, ..)) = sent.get(any) {
                        lost.extend(flow.refused(nonce, random.below(2) == 0).unwrap_or_default());
                    }
                }
            }
            flow.take_lost(now, &mut lost);
            flow.check_invariants();
            let given_back: u64 = lost.iter().map(|piece| piece.length).sum();
            assert!(flow.in_flight() + given_back + came >= asked, "seed {seed}: bytes are gone");
            let due = flow.deadline().filter(|due| due.at <= now);
            assert_eq!(due, None, "seed {seed}: due at {now} and not done");
        }
    }
}

#[test]
fn a_way_far_longer_than_was_thought_is_recognised() {
    let mut random = Random::new([3; 32]);
    let mut flow = flow(&mut random);
    let (start, late) = (Instant::from_micros(1_000_000), Duration::from_secs(4));
    flow.sample_round_trip(start, Duration::from_millis(1));
    let (nonce, packets) = grant(&mut flow, start, 0, 2_000);
    let mut lost = Vec::new();
    for millis in (0..4_000).step_by(10) {
        flow.take_lost(start + Duration::from_millis(millis), &mut lost);
    }
    assert_eq!(lost.iter().map(|piece| piece.length).sum::<u64>(), 2_000);
    assert!(flow.is_stalled() || flow.in_flight() == 0);
    let (offset, length) = packets[0];
    assert!(flow.arrived(start + late, nonce, offset, length).is_ok());
    assert!(flow.round_trip() > Duration::from_millis(400) && !flow.is_stalled());
}

#[test]
fn what_was_asked_for_last_is_asked_for_once_more_where_packets_are_lost() {
    let mut random = Random::new([2; 32]);
    let mut flow = flow(&mut random);
    let now = Instant::from_micros(1_000_000);
    let (nonce, packets) = grant(&mut flow, now, 0, 8 * 1_152);
    assert!(flow.last_asked().is_empty(), "nothing was ever lost");
    flow.lost = 1;
    flow.delivered = 1 << 20;
    for &(offset, length) in &packets[6..7] {
        flow.arrived(now, nonce, offset, length).expect("it was asked for");
    }
    let again = flow.last_asked();
    let offsets: Vec<u64> = again.iter().map(|piece| piece.offset / 1_152).collect();
    assert_eq!(offsets, [7, 5, 4, 3], "the last ones that are on their way");
    assert!(flow.last_asked().is_empty(), "once");
    grant(&mut flow, now, 0, 1_152);
    flow.mark_repeated(1_152);
    assert!(flow.last_asked().is_empty(), "what repeats is not repeated");
    flow.mark_repeated(1 << 13);
    grant(&mut flow, now, 1_152, 1_152);
    assert!(flow.last_asked().is_empty(), "not more than a 128th of all");
}
