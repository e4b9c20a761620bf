"""Each system call fails once with each error: no panic, no partial file, an end or a sentence, and the next run completes."""

import os
import queue
import re
import time
from concurrent.futures import ThreadPoolExecutor

from torture._crash import Giver, Scene, mount_tmpfs, sampled
from torture._machines import Content, Place, wait_until
from torture._tracing import CHANGING, LOOKING, NETWORK, forget, lines_of, need_strace, points, strace, tracee

CALLS = CHANGING + LOOKING + NETWORK
ERRORS = ["EIO", "ENOSPC", "EDQUOT", "EMFILE", "EROFS", "EACCES", "EINTR"]
NETWORK_ERRORS = ERRORS + ["ENOBUFS", "ECONNREFUSED"]
# Most of a run that meets an error is waiting.
SIDE_BY_SIDE = 6
# Processor time that may be used while waiting, as a share of a core.
IDLE = 0.05
# What the C library says before it ends a process itself: it asks the kernel for the addresses of this machine, and
# takes an error that this kind of socket never gives for someone having closed its descriptor.
OF_THE_C_LIBRARY = "on netlink descriptor"
# A peer tries again after a minute what it could not read, or could not list.
PATIENCE = 150


def run(part):
    need_strace()
    giver = Giver(part)
    try:
        for what, more in kinds():
            a_fetch(part, giver, what, more)
        cut_short(part, giver)
        a_peer(part)
    finally:
        giver.end()


def kinds():
    """The circumstances of the fetches."""
    return [
        ("to be joined, a nested name", {"resumed": True, "name": "deep/fetched.bin"}),
        ("two file systems", {}),
    ]


def scenes(part, giver, what, more):
    """Several of a kind, to be used side by side."""
    free = queue.Queue()
    for number in range(2 if part.quick else SIDE_BY_SIDE):
        root = part.new_folder(f"{what[:3]}-{number}")
        if what.startswith("two"):
            for folder in ("share", "chunks"):
                mount_tmpfs(os.path.join(root, folder))
        scene = Scene(part, giver, what, root=root, address=f"127.0.0.{30 + number}", **more)
        scene.log = f"{root}-strace"
        free.put(scene)
    return free


def each(part, free, task, items):
    """Does a task for each item, with a free scene each."""

    def with_one(item):
        one = free.get()
        try:
            return task(one, item)
        finally:
            free.put(one)

    with ThreadPoolExecutor(free.qsize()) as pool:
        return list(pool.map(with_one, items))


def a_fetch(part, giver, what, more):
    """Each call of a fetch, with each error."""
    free = scenes(part, giver, what, more)
    first = free.get()
    first.reset()
    code = first.watched(*strace(first.log, CALLS))
    first.tell("undisturbed", [] if code == 0 else [f"it ended with {code}: {first.said[-300:]}"])
    found = points(first.log, first.root, CALLS)
    free.put(first)
    met = [(*point, error) for point in found for error in some_errors(part, found, *point)]
    met = sampled(part, met, 8)
    ends = each(part, free, fail_once, met)
    told(part, f"a fetch, {what}: {len(found)} calls, {len(met)} failures", ends, free)


def errors_of(call):
    return NETWORK_ERRORS if call in NETWORK else ERRORS


def fail_once(scene, point):
    """A fetch one of whose calls fails; how it ended, and what share of a core it used while it waited."""
    call, which, error = point
    scene.reset()
    forget(scene.log)
    waiting = Waiting()
    code = scene.watched(*strace(scene.log, CALLS, f"{call}:error={error}:when={which}"), how=waiting.follow)
    wrong = judged(scene, code)
    if waiting.share > IDLE:
        wrong.append(f"it used {100 * waiting.share:.0f} % of a core while it waited")
    # EINTR says nothing of pages that are lost: it may be tried again.
    wrong += named_unsynced(scene.log) if error != "EINTR" else []
    at = f"{call} {which} {error}"
    scene.tell(at, wrong)
    scene.rerun(at)
    return code, waiting.share


def judged(scene, code):
    """What is wrong about how a disturbed fetch ended."""
    if code == 0:
        # It may be the removing that has failed.
        return scene.is_done(cleared=False)
    if code == -6 and OF_THE_C_LIBRARY in scene.said:
        return []
    if code not in (1, 75):
        return [f"it ended with {code}: {scene.said[-300:]}"]
    sentences = [line for line in scene.said.splitlines() if line.startswith("sprat: ")]
    return [] if len(sentences) == 1 else [f"it ended with {code} and {len(sentences)} sentences: {scene.said[-300:]}"]


class Waiting:
    """Follows a process, and how much of a core it uses once it has had time for all that it can do."""

    def __init__(self):
        self.share = 0.0

    def follow(self, running):
        begun, first = time.monotonic(), None
        while running.process.poll() is None:
            now = time.monotonic()
            if now - begun > 60:
                raise AssertionError(f"it did not end: {running.errors()[-500:]}")
            used = processor(tracee(running)) if now - begun > 1 else None
            if used is not None and first is None:
                first = (now, used)
            elif used is not None and now - first[0] > 1:
                self.share = (used - first[1]) / (now - first[0])
            time.sleep(0.02)


def processor(process):
    """Seconds of processor time of a process, if it is still there."""
    try:
        with open(f"/proc/{process}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


FAILED_SYNC = re.compile(r"f(?:data)?sync\((\d+)<([^>]*)>.*\(INJECTED\)")


def named_unsynced(log):
    """Whether a file whose sync had failed got a name in `share/`: nobody knows what of it is on the disk, and a second
    sync would not tell."""
    handle = None
    for line in lines_of(log):
        failed = FAILED_SYNC.search(line)
        if failed:
            handle, path = failed[1], failed[2].removesuffix("(deleted)").strip()
            file = os.path.basename(path)
        elif handle is None:
            continue
        elif f"close({handle}<" in line or ("unlinkat(" in line and f'"{file}"' in line) or f"ftruncate({handle}<" in line:
            handle = None if f"close({handle}<" in line and ":chunk:" not in file else handle
            file = file if "close(" in line else "\0"
        elif line.endswith("= 0") and re.search(r"\b(rename|link)", line):
            if f'"{file}"' in line and "/share" in line or f"/proc/self/fd/{handle}\"" in line:
                return [f"it was named after its sync had failed: {line[:200]}"]
    return []


def told(part, what, ends, free):
    """One figure for all of these."""
    failures = []
    while not free.empty():
        failures += getattr(free.get(), "failures", [])
    counted = {code: sum(1 for end, _ in ends if end == code) for code, _ in ends}
    ended = ", ".join(f"{count} ended with {code}" for code, count in sorted(counted.items(), key=str))
    most = max((share for _, share in ends), default=0)
    found = f"0 panics, 0 partial files; {ended}; all completed by the next run; waiting used at most {100 * most:.1f} % of a core"
    if failures:
        found = f"{len(failures)} times not, first {failures[0]}"
    part.figure(what, found, "0 panics, 0 partial; ends with 0, or with 1 or 75 and a sentence; < 5 % of a core", not failures)


def cut_short(part, giver):
    """Writes that are cut short: the disk is full after so many pages, until there is more room."""
    free = scenes(part, giver, "two", {"resumed": False})
    pages = sampled(part, range(3, giver.content.size // 4096, 1 if not part.quick else 7), 1)

    def fetch(scene, size):
        scene.reset()
        room(scene, f"{size * 4}k")
        waiting = Waiting()

        def make_room(running):
            wait_until("no room", lambda: "make room" in running.errors() or running.process.poll() is not None)
            room(scene, "64m")
            waiting.follow(running)

        code = scene.watched(how=make_room)
        scene.tell(f"{size} pages", judged(scene, code) + ([] if code == 0 else ["there was room again"]))
        return code, waiting.share

    ends = each(part, free, fetch, pages)
    told(part, f"writes cut short by a disk that is full after a page, after two...: {len(ends)} places", ends, free)


def room(scene, size):
    if os.system(f"mount -o remount,size={size} '{scene.chunks}'") != 0:
        raise AssertionError(f"{scene.chunks} cannot be remounted")


def a_peer(part):
    """Each call of a peer: one that is fetched from, while it makes d.json and writes its hash cache."""
    content = Content(part.seed + 1, 300_000)
    free = queue.Queue()
    for number in range(2 if part.quick else SIDE_BY_SIDE):
        place = Place(part, f"failing-peer-{number}", address=f"127.0.1.{number + 1}")
        place.taker = Place(part, f"its-taker-{number}", address=f"127.0.2.{number + 1}")
        for name in range(3):
            Content(name, 1000).put(place.share, f"{name}.bin")
        content.put(place.share, "given.bin")
        place.log, place.failures = f"{place.root}-strace", []
        free.put(place)
    first = free.get()
    life(first, content)
    found = points(first.log, first.root, CALLS)
    free.put(first)
    met = [(call, which, error) for call, which in found for error in some_errors(part, found, call, which)]
    met = sampled(part, met, 4)
    ends = each(part, free, lambda place, point: fail_peer_once(part, place, content, point), met)
    told(part, f"a peer that is fetched from: {len(found)} calls, {len(met)} failures", ends, free)


def some_errors(part, found, call, which):
    """All errors at a call that changes something, and at the first three of each other kind; one, by chance, at the
    later ones, which are much the same."""
    first = min(number for name, number in found if name == call)
    errors = errors_of(call)
    return errors if call in CHANGING or which < first + 3 else [part.random.choice(errors)]


def life(place, content, inject=None, patience=PATIENCE):
    """A peer from its start to its end, fetched from; how it ended, what share of a core it used, what is wrong."""
    os.system(f"rm -rf '{place.root}/.sprat' '{place.taker.root}/share' '{place.taker.root}/chunks'")
    forget(place.log)
    for ending in ("out", "err"):
        forget(f"{place.root}-peer.{ending}")
    place.running.clear()
    peer = place.start("peer", before=strace(place.log, CALLS, inject))
    wrong, share = [], 0.0
    fetch = place.taker.fetch(content, "got.bin", place.address, options=("--timeout", str(patience)))
    ended = lambda: fetch.process.poll() is not None or peer.process.poll() is not None  # noqa: E731
    wait_until("an end", ended, 2 * patience)
    process = tracee(peer) if peer.process.poll() is None else None
    if process:
        before, begun = processor(process), time.monotonic()
        time.sleep(1.5)
        after = processor(process)
        share = ((after or 0) - (before or 0)) / (time.monotonic() - begun) if after else 0.0
        if peer.process.poll() is None and fetch.process.poll() != 0 and patience == PATIENCE:
            wrong.append(f"the fetch ended with {fetch.process.poll()}: {fetch.errors()[-300:]}")
        try:
            os.kill(process, 15)
        except ProcessLookupError:
            pass
    try:
        code = peer.ends(20)
    except AssertionError:
        wrong.append("SIGTERM does not end it")
        code = peer.stop(9)
        code = -15 if code == -9 else code
    if fetch.process.poll() is None:
        fetch.stop()
    place.taker.running.clear()
    if code not in (-15, 0, 1, 75) and not (code == -6 and OF_THE_C_LIBRARY in peer.errors()):
        wrong.append(f"it ended with {code}: {peer.errors()[-300:]}")
    if code in (1, 75) and "sprat: " not in peer.errors():
        wrong.append(f"it ended with {code} without a sentence")
    try:
        place.directory()
    except FileNotFoundError:
        pass
    except ValueError as error:
        wrong.append(f"d.json: {error}")
    return code, share, wrong


def fail_peer_once(part, place, content, point):
    call, which, error = point
    inject = f"{call}:error={error}:when={which}"
    code, share, wrong = life(place, content, inject, 6 if part.quick else PATIENCE)
    if share > IDLE:
        wrong.append(f"it used {100 * share:.0f} % of a core while it waited")
    for sentence in wrong:
        part.say(f"peer, {call} {which} {error}: {sentence}")
        place.failures.append(f"{call} {which} {error}: {sentence}")
    return code, share
