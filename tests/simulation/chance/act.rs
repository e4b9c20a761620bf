//! The events of a plan, one after the other.

use std::rc::Rc;
use std::time::Duration;

use super::plan::{Event, Who};
use super::run::{Due, Run, machine};
use crate::model::contents::{bytes, name};
use crate::model::disk::Path;
use crate::model::host::Death;

impl Run {
    pub(super) fn happen(&mut self, event: &Event) {
        let plan = self.plan.clone();
        let fetch = |index: usize| plan.address(Who::Fetch(index));
        match event {
            Event::Dies(who, death, back) => {
                let address = plan.address(*who);
                self.back_after.insert(address, *back);
                if self.network.hosts.contains_key(&address) {
                    match death {
                        Death::Killed => {
                            self.network.crash(address);
                            self.network.deaths.push((address, Death::Killed));
                        }
                        Death::PowerCut => self.network.cut_power(address.ip()),
                    }
                    self.see_to();
                }
            }
            Event::DiesAtOutput(who, after, death, back) => {
                let address = plan.address(*who);
                self.back_after.insert(address, *back);
                if let Some(host) = self.network.hosts.get_mut(&address) {
                    host.fuse = Some((*after, *death));
                }
            }
            Event::DiesAtOperation(index, after, death, back) => {
                self.back_after.insert(fetch(*index), *back);
                self.network.disk_of(fetch(*index)).borrow_mut().fuse = Some((*after, *death));
            }
            Event::Leaves(index, back) => {
                let who = Who::Source(*index);
                if let Some(host) = self.network.hosts.get_mut(&plan.address(who)) {
                    host.stop();
                    // It may need a moment, and be back sooner than that.
                    self.in_a_while(*back + Duration::from_millis(100), Due::Start(who));
                }
            }
            Event::Stops(who, lasting) => {
                let thaws = self.network.now + *lasting;
                self.network.frozen.insert(plan.address(*who), thaws);
            }
            Event::ClockJumps(who, by) => {
                if let Some(host) = self.network.hosts.get_mut(&plan.address(*who)) {
                    host.clock.jump(*by);
                    host.touched();
                }
            }
            Event::ClockStands(who, lasting) => {
                let now = self.network.now;
                if let Some(host) = self.network.hosts.get_mut(&plan.address(*who)) {
                    host.clock.stop(now, *lasting);
                    host.touched();
                }
            }
            Event::Cut(from, to) => {
                self.network.cuts.insert((machine(*from), machine(*to)));
            }
            Event::Open(None) => self.network.cuts.clear(),
            Event::Open(Some((a, b))) => {
                self.network.cuts.remove(&(machine(*a), machine(*b)));
                self.network.cuts.remove(&(machine(*b), machine(*a)));
            }
            Event::Weather(link) => self.network.link = *link,
            Event::Room(index, room) => {
                self.network.disk_of(fetch(*index)).borrow_mut().room = *room;
            }
            Event::Fault(index, after, kind) => {
                self.network.disk_of(fetch(*index)).borrow_mut().fault = Some((*after, *kind));
            }
            Event::Damages(index, which) => self.sabotage(*index, *which, false),
            Event::Removes(index, which) => self.sabotage(*index, *which, true),
            Event::Strangers(mischief, times, to, from) => {
                let (to, from) = (plan.address(*to), plan.address(*from));
                for _ in 0..*times {
                    self.stranger.act(*mischief, &mut self.network, to, from);
                    let soon = self.network.now + Duration::from_millis(self.random.below(40));
                    self.pass_until(soon);
                }
            }
            Event::TakesName(index) => {
                let (number, text) = (plan.fetches[*index].number, plan.fetches[*index].name);
                let other = bytes(0x99, 777);
                match self.network.hosts.get_mut(&fetch(*index)) {
                    Some(host) => host.rival = Some(Rc::new(other)),
                    None => self.put(number, text, &other),
                }
            }
            Event::Changes(_) | Event::Goes(_) | Event::ComesBack(_) | Event::Adds(..) => {
                self.change_files(event);
            }
        }
    }

    fn change_files(&mut self, event: &Event) {
        let plan = self.plan.clone();
        match event {
            Event::Changes(index) => {
                let other = bytes(0x55, plan.size);
                self.put(plan.sources[*index].number, "file", &other);
            }
            Event::Goes(index) => {
                let address = plan.address(Who::Source(*index));
                let disk = self.network.disk_of(address);
                disk.borrow_mut().discard(&Path::Share(name("file")));
            }
            Event::ComesBack(index) => {
                let source = &plan.sources[*index];
                if plan.is_above_suspicion(*index) {
                    self.put(source.number, "file", &self.data.clone());
                }
            }
            Event::Adds(index, what) => {
                let text = ["new", "file", "folder/new", "a/b/c/d"][usize::from(*what)];
                if text != "file" {
                    self.put(plan.sources[*index].number, text, &bytes(*what, 5_000));
                }
            }
            _ => {}
        }
        self.network.notice_everywhere();
    }

    /// A person puts a file; never over what a fetch has given a name, which is the person's own to replace.
    pub(super) fn put(&mut self, number: u8, text: &str, content: &[u8]) {
        let address = (machine(number), 1).into();
        let disk = self.network.disk_of(address);
        disk.borrow_mut().place(Path::Share(name(text)), Rc::new(content.to_vec()));
        self.network.notice_everywhere();
    }

    /// Somebody writes to a chunk file, or removes it; not in the moment in which it gets its name.
    fn sabotage(&mut self, index: usize, which: u64, removes: bool) {
        let address = self.plan.address(Who::Fetch(index));
        let publishing = self.network.hosts.values().any(|host| host.is_publishing());
        if publishing {
            return;
        }
        let disk = self.network.disk_of(address);
        let mut disk = disk.borrow_mut();
        let extents = disk.extents(self.content);
        if extents.is_empty() {
            return;
        }
        let extent = extents[which as usize % extents.len()];
        let path = Path::Chunk(self.content, extent.start);
        // After a power cut it may stand in share/ as well; there it is nobody's to touch.
        let number = disk.names[&path];
        if disk.share().any(|(_, shared)| shared == number) {
            return;
        }
        if removes {
            disk.discard(&path);
        } else {
            let at = self.random.below(extent.length.max(1)) as usize;
            disk.overwrite(&path, |bytes| {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 0x40;
                }
            });
        }
    }
}
