//! The link emulator of `scripts/bench` does to frames what it was told, neither more nor less. Here its model alone, in
//! virtual time; `scripts/bench emulator` measures the whole of it with real packets.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(dead_code, reason = "the program uses the rest of it")]

#[path = "../examples/link_emulator/chance.rs"]
mod chance;
#[path = "../examples/link_emulator/direction.rs"]
mod direction;
#[path = "../examples/link_emulator/packet.rs"]
mod packet;
#[path = "../examples/link_emulator/rebinding.rs"]
mod rebinding;
#[path = "../examples/link_emulator/report.rs"]
mod report;
#[path = "../examples/link_emulator/spec.rs"]
mod spec;

use direction::Direction;
use rebinding::Router;
use spec::Spec;

const MILLISECOND: u64 = 1_000_000;
/// A full frame, and what it takes on the wire.
const FULL: usize = 1_514;
const FULL_ON_THE_WIRE: u64 = 1_538;

fn direction(text: &str) -> Direction {
    Direction::new(text.parse().unwrap(), 7)
}

/// Offers numbered frames at a fixed distance, and gives when each arrives; none for those that do not.
fn sent(direction: &mut Direction, count: u32, every: u64) -> Vec<Option<u64>> {
    for number in 0..count {
        let mut frame = vec![0; FULL];
        frame[20..24].copy_from_slice(&number.to_be_bytes());
        direction.offer(u64::from(number) * every, frame);
    }
    let mut arrivals = vec![None; count as usize];
    while let Some((due, frame)) = direction.take_due(u64::MAX) {
        let number = u32::from_be_bytes(frame[20..24].try_into().unwrap());
        assert!(arrivals[number as usize].replace(due).is_none(), "one arrived twice");
    }
    arrivals
}

fn share_lost(arrivals: &[Option<u64>]) -> f64 {
    let lost = arrivals.iter().filter(|arrival| arrival.is_none()).count();
    lost as f64 / arrivals.len() as f64
}

#[test]
fn a_link_without_faults_delivers_everything_at_once() {
    let arrivals = sent(&mut direction(""), 1_000, 1_000);
    assert!(arrivals.iter().enumerate().all(|(number, &at)| at == Some(number as u64 * 1_000)));
}

#[test]
fn the_rate_counts_what_ethernet_adds_and_the_delay_comes_on_top() {
    let mut link = direction("rate=100mbit,delay=20ms");
    let arrivals = sent(&mut link, 100_000, 0);
    let one = FULL_ON_THE_WIRE * 8 * 10;
    for (number, arrival) in arrivals.iter().enumerate() {
        assert_eq!(*arrival, Some((number as u64 + 1) * one + 20 * MILLISECOND));
    }
    let mut short = direction("rate=100mbit");
    short.offer(0, vec![0; 42]);
    assert_eq!(short.next_due(), Some(84 * 8 * 10), "an ARP question is padded");
}

#[test]
fn the_queue_is_bounded_in_bytes_and_drops_what_comes_last() {
    let mut link = direction("rate=100mbit,queue=153800");
    // One is on the wire, a hundred wait.
    let arrivals = sent(&mut link, 1_000, 0);
    assert_eq!(arrivals.iter().filter(|arrival| arrival.is_some()).count(), 101);
    assert!(arrivals[..101].iter().all(Option::is_some));
    assert_eq!(link.counts.dropped_at_queue.frames, 899);
    assert_eq!(link.counts.queueing().max, 100 * FULL_ON_THE_WIRE * 8 / 100);
    // When half of it has been sent, half of it has room again.
    let later = 50 * FULL_ON_THE_WIRE * 80;
    let kept = (0..1_000).filter(|_| link.offer(later, vec![0; FULL]).is_none()).count();
    assert_eq!(kept, 50);
}

#[test]
fn loss_is_what_was_asked_for_and_takes_its_time_on_the_wire() {
    for (text, wanted) in [("0.5%", 0.005), ("1%", 0.01), ("5%", 0.05)] {
        let mut link = direction(&format!("rate=1gbit,loss={text}"));
        let arrivals = sent(&mut link, 200_000, 0);
        let lost = share_lost(&arrivals);
        assert!((lost / wanted - 1.0).abs() < 0.05, "{lost} instead of {wanted}");
        let last = (0..200_000).rev().find_map(|at| Some((at as u64, arrivals[at]?))).unwrap();
        assert_eq!(last.1, (last.0 + 1) * FULL_ON_THE_WIRE * 8);
        assert_eq!(link.counts.lost.frames + link.counts.carried.frames, 200_000);
    }
}

#[test]
fn bursts_are_as_long_as_asked_for_and_the_loss_stays_the_same() {
    for burst in [1.0, 2.0, 8.0] {
        let arrivals = sent(&mut direction(&format!("loss=2%,burst={burst}")), 400_000, 0);
        let lost = share_lost(&arrivals);
        assert!((lost / 0.02 - 1.0).abs() < 0.1, "{lost}");
        let begins = arrivals.windows(2).filter(|two| two[0].is_some() && two[1].is_none()).count();
        let long = lost * 400_000.0 / begins as f64;
        assert!((long / burst - 1.0).abs() < 0.1, "{long} in a row instead of {burst}");
    }
}

#[test]
fn jitter_is_up_to_what_was_asked_for_and_keeps_the_order() {
    let arrivals = sent(&mut direction("delay=5ms,jitter=3ms/10ms"), 200_000, MILLISECOND / 10);
    assert!(arrivals.is_sorted());
    let more: Vec<u64> = (0..200_000u64)
        .map(|at| arrivals[at as usize].unwrap() - at * MILLISECOND / 10 - 5 * MILLISECOND)
        .collect();
    assert!(more.iter().all(|&more| more <= 3 * MILLISECOND));
    let mean = more.iter().sum::<u64>() as f64 / more.len() as f64;
    assert!((mean / 1.5e6 - 1.0).abs() < 0.1, "{mean}");
    assert!(more.windows(2).filter(|two| two[0] != two[1]).count() < 20_000);
}

#[test]
fn those_that_are_held_back_are_overtaken_and_the_others_are_not() {
    let mut link = direction("delay=5ms,reorder=1%/2ms");
    let arrivals = sent(&mut link, 200_000, MILLISECOND / 10);
    let on_time = |at: usize| at as u64 * MILLISECOND / 10 + 5 * MILLISECOND;
    let late: Vec<_> = (0..200_000).filter(|&at| arrivals[at] != Some(on_time(at))).collect();
    assert!(late.iter().all(|&at| arrivals[at] == Some(on_time(at) + 2 * MILLISECOND)));
    assert!((1_900..2_100).contains(&late.len()), "{}", late.len());
    assert_eq!(link.counts.held_back, late.len() as u64);
}

#[test]
fn the_same_seed_is_the_same_fate() {
    let text = "rate=50mbit,queue=100000,delay=3ms,jitter=2ms,loss=3%,burst=3,reorder=2%";
    let run = |seed| sent(&mut Direction::new(text.parse().unwrap(), seed), 10_000, 200_000);
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for text in [
        "rate",
        "rate=1",
        "rate=-1mbit",
        "loss=101%",
        "loss=0.5",
        "burst=0.5",
        "delay=5",
        "x=1",
        "delay=NaNms",
        "rate=infmbit",
        "queue=1.5",
        "jitter=1ms/x",
        "rate=1e300gbit",
        "corrupt=1",
        "outage=5s",
    ] {
        assert!(text.parse::<Spec>().is_err(), "{text}");
    }
}

/// A frame with a UDP packet by IPv4, the check sums of which hold.
fn udp_frame(from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]) -> Vec<u8> {
    let length = |more: usize| u16::try_from(payload.len() + more).unwrap().to_be_bytes();
    let mut frame = vec![0; 12];
    frame.extend([8, 0, 0x45, 0]);
    frame.extend(length(28));
    frame.extend([0, 1, 0, 0, 64, 17, 0, 0]);
    frame.extend(from.0.iter().chain(&to.0));
    frame.extend(from.1.to_be_bytes().iter().chain(&to.1.to_be_bytes()));
    frame.extend(length(8));
    frame.extend([0, 0]);
    frame.extend(payload);
    let header = !sum_of(&frame[14..34]);
    frame[24..26].copy_from_slice(&header.to_be_bytes());
    let udp = !udp_sum(&frame);
    frame[40..42].copy_from_slice(&udp.to_be_bytes());
    frame
}

/// The sum that check sums are made of (RFC 1071): all ones where one that is part of it holds.
fn sum_of(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|two| u32::from(two[0]) << 8 | two.get(1).map_or(0, |&b| b.into()));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

/// The same over a UDP packet with the addresses before it.
fn udp_sum(frame: &[u8]) -> u16 {
    let mut bytes = frame[26..34].to_vec();
    bytes.extend([0, 17]);
    bytes.extend(&frame[38..40]);
    bytes.extend(&frame[34..]);
    sum_of(&bytes)
}

fn holds(frame: &[u8]) -> bool {
    sum_of(&frame[14..34]) == 0xffff && udp_sum(frame) == 0xffff
}

const INNER: ([u8; 4], u16) = ([10, 77, 0, 2], 40_000);
const OUTER: ([u8; 4], u16) = ([10, 77, 0, 1], 27_183);

#[test]
fn one_bit_is_turned_in_as_many_packets_as_asked_for_under_a_check_sum_that_holds() {
    let mut link = direction("corrupt=2%");
    let frame = udp_frame(OUTER, INNER, &[0x5a; 1_001]);
    assert!(holds(&frame));
    for _ in 0..50_000 {
        assert!(link.offer(0, frame.clone()).is_none());
    }
    let mut turned = 0;
    while let Some((_, arrived)) = link.take_due(0) {
        assert!(holds(&arrived));
        let bits = frame[42..].iter().zip(&arrived[42..]).map(|(a, b)| (a ^ b).count_ones());
        let bits: u32 = bits.sum();
        turned += bits;
        assert!(bits <= 1 && frame[..40] == arrived[..40]);
    }
    assert!((900..1_100).contains(&turned), "{turned} of 50,000");
    assert_eq!(link.counts.corrupted, u64::from(turned));
}

#[test]
fn in_an_outage_nothing_passes() {
    let arrivals = sent(&mut direction("outage=50ms/20ms"), 1_000, MILLISECOND / 2);
    for (at, arrival) in arrivals.iter().enumerate() {
        assert_eq!(arrival.is_some(), at as u64 / 2 % 70 < 50, "{at}");
    }
}

#[test]
fn a_router_forgets_ports_and_addresses() {
    let second = 1_000 * MILLISECOND;
    for (what, differs) in [("port/5s", 34..36), ("address/5s", 29..30)] {
        let mut router = Router::new(what.parse().unwrap());
        let mut seen = Vec::new();
        for now in [second, 4 * second, 6 * second, 11 * second] {
            let inside = udp_frame(INNER, OUTER, b"a question");
            let mut outside = inside.clone();
            router.outwards(now, &mut outside);
            assert!(holds(&outside), "{what}");
            let source = |frame: &[u8]| {
                (<[u8; 4]>::try_from(&frame[26..30]).unwrap(), frame[34..36].to_vec())
            };
            let (address, port) = source(&outside);
            let port = u16::from_be_bytes(port.try_into().unwrap());
            let mut answer = udp_frame(OUTER, (address, port), b"an answer");
            let late = answer.clone();
            assert!(router.inwards(now, &mut answer) && holds(&answer), "{what}");
            assert_eq!(answer, udp_frame(OUTER, INNER, b"an answer"), "{what}");
            assert!(
                !router.inwards(now + 5 * second, &mut late.clone()),
                "it is forgotten: {what}"
            );
            seen.push(outside[differs.clone()].to_vec());
        }
        assert_eq!(seen[0], seen[1], "{what}");
        seen.dedup();
        assert_eq!(seen.len(), 3, "{what}");
        assert_eq!(router.forgotten, 4);
    }
}

#[test]
fn a_router_leaves_alone_what_is_for_all_and_from_the_well_known_port() {
    let mut router = Router::new("port/1s".parse().unwrap());
    let mut announced = udp_frame((INNER.0, OUTER.1), OUTER, b"here I am");
    let before = announced.clone();
    router.outwards(9_000 * MILLISECOND, &mut announced);
    assert!(router.inwards(9_000 * MILLISECOND, &mut announced));
    assert_eq!(announced, before);
    for frame in [vec![0; 5], vec![0; 60], before[..40].to_vec()] {
        let mut changed = frame.clone();
        router.outwards(0, &mut changed);
        assert!(router.inwards(0, &mut changed) && changed == frame);
    }
}
