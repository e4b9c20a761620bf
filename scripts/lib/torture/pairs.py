"""Two of everything: many fetches of one file, a peer and its own fetches, clocks that jump, stops, networks that go."""

import glob
import os
import signal
import time

from bench_network import Network
from torture._machines import LONG, Content, Place, wait_until

MIB = 1 << 20
GIVER, TAKER, OTHER = "127.0.0.1", "127.0.0.2", "127.0.0.3"
TEN_YEARS = 3650
# As d.json counts, in milliseconds.
YEAR = 365 * 86_400 * 1000
LONG_FILE = 64 * MIB


def run(part):
    os.system("ip link set lo up")
    ten_fetches(part)
    sixteen_fetches(part)
    own_peer(part)
    clocks(part)
    stops(part)
    networks(part)


def on_disk(place, content):
    """Bytes of the download that are in `chunks/`, or all of them once it has its name."""
    if any(place.has_name(content, name) for name in os.listdir(place.share)):
        return content.size
    total = 0
    for path in glob.glob(os.path.join(place.chunks, f"{content.sha1}:chunk:*")):
        try:
            total += os.stat(path).st_size
        except OSError:
            pass
    return total


class Folder(Place):
    """A place of which it is told how far a download is."""

    def has_name(self, content, name):
        try:
            return os.stat(os.path.join(self.share, name)).st_size == content.size
        except OSError:
            return False

    def progress(self, content):
        return on_disk(self, content)


def loopback_bytes():
    # Not /sys, which may show another network than this one.
    with open("/proc/net/dev", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.strip().startswith("lo:"))


def holder_of(place, content, running):
    """Which of these processes has the lock on the attrs."""
    try:
        inode = os.stat(os.path.join(place.chunks, f"{content.sha1}:attrs")).st_ino
    except OSError:
        return None
    with open("/proc/locks", encoding="ascii") as file:
        for line in file:
            words = line.split()
            if "->" not in words and "FLOCK" in words and words[5].endswith(f":{inode}"):
                return next((one for one in running if one.pid == int(words[4])), None)
    return None


def ten_fetches(part):
    """Ten fetches of one file in one folder, and the one that is at work is killed."""
    content = Content(part.seed, (6 if part.quick else 32) * MIB)
    giver = Folder(part, "ten-giver", address=GIVER)
    try:
        content.put(giver.share, "file.bin")
        giver.peer("--limit", "16M" if part.quick else "32M")
        alone = Folder(part, "ten-alone", address=TAKER)
        before = loopback_bytes()
        assert alone.fetch(content, "file.bin", GIVER).ends() == 0
        once = loopback_bytes() - before
        end = time.monotonic() + (4 if part.quick else 600)
        rounds = []
        number = 0
        while len(rounds) < (2 if part.quick else 200) and time.monotonic() < end:
            number += 1
            rounds += one_of_ten_is_killed(part, number, content)
    finally:
        giver.end()
    told = f"{len(rounds)} rounds"
    whole = sum(done for done, _, _ in rounds)
    part.figure(f"ten fetches of a file, the one at work killed, {told}", f"{whole} whole, all exit 0", told, whole == len(rounds))
    worst = max(taken for _, taken, _ in rounds)
    part.figure("another one goes on within", f"{worst:.2f} s at most", "1 s", part.quick or worst <= 1)
    # What was granted to the one that died is sent to nobody: the same for a short file as for a long one.
    more = max(came for _, _, came in rounds) - once
    wanted = f"{LONG_FILE / 20 / MIB:.1f} MiB, a twentieth of 64 MiB"
    part.figure("bytes on the network beyond those of one fetch alone", f"{more / MIB:.2f} MiB at most", wanted, more <= LONG_FILE / 20)


def one_of_ten_is_killed(part, number, content):
    """Whether all others came to a good end, after how long one of them went on, and what came over the network; nothing
    where it was done before it could be killed."""
    taker = Folder(part, f"ten-{number}", address=TAKER)
    before = loopback_bytes()
    try:
        fetches = [taker.fetch(content, "file.bin", GIVER) for _ in range(10)]
        enough = part.random.randrange(MIB // 4, content.size // 2)
        wait_until("the first part", lambda: taker.progress(content) >= enough)
        holder = holder_of(taker, content, fetches)
        if holder is None or holder.stop(signal.SIGKILL) != -signal.SIGKILL or os.listdir(taker.share):
            return []
        died, had = time.monotonic(), taker.progress(content)
        wait_until("another one", lambda: taker.progress(content) > had)
        taken = time.monotonic() - died
        codes = [fetch.ends() for fetch in fetches if fetch is not holder]
        whole = codes == [0] * 9 and taker.has(content, "file.bin") and not taker.left()
        whole = whole and os.listdir(taker.share) == ["file.bin"]
        if not whole:
            part.say(f"round {number}: {codes}, share {os.listdir(taker.share)}, left {taker.left()}")
        return [(whole, taken, loopback_bytes() - before)]
    finally:
        taker.end()


def sixteen_fetches(part):
    """A peer, and 16 fetches at once in its folder."""
    contents = [Content(part.seed + 100 + number, MIB // 2) for number in range(16)]
    giver = Folder(part, "many-giver", address=GIVER)
    taker = Folder(part, "many-taker", address=TAKER)
    try:
        for number, content in enumerate(contents):
            content.put(giver.share, f"{number}.bin")
        giver.peer()
        peer = taker.peer("--peer", GIVER)
        fetches = [taker.fetch(content, f"{number}.bin", GIVER) for number, content in enumerate(contents)]
        codes = [fetch.ends() for fetch in fetches]
        there = sum(taker.has(content, f"{number}.bin") for number, content in enumerate(contents))
        holds = codes == [0] * 16 and there == 16 and peer.process.poll() is None and not taker.left()
        part.figure("a peer and 16 fetches at once in its folder", f"{there} whole, {codes.count(0)} exit 0", "16", holds)
    finally:
        giver.end()
        taker.end()


def own_peer(part):
    """A fetch that is told of its own folder's peer as a source, before and beside the one that has it."""
    content = Content(part.seed + 200, 4 * MIB)
    giver = Folder(part, "own-giver", address=GIVER)
    taker = Folder(part, "own-taker", address=TAKER)
    try:
        content.put(giver.share, "file.bin")
        giver.peer("--limit", "8M")
        taker.peer()
        before = loopback_bytes()
        code = taker.fetch(content, "file.bin", TAKER, GIVER).ends()
        ratio = (loopback_bytes() - before) / content.size
        holds = code == 0 and taker.has(content, "file.bin") and not taker.left() and ratio <= 1.1
        part.figure("a fetch from its own machine's peer and another's", f"exit {code}, {ratio:.2f} sizes sent", "0, 1.1", holds)
        other = Folder(part, "own-other", address=OTHER)
        code = other.fetch(content, "copy.bin", TAKER).ends()
        part.figure("a fetch in another folder from the machine's peer", f"exit {code}", "0", code == 0 and other.has(content, "copy.bin"))
        # The same, told of nothing but itself, with the file in place.
        code = taker.fetch(content, "again.bin", TAKER).ends()
        part.figure("a fetch from its own peer of what lies in its folder", f"exit {code}", "0", code == 0 and taker.has(content, "again.bin"))
        other.end()
    finally:
        giver.end()
        taker.end()


def library():
    """The library that tells a program another wall clock."""
    found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1") + glob.glob("/usr/lib/faketime/libfaketime.so.1")
    return found[0] if found else None


class Clock:
    """A wall clock that programs are shown, and that can be set: this machine's own is never touched."""

    def __init__(self, part):
        self.path = os.path.join(part.folder, "clock")
        self.set(0)
        self.environment = {
            **os.environ,
            "LD_PRELOAD": library(),
            "FAKETIME_TIMESTAMP_FILE": self.path,
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, days):
        """So many days from the true time."""
        with open(f"{self.path}.new", "w", encoding="ascii") as file:
            file.write(f"{days:+d}d\n")
        os.rename(f"{self.path}.new", self.path)


def clocks(part):
    """The wall clocks of both jump ten years to and fro, twice a second."""
    if not library():
        part.skip("wall clocks that jump", "no libfaketime here (package faketime)")
        return
    clock = Clock(part)
    content = Content(part.seed + 300, (6 if part.quick else 160) * MIB)
    times, shown = [], []
    for jumps in (False, True):
        giver = Folder(part, f"clock-giver-{jumps}", address=GIVER)
        taker = Folder(part, f"clock-taker-{jumps}", address=TAKER)
        clock.set(0)
        try:
            content.put(giver.share, "file.bin")
            giver.peer("--limit", "8M", env=clock.environment)
            peer = taker.peer("--peer", GIVER, env=clock.environment)
            wait_until("the file to be listed", lambda: "file.bin" in taker.listed())
            begun = time.monotonic()
            fetch = taker.fetch(content, "file.bin", GIVER, env=clock.environment)
            days, late = 0, None
            while fetch.process.poll() is None:
                if jumps:
                    days = {0: TEN_YEARS, TEN_YEARS: -TEN_YEARS}.get(days, 0)
                    clock.set(days)
                if jumps and late is None:
                    late = Content(part.seed + 301, 1000)
                    late.put(giver.share, "late.bin")
                shown.append(taker.directory()["discovered_timestamp"])
                time.sleep(0.5)
            times.append(time.monotonic() - begun)
            whole = fetch.process.poll() == 0 and taker.has(content, "file.bin")
            if jumps:
                wait_until("what came while it jumped", lambda: "late.bin" in taker.listed())
                clock.set(TEN_YEARS)

                def seen():
                    shown.append(taker.directory()["discovered_timestamp"])
                    return max(shown) - min(shown) > 9 * YEAR

                wait_until("d.json with the time that its clock shows", seen)
                part.figure("a transfer while both wall clocks jump ten years", "whole" if whole else fetch.errors(), "whole", whole)
                idle = peer.processor()
                part.figure("processor time of a peer whose clock jumps", f"{idle:.2f} s in {times[-1]:.0f} s", "a tenth", idle <= 0.1 * times[-1] + 0.5)
        finally:
            giver.end()
            taker.end()
    years = (max(shown) - min(shown)) / YEAR
    part.figure("its d.json shows the clock that it is shown", f"{years:.0f} years between two looks", "10 or more", years >= 9)
    ratio = times[1] / times[0]
    part.figure("time of the transfer, against a clock that stands", f"{ratio:.2f} times", "1.05 times", part.quick or ratio <= 1.05)


def stops(part):
    """SIGSTOP of the fetch, of its source, and of both, as when a machine sleeps."""
    span = 1 if part.quick else 60
    content = Content(part.seed + 400, (3 if part.quick else 24) * MIB)
    for who in ("the fetch", "its source", "both, as in suspend")[2 if part.quick else 0 :]:
        giver = Folder(part, f"stop-giver-{len(who)}", address=GIVER)
        taker = Folder(part, f"stop-taker-{len(who)}", address=TAKER)
        try:
            content.put(giver.share, "file.bin")
            peer = giver.peer("--limit", "4M")
            fetch = taker.fetch(content, "file.bin", GIVER)
            wait_until("a part", lambda: taker.progress(content) > MIB // 2)
            stopped = {"the fetch": [fetch], "its source": [peer]}.get(who, [fetch, peer])
            for one in stopped:
                one.process.send_signal(signal.SIGSTOP)
            time.sleep(span)
            had, sent = taker.progress(content), loopback_bytes()
            for one in stopped:
                one.process.send_signal(signal.SIGCONT)
            woke = time.monotonic()
            wait_until("it goes on", lambda: taker.progress(content) > had)
            took = time.monotonic() - woke
            code = fetch.ends()
            whole = code == 0 and taker.has(content, "file.bin") and not taker.left()
            # What is asked for again while its source was stopped is sent twice.
            twice = max(0, loopback_bytes() - sent - (content.size - had) * 1.05) / MIB
            found = f"goes on after {took:.1f} s, exit {code}, {twice:.1f} MiB sent twice"
            part.figure(f"SIGSTOP of {who} for {span} s", found, "2 s, 0, 1 MiB", whole and (part.quick or took <= 2 and twice <= 1))
        finally:
            giver.end()
            taker.end()


def networks(part):
    """Addresses that change, and a network that goes, in the middle of a transfer between two hosts."""
    content = Content(part.seed + 500, (4 if part.quick else 32) * MIB)
    for what, change in (
        ("the source gets another address", lambda giver, _: move(giver, "10.77.1.1")),
        ("the fetch gets another address", lambda _, taker: move(taker, "10.77.1.2")),
        ("the network is away for a while", lambda _, taker: unplug(taker, 1 if part.quick else 10)),
        *([] if part.quick else [("the network is away for 60 s", lambda _, taker: unplug(taker, 60))]),
    ):
        with Network(part.folder, part.tool("link_emulator")) as network:
            hosts = [network.host(number) for number in (0, 1)]
            network.join(*hosts)
            name = "".join(letter if letter.isalnum() else "-" for letter in what)
            giver = Folder(part, f"{name}-giver", host=hosts[0])
            taker = Folder(part, f"{name}-taker", host=hosts[1])
            try:
                content.put(giver.share, "file.bin")
                giver.peer("--limit", "4M")
                fetch = taker.fetch(content, "file.bin", hosts[0].address)
                wait_until("a part", lambda: taker.progress(content) > MIB // 2)
                change(*hosts)
                had, changed = taker.progress(content), time.monotonic()
                wait_until("it goes on", lambda: taker.progress(content) > had + MIB // 2 or fetch.process.poll() == 0)
                took = time.monotonic() - changed
                code = fetch.ends()
                whole = code == 0 and taker.has(content, "file.bin") and not taker.left()
                part.figure(f"{what} in mid-transfer", f"goes on after {took:.1f} s, exit {code}", "5 s, 0", whole and (part.quick or took <= 5))
            finally:
                giver.end()
                taker.end()


def move(host, address):
    host.run("ip", "address", "flush", "dev", "port1", "scope", "global")
    host.run("ip", "address", "add", f"{address}/16", "brd", "+", "dev", "port1")


def unplug(host, seconds):
    host.run("ip", "link", "set", "port1", "down")
    time.sleep(seconds)
    host.run("ip", "link", "set", "port1", "up")
