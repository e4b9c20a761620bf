//! Answers questions and grants, each in the liar's manner.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use sprat::content::ChainId;
use sprat::wire::{
    About, Answer, Ask, Cookie, DATA_HEADER_LENGTH, DataHeader, DataKind, FarewellSecret, Grant,
    Holding, InstanceId, ListingDigest, ListingSummary, Message, Object, Refuse, RefuseReason,
    Tell,
};

use crate::forgery::Story;
use crate::manner::Manner;
use crate::report::Report;

/// Packets that wait for their time, at most.
const WAITING_MAX: usize = 20_000;
const REASONS: [RefuseReason; 6] = [
    RefuseReason::StaleCookie,
    RefuseReason::UnknownObject,
    RefuseReason::BadRange,
    RefuseReason::Changed,
    RefuseReason::Busy,
    RefuseReason::TooLong,
];

/// A packet that is to leave.
#[derive(Clone, Copy)]
struct Packet {
    to: SocketAddr,
    of_file: bool,
    nonce: u64,
    offset: u64,
    length: u64,
}

/// The liar.
pub(crate) struct Teller {
    socket: UdpSocket,
    story: Story,
    manner: Manner,
    instance: InstanceId,
    cookie: Cookie,
    waiting: VecDeque<Packet>,
    /// Bytes that may leave before time counts, and when the next packet may.
    free: u64,
    next_at: Duration,
    silent: bool,
    refused: usize,
    told: u64,
    packet: Vec<u8>,
    report: Report,
}

impl Teller {
    pub(crate) fn new(socket: UdpSocket, bytes: Vec<u8>, manner: Manner, seed: u64) -> Self {
        let own = (u128::from(seed) << 64 | u128::from(std::process::id())).to_be_bytes();
        let free = if let Manner::Paced { first, .. } = manner { first } else { 0 };
        Self {
            socket,
            story: Story::new(bytes, manner, seed),
            manner,
            instance: InstanceId::of(&FarewellSecret(own)),
            cookie: Cookie(own),
            waiting: VecDeque::new(),
            free,
            next_at: Duration::ZERO,
            silent: false,
            refused: 0,
            told: 0,
            packet: Vec::new(),
            report: Report::default(),
        }
    }

    pub(crate) fn say_to_be(&mut self, instance: InstanceId) {
        self.instance = instance;
    }

    pub(crate) fn report(&self) -> Report {
        self.report.clone()
    }

    pub(crate) fn receive(&self, buffer: &mut [u8]) -> std::io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buffer)
    }

    fn send(&self, message: &Message<'_>, to: SocketAddr) {
        drop(self.socket.send_to(&message.encode(), to));
    }

    pub(crate) fn answer(&mut self, now: Duration, message: &Message<'_>, from: SocketAddr) {
        match message {
            Message::Ask(ask) => self.tell(ask, from),
            Message::Grant(grant) => self.serve(now, grant, from),
            _ => {}
        }
    }

    fn tell(&mut self, ask: &Ask, to: SocketAddr) {
        let answer = match ask.about {
            About::Listing { .. } => {
                let listing =
                    ListingSummary { digest: ListingDigest::of(&[]), length: 0, files: 0 };
                Answer::Listing { listing, changes: 0, in_step: false }
            }
            About::Content { content, .. } if content == self.story.content => {
                self.report.asks += 1;
                self.told += 1;
                let chain = match self.manner {
                    Manner::Chains => ChainId::of(&self.told.to_be_bytes()),
                    _ => self.story.chain,
                };
                let part = matches!(self.manner, Manner::HoldsAll | Manner::HoldsSilent);
                let holding = if part { Holding::Part } else { Holding::Whole };
                let blocks_held = self.story.layout.block_count() as u32;
                Answer::Content { holding, chain, size: self.story.size, blocks_held }
            }
            About::Content { .. } => return,
        };
        let (nonce, cookie, instance) = (ask.nonce, self.cookie, self.instance);
        self.send(&Message::Tell(Tell { nonce, cookie, instance, age: None, answer }), to);
    }

    fn serve(&mut self, now: Duration, grant: &Grant, to: SocketAddr) {
        let (of_file, length) = match grant.object {
            Object::File(content) if content == self.story.content => (true, self.story.size),
            Object::Chain(content) if content == self.story.content => {
                (false, self.story.states.len() as u64)
            }
            Object::Have(content) if content == self.story.content => {
                return self.serve_bitmap(grant, to);
            }
            _ => return,
        };
        let bytes = u64::from(grant.ranges.bytes());
        self.report.grants += 1;
        if of_file {
            self.report.asked_for(now, bytes);
        } else {
            self.report.asked_other += bytes;
        }
        if self.withholds(grant, of_file, to) {
            return;
        }
        let step = u64::from(grant.ranges.payload_length());
        for range in grant.ranges.iter() {
            let end = (range.offset + u64::from(range.length)).min(length);
            let mut offset = range.offset;
            while offset < end {
                let packet = Packet {
                    to,
                    of_file,
                    nonce: grant.nonce,
                    offset,
                    length: step.min(end - offset),
                };
                if self.waiting.len() < WAITING_MAX {
                    self.waiting.push_back(packet);
                }
                if self.manner == Manner::Beyond && of_file {
                    self.send_unasked(packet, length);
                }
                offset += step;
            }
        }
    }

    /// Whether it gives nothing for a grant.
    fn withholds(&mut self, grant: &Grant, of_file: bool, to: SocketAddr) -> bool {
        let reason = match self.manner {
            Manner::Stalls(percent) => {
                let limit = self.story.size * percent / 100;
                let end = |range: &sprat::wire::ObjectRange| range.offset + u64::from(range.length);
                self.silent |= of_file && grant.ranges.iter().any(|range| end(range) > limit);
                return self.silent;
            }
            Manner::HoldsSilent => return of_file,
            Manner::HoldsAll if of_file => RefuseReason::BadRange,
            Manner::Refuses => {
                self.refused += 1;
                REASONS[self.refused % REASONS.len()]
            }
            _ => return false,
        };
        self.send(&Message::Refuse(Refuse { reason, nonce: grant.nonce }), to);
        true
    }

    fn serve_bitmap(&mut self, grant: &Grant, to: SocketAddr) {
        let blocks = self.story.layout.block_count();
        for range in grant.ranges.iter() {
            let bits: Vec<u8> = (range.offset..range.offset + u64::from(range.length))
                .map(|byte| match blocks.saturating_sub(byte * 8) {
                    left @ 0..8 => !(0xff >> left),
                    _ => 0xff,
                })
                .collect();
            let step = usize::from(grant.ranges.payload_length());
            for (number, payload) in bits.chunks(step).enumerate() {
                let offset = range.offset + (number * step) as u64;
                let header = DataHeader { kind: DataKind::Meta, nonce: grant.nonce, offset };
                self.send_packet(header, payload, to);
            }
        }
    }

    fn send_packet(&mut self, header: DataHeader, payload: &[u8], to: SocketAddr) {
        let mut place = [0; DATA_HEADER_LENGTH];
        header.write(&mut place);
        self.packet.clear();
        self.packet.extend_from_slice(&place);
        self.packet.extend_from_slice(payload);
        drop(self.socket.send_to(&self.packet, to));
    }

    /// Right bytes under the right nonce, which nobody asked for.
    fn send_unasked(&mut self, packet: Packet, length: u64) {
        let offset = (packet.offset + 65_536) % length;
        let end = (offset + packet.length).min(length);
        let payload = self.story.bytes[offset as usize..end as usize].to_vec();
        self.report.gave_unasked += payload.len() as u64;
        let header = DataHeader { kind: DataKind::Data, nonce: packet.nonce, offset };
        self.send_packet(header, &payload, packet.to);
    }

    /// Sends what is due.
    pub(crate) fn work(&mut self, now: Duration) {
        while let Some(&packet) = self.waiting.front() {
            let interval = match self.manner {
                Manner::Drips(interval) if packet.of_file => interval,
                Manner::Paced { rate, .. } if packet.of_file && self.free == 0 => {
                    Duration::from_micros(packet.length * 1_000_000 / rate)
                }
                _ => Duration::ZERO,
            };
            if interval > Duration::ZERO {
                if now < self.next_at {
                    return;
                }
                // What was not used is lost, but for what a late waking cost.
                let late = now.saturating_sub(Duration::from_millis(20));
                self.next_at = self.next_at.max(late) + interval;
            }
            self.free = self.free.saturating_sub(packet.length);
            self.waiting.pop_front();
            self.give(now, packet);
        }
    }

    fn give(&mut self, now: Duration, packet: Packet) {
        let Packet { to, of_file, nonce, offset, length } = packet;
        let (size, start) = (self.story.size, offset as usize);
        let range = start..start + length as usize;
        let object = if of_file { &self.story.bytes } else { &self.story.states };
        let mut payload = object[range].to_vec();
        let mut kind = if of_file { DataKind::Data } else { DataKind::Meta };
        let block = self.story.layout.block_at(offset.min(size - 1));
        let mut is_false = of_file && self.story.invented.contains(&block);
        match self.manner {
            Manner::Flips(every) if of_file && self.report.packets % every == every - 1 => {
                payload[0] ^= 1;
                is_false = true;
            }
            Manner::TrueUntil(bytes) if of_file && self.report.gave >= bytes => {
                payload[0] ^= 1;
                is_false = true;
            }
            Manner::Shifted if of_file => {
                let from = (offset + length) % size;
                let end = (from + length).min(size);
                payload = self.story.bytes[from as usize..end as usize].to_vec();
                payload.resize(length as usize, 0);
                is_false = true;
            }
            Manner::Meta if !of_file => payload[0] ^= 1,
            Manner::Kinds => {
                kind = if of_file { DataKind::Meta } else { DataKind::Data };
                is_false = of_file;
            }
            _ => {}
        }
        if of_file {
            self.report.gave(now, self.story.layout, offset, length, is_false);
        }
        self.send_packet(DataHeader { kind, nonce, offset }, &payload, to);
    }
}
