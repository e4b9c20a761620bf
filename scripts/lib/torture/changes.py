"""Files that change under their host while they are served: no mixture is ever published, and they are off the lists at once."""

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from torture._machines import PORT, Content, Place, Running, wait_until
from torture._watching import Watch

KINDS = ("edited", "truncated", "grown", "replaced", "deleted", "touched")
SIZE = 3 << 20
# Files that are there at a time, each of which is changed once.
BATCH = 24
AT_A_TIME = 6
# Slow enough that most changes come while the file is on its way.
LIMIT = "8M"


def run(part):
    os.system("ip link set lo up")
    scene = Scene(part)
    try:
        for number in range(1 if part.quick else 42):
            scene.batch(number, 6 if part.quick else BATCH)
        scene.tell()
    finally:
        scene.end()


class Scene:
    """Two hosts that have all files, one that changes them, one that keeps them; one that takes; one that looks on."""

    def __init__(self, part):
        self.part = part
        self.changer = Place(part, "changer", address="127.0.0.1")
        self.keeper = Place(part, "keeper", address="127.0.0.2")
        self.looker = Place(part, "looker", address="127.0.0.3")
        self.taker = Place(part, "taker", address="127.0.0.4")
        self.places = [self.changer, self.keeper, self.looker, self.taker]
        self.limited = ("--limit", LIMIT)
        self.peers = [
            self.changer.peer(*self.limited, "--peer", self.looker.address),
            self.keeper.peer(*self.limited, "--peer", self.looker.address),
            self.looker.peer("--peer", self.changer.address, "--peer", self.keeper.address),
        ]
        self.lock = threading.Lock()
        self.wrong, self.kinds, self.off, self.taken, self.alone = [], {}, [], 0, 0

    def end(self):
        for place in self.places:
            place.end()

    def batch(self, number, count):
        """New files, each changed at a random moment of being fetched."""
        files = {}
        for index in range(count):
            content = Content(f"{self.part.seed} {number} {index}", SIZE)
            files[f"{number}-{index}.bin"] = content
            for place in (self.changer, self.keeper):
                content.put(place.share, f"{number}-{index}.bin")
        locations = {(content.sha1, place.address, name) for name, content in files.items() for place in self.places[:2]}
        wait_until("all are listed", lambda: locations <= self.locations())
        self.watch = Watch(self.taker.share, {content.sha1 for content in files.values()})
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            list(pool.map(lambda item: self.one(number, *item), enumerate(files.items())))
        self.wrong += self.watch.end()
        for place in (self.changer, self.keeper, self.taker):
            for name in os.listdir(place.share):
                os.unlink(os.path.join(place.share, name))

    def locations(self):
        with open(os.path.join(self.looker.root, "d.json"), encoding="utf-8") as file:
            files = json.load(file)["discovered_files"]
        return {(entry["sha1"], where["ip"], where["filename"]) for entry in files for where in entry["locations"]}

    def one(self, number, index, item):
        """One file, fetched while it changes."""
        name, content = item
        kind = KINDS[(number + index) % len(KINDS)]
        chance = self.part.random.random
        # Of some the changer is the only one who is asked: they end with the file, or wait.
        alone = chance() < 0.2
        # Others would be called at another port, where nobody is.
        sources = [f"{self.changer.address}:{PORT}"] if alone else [self.changer.address, self.keeper.address]
        options = ("--port", "27184", "--timeout", "5") if alone else ("--timeout", "60")
        log = f"{self.taker.root}-{index}"
        command = self.taker.command(*options, "fetch", content.sha1, name, str(content.size), *sources)
        running = self.start(command, log)
        time.sleep(chance() * 0.6)
        self.change(kind, name, content)
        changed = time.monotonic()
        gone = None
        while kind != "touched" and gone is None and time.monotonic() - changed < 20:
            if (content.sha1, self.changer.address, name) not in self.locations():
                gone = time.monotonic() - changed
            time.sleep(0.02)
        code = running.ends(90)
        with self.lock:
            self.judge(kind, name, content, alone, code, gone, running.errors())

    def start(self, command, log):
        for ending in ("out", "err"):
            if os.path.exists(f"{log}.{ending}"):
                os.unlink(f"{log}.{ending}")
        return Running(command, log)

    def change(self, kind, name, content):
        path = os.path.join(self.changer.share, name)
        if kind == "edited":
            at = self.part.random.randrange(SIZE - 5000)
            with open(path, "r+b") as file:
                file.seek(at)
                file.write(bytes(byte ^ 0x55 for byte in content.bytes[at : at + 5000]))
        elif kind == "truncated":
            os.truncate(path, self.part.random.randrange(SIZE))
        elif kind == "grown":
            with open(path, "ab") as file:
                file.write(b"more" * 100)
        elif kind == "replaced":
            other = os.path.join(self.changer.share, f".{name}.other")
            with open(other, "wb") as file:
                file.write(content.bytes[::-1])
            os.rename(other, path)
        elif kind == "deleted":
            os.unlink(path)
        else:
            os.utime(path)

    def judge(self, kind, name, content, alone, code, gone, said):
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        trouble = f"{name}, {kind}"
        if gone is None and kind != "touched":
            self.wrong.append(f"{trouble}: still listed")
        elif gone is not None:
            self.off.append(gone)
        is_there = self.taker.has(content, name)
        if code == 0 and is_there:
            self.taken += 1
            self.alone += alone
        elif code == 0:
            self.wrong.append(f"{trouble}: published what is not the file")
        elif not (alone and code == 75):
            self.wrong.append(f"{trouble}: the fetch ended with {code}: {said[-300:]}")
        for peer, who in zip(self.peers, ("the changer", "the keeper", "the looker")):
            if peer.process.poll() is not None:
                self.wrong.append(f"{trouble}: {who} ended with {peer.process.poll()}: {peer.errors()[-300:]}")

    def tell(self):
        part = self.part
        for sentence in self.wrong[:20]:
            part.say(sentence)
        count = sum(self.kinds.values())
        kinds = ", ".join(f"{many} {kind}" for kind, many in self.kinds.items())
        found = f"0 wrong publishes, {self.taken} fetched whole, {self.alone} of them from the changing host alone; nobody crashed"
        part.figure(
            f"{count} files changed while they were fetched: {kinds}",
            self.wrong[0] if self.wrong else found,
            "0 wrong publishes, other sources finish it",
            not self.wrong,
        )
        off = sorted(self.off)
        worst, middle = off[-1], off[len(off) // 2]
        late = sum(1 for seconds in off if seconds > 2)
        part.figure(
            "from the change until it is off a third host's d.json",
            f"{middle:.2f} s in the middle, {worst:.2f} s at most, {late} of {len(off)} over 2 s",
            "2 s",
            # No test goes by the clock.
            part.quick or late == 0,
        )
