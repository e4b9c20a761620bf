"""Killed at every system call that changes a file, and a thousand times at random: never a partial file, always resumed."""

import os
import re
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from torture._crash import Giver, Scene, mount_tmpfs, sampled
from torture._machines import Content, Place, wait_until
from torture._tracing import CHANGING, forget, lines_of, need_strace, points, strace, tracee


def run(part):
    need_strace()
    giver = Giver(part)
    try:
        scenes = all_scenes(part, giver)
        for scene in [part.random.choice(scenes)] if part.quick else scenes:
            every_call(part, scene)
        at_random(part, scenes, 20 if part.quick else 1000)
        a_peer(part, giver)
    finally:
        giver.end()


def all_scenes(part, giver):
    """The circumstances."""
    two = part.new_folder("taker-two")
    for folder in ("share", "chunks"):
        mount_tmpfs(os.path.join(two, folder))
    return [
        Scene(part, giver, "one file system"),
        Scene(part, giver, "two file systems", root=two),
        Scene(part, giver, "a nested name", name="deep/er/fetched.bin"),
        Scene(part, giver, "resumed, all to be joined", resumed=True),
        Scene(part, giver, "resumed, on two file systems", root=two, resumed=True),
        Scene(part, giver, "other content under the name", other="a person's"),
    ]


def every_call(part, scene):
    """At each call of each name, until a run comes to its end before that call."""
    scene.reset()
    code = scene.watched(*strace(scene.log, CHANGING))
    scene.tell("undisturbed", [] if code == 0 else [f"it ended with {code}: {scene.said[-300:]}"])
    found = points(scene.log, scene.root, CHANGING)
    killed = 0
    for call, which in sampled(part, found, 12):
        killed += kill_at(scene, call, which)
    if not part.quick:
        # More calls than were counted: another run may make more of them.
        for call in sorted({call for call, _ in found}):
            which = max(number for name, number in found if name == call) + 1
            while kill_at(scene, call, which):
                killed, which = killed + 1, which + 1
    told(part, f"SIGKILL at every changing call, {scene.what}: {killed} points", [scene])


def kill_at(scene, call, which):
    """Whether it was killed there; then it is run again."""
    scene.reset()
    forget(scene.log)
    code = scene.watched(*strace(scene.log, CHANGING, f"{call}:signal=SIGKILL:when={which}"))
    at = f"{call} {which}"
    if code == -signal.SIGKILL:
        scene.tell(at, lost(scene))
        scene.rerun(at)
        return True
    scene.tell(at, scene.is_done() if code == 0 else [f"it ended with {code}: {scene.said[-300:]}"])
    return False


STORED = re.compile(r"pwrite64\(\d+<[^>]*:chunk:\d+>, .* = (\d+)$")


def lost(scene):
    """What was stored in chunks/ is still there, or else the file is in share/: a kill loses nothing that was written."""
    if scene.content.sha1 in scene.shared().values():
        return []
    stored = sum(int(found[1]) for line in lines_of(scene.log) if (found := STORED.search(line)))
    parts = [name for name in scene.left() if ":chunk:" in name or ":join:" in name]
    there = sum(os.path.getsize(os.path.join(scene.chunks, name)) for name in parts)
    return [] if there >= stored else [f"of {stored} bytes that were stored {there} are left, and nothing in share/"]


def at_random(part, scenes, kills):
    """Killed at random moments, each run going on from what the one before left."""
    done = 0
    for number in range(kills):
        scene = scenes[number % len(scenes)]
        if number < len(scenes) or scene.finished:
            scene.reset()

        def kill(running):
            time.sleep(part.random.random() ** 2 * scene.takes)
            running.process.kill()

        scene.takes = getattr(scene, "takes", 0.15)
        begun = time.monotonic()
        code = scene.watched(how=kill)
        scene.finished = code == 0
        if code == 0:
            done += 1
            # The next ones are to hit it while it runs.
            scene.takes = max(0.02, 0.8 * (time.monotonic() - begun))
        scene.tell(f"random kill {number}", scene.is_done() if code == 0 else [])
        if code not in (0, -signal.SIGKILL):
            scene.tell(f"random kill {number}", [f"it ended with {code}: {scene.said[-300:]}"])
        if part.random.random() < 0.3:
            scene.rerun(f"random kill {number}")
            scene.finished = True
    told(part, f"{kills} kills at random moments, in {len(scenes)} circumstances", scenes)


def told(part, what, scenes):
    """One figure for all that was done in these scenes since the last."""
    failures = [failure for scene in scenes for failure in getattr(scene, "failures", [])]
    for scene in scenes:
        scene.failures = []
    found = "0 partial files, nothing lost, all resumed to the end"
    if failures:
        found = f"{len(failures)} times not, first {failures[0]}"
    part.figure(what, found, "0 partial files, nothing lost, all resumed", not failures)


def a_peer(part, giver):
    """A peer killed while it writes `d.json` and its hash cache: what it leaves is valid, and the next one works."""
    places = [peer_place(part, number) for number in range(4 if part.quick else 8)]
    observer = Place(part, "observer", address="127.0.0.3")
    try:
        found = peer_points(part, places[0], giver)
        found = sampled(part, found, len(places))
        wrong, killed = [], 0
        with ThreadPoolExecutor(len(places)) as pool:
            for troubles, was_killed in pool.map(lambda at: kill_peer_at(places, giver, *at), found):
                wrong, killed = wrong + troubles, killed + was_killed
        # What they leave is what a peer goes on with: it offers the same as ever.
        observing = observer.peer("--peer", places[0].address)
        last = places[0].peer("--peer", observer.address)
        wait_until("the list", lambda: offered(observer, places[0]) == PEER_FILES)
        wrong += [f"{running.errors()[-300:]}" for running in (last, observing) if "damaged" in running.errors()]
        for sentence in wrong:
            part.say(sentence)
        what = f"a peer killed at every changing call from its start to its end: {killed} points"
        told_ = "d.json valid each time, the next one offers the same"
        part.figure(what, wrong[0] if wrong else told_, "valid, and the same is offered", not wrong)
    finally:
        for place in [observer, *places]:
            place.end()


# What the peers that are killed offer: name and SHA-1.
PEER_CONTENTS = {f"{number}.bin": Content(number, 70_000 + number) for number in range(20)}
PEER_FILES = {(name, content.sha1) for name, content in PEER_CONTENTS.items()}


def peer_place(part, number):
    place = Place(part, f"killed-peer-{number}", address=f"127.0.0.{20 + number}")
    for name, content in PEER_CONTENTS.items():
        content.put(place.share, name)
    place.is_free = threading.Lock()
    return place


def offered(observer, place):
    """What one place's `d.json` tells of another one."""
    files = observer.directory()["discovered_files"]
    return {
        (where["filename"], entry["sha1"])
        for entry in files
        for where in entry["locations"]
        if where["ip"] == place.address
    }


def short_life(place, giver, log, inject=None):
    """A peer from its start to its end: d.json is made, renewed and has a list, the hash cache is written."""
    forget(log)
    running = place.start("--peer", giver.place.address, "peer", before=strace(log, CHANGING, inject))
    wrong, begun, stopped = [], time.monotonic(), False
    while running.process.poll() is None:
        time.sleep(0.01)
        wrong += what_is_wrong(place)
        if not stopped and time.monotonic() - begun > 3:
            process = tracee(running)
            if process:
                os.kill(process, signal.SIGTERM)
            stopped = True
    return running, wrong + what_is_wrong(place)


def peer_points(part, place, giver):
    log = os.path.join(part.folder, "strace-peer")
    running, wrong = short_life(place, giver, log)
    assert not wrong, wrong
    return points(log, place.root, CHANGING)


def kill_peer_at(places, giver, call, which):
    """What was wrong, and whether it was killed there."""
    place = next(place for place in places if place.is_free.acquire(blocking=False))
    try:
        # Without a hash cache every file is hashed, and all of it written.
        shutil.rmtree(os.path.join(place.root, ".sprat"), ignore_errors=True)
        log = f"{place.root}-strace"
        running, wrong = short_life(place, giver, log, f"{call}:signal=SIGKILL:when={which}")
        return [f"{call} {which}: {sentence}" for sentence in wrong], running.ends() == -signal.SIGKILL
    finally:
        place.is_free.release()


def what_is_wrong(place):
    """About `d.json`: it may not be there yet, but never half."""
    try:
        place.directory()["discovered_files"]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError) as error:
        return [f"d.json: {error}"]
    return []
