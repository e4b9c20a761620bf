"""What the parts share that cut a fetch short: how it is set up, what is looked at afterwards, and going on to the end.

A `Scene` is a fetch under certain circumstances (file systems, name, what is there before). It can be begun anew as
often as one likes, from the same state of the disk.
"""

import hashlib
import os
import shutil

from torture._machines import Content, Place, Running
from torture._watching import NOT_OURS, Watch, sha1_of

GIVER, TAKER = "127.0.0.1", "127.0.0.2"
SIZE = (1 << 20) + 4321
# Where what was fetched before lies, as (offset, length): the rest comes between, so that all is joined in the end.
BEFORE = ((0, 200_000), (262_144, 131_072), (700_000, 100_000), (900_000, 65_536))


def mount_tmpfs(folder, size="64m", more=""):
    os.makedirs(folder, exist_ok=True)
    if os.system(f"mount -t tmpfs -o size={size}{more} tmpfs '{folder}'") != 0:
        raise AssertionError(f"cannot mount a tmpfs on {folder}")


def unmount_all(part):
    """Whatever is mounted below the folder of a part."""
    with open("/proc/self/mounts", encoding="utf-8") as file:
        places = [line.split()[1] for line in file]
    for place in reversed(places):
        if place.startswith(part.folder):
            os.system(f"umount -l '{place}'")


class Giver:
    """A peer that has the content, for all scenes of a part."""

    def __init__(self, part, size=SIZE):
        os.system("ip link set lo up")
        self.content = Content(part.seed, size)
        self.place = Place(part, "giver", address=GIVER)
        self.content.put(self.place.share, "given.bin")
        self.peer = self.place.peer()
        self.wait(part)

    def wait(self, part):
        """Until it offers it."""
        probe = Place(part, "probe", address="127.0.0.9")
        fetch = probe.fetch(self.content, "given.bin", GIVER)
        assert fetch.ends() == 0, fetch.errors()
        shutil.rmtree(probe.root)

    def end(self):
        """The end of the part: nothing of it is left running or mounted."""
        self.place.end()
        unmount_all(self.place.part)


class Scene:
    """A fetch from the giver, and what stands in its folders before it."""

    def __init__(self, part, giver, what, name="fetched.bin", root=None, other="", resumed=False, address=TAKER):
        self.part, self.content, self.what, self.name, self.address = part, giver.content, what, name, address
        self.other, self.resumed = other.encode(), resumed
        slug = "".join(letter if letter.isalnum() else "-" for letter in what)
        self.root = root or part.new_folder(f"taker-{slug}")
        self.share, self.chunks = (os.path.join(self.root, folder) for folder in ("share", "chunks"))
        self.log = os.path.join(part.folder, f"strace-{slug}")
        self.number = 0
        self.wrong = []
        self.appeared = 0

    def reset(self):
        """As it was before the first run. Folders stay where something may be mounted on them."""
        for folder in (self.share, self.chunks, os.path.join(self.root, ".sprat")):
            if os.path.isdir(folder):
                for item in os.scandir(folder):
                    shutil.rmtree(item.path) if item.is_dir(follow_symlinks=False) else os.unlink(item.path)
        if self.other:
            path = os.path.join(self.share, self.name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(self.other)
        for offset, length in BEFORE if self.resumed else ():
            os.makedirs(self.chunks, exist_ok=True)
            with open(os.path.join(self.chunks, f"{self.content.sha1}:chunk:{offset}"), "wb") as file:
                file.write(self.content.bytes[offset : offset + length])

    def command(self, *options):
        arguments = ["fetch", self.content.sha1, self.name, str(self.content.size), GIVER]
        return [self.part.sprat, "--root", self.root, "--bind", self.address, *options, *arguments]

    def start(self, *before, options=(), **more):
        """The fetch, after these words (strace and its options)."""
        self.number += 1
        return Running([*before, *self.command(*options)], f"{self.log}-run", **more)

    def watched(self, *before, how=None, options=(), **more):
        """Runs the fetch while `share/` is watched; how it ended. `how` is handed the process, to disturb it."""
        os.makedirs(self.share, exist_ok=True)
        for ending in ("out", "err"):
            if os.path.exists(f"{self.log}-run.{ending}"):
                os.unlink(f"{self.log}-run.{ending}")
        watch = Watch(self.share, self.allowed())
        running = self.start(*before, options=options, **more)
        try:
            if how:
                how(running)
            code = running.ends()
        except AssertionError as late:
            running.process.kill()
            running.process.wait()
            self.wrong.append(str(late))
            code = None
        self.said = running.errors()
        self.wrong += watch.end()
        self.appeared += watch.appeared
        self.wrong += self.partial()
        return code

    def allowed(self):
        return {self.content.sha1, hashlib.sha1(self.other).hexdigest()} if self.other else {self.content.sha1}

    def shared(self):
        """All files in `share/`, with their SHA-1."""
        found = {}
        for folder, folders, names in os.walk(self.share):
            folders[:] = [name for name in folders if name not in NOT_OURS]
            for name in names:
                path = os.path.join(folder, name)
                found[os.path.relpath(path, self.share)] = sha1_of(path)
        return found

    def partial(self):
        """What is in `share/` and is neither whole nor what was there before."""
        allowed = self.allowed()
        return [f"{name} is not whole" for name, sha1 in self.shared().items() if sha1 not in allowed]

    def left(self):
        return sorted(os.listdir(self.chunks)) if os.path.isdir(self.chunks) else []

    def is_done(self, cleared=True):
        """What is wrong about the end of a run that ended well. What cannot be removed is left for the next one."""
        wrong = []
        shared = self.shared()
        if self.content.sha1 not in shared.values():
            wrong.append(f"the file is not there: {shared}")
        if self.other and sha1_of(os.path.join(self.share, self.name)) not in self.allowed() - {self.content.sha1}:
            wrong.append("what stood under the name before is not there any more")
        if len(shared) != 1 + bool(self.other):
            wrong.append(f"there are other files than these: {sorted(shared)}")
        if cleared and self.left():
            wrong.append(f"left in chunks/: {self.left()}")
        return wrong

    def rerun(self, told):
        """Runs it undisturbed: it has to end well. What was wrong, with where it was cut before."""
        code = self.watched()
        wrong = [] if code == 0 else [f"the next run ended with {code}: {self.said[-300:]}"]
        if code == 0:
            wrong += self.is_done()
        self.tell(told, wrong)

    def tell(self, told, wrong=()):
        """Notes what was wrong at this point, and says it once."""
        self.wrong += wrong
        for sentence in self.wrong:
            self.part.say(f"{self.what}, {told}: {sentence}")
        found, self.wrong = self.wrong, []
        self.failures = getattr(self, "failures", []) + [f"{told}: {sentence}" for sentence in found]


def sampled(part, items, quick):
    """All of them, or a few that are spread over all, others in each run."""
    items = list(items)
    if not part.quick or len(items) <= quick:
        return items
    return sorted(part.random.sample(items, quick), key=items.index)
