//! Changes of listings as the core sees them: how long they are, and what comes of them.

use sprat::node::{CHANGES_KEPT, LISTINGS_REMEMBERED};
use sprat::wire::{CHANGES_STEP, ChangesId};

use super::*;

/// A listing of one file, with no name in it that nobody should have sent.
fn complete(text: &str) -> ListingReading {
    match genuine(text) {
        ListingReading::Genuine { entries, .. } => ListingReading::all(entries, 0),
        ListingReading::Bad => unreachable!(),
    }
}

/// What a question says that the asker has.
fn has(outputs: &[Output]) -> Option<ListingDigest> {
    messages(outputs).find_map(|bytes| match sprat::wire::decode(bytes) {
        Ok(Message::Ask(Ask { about: About::Listing { has }, .. })) => Some(has),
        _ => None,
    })
}

fn read_changes(outputs: &[Output]) -> Option<(ListingId, ListingDigest, usize)> {
    outputs.iter().find_map(|output| match output {
        Output::ReadChanges { listing, digest, old } => Some((*listing, *digest, old.len())),
        _ => None,
    })
}

fn granted(outputs: &[Output]) -> Option<Object> {
    grants(outputs).next().map(|grant| grant.object)
}

fn changes_to(old: u8, new: u8) -> Object {
    Object::Changes(ChangesId::between(summary(old).digest, summary(new).digest))
}

impl Peer {
    /// The other host offers its first listing, which is read.
    fn listed(outcome: ListingReading) -> Self {
        let mut peer = Self::new();
        let asked = peer.wait(Duration::ZERO);
        assert_eq!(has(&asked), Some(ListingDigest::NONE));
        let asked = peer.told(&asked, 1);
        let gathered = peer.gather(asked, 0);
        let listing = read(&gathered).unwrap();
        peer.input(Input::ListingRead { listing, outcome });
        peer.wait(Duration::from_millis(1));
        peer
    }

    /// It announces another one, and is asked.
    fn hears(&mut self, number: u8) -> Vec<Output> {
        let announce =
            Announce { instance: InstanceId([3; 16]), listing: summary(number), again_within: 50 };
        let asked = self.datagram(&Message::Announce(announce));
        assert!(question(&asked).is_some());
        asked
    }
}

#[test]
fn changes_are_taken_into_what_is_there() {
    let mut peer = Peer::listed(complete("one"));
    let asked = peer.hears(2);
    assert_eq!(has(&asked), Some(summary(1).digest));
    let asked = peer.told_listing(&asked, summary(2), 2);
    let grant = grants(&asked).next().unwrap();
    assert_eq!(grant.object, changes_to(1, 2));
    assert_eq!(grant.ranges[..], [ObjectRange { offset: 0, length: 128 }]);
    let came = peer.packets(&asked, 0);
    let (listing, digest, old) = read_changes(&came).unwrap();
    assert_eq!((digest, old), (summary(2).digest, 1));
    peer.input(Input::ListingRead { listing, outcome: complete("two") });
    let shown = directory(&peer.wait(Duration::from_secs(1))).unwrap();
    let mut entries = shown.hosts().iter().flat_map(|host| host.entries.iter());
    assert!(entries.any(|entry| entry.name.as_str() == "two"), "{shown:?}");
    assert_eq!(has(&peer.hears(3)), Some(summary(2).digest));
}

#[test]
fn changes_that_lead_elsewhere_are_counted_and_the_whole_listing_comes_once() {
    let mut peer = Peer::listed(complete("one"));
    let asked = peer.hears(2);
    let asked = peer.told_listing(&asked, summary(2), 1);
    let came = peer.packets(&asked, 0);
    let (listing, ..) = read_changes(&came).unwrap();
    let outputs = peer.input(Input::ListingRead { listing, outcome: ListingReading::Bad });
    assert_eq!(peer.node.counters().dropped(DropReason::BadChanges), 1);
    assert_eq!(peer.node.counters().dropped(DropReason::BadListing), 0);
    assert_eq!(granted(&outputs), Some(Object::Listing(summary(2).digest)), "at once");
    // Another one is announced before it is there: not by changes.
    let asked = peer.hears(3);
    assert_eq!(has(&asked), Some(ListingDigest::NONE));
    let gathered = peer.gather(outputs, 0);
    let listing = read(&gathered).unwrap();
    peer.input(Input::ListingRead { listing, outcome: complete("two") });
    assert_eq!(has(&peer.wait(Duration::from_secs(1))), Some(summary(2).digest), "trusted again");
}

#[test]
fn what_is_no_shorter_than_the_listing_comes_as_the_listing() {
    let mut peer = Peer::listed(complete("one"));
    let asked = peer.hears(2);
    let steps = LENGTH.div_ceil(CHANGES_STEP) as u16;
    let asked = peer.told_listing(&asked, summary(2), steps);
    assert_eq!(granted(&asked), Some(Object::Listing(summary(2).digest)));
}

#[test]
fn a_listing_with_names_that_were_left_out_comes_whole_again() {
    let mut peer = Peer::listed(genuine("one"));
    let asked = peer.hears(2);
    assert_eq!(has(&asked), Some(ListingDigest::NONE));
    // Whatever its host says.
    let asked = peer.told_listing(&asked, summary(2), 1);
    assert_eq!(granted(&asked), Some(Object::Listing(summary(2).digest)));
}

#[test]
fn a_listing_that_was_replaced_on_its_way_comes_to_its_end_and_then_the_changes() {
    let mut peer = Peer::new();
    let asked = peer.wait(Duration::ZERO);
    let granted_first = peer.told(&asked, 1);
    let asked = peer.hears(2);
    assert_eq!(peer.told(&asked, 2), []);
    let gathered = peer.gather(granted_first, 0);
    let listing = read(&gathered).unwrap();
    let outputs = peer.input(Input::ListingRead { listing, outcome: complete("one") });
    assert_eq!(granted(&outputs), None, "it is not known yet how it follows from this one");
    assert_eq!(has(&outputs), Some(summary(1).digest));
    peer.wait(Duration::from_millis(1));
    let asked = peer.told_listing(&outputs, summary(2), 1);
    assert_eq!(granted(&asked), Some(changes_to(1, 2)));
}

#[test]
fn changes_are_refused_by_a_host_that_has_newer_ones() {
    let mut peer = Peer::listed(complete("one"));
    let asked = peer.hears(2);
    let asked = peer.told_listing(&asked, summary(2), 1);
    let nonce = grants(&asked).next().unwrap().nonce;
    let reason = RefuseReason::UnknownObject;
    let outputs = peer.datagram(&Message::Refuse(sprat::wire::Refuse { reason, nonce }));
    assert!(dropped(&outputs).is_some());
    assert_eq!(has(&outputs), Some(summary(1).digest));
    assert_eq!(peer.told_listing(&outputs, summary(3), 1), [], "after a while");
    assert_eq!(granted(&peer.wait(Duration::from_secs(1))), Some(changes_to(1, 3)));
}

/// A peer with that many listings, each so many bytes after the one before; their numbers begin with 0.
fn maker(listings: u8, step: u64) -> (Peer, Cookie) {
    let mut peer = Peer::new();
    for number in 0..listings {
        peer.offer(&number.to_string());
        let listing = making(&peer.wait(Duration::from_secs(1))).unwrap();
        peer.made_from(listing, number, Some(step).filter(|_| number > 0));
    }
    let cookie = told_by(&mut peer, summary(0).digest).0;
    (peer, cookie)
}

/// What the peer tells one who has this listing: the cookie, and how long the changes are.
fn told_by(peer: &mut Peer, has: ListingDigest) -> (Cookie, u64) {
    let (instance, cookie) = (InstanceId::NONE, Cookie::NONE);
    let ask = Ask {
        about: About::Listing { has },
        to_many: false,
        tell_hosts: false,
        hosts_from: 0,
        tell_age: false,
        nonce: 1,
        instance,
        cookie,
    };
    let told = peer.datagram(&Message::Ask(ask));
    let Some(Ok(Message::Tell(tell))) = messages(&told).next().map(sprat::wire::decode) else {
        panic!("no answer: {told:?}")
    };
    let Answer::Listing { changes, .. } = tell.answer else { panic!("{tell:?}") };
    (tell.cookie, u64::from(changes) * CHANGES_STEP)
}

/// What comes of a grant for the last byte of changes of this length.
fn ask_for(peer: &mut Peer, cookie: Cookie, object: Object, length: u64) -> Vec<Output> {
    let ranges = Ranges::new(&[ObjectRange { offset: length - 1, length: 1 }], 512).unwrap();
    peer.datagram(&Message::Grant(Grant { nonce: 5, cookie, object, ranges }))
}

#[test]
fn changes_are_offered_from_every_listing_that_is_remembered() {
    let (mut peer, cookie) = maker(5, 100);
    for (old, length) in [(4, 0), (3, 128), (2, 256), (0, 448), (99, 0)] {
        assert_eq!(told_by(&mut peer, summary(old).digest).1, length, "from {old}");
    }
    // Those that lead to the listing before are served as well: somebody may be in the middle.
    for (old, new, length) in [(0, 4, 448), (3, 4, 128), (0, 3, 320)] {
        let outputs = ask_for(&mut peer, cookie, changes_to(old, new), length);
        let Some(Output::Serve { job, source, .. }) = outputs.first() else {
            panic!("{outputs:?}")
        };
        assert!(
            matches!(source, ServeSource::Changes { from: ListingId(from), to: ListingId(to) }
                if *from == u64::from(old) && *to == u64::from(new)),
            "{source:?}"
        );
        peer.input(Input::Served { job: *job, outcome: ServeOutcome::Sent });
        let beyond = ask_for(&mut peer, cookie, changes_to(old, new), length + 1);
        assert_eq!(refusal(&beyond), Some(RefuseReason::BadRange));
    }
    let before = peer.node.counters().dropped(DropReason::UnknownObject);
    for (old, new) in [(0, 2), (4, 3), (9, 4), (4, 4)] {
        let outputs = ask_for(&mut peer, cookie, changes_to(old, new), 64);
        assert_eq!(refusal(&outputs), Some(RefuseReason::UnknownObject), "{old} to {new}");
    }
    assert_eq!(peer.node.counters().dropped(DropReason::UnknownObject), before + 4);
}

#[test]
fn no_more_is_offered_than_is_kept_and_than_the_listing_is_long() {
    let (mut peer, _) = maker(2, LENGTH + 1);
    assert_eq!(told_by(&mut peer, summary(0).digest).1, 0, "the listing is shorter");
    let (mut peer, _) = maker(3, CHANGES_KEPT / 2 + 1);
    assert_eq!(told_by(&mut peer, summary(0).digest).1, 0);
    let listings = LISTINGS_REMEMBERED as u8 + 1;
    let (mut peer, _) = maker(listings, 1);
    assert_eq!(told_by(&mut peer, summary(0).digest).1, 0, "that is long ago");
    assert_eq!(told_by(&mut peer, summary(1).digest).1, 64);
}

/// However many files there are, one more is announced at once, and the next ones when the listing has lasted.
#[test]
fn after_a_quiet_time_a_change_is_announced_at_once_and_many_are_gathered() {
    let mut peer = Peer::new();
    for number in 0..5_000 {
        peer.offer(&format!("{number:04}"));
    }
    let first = making(&peer.wait(Duration::from_secs(60))).unwrap();
    peer.made(first, 1);
    peer.wait(Duration::from_secs(5));
    peer.offer("one more");
    let second = making(&peer.wait(Duration::from_millis(20))).expect("at once");
    peer.made(second, 2);
    let mut made = 0;
    for number in 0..10 {
        peer.offer(&format!("and {number}"));
        made += usize::from(making(&peer.wait(Duration::from_millis(9))).is_some());
    }
    assert_eq!(made, 0, "the one before has not lasted for 20 µs for each file");
    assert!(making(&peer.wait(Duration::from_millis(15))).is_some());
}
