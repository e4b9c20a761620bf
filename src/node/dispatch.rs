//! Which machine a message concerns.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::context::Context;
use super::counters::DropReason;
use super::discovery::Discovery;
use super::fetch::Fetch;
use super::ids::{FetchId, ListingId};
use super::input::ListingReading;
use super::locate::Locate;
use super::output::ServeSource;
use super::partials::Partials;
use super::serve::{Server, refuse};
use super::shelf::Shelf;
use super::sync::{Around, Sync};
use super::tracker::Tracker;
use crate::content::{BlockLayout, ChainId, ContentId};
use crate::wire::{
    About, Answer, Ask, CHANGES_STEP, Cookie, Data, DataKind, Grant, Hold, Holding, Hosts, Message,
    News, Object, ObjectRange, Refuse, RefuseReason, Tell,
};

/// The machines of a node, borrowed apart from what they share.
pub(super) struct Machines<'a> {
    pub(super) shelf: &'a mut Shelf,
    pub(super) partials: &'a mut Partials,
    pub(super) server: &'a mut Server,
    pub(super) discovery: Option<&'a mut Discovery>,
    pub(super) tracker: Option<&'a mut Tracker>,
    pub(super) sync: Option<&'a mut Sync>,
    pub(super) fetches: &'a mut BTreeMap<FetchId, Fetch>,
    pub(super) locate: Option<&'a mut Locate>,
}

impl Machines<'_> {
    /// One message, given to the machine that it concerns.
    pub(super) fn on_message(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        match message {
            Message::Announce(announce) => {
                if let Some(tracker) = &mut self.tracker {
                    tracker.on_announce(ctx, from, announce);
                }
                if let Some(discovery) = &mut self.discovery {
                    discovery.on_announce(ctx, from, announce);
                }
            }
            Message::Farewell(farewell) => {
                if let Some(tracker) = &mut self.tracker {
                    tracker.on_farewell(ctx, from, farewell);
                }
                if let Some(discovery) = &mut self.discovery {
                    discovery.on_farewell(ctx, farewell);
                }
            }
            Message::Ask(ask) => self.on_ask(ctx, from, ask),
            Message::Tell(tell) => self.on_tell(ctx, from, tell),
            Message::Grant(grant) => self.on_grant(ctx, from, grant),
            Message::Data(data) => self.on_data(ctx, from, data),
            Message::Refuse(refusal) => self.on_refuse(ctx, from, refusal),
            Message::News(news) => self.on_news(ctx, from, news),
            Message::Hosts(hosts) => self.on_hosts(ctx, from, hosts),
            Message::Hold(hold) => self.on_hold(ctx, from, hold),
        }
    }

    /// A tracker answers what it is asked, and nothing that was asked of many.
    fn on_ask_of_tracker(&mut self, ctx: &mut Context<'_>, from: SocketAddr, ask: &Ask) {
        let Some(tracker) = &mut self.tracker else { return };
        if ask.to_many || ask.instance == tracker.instance() {
            return;
        }
        let proven = ask.cookie != Cookie::NONE && self.server.accepts(ctx, from, &ask.cookie);
        if proven || self.server.may_answer(ctx, from) {
            let cookie = self.server.cookie_for(ctx, from);
            ctx.send(from, &Message::Tell(tracker.answer(ctx.now, ask, cookie)));
        }
        if proven {
            tracker.on_ask(ctx, from, ask);
        }
    }

    fn on_hosts(&mut self, ctx: &mut Context<'_>, from: SocketAddr, hosts: &Hosts<'_>) {
        let fetches = self.fetches.values_mut().any(|fetch| fetch.on_hosts(ctx, from, hosts));
        let discovery = self.discovery.as_mut();
        if !fetches && !discovery.is_some_and(|discovery| discovery.on_hosts(ctx, from, hosts)) {
            ctx.counters.drop(DropReason::StrayAnswer);
        }
    }

    fn on_hold(&mut self, ctx: &mut Context<'_>, from: SocketAddr, hold: &Hold) {
        match &mut self.tracker {
            Some(tracker) if self.server.accepts(ctx, from, &hold.cookie) => {
                tracker.on_hold(ctx, from, hold);
            }
            Some(_) => ctx.counters.drop(DropReason::StaleCookie),
            None => ctx.counters.drop(DropReason::StrayAnswer),
        }
    }

    /// Another host's listing was read.
    pub(super) fn on_listing_read(
        &mut self,
        ctx: &mut Context<'_>,
        listing: ListingId,
        outcome: &ListingReading,
    ) {
        if let Some(tracker) = &mut self.tracker {
            tracker.on_listing_read(ctx, listing, outcome);
        }
        if let Some(discovery) = &mut self.discovery {
            discovery.on_listing_read(ctx, listing, outcome);
        }
    }

    /// Fetches what others offer, where that is wanted.
    pub(super) fn keep_in_step(&mut self, ctx: &mut Context<'_>) {
        let (Some(sync), Some(discovery)) = (&mut self.sync, &self.discovery) else { return };
        sync.lists_changed(ctx.now, discovery.shown_since());
        if !sync.is_due(ctx.now) {
            return;
        }
        sync.lists_are(discovery.shown());
        let around = Around { us: discovery.instance(), others: discovery.in_step() };
        for request in sync.work(ctx, around, self.shelf, self.fetches) {
            let id = request.fetch;
            let mut fetch = Fetch::new(ctx, request);
            if sync.spares_others(id) {
                fetch.spare_others();
            }
            self.fetches.insert(id, fetch);
        }
    }

    /// Fetches have ended: who keeps in step learns how.
    pub(super) fn tell_endings(&mut self, ctx: &mut Context<'_>) {
        let Some(sync) = &mut self.sync else { return };
        for (&id, fetch) in self.fetches.iter() {
            if fetch.has_ended() {
                sync.ended(ctx, id, fetch);
            }
        }
    }

    /// Hosts that were named are elsewhere now.
    pub(super) fn named_are(&mut self, ctx: &mut Context<'_>) {
        self.discovery.iter_mut().for_each(|discovery| discovery.named_are(ctx));
        self.fetches.values_mut().for_each(|fetch| fetch.named_are(ctx));
    }

    /// From time to time, trackers are told what there is of unfinished contents.
    pub(super) fn tell_trackers(&mut self, ctx: &mut Context<'_>) {
        if let Some(discovery) = &self.discovery {
            if let Some(holds) = self.partials.told_to_trackers(ctx) {
                discovery.tell_trackers(ctx, &holds);
            }
        }
    }

    fn on_ask(&mut self, ctx: &mut Context<'_>, from: SocketAddr, ask: &Ask) {
        if self.tracker.is_some() {
            return self.on_ask_of_tracker(ctx, from, ask);
        }
        let Some(discovery) = self.discovery.as_deref_mut().filter(|_| ctx.config.serves) else {
            return;
        };
        if ask.instance == discovery.instance() {
            return ctx.counters.drop(DropReason::Ourselves);
        }
        let answer = match ask.about {
            About::Listing { has } => {
                let (listing, changes) = (self.shelf.listing(), self.shelf.changes_since(has));
                Answer::Listing { listing, changes, in_step: ctx.config.sync.is_some() }
            }
            About::Content { content, .. } => {
                let answer = content_answer(self.shelf, self.partials, content);
                if ask.to_many
                    && matches!(answer, Answer::Content { holding: Holding::Nothing, .. })
                {
                    // A fetch beside us may be about to have something.
                    return self.partials.called(ctx, content, from, ask.nonce);
                }
                answer
            }
        };
        let proven = ask.cookie != Cookie::NONE && self.server.accepts(ctx, from, &ask.cookie);
        if proven || self.server.may_answer(ctx, from) {
            let tell = Tell {
                nonce: ask.nonce,
                cookie: self.server.cookie_for(ctx, from),
                instance: discovery.instance(),
                age: ask.tell_age.then(|| discovery.age(ctx.now)),
                answer,
            };
            ctx.send(from, &Message::Tell(tell));
        }
        discovery.on_ask(ctx, from, ask, proven);
    }

    fn on_tell(&mut self, ctx: &mut Context<'_>, from: SocketAddr, tell: &Tell) {
        match tell.answer {
            Answer::Listing { listing, changes, in_step } => match &mut self.discovery {
                Some(discovery) => {
                    let way = u64::from(changes) * CHANGES_STEP;
                    discovery.on_tell(ctx, from, tell, (listing, way, in_step));
                }
                None => match &mut self.tracker {
                    Some(tracker) => tracker.on_tell(ctx, from, tell),
                    None => ctx.counters.drop(DropReason::StrayAnswer),
                },
            },
            Answer::Content { .. } => {
                let mut fetches = self.fetches.values_mut();
                let taken = fetches.any(|fetch| fetch.on_tell(ctx, from, tell));
                let mut locate = self.locate.iter_mut();
                if !taken && !locate.any(|locate| locate.on_tell(ctx, from, tell)) {
                    ctx.counters.drop(DropReason::StrayAnswer);
                }
            }
        }
    }

    fn on_grant(&mut self, ctx: &mut Context<'_>, from: SocketAddr, grant: &Grant) {
        if !ctx.config.serves {
            return ctx.counters.drop(DropReason::UnknownObject);
        }
        if !self.server.is_proven(ctx, from, grant) {
            return;
        }
        match self.resolve(grant) {
            Ok(source) => {
                if let (Object::Have(content), ServeSource::Bytes(_)) = (grant.object, &source) {
                    self.partials.listens(ctx, content, from, grant.nonce);
                }
                self.server.enqueue(ctx, from, grant, source);
            }
            Err(reason) => {
                let counted = if reason == RefuseReason::BadRange {
                    DropReason::BadRange
                } else {
                    DropReason::UnknownObject
                };
                ctx.counters.drop(counted);
                refuse(ctx, from, grant.nonce, reason);
            }
        }
    }

    /// What a grant asks for, if we have it and all the ranges of it.
    fn resolve(&self, grant: &Grant) -> Result<ServeSource, RefuseReason> {
        let within = |length: u64| {
            let end = |range: &ObjectRange| range.offset + u64::from(range.length);
            grant.ranges.iter().all(|range| end(range) <= length)
        };
        let (source, fits) = match grant.object {
            Object::File(content) => match self.shelf.offer(content) {
                Some(offer) => {
                    let fits = within(offer.signature.size);
                    let (name, signature) = (offer.name, offer.signature);
                    (ServeSource::File { name, signature }, fits)
                }
                None => {
                    self.partials.holding(content).ok_or(RefuseReason::UnknownObject)?;
                    let fits = grant.ranges.iter().all(|range| {
                        self.partials.covers(content, range.offset, u64::from(range.length))
                    });
                    (ServeSource::Partial { content }, fits)
                }
            },
            Object::Chain(content) => {
                let whole = self
                    .shelf
                    .offer(content)
                    .map(|offer| BlockLayout::new(offer.signature.size).state_count() * 20);
                let length = whole.or_else(|| self.partials.chain_length(content));
                let length = length.ok_or(RefuseReason::UnknownObject)?;
                (ServeSource::Chain { content }, within(length))
            }
            Object::Have(content) => {
                let bitmap = self.partials.bitmap(content).ok_or(RefuseReason::UnknownObject)?;
                let fits = within(bitmap.len() as u64);
                (ServeSource::Bytes(bitmap.into()), fits)
            }
            Object::Listing(digest) => {
                let listing = self.shelf.listing_of(digest).ok_or(RefuseReason::UnknownObject)?;
                (ServeSource::Listing { digest }, within(listing.length))
            }
            Object::Changes(changes) => {
                let way = self.shelf.changes_named(changes).ok_or(RefuseReason::UnknownObject)?;
                (ServeSource::Changes { from: way.from, to: way.to }, within(way.length))
            }
        };
        if fits { Ok(source) } else { Err(RefuseReason::BadRange) }
    }

    fn on_data(&mut self, ctx: &mut Context<'_>, from: SocketAddr, data: &Data<'_>) {
        if self.fetches.values_mut().any(|fetch| fetch.on_data(ctx, from, data))
            || self.locate.iter_mut().any(|locate| locate.on_data(ctx, from, data))
        {
            return;
        }
        match &mut self.discovery {
            Some(discovery) if data.header.kind == DataKind::Meta => {
                discovery.on_meta(ctx, from, data);
            }
            _ => match &mut self.tracker {
                Some(tracker) if data.header.kind == DataKind::Meta => {
                    tracker.on_meta(ctx, from, data);
                }
                _ => ctx.counters.drop(DropReason::StrayData),
            },
        }
    }

    fn on_news(&mut self, ctx: &mut Context<'_>, from: SocketAddr, news: &News<'_>) {
        if !self.fetches.values_mut().any(|fetch| fetch.on_news(ctx, from, news)) {
            ctx.counters.drop(DropReason::StrayAnswer);
        }
    }

    /// A block of a download beside us was looked at. With the first that is proven, there is something to
    /// tell those who called in vain a moment ago.
    pub(super) fn on_partial_checked(
        &mut self,
        ctx: &mut Context<'_>,
        content: ContentId,
        block: u64,
        genuine: bool,
    ) {
        let callers = self.partials.checked(ctx, content, block, genuine);
        let Some(discovery) = self.discovery.as_deref().filter(|_| !callers.is_empty()) else {
            return;
        };
        let (instance, answer) =
            (discovery.instance(), content_answer(self.shelf, self.partials, content));
        for (who, nonce) in callers {
            if self.server.may_answer(ctx, who) {
                let cookie = self.server.cookie_for(ctx, who);
                ctx.send(who, &Message::Tell(Tell { nonce, cookie, instance, age: None, answer }));
            }
        }
    }

    fn on_refuse(&mut self, ctx: &mut Context<'_>, from: SocketAddr, refusal: &Refuse) {
        let (nonce, reason) = (refusal.nonce, refusal.reason);
        if self.fetches.values_mut().any(|fetch| fetch.on_refuse(ctx, from, nonce, reason))
            || self.locate.iter_mut().any(|locate| locate.on_refuse(ctx, from, nonce, reason))
        {
            return;
        }
        match &mut self.discovery {
            Some(discovery) => discovery.on_refuse(ctx, from, nonce, reason),
            None => match &mut self.tracker {
                Some(tracker) => tracker.on_refuse(ctx, from, nonce, reason),
                None => ctx.counters.drop(DropReason::StrayAnswer),
            },
        }
    }
}

/// What we hold of a content.
fn content_answer(shelf: &Shelf, partials: &Partials, content: ContentId) -> Answer {
    if let Some(offer) = shelf.offer(content) {
        let size = offer.signature.size;
        let blocks = BlockLayout::new(size).block_count();
        let blocks_held = u32::try_from(blocks).unwrap_or(u32::MAX);
        return Answer::Content { holding: Holding::Whole, chain: offer.chain, size, blocks_held };
    }
    match partials.holding(content) {
        Some((blocks, size, chain)) => {
            let blocks_held = u32::try_from(blocks).unwrap_or(u32::MAX);
            Answer::Content { holding: Holding::Part, chain, size, blocks_held }
        }
        None => Answer::Content {
            holding: Holding::Nothing,
            chain: ChainId([0; 20]),
            size: 0,
            blocks_held: 0,
        },
    }
}
