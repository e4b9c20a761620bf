"""The power is cut before and after each step of publishing and at random: whole files only, none that was finished is lost."""

import os
import signal
import time

from torture_main import Skipped

from torture._crash import Giver, Scene
from torture._disks import Disk, is_root
from torture._tracing import CALL, CHANGING, forget, lines_of, need_strace, points, strace

# The calls of publishing are the last ones: the power is cut at each of them, at some of the others, and at some
# moments that are left to chance; each time once more, right after the fetch has ended well.
STEPS, OTHERS, MOMENTS = 30, 6, 6


def run(part):
    need_strace()
    if not is_root():
        raise Skipped("only root of the machine can mount a file system and cut its power")
    giver = Giver(part)
    try:
        there = [kind for kind in kinds() if can(part, kind)]
        if part.quick:
            there = [kind for kind in there if kind[1] == "ext4"]
            there = [part.random.choice(there)]
        for what, kind, options, two in there:
            cuts_of(part, giver, what, kind, options, two)
    finally:
        giver.end()


def kinds():
    """What it is called, the kind of file system, how it is mounted, and whether there are two of them."""
    return [
        ("ext4", "ext4", "", False),
        ("ext4, chunks/ and share/ on two", "ext4", "", True),
        ("ext4 with data=writeback", "ext4", "data=writeback", False),
        ("ext4 with data=writeback, on two", "ext4", "data=writeback", True),
        ("xfs", "xfs", "", False),
        ("xfs, on two", "xfs", "", True),
        ("btrfs", "btrfs", "", False),
        ("btrfs, on two", "btrfs", "", True),
    ]


def can(part, kind):
    if part.quick and kind[1] != "ext4":
        return False
    why_not = Disk.why_not(kind[1])
    if why_not:
        part.skip(kind[0], why_not)
    return not why_not


def cuts_of(part, giver, what, kind, options, two):
    slug = "".join(letter if letter.isalnum() else "-" for letter in what)
    root = os.path.join(part.folder, f"disk-{slug}")
    disks = [Disk(root, root, kind, options)]
    if two:
        disks.append(Disk(f"{root}-share", os.path.join(root, "share"), kind, options))
    scenes = [
        Scene(part, giver, what, root=root, name="deep/er/fetched.bin"),
        Scene(part, giver, what, root=root, resumed=True),
    ]
    try:
        plan = [(scene, point) for scene in scenes for point in where_to_cut(part, scene)]
        part.random.shuffle(plan)
        plan = plan[:4] if part.quick else plan
        named = sum(trial(part, scene, disks, point) for scene, point in plan)
        failures = [failure for scene in scenes for failure in getattr(scene, "failures", [])]
        found = f"whole files only, all {len(plan)} reruns complete, 0 finished files lost"
        if failures:
            found = f"{len(failures)} times not, first {failures[0]}"
        what = f"{2 * len(plan)} power cuts, {what} ({named} times the file had its name by the first)"
        part.figure(what, found, "whole files only, 0 finished ones lost", not failures)
    finally:
        for disk in reversed(disks):
            disk.unmount()
            os.unlink(disk.image)


def where_to_cut(part, scene):
    """Calls, and nothing for a moment left to chance."""
    count_points(scene)
    others = scene.points[STEPS:]
    return scene.points[:STEPS] + part.random.sample(others, min(OTHERS, len(others))) + [None] * MOMENTS


def count_points(scene):
    """Where it can be cut: the calls in the order in which they were made, the last ones first."""
    scene.reset()
    forget(scene.log)
    running = scene.start(*strace(scene.log, CHANGING))
    if running.ends() != 0:
        raise AssertionError(running.errors())
    last = {}
    for at, (call, which) in enumerate(in_order(scene)):
        last[call, which] = at
    scene.points = sorted(points(scene.log, scene.root, CHANGING), key=lambda point: -last[point])


def in_order(scene):
    """Each call of the log as a point, in the order in which they were made."""
    counted = {}
    for line in lines_of(scene.log):
        found = CALL.match(line)
        if found:
            counted[found[1]] = counted.get(found[1], 0) + 1
            yield found[1], counted[found[1]]


def trial(part, scene, disks, point):
    """Cuts the power once, goes on to the end, and cuts it again. Whether the file had its name at the first cut."""
    scene.reset()
    for disk in disks:
        disk.sync()
    if point is None:
        at, code = run_for_a_while(part, scene, disks)
    else:
        at = f"at {point[0]} {point[1]}"
        code = run_to(scene, *point)
        cut(part, disks)
    if code not in (0, -signal.SIGKILL):
        scene.tell(at, [f"it ended with {code}: {scene.said[-300:]}"])
    come_back(disks)
    named = bool(scene.shared())
    wrong = scene.partial()
    if code == 0 and not named:
        wrong.append("the fetch had ended well, and the file is lost")
    scene.tell(at, wrong)
    # And on to the end; what ended well is there for good.
    scene.rerun(at)
    cut(part, disks)
    come_back(disks)
    whole = scene.content.sha1 in scene.shared().values()
    scene.tell(f"{at}, then right after the end", scene.partial() + ([] if whole else ["the finished file is lost"]))
    return named


def run_to(scene, call, which):
    """Runs the fetch until it enters this call, where it is killed: the disk is as the calls before have left it."""
    forget(scene.log)
    running = scene.start(*strace(scene.log, CHANGING, f"{call}:signal=SIGKILL:when={which}"))
    code = running.ends()
    scene.said = running.errors()
    return code


def run_for_a_while(part, scene, disks):
    """Runs the fetch for a random time; the power goes while it runs."""
    running = scene.start()
    wait = part.random.random() * getattr(scene, "takes", 0.12)
    end = time.monotonic() + wait
    while time.monotonic() < end and running.process.poll() is None:
        time.sleep(0.0005)
    ended = running.process.poll()
    if ended == 0:
        scene.takes = max(0.01, 0.9 * wait)
    cut(part, disks)
    if ended is None:
        running.process.kill()
        # It may have ended by itself, of the errors that it got.
        running.ends()
    scene.said = running.errors()
    return f"after {1000 * wait:.1f} ms", -signal.SIGKILL if ended is None else ended


def cut(part, disks):
    """In half of the cases somebody else had synced something just before."""
    if part.random.random() < 0.5:
        for disk in disks:
            disk.unrelated_sync()
    for disk in disks:
        disk.cut()


def come_back(disks):
    """The innermost is unmounted first, and mounted last."""
    for disk in reversed(disks):
        disk.unmount()
    for disk in disks:
        disk.back()
