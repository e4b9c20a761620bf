//! Both paths, on loopback.

use super::super::receive_batch::BUFFER_COUNT;
use super::*;
use std::time::Duration;

const LOOPBACK: BindAddress =
    BindAddress { address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), scope_id: 0, port: 0 };
const ANYWHERE: BindAddress = BindAddress { address: None, scope_id: 0, port: 0 };

/// Waits in poll until `count` datagrams have come.
fn receive(socket: &mut UdpSocket, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut poll = mio::Poll::new().unwrap();
    let mut events = mio::Events::with_capacity(8);
    socket.register(poll.registry(), Token(0)).unwrap();
    let mut batch = ReceiveBatch::new();
    let mut all = Vec::new();
    while all.len() < count {
        poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
        assert!(!events.is_empty(), "{} of {count} came", all.len());
        loop {
            let more = socket.receive(&mut batch);
            while let Some((from, bytes)) = batch.take() {
                all.push((from, bytes.to_vec()));
            }
            if !more {
                break;
            }
        }
    }
    poll.registry().deregister(&mut socket.io).unwrap();
    all
}

#[test]
fn segments_arrive_as_datagrams_on_every_pair_of_paths() {
    for (plain_out, plain_in) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut sender = UdpSocket::bind(LOOPBACK, plain_out).unwrap();
        let mut receiver = UdpSocket::bind(LOOPBACK, plain_in).unwrap();
        let bytes: Vec<u8> = (0..10_500_u32).map(|at| at as u8).collect();
        let to = receiver.local_address();
        assert_eq!(sender.send_segments(to, &bytes, 1_000), SegmentsSent::All);
        let came = receive(&mut receiver, 11);
        assert!(came.iter().all(|(from, _)| *from == sender.local_address()));
        assert_eq!(came.iter().map(|(_, part)| part.len()).max(), Some(1_000));
        assert_eq!(came.last().map(|(_, part)| part.len()), Some(500));
        assert_eq!(came.concat_bytes(), bytes, "plain out {plain_out}, in {plain_in}");
        assert_eq!(sender.counters().sent, 11);
        assert_eq!(receiver.counters().received, 11);
    }
}

#[test]
fn more_than_one_call_takes_is_taken_before_the_poll_is_asked_again() {
    for plain in [false, true] {
        let mut receiver = UdpSocket::bind(LOOPBACK, plain).unwrap();
        let to = receiver.local_address();
        // Each from another sender, so that no two share a buffer.
        let count = 2 * BUFFER_COUNT + 1;
        for _ in 0..count {
            UdpSocket::bind(LOOPBACK, plain).unwrap().send(to, None, b"one".to_vec());
        }
        let mut batch = ReceiveBatch::new();
        let mut calls = Vec::new();
        loop {
            let more = receiver.receive(&mut batch);
            let came = std::iter::from_fn(|| batch.take().map(|_| ())).count();
            calls.push(came);
            if !more {
                break;
            }
        }
        assert_eq!(calls.iter().sum::<usize>(), count, "plain {plain}: {calls:?}");
        if !plain {
            assert_eq!(calls, [BUFFER_COUNT, BUFFER_COUNT, 1], "no call for nothing");
        }
    }
}

trait ConcatBytes {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl ConcatBytes for Vec<(SocketAddr, Vec<u8>)> {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|(_, part)| part.iter().copied()).collect()
    }
}

#[test]
fn a_socket_of_both_families_speaks_plain_ipv4() {
    let mut both = UdpSocket::bind(ANYWHERE, false).unwrap();
    let mut v4 = UdpSocket::bind(LOOPBACK, false).unwrap();
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, both.local_address().port()));
    both.send(v4.local_address(), None, b"there".to_vec());
    assert_eq!(receive(&mut v4, 1), [(at, b"there".to_vec())]);
    v4.send(at, None, b"back".to_vec());
    assert_eq!(receive(&mut both, 1), [(v4.local_address(), b"back".to_vec())]);
}

#[test]
fn a_taken_port_is_an_error_of_its_kind() {
    let first = UdpSocket::bind(ANYWHERE, false).unwrap();
    let again = BindAddress { port: first.local_address().port(), ..ANYWHERE };
    let error = UdpSocket::bind(again, false).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn what_cannot_be_sent_is_counted_and_forgotten() {
    let mut v4 = UdpSocket::bind(LOOPBACK, false).unwrap();
    v4.send("[::1]:9".parse().unwrap(), None, vec![0; 8]);
    assert_eq!((v4.counters().sent, v4.counters().send_refused), (0, 1));
}

#[test]
fn a_segment_that_the_way_does_not_take_is_told_and_segments_go_on_working() {
    for plain in [false, true] {
        let mut receiver = UdpSocket::bind(LOOPBACK, false).unwrap();
        let mut sender = UdpSocket::bind(LOOPBACK, plain).unwrap();
        let to = receiver.local_address();
        let long = vec![0; PAYLOAD_LENGTH_MAX + 1];
        let length = long.len();
        assert_eq!(sender.send_segments(to, &long, length), SegmentsSent::TooLong);
        assert_eq!(sender.is_fast(), !plain);
        assert_eq!(sender.send_segments(to, &long[..4_000], 1_000), SegmentsSent::All);
        assert_eq!(receive(&mut receiver, 4).len(), 4);
    }
}

#[test]
fn a_queue_that_is_full_drops_and_counts() {
    let mut sender = UdpSocket::bind(LOOPBACK, false).unwrap();
    let to = sender.local_address();
    let waiting = || Queued { to, via: None, bytes: vec![1] };
    sender.queue = (0..QUEUE_LENGTH_MAX).map(|_| waiting()).collect();
    sender.send(to, None, vec![2]);
    assert_eq!(sender.counters().queue_overflow, 1);
    assert!(!sender.flush(), "nobody's segments were blocked");
    assert_eq!(sender.counters().sent, QUEUE_LENGTH_MAX as u64);
}

#[test]
fn blocked_segments_are_announced_once_there_is_room() {
    let mut sender = UdpSocket::bind(LOOPBACK, false).unwrap();
    sender.segments_wait = true;
    assert!(sender.flush());
    assert!(!sender.flush());
}

#[test]
fn an_answer_comes_from_the_address_that_was_asked() {
    let mut both = UdpSocket::bind(ANYWHERE, false).unwrap();
    let mut v4 = UdpSocket::bind(LOOPBACK, false).unwrap();
    let asked = SocketAddr::from(([127, 0, 0, 2], both.local_address().port()));
    v4.send(asked, None, b"who?".to_vec());
    assert_eq!(receive(&mut both, 1).len(), 1);
    both.send(v4.local_address(), None, b"me".to_vec());
    assert_eq!(both.send_segments(v4.local_address(), b"me, too", 3), SegmentsSent::All);
    let answers = receive(&mut v4, 4);
    assert!(answers.iter().all(|(from, _)| *from == asked), "{answers:?}");
}

#[test]
fn an_address_that_is_gone_is_not_spoken_from() {
    let mut both = UdpSocket::bind(ANYWHERE, false).unwrap();
    let mut v4 = UdpSocket::bind(LOOPBACK, false).unwrap();
    let gone: IpAddr = "192.0.2.99".parse().unwrap();
    both.set_own_addresses(vec![gone]);
    both.addresses.note(v4.local_address(), gone);
    assert_eq!(both.send_segments(v4.local_address(), &[1; 30], 10), SegmentsSent::All);
    assert_eq!(receive(&mut v4, 3).len(), 3);
    let segments = both.fast.as_ref().map(UdpSocketState::max_gso_segments);
    assert_eq!(segments, fast_path(&both.io).map(|state| state.max_gso_segments()));
}

#[test]
fn a_socket_of_one_address_is_on_its_network_alone() {
    let at = |address: &str, prefix_length| InterfaceAddress {
        index: 1,
        address: address.parse().unwrap(),
        prefix_length,
        broadcast: None,
        loopback: false,
    };
    let machines = vec![
        at("127.0.0.1", 8),
        at("127.0.0.9", 8),
        at("127.0.0.9", 32),
        at("192.0.2.1", 24),
        at("::1", 128),
        at("fe80::1", 64),
    ];
    let two = BindAddress { address: "127.0.0.2".parse().ok(), ..LOOPBACK };
    let two = UdpSocket::bind(two, false).unwrap();
    assert_eq!(two.own_addresses(machines.clone()), [at("127.0.0.2", 8)]);
    let all = UdpSocket::bind(ANYWHERE, false).unwrap();
    assert_eq!(all.own_addresses(machines.clone()), machines);
}

#[test]
fn a_single_datagram_refused_leaves_segments_alone() {
    let mut sender = UdpSocket::bind(LOOPBACK, false).unwrap();
    let before = sender.fast.as_ref().map(UdpSocketState::max_gso_segments);
    // From a loopback address, nothing goes there.
    sender.send("192.0.2.99:9".parse().unwrap(), None, vec![0; 8]);
    assert_eq!(sender.counters().send_refused, 1);
    assert_eq!(sender.fast.as_ref().map(UdpSocketState::max_gso_segments), before);
}
