//! Says things in the name of another host: datagrams from its address and port, which it never sent.

use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use socket2::{Domain, Socket, Type};
use sprat::content::ChainId;
use sprat::node::Random;
use sprat::wire::{
    Answer, BlockRanges, Cookie, Data, DataHeader, DataKind, Farewell, FarewellSecret, Holding,
    InstanceId, Message, News, Refuse, RefuseReason, Tell,
};

/// Payload of each packet.
const PAYLOAD: usize = 1_408;

/// What was said in another's name.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Framed {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) refused: u64,
    pub(crate) seconds: f64,
}

pub(crate) struct Framing {
    socket: UdpSocket,
    to: Vec<SocketAddr>,
    kinds: Vec<String>,
    rate: u64,
    replayed: Vec<Vec<u8>>,
    random: Random,
    count: u64,
    payload: Vec<u8>,
}

impl Framing {
    pub(crate) fn new(
        victim: SocketAddr,
        seed: u64,
        given: &mut pico_args::Arguments,
    ) -> Result<Self, Box<dyn Error>> {
        let to: String = given.value_from_str("--to")?;
        let kinds: String = given.value_from_str("--with")?;
        let rate = given.opt_value_from_str("--rate")?.unwrap_or(10_000).max(1);
        let replay: Option<String> = given.opt_value_from_str("--replay")?;
        // An address that is not ours: who may set up networks may use it (Linux, ip(7)).
        let socket = Socket::new(Domain::for_address(victim), Type::DGRAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_ip_transparent_v4(true)?;
        socket.bind(&victim.into())?;
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Ok(Self {
            socket: socket.into(),
            to: to.split(',').map(str::parse).collect::<Result<_, _>>()?,
            kinds: kinds.split(',').map(str::to_owned).collect(),
            rate,
            replayed: replay.map(read_datagrams).transpose()?.unwrap_or_default(),
            random: Random::new(bytes),
            count: 0,
            payload: vec![0x5a; PAYLOAD],
        })
    }

    /// Until it is told to end.
    pub(crate) fn run(mut self, ended: &AtomicBool) -> Result<Framed, Box<dyn Error>> {
        let start = Instant::now();
        let mut framed = Framed::default();
        while !ended.load(Ordering::Relaxed) {
            let due = (start.elapsed().as_secs_f64() * self.rate as f64) as u64;
            while framed.packets < due {
                let datagram = self.next_datagram()?;
                let to = self.to[framed.packets as usize % self.to.len()];
                match self.socket.send_to(&datagram, to) {
                    Ok(length) => framed.bytes += length as u64,
                    Err(_) => framed.refused += 1,
                }
                framed.packets += 1;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        framed.seconds = start.elapsed().as_secs_f64();
        Ok(framed)
    }

    fn next_datagram(&mut self) -> Result<Vec<u8>, Box<dyn Error>> {
        self.count += 1;
        let (chance, count) = (self.random.next_u64(), self.count);
        let kind = &self.kinds[count as usize % self.kinds.len()];
        let mut data = |kind, nonce, offset| {
            self.payload[..8].copy_from_slice(&chance.to_be_bytes());
            let header = DataHeader { kind, nonce, offset };
            Message::Data(Data { header, payload: &self.payload }).encode()
        };
        let offset = chance % 1_024 * 65_536;
        Ok(match kind.as_str() {
            "data" => data(DataKind::Data, chance, offset),
            "counts" => data(DataKind::Data, chance & !0xff_ffff | (count % 5_000), offset),
            "offsets" => data(DataKind::Data, 1 << 24, count * PAYLOAD as u64 % (100 << 20)),
            "meta" => data(DataKind::Meta, chance, offset),
            "replay" => {
                let all = self.replayed.len().max(1);
                self.replayed.get(count as usize % all).ok_or("nothing to replay")?.clone()
            }
            "refuse" => {
                let reason = RefuseReason::from_code((count % 6) as u8 + 1).expect("one of six");
                Message::Refuse(Refuse { reason, nonce: chance }).encode()
            }
            "tell" => Message::Tell(Tell {
                nonce: chance,
                cookie: Cookie(self.random.bytes16()),
                instance: InstanceId(self.random.bytes16()),
                age: None,
                answer: Answer::Content {
                    holding: Holding::Nothing,
                    chain: ChainId([0; 20]),
                    size: 0,
                    blocks_held: 0,
                },
            })
            .encode(),
            "farewell" => {
                let secret = FarewellSecret(self.random.bytes16());
                Message::Farewell(Farewell { secret }).encode()
            }
            "news" => {
                let ranges = [0, 0, 0, 0, 0, 0, 0, 100];
                let blocks = BlockRanges::new(&ranges).map_err(|error| error.to_string())?;
                Message::News(News { nonce: chance, blocks }).encode()
            }
            other => return Err(format!("no such kind: {other}").into()),
        })
    }
}

/// Datagrams, each after its length as two bytes, the higher one first.
fn read_datagrams(path: String) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let (mut rest, mut found) = (&bytes[..], Vec::new());
    while let Some((length, behind)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let (datagram, behind) = behind.split_at_checked(length).ok_or("a datagram is cut")?;
        found.push(datagram.to_vec());
        rest = behind;
    }
    Ok(found)
}
