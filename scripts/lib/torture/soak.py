"""An hour of churn: files and hosts come and go, fetch follows fetch over links that lose; nothing grows, nobody complains.

Two peers stay, one is killed and started again all the time. Every fetch is into the folder of one of those that stay, so
that what it got is offered on, until it is removed again.
"""

import os
import time

from bench_network import Network
from torture._machines import Content, Place

WAY = "rate=100mbit,delay=1ms,queue=250000,loss=1%"
FETCHES_AT_ONCE = 4
FILES = 40
GROWTH = 1.0


def run(part):
    seconds, wanted = (8, 10) if part.quick else (3_600, 10_000)
    with Network(part.folder, part.tool("link_emulator")) as network:
        switch = network.switch()
        hosts = [network.host(number) for number in range(3)]
        for host in hosts:
            network.link(switch, host, WAY, seed=part.seed)
        network.introduce()
        places = [Place(part, f"host-{at}", host=host) for at, host in enumerate(hosts)]
        try:
            Soak(part, places, seconds, wanted).run()
        finally:
            for place in places:
                place.end()


class Soak:
    """Who is there, what is under way, and what was measured."""

    def __init__(self, part, places, seconds, wanted):
        self.part, self.places, self.seconds, self.wanted = part, places, seconds, wanted
        self.random = part.random
        self.made, self.there, self.fetches, self.taken = 0, [], [], []
        self.done, self.failed, self.restarts = 0, [], 0
        self.measured = []

    def run(self):
        for _ in range(FILES):
            self.add_file()
        staying = [self.places[0].peer(), self.places[1].peer()]
        going = self.places[2].peer()
        begun = looked = restarted = time.monotonic()
        while (now := time.monotonic()) < begun + self.seconds or self.fetches:
            if now < begun + self.seconds:
                self.keep_busy(begun)
            self.see_who_is_done()
            if now > restarted + 20:
                going.stop(how=9)
                going, restarted = self.places[2].peer(), now
                self.restarts += 1
            if now > looked + self.seconds / 120:
                looked = now
                self.measured.append([look(peer) for peer in staying])
            time.sleep(0.02)
        self.tell(staying, time.monotonic() - begun)
        for peer in [*staying, going]:
            peer.stop()

    def add_file(self):
        """A new file on the first host; of every third one the third host has the same."""
        self.made += 1
        content = Content(f"{self.part.seed} {self.made}", self.random.choice((100, 5_000, 70_000, 300_000)))
        name = f"folder-{self.made % 7}/{self.made}.bin"
        for at in (0, 2) if self.made % 3 == 0 else (0,):
            content.put(self.places[at].share, name)
        self.there.append((time.monotonic(), content, name))

    def keep_busy(self, begun):
        """A fetch more where there is room for one and its turn has come, and now and then another file."""
        due = (time.monotonic() - begun) / self.seconds * self.wanted
        if len(self.fetches) >= FETCHES_AT_ONCE or self.done + len(self.fetches) >= due:
            return
        settled = [entry for entry in self.there if entry[0] < time.monotonic() - 2]
        if not settled:
            return
        _, content, name = self.random.choice(settled)
        if any(other is content for _, other, *_ in self.fetches) or any(other is content for _, other, _ in self.taken):
            return
        sources = self.random.choice(([], [self.places[0].address], [place.address for place in self.places]))
        fetch = self.places[1].fetch(content, name, *sources, options=("--quiet",))
        self.fetches.append((fetch, content, name))
        if self.random.random() < 0.3:
            self.add_file()
        if len(self.there) > FILES:
            _, content, name = self.there[0]
            if all(other is not content for _, other, *_ in self.fetches):
                del self.there[0]
                for at in (0, 2):
                    remove(self.places[at], name)

    def see_who_is_done(self):
        for entry in list(self.fetches):
            fetch, content, name = entry
            code = fetch.process.poll()
            if code is None:
                continue
            self.fetches.remove(entry)
            self.places[1].running.remove(fetch)
            if code == 0 and self.places[1].has(content, name) and not fetch.errors():
                self.done += 1
                self.taken.append((time.monotonic(), content, name))
            else:
                self.failed.append(f"{code}: {fetch.errors()[-200:]}")
            for path in (fetch.out, fetch.err):
                os.unlink(path)
        # What was fetched is offered for a while.
        while self.taken and self.taken[0][0] < time.monotonic() - 3:
            remove(self.places[1], self.taken.pop(0)[2])

    def tell(self, staying, took):
        part = self.part
        part.figure(
            f"fetches over links that lose 1 %, in {took:.0f} s; a host killed {self.restarts} times",
            f"{self.done} whole, {len(self.failed)} not", f"{self.wanted} whole, 0 not",
            self.done >= self.wanted * 0.95 and not self.failed,
        )
        for failed in self.failed[:5]:
            part.say(failed)
        quarter = max(1, len(self.measured) // 4)
        for at, peer in enumerate(staying):
            for what, index, unit in (("memory", 0, " MiB"), ("descriptors", 1, "")):
                values = [row[at][index] for row in self.measured]
                early, late = mean(values[quarter: 2 * quarter]), mean(values[-quarter:])
                part.figure(
                    f"{what} of peer {at + 1}, second and last quarter", f"{early:.2f}{unit}, {late:.2f}{unit}",
                    f"at most {GROWTH:.0f}{unit} more", part.quick or late <= early + GROWTH,
                )
            lines = peer.errors().splitlines()
            part.figure(f"lines of peer {at + 1} on standard error", len(lines), "0", not lines)
            for line in lines[:5]:
                part.say(line)
            part.say(f"processor time of peer {at + 1}: {peer.processor():.1f} s")


def look(running):
    """Resident memory in MiB, and open descriptors."""
    with open(f"/proc/{running.pid}/status", encoding="ascii") as file:
        memory = next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))
    return memory, len(os.listdir(f"/proc/{running.pid}/fd"))


def remove(place, name):
    """Takes a file away, if it is there."""
    path = os.path.join(place.share, name)
    if os.path.exists(path):
        os.unlink(path)


def mean(values):
    return sum(values) / max(1, len(values))
