//! Listings of a simulated host: the code that ships, which touches nothing but memory.

use std::collections::VecDeque;
use std::time::Duration;

use sprat::driver::clock::Slice;
use sprat::driver::listing_jobs::ListingJobs;
use sprat::node::{Input, ListingId, Output};
use sprat::wire::{DATA_HEADER_LENGTH, ListingDigest};

/// Listings that the core may have on their way or being read.
const GATHERED_MAX: usize = 8;

#[derive(Default)]
pub(crate) struct Listings(ListingJobs);

impl Listings {
    /// Does what is asked for, to its end, and says what came of it.
    pub(crate) fn execute(&mut self, output: Output, in_hand: &[u8]) -> VecDeque<Input<'static>> {
        match output {
            Output::AddToListing { name, content, size } => self.0.add(name, content, size),
            Output::TakeOffListing { name } => self.0.take_off(name),
            Output::MakeListing { listing } => self.0.make(listing),
            Output::KeepListing { listing, offset } => {
                self.0.keep(listing, offset, &in_hand[DATA_HEADER_LENGTH..]);
            }
            Output::ReadListing { listing, digest, room } => self.0.read(listing, digest, room),
            Output::ReadChanges { listing, digest, old } => {
                self.0.read_changes(listing, digest, old);
            }
            Output::DropListing { listing } => self.0.forget(listing),
            other => panic!("{other:?} is about no listing"),
        }
        assert!(self.0.gathered() <= GATHERED_MAX, "what is not wanted any more is dropped");
        let mut answers = VecDeque::new();
        while self.0.step(&Slice::of(Duration::from_millis(1)), &mut answers) {}
        answers
    }

    pub(crate) fn changes(&self, from: ListingId, to: ListingId) -> Option<Vec<u8>> {
        self.0.changes(from, to)
    }

    pub(crate) fn kept(&self, digest: ListingDigest) -> Option<&[u8]> {
        self.0.kept(digest)
    }
}
