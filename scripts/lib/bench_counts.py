"""System calls and instructions per MiB, of a peer and of a fetch, as text that is the same from run to run.

    bench_counts.py PROGRAM FOLDER
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time

MiB = 1 << 20
RUNS = 3
# So many MiB: for system calls, and for instructions, which are counted slowly.
CALLS, INSTRUCTIONS = 64, 16
HERE = "127.0.0.1"
# Which of these is called for one datagram or for several is no matter.
TOGETHER = {
    "sendto": "send", "sendmsg": "send", "sendmmsg": "send",
    "recvfrom": "receive", "recvmsg": "receive", "recvmmsg": "receive",
}
# How often these are called is a matter of who wakes when: of these the median, up to 1, 3, 10, 30 and so on.
BY_CHANCE = {"peer": ("receive", "epoll_wait"), "fetch": ("receive", "epoll_wait", "send")}


def random_file(path, size):
    """A file of the same bytes in every run; gives its SHA-1."""
    state, digest = b"sprat", hashlib.sha1()
    with open(path, "wb") as file:
        for _ in range(size // MiB or 1):
            state = hashlib.sha256(state).digest()
            part = hashlib.shake_128(state).digest(min(size, MiB))
            file.write(part)
            digest.update(part)
    return digest.hexdigest()


class Pair:
    """A peer that serves a file, and what fetches it."""

    def __init__(self, program, folder, mebibytes):
        self.program, self.folder, self.size = program, folder, mebibytes * MiB
        os.makedirs(os.path.join(folder, "a/share"), exist_ok=True)
        self.sha1 = random_file(os.path.join(folder, "a/share/file"), self.size)
        self.ready = random_file(os.path.join(folder, "a/share/ready"), 1)

    def fetch(self, before, sha1, size):
        into = os.path.join(self.folder, "b")
        shutil.rmtree(into, ignore_errors=True)
        command = [self.program, "-q", "--root", into, "--bind", HERE, "--timeout", "120"]
        command += ["fetch", sha1, "file", str(size), HERE]
        subprocess.run([*before, *command], check=True, stderr=subprocess.DEVNULL)

    def run(self, before_peer, before_fetch):
        """One transfer, with something before the commands of the two."""
        command = [self.program, "-q", "--root", os.path.join(self.folder, "a"), "--bind", HERE, "peer"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        peer = subprocess.Popen([*before_peer, *command], **quiet)
        # Both files settle at the same time, so that the large one is there when the small one is.
        self.fetch([], self.ready, 1)
        time.sleep(0.3)
        if before_fetch is not None:
            self.fetch(before_fetch, self.sha1, self.size)
        pid = peer.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
            pid = int((children.read().split() or [pid])[0])
        os.kill(pid, signal.SIGINT)
        peer.wait()


def calls(path):
    """strace's table: how often each call was made."""
    found = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            words = line.split()
            if len(words) >= 5 and words[3].isdigit() and words[-1] != "total":
                name = TOGETHER.get(words[-1], words[-1])
                found[name] = found.get(name, 0) + int(words[3])
    return found


def rounded_up(value):
    """The next of 1, 3, 10, 30, 100 and so on."""
    step = 1
    while True:
        for factor in (1, 3):
            if value <= step * factor:
                return step * factor
        step *= 10


def system_calls(program, folder):
    pair = Pair(program, folder, CALLS)
    pair.run([], None)
    counts = {"peer": [], "fetch": []}
    for _ in range(RUNS):
        counted = {side: os.path.join(folder, f"calls-{side}") for side in counts}
        trace = {side: ["strace", "-f", "-c", "-o", path] for side, path in counted.items()}
        pair.run(trace["peer"], trace["fetch"])
        for side, path in counted.items():
            counts[side].append(calls(path))
    print(f"System calls per MiB, {CALLS} MiB over loopback; those of at least one per MiB")
    for side, runs in counts.items():
        print(f"\n{side}")
        for name in sorted({name for run in runs for name in run}):
            found = sorted(run.get(name, 0) / CALLS for run in runs)
            if name in BY_CHANCE[side]:
                print(f"  {name:<12} up to {rounded_up(found[RUNS // 2])}")
            elif found[0] >= 0.95:
                print(f"  {name:<12} {found[0]:.0f}")


def instructions(program, folder):
    """What callgrind counts; of the peer, what a transfer adds."""
    pair = Pair(program, folder, INSTRUCTIONS)
    pair.run([], None)
    found = {}
    for name in ("idle", "peer"):
        log = os.path.join(folder, f"instructions-{name}")
        pair.run(valgrind(log), None if name == "idle" else [])
        found[name] = collected(log)
    log = os.path.join(folder, "instructions-fetch")
    pair.run([], valgrind(log))
    found["fetch"] = collected(log)
    print(f"\nInstructions per MiB, {INSTRUCTIONS} MiB over loopback, in thousands, by callgrind\n")
    for side, count in (("peer", found["peer"] - found["idle"]), ("fetch", found["fetch"])):
        print(f"  {side:<12} {rounded(count / INSTRUCTIONS / 1000)}")


def valgrind(log):
    return ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log}"]


def collected(log):
    with open(log, encoding="utf-8") as file:
        return int(re.search(r"Collected : (\d+)", file.read()).group(1))


def rounded(value):
    """To half of its first digit's step: 200, 250, 300."""
    step = 10 ** (len(str(int(value))) - 1) / 2
    return int(round(value / step) * step)


def main():
    program, folder = sys.argv[1:]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    system_calls(program, os.path.join(folder, "calls"))
    instructions(program, os.path.join(folder, "instructions"))


main()
