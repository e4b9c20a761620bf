//! A host of the test's own that speaks the protocol well enough to lie in it: it announces a listing of
//! any names, and says it has contents whose bytes and states are not theirs.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sprat::content::{ChainId, ContentId};
use sprat::wire::{
    About, Announce, Answer, Ask, Cookie, Data, DataHeader, DataKind, FarewellSecret, Grant,
    Holding, InstanceId, ListingDigest, ListingSummary, Message, Object, Tell, decode,
};

/// What it says it has whole.
#[derive(Clone)]
pub struct Claim {
    pub content: ContentId,
    pub size: u64,
    pub bytes: Vec<u8>,
    pub states: Vec<u8>,
}

/// What it says of itself.
#[derive(Clone, Default)]
pub struct Story {
    pub listing: Vec<u8>,
    pub files: u32,
    pub claims: Vec<Claim>,
}

/// The stranger, at 10.77.0.254 on the well-known port.
pub struct Stranger {
    stop: Arc<AtomicBool>,
    granted: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

const COOKIE: Cookie = Cookie([7; 16]);

impl Stranger {
    /// Begins to tell its story to these hosts.
    pub fn start(story: Story, hosts: Vec<SocketAddr>) -> Self {
        let socket = UdpSocket::bind("10.77.0.254:27183").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (stop, granted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = std::thread::spawn({
            let (stop, granted) = (Arc::clone(&stop), Arc::clone(&granted));
            move || {
                let teller = Teller { socket, story, granted };
                let mut buffer = vec![0; 65536];
                let mut announced: Option<Instant> = None;
                while !stop.load(Ordering::Relaxed) {
                    if announced.is_none_or(|at| at.elapsed() > Duration::from_millis(500)) {
                        announced = Some(Instant::now());
                        hosts.iter().for_each(|host| teller.announce(*host));
                    }
                    let Ok((length, from)) = teller.socket.recv_from(&mut buffer) else {
                        continue;
                    };
                    if let Ok(message) = decode(&buffer[..length]) {
                        teller.answer(&message, from);
                    }
                }
            }
        });
        Self { stop, granted, thread: Some(thread) }
    }

    /// How many bytes of claimed contents and their chains others have asked it for.
    pub fn granted(&self) -> u64 {
        self.granted.load(Ordering::Relaxed)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(std::thread::JoinHandle::join));
    }
}

struct Teller {
    socket: UdpSocket,
    story: Story,
    granted: Arc<AtomicU64>,
}

impl Teller {
    fn instance() -> InstanceId {
        InstanceId::of(&FarewellSecret([9; 16]))
    }

    fn summary(&self) -> ListingSummary {
        ListingSummary {
            digest: ListingDigest::of(&self.story.listing),
            length: self.story.listing.len() as u64,
            files: self.story.files,
        }
    }

    fn send(&self, message: &Message<'_>, to: SocketAddr) {
        drop(self.socket.send_to(&message.encode(), to));
    }

    fn announce(&self, to: SocketAddr) {
        let announce =
            Announce { instance: Self::instance(), listing: self.summary(), again_within: 0 };
        self.send(&Message::Announce(announce), to);
    }

    fn answer(&self, message: &Message<'_>, from: SocketAddr) {
        match message {
            Message::Ask(ask) => self.tell(ask, from),
            Message::Grant(grant) => self.serve(grant, from),
            _ => {}
        }
    }

    fn tell(&self, ask: &Ask, to: SocketAddr) {
        let answer = match ask.about {
            About::Listing { .. } => {
                Answer::Listing { listing: self.summary(), changes: 0, in_step: false }
            }
            About::Content { content, .. } => {
                let claim = self.story.claims.iter().find(|claim| claim.content == content);
                let Some(claim) = claim else { return };
                Answer::Content {
                    holding: Holding::Whole,
                    chain: ChainId::of(&claim.states),
                    size: claim.size,
                    blocks_held: u32::MAX,
                }
            }
        };
        let instance = Self::instance();
        self.send(
            &Message::Tell(Tell { nonce: ask.nonce, cookie: COOKIE, instance, age: None, answer }),
            to,
        );
    }

    fn serve(&self, grant: &Grant, to: SocketAddr) {
        let claimed =
            |content| self.story.claims.iter().find(|claim: &&Claim| claim.content == content);
        let (kind, object) = match grant.object {
            Object::Listing(_) => (DataKind::Meta, Some(&self.story.listing)),
            Object::Chain(content) => (DataKind::Meta, claimed(content).map(|c| &c.states)),
            Object::File(content) => (DataKind::Data, claimed(content).map(|c| &c.bytes)),
            Object::Have(_) | Object::Changes(_) => return,
        };
        let Some(object) = object else { return };
        if !matches!(grant.object, Object::Listing(_)) {
            self.granted.fetch_add(u64::from(grant.ranges.bytes()), Ordering::Relaxed);
        }
        for range in grant.ranges.iter() {
            let start = usize::try_from(range.offset).unwrap().min(object.len());
            let end = (start + usize::try_from(range.length).unwrap()).min(object.len());
            let step = usize::from(grant.ranges.payload_length());
            for (number, payload) in object[start..end].chunks(step).enumerate() {
                let offset = (start + number * step) as u64;
                let header = DataHeader { kind, nonce: grant.nonce, offset };
                self.send(&Message::Data(Data { header, payload }), to);
            }
        }
    }
}

/// A listing in the wire's form, of any bytes for names (sorted here), each with its content and size.
pub fn listing_of(mut files: Vec<(Vec<u8>, ContentId, u64)>) -> Vec<u8> {
    files.sort();
    let mut bytes = Vec::new();
    for (name, content, size) in files {
        bytes.extend_from_slice(&content.0);
        put_varint(&mut bytes, size);
        // Shares nothing with the name before it.
        put_varint(&mut bytes, 0);
        put_varint(&mut bytes, name.len() as u64);
        bytes.extend_from_slice(&name);
    }
    bytes
}

fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 128 {
        bytes.push((number & 127) as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
}
