"""Disks that are full, out of inodes, over quota, read-only for a while, or slow: waits quietly, goes on, never partial."""

import os
import re
import shutil
import signal
import subprocess
import threading
import time

from torture._crash import Giver, Scene, mount_tmpfs
from torture._disks import Disk, is_root
from torture._machines import wait_until
from torture._tracing import lines_of, need_strace, strace, tracee

MIB = 1 << 20
# What may be on a disk at once beyond the size.
SPARE = 4 * MIB
# With --quick no figure is judged that goes by the clock: the machine of a test may be busy.


def run(part):
    need_strace()
    giver = Giver(part, (6 if part.quick else 64) * MIB)
    try:
        full(part, giver, "the disk", lambda scene: scene.root)
        if not part.quick:
            full(part, giver, "the disk of share/", lambda scene: scene.share)
            full(part, giver, "the disk of chunks/", lambda scene: scene.chunks)
            over_quota(part, giver)
        joined(part, giver)
        out_of_inodes(part, giver)
        read_only(part, giver)
        stalls(part, giver)
    finally:
        giver.end()


class Usage:
    """The most that was ever on some file systems together, looked at all the time."""

    def __init__(self, *places):
        self.places, self.most, self.over = places, 0, threading.Event()
        self.before = self.now()
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def now(self):
        stats = {os.stat(place).st_dev: os.statvfs(place) for place in self.places}
        return sum((stat.f_blocks - stat.f_bfree) * stat.f_frsize for stat in stats.values())

    def follow(self):
        while not self.over.is_set():
            self.most = max(self.most, self.now() - self.before)
            time.sleep(0.001)

    def end(self):
        self.over.set()
        self.thread.join()
        return self.most


def scene_on(part, giver, what):
    return Scene(part, giver, what, root=part.new_folder(what.replace(" ", "-").replace("/", "")))


def full(part, giver, what, place_of):
    """A disk with room for three quarters, until there is more."""
    scene = scene_on(part, giver, f"full {what}")
    place = place_of(scene)
    size = scene.content.size
    mount_tmpfs(place, f"{size * 3 // 4 // 1024}k")
    for folder in {scene.share, scene.chunks} - {place}:
        if place != scene.root:
            mount_tmpfs(folder, f"{4 * size // 1024}k")
    usage = Usage(place)
    found = {}

    def follow(running):
        wait_until("no room", lambda: "make room" in running.errors())
        found["share"], found["tries"] = waiting(part, running, 3 if part.quick else 19)
        found["partial"] = scene.partial()
        remount(place, f"size={4 * size // 1024}k")
        begun = time.monotonic()
        wait_until("going on", lambda: usage.now() > size * 3 // 4 or running.process.poll() is not None)
        found["seconds"] = time.monotonic() - begun

    code = scene.watched(how=follow)
    scene.tell("in the end", [] if code == 0 else [f"it ended with {code}: {scene.said[-300:]}"])
    scene.tell("in the end", found.get("partial", []) + (scene.is_done() if code == 0 else []))
    over = usage.end() - size
    wrong = getattr(scene, "failures", [])
    part.figure(f"{what} is full: what is in share/", wrong[0] if wrong else "nothing partial, then the file", "", not wrong)
    if not wrong:
        quiet(part, f"{what} is full", found["share"], found["tries"])
        seconds = found["seconds"]
        part.figure(f"{what} has room again: until it goes on", f"{seconds:.1f} s", "10 s", part.quick or seconds <= 10)
        most = SPARE + size // 100
        part.figure(f"{what}: the most that was on it", f"size + {over / MIB:.1f} MiB", "size + 4 MiB + 1 %", over <= most)


def joined(part, giver):
    """Nearly all of the file is in a chunk file that is moved to the end of another one before it is published."""
    scene = scene_on(part, giver, "joined")
    scene.resumed = True
    mount_tmpfs(scene.root, f"{4 * scene.content.size // 1024}k")
    usage = Usage(scene.root)
    scene.reset()
    code = scene.watched()
    scene.tell("joined", scene.is_done() if code == 0 else [f"it ended with {code}: {scene.said[-300:]}"])
    over = usage.end() - scene.content.size
    failures = getattr(scene, "failures", [])
    found = failures[0] if failures else f"size + {over / MIB:.1f} MiB"
    most = SPARE + scene.content.size // 100
    what = "chunk files that are joined: the most that was on the disk"
    part.figure(what, found, "size + 4 MiB + 1 %", over <= most and not failures)


def quiet(part, what, share, tries):
    part.figure(f"{what}: processor while waiting", f"{100 * share:.1f} % of a core", "< 5 %", share < 0.05)
    if tries is not None:
        part.figure(f"{what}: time between two further attempts", f"{tries:.1f} s at least", "5 s", tries >= 4.9)


def waiting(part, running, seconds):
    """The share of a core that is used while waiting, and the shortest time between two further attempts."""
    log = os.path.join(part.folder, "attempts")
    watching = subprocess.Popen(["strace", "-f", "-ttt", "-qq", "-Z", "-o", log, "-e", "trace=%file,%desc", "-p", str(running.pid)])
    before, begun = running.processor(), time.monotonic()
    time.sleep(seconds)
    used = running.processor() - before
    share = used / (time.monotonic() - begun)
    watching.send_signal(signal.SIGINT)
    watching.wait()
    failed = [float(found[1]) for line in lines_of(log) if (found := re.match(r"\d+ +([\d.]+) .*(ENOSPC|EDQUOT)", line))]
    apart = [later - earlier for earlier, later in zip(failed, failed[1:]) if later - earlier > 0.5]
    return share, min(apart, default=None)


def remount(place, options):
    subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)


def over_quota(part, giver):
    """The 30th write and the three after it are over the quota."""
    scene = scene_on(part, giver, "over quota")
    scene.reset()
    code = scene.watched(*strace(scene.log, ["pwrite64"], "pwrite64:error=EDQUOT:when=30..33"))
    wrong = scene.wrong + (scene.is_done() if code == 0 else [f"it ended with {code}: {scene.said[-300:]}"])
    refused = sum("EDQUOT" in line for line in lines_of(scene.log))
    found = f"{refused} refused, then the file"
    part.figure("writes over a quota, for a while", wrong[0] if wrong else found, "waits, then completes", not wrong)


def out_of_inodes(part, giver):
    """No file can be made, in a folder of which nothing is there yet, and in one where the folders are."""
    for folders in (False, True):
        scene = scene_on(part, giver, f"no inodes {folders}")
        mount_tmpfs(scene.root, "64m" if part.quick else "256m", ",nr_inodes=" + ("3" if folders else "1"))
        if folders:
            os.makedirs(scene.share)
            os.makedirs(scene.chunks)
        begun = {}

        def more(running):
            wait_until("no room", lambda: "make room" in running.errors() or running.process.poll() is not None)
            remount(scene.root, "nr_inodes=1000")
            begun["at"] = time.monotonic()
            attrs = os.path.join(scene.chunks, f"{scene.content.sha1}:attrs")
            wait_until("going on", lambda: os.path.exists(attrs) or running.process.poll() is not None)
            begun["goes on"] = time.monotonic()

        if not folders:
            # There is nothing to watch yet.
            running = scene.start()
            more(running)
            code, scene.said = running.ends(), running.errors()
        else:
            code = scene.watched(how=more)
        what = "no inodes left" + (", share/ and chunks/ are there" if folders else ", nothing is there")
        if code == 75:
            scene.rerun("with inodes")
            found = "ends with 75 and a sentence, the next run completes"
            part.figure(what, found, "waits or ends with 75, then completes", not getattr(scene, "failures", []))
            continue
        wrong = scene.wrong + (scene.is_done() if code == 0 else [f"it ended with {code}: {scene.said[-300:]}"])
        seconds = begun["goes on"] - begun["at"]
        found = wrong[0] if wrong else f"waits; goes on {seconds:.1f} s after there were some, and completes"
        holds = not wrong and (part.quick or seconds <= 10)
        part.figure(what, found, "waits or ends with 75; goes on within 10 s", holds)


def read_only(part, giver):
    """The file system becomes read-only in the middle of the fetch, as after an error of its disk; later it is mended."""
    what = "a file system becomes read-only, and writable again"
    if not is_root():
        return part.skip(what, "only root of the machine can make an error of a disk")
    scene = scene_on(part, giver, "read only")
    disk = Disk(os.path.join(part.folder, "read-only"), scene.root, "ext4", "errors=remount-ro", 4 * scene.content.size >> 20)
    device = os.path.basename(subprocess.check_output(["findmnt", "-no", "SOURCE", scene.root], text=True).strip())
    trigger = f"/sys/fs/ext4/{device}/trigger_fs_error"
    if not os.path.exists(trigger):
        return part.skip(what, f"there is no {trigger}")

    def forbid(running):
        first = os.path.join(scene.chunks, f"{scene.content.sha1}:chunk:0")
        wait_until("a chunk", lambda: os.path.exists(first) and os.path.getsize(first) > MIB // 2)
        with open(trigger, "w", encoding="ascii") as file:
            file.write("1")

    code = scene.watched(options=("--limit", "2M"), how=forbid)
    sentences = [line for line in scene.said.splitlines() if line.startswith("sprat: ")]
    wrong = [] if code in (1, 75) and len(sentences) == 1 else [f"it ended with {code}: {scene.said[-300:]}"]
    disk.unmount()
    subprocess.run(["e2fsck", "-fy", disk.image], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    disk.mount()
    scene.tell("read-only", wrong)
    scene.rerun("writable again")
    disk.unmount()
    failures = getattr(scene, "failures", [])
    found = failures[0] if failures else f"ends with {code} ({sentences[0][7:] if sentences else ''}), the next run completes"
    part.figure(what, found, "a sentence, then completes", not failures)


def stalls(part, giver):
    """A disk that takes 0.3 s for a write now and then, and a process that is stopped now and then."""
    times = 2 if part.quick else 20
    scene = scene_on(part, giver, "stalls")

    def seconds(*before, how=None):
        scene.reset()
        begun = time.monotonic()
        code = scene.watched(*before, how=how)
        scene.tell("a run", [] if code == 0 else [f"it ended with {code}: {scene.said[-300:]}"])
        return time.monotonic() - begun

    def stop_it(running):
        for _ in range(times):
            process = tracee(running) or running.pid
            try:
                os.kill(process, signal.SIGSTOP)
                time.sleep(0.5)
                os.kill(process, signal.SIGCONT)
            except ProcessLookupError:
                return
            time.sleep(0.05)

    watched = ["pwrite64", "fsync"]
    plain = min(seconds(*strace(scene.log, watched)) for _ in range(2))
    writes = sum("pwrite64(" in line for line in lines_of(scene.log))
    every = max(1, writes // (times + 1))
    errors = receive_errors()
    delayed = seconds(*strace(scene.log, watched, f"pwrite64:delay_enter=300000:when={every}..{every * times}+{every}"))
    delays = times
    judge(part, f"a write takes 0.3 s, {delays} times", plain, delayed, 0.3 * delays, receive_errors() - errors)
    errors = receive_errors()
    stopped = seconds(*strace(scene.log, watched), how=stop_it)
    part.figure(
        f"stopped (SIGSTOP) for 0.5 s, up to {times} times: packets that found the buffer full",
        f"{receive_errors() - errors} (took {stopped:.1f} s, {plain:.1f} s undisturbed)",
        "0",
        receive_errors() == errors,
    )
    failures = getattr(scene, "failures", [])
    part.figure("files after stalls", failures[0] if failures else "whole", "whole", not failures)
    shutil.rmtree(scene.root, ignore_errors=True)


def judge(part, what, plain, taken, stalled, dropped):
    # No test goes by the clock.
    allowed = 60 if part.quick else 1.1 * (plain + stalled)
    part.figure(f"{what}: packets that found the buffer full", dropped, "0", dropped == 0)
    found = f"{taken:.1f} s; {plain:.1f} s without, {stalled:.1f} s stalled"
    part.figure(f"{what}: how long it takes", found, "at most a tenth more than both", taken <= allowed)


def receive_errors():
    """Packets that the kernel threw away because a receive buffer was full, in this network namespace."""
    with open("/proc/net/snmp", encoding="ascii") as file:
        head, values = [line.split() for line in file if line.startswith("Udp:")][:2]
    return int(values[head.index("RcvbufErrors")])
