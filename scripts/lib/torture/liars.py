"""Liars: seven of eight sources lie, each manner of it, and the file arrives; and an honest host is framed in vain.

Eight hosts on a switch, each behind a limited link. What came to the fetching host is counted by its interface, and what
comes beyond what the honest host alone takes to give the file is waste, whoever sent it.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from bench_network import Network
from torture._machines import LONG, PORT, Content, Place, wait_until

MiB = 1 << 20
LIARS = 7
PROMISED = "done in twice the time, 5 % and 1 MiB, 2 blocks, each named once"
# Lines of `-v` that may speak of one liar: however many packets it sends, it does not fill a disk.
LINES_MOST = 40
# Genuine packets that are kept to be said again later.
CAPTURED = 100
GENUINE_LENGTH = 20 + 1_408


@dataclass
class Lie:
    """One manner of lying, and what is to be seen of it."""

    what: str
    manner: str
    # Whether it is proof: who does it is named in a warning, and out of use after two blocks.
    proof: bool = True
    # Liars of one seed tell the same lie.
    together: bool = False
    # In the quick share as well.
    quick: bool = False


LIES = [
    Lie("one bit of each packet", "flips=1", quick=True),
    Lie("one bit of one packet in 200", "flips=200"),
    Lie("an invented beginning of 90 %, a true end", "front=90"),
    Lie("a false chain all through, each another", "front=100"),
    Lie("seven that tell the same false chain", "front=100", together=True, quick=True),
    Lie("seven that tell the same false beginning of 50 %", "front=50", together=True),
    Lie("a true beginning of 50 %, an invented end", "back=50"),
    Lie("true for 4 MiB, then false", f"true-until={4 * MiB}"),
    Lie("another size", "size=70000"),
    Lie("a packet in 20 ms", "drips=20", proof=False),
    Lie("a packet in 2 s", "drips=2000", proof=False),
    Lie("silent at 99 %", "stalls=99", proof=False, quick=True),
    Lie("other bytes than those asked for", "shifted"),
    Lie("bytes that were not asked for", "beyond", proof=False),
    Lie("a chain that is not the one told of", "meta"),
    Lie("another chain in each answer", "chains", proof=False),
    Lie("says that it has all parts, refuses them", "holds-all", proof=False),
    Lie("says that it has all parts, is silent", "holds-silent", proof=False),
    Lie("refuses, with each reason in turn", "refuses", proof=False),
    Lie("bytes of a file as those of a chain", "kinds"),
]


class Scene:
    """A fetching host, an honest one and seven liars on a switch, for one case or several."""

    def __init__(self, part, network, content, mbit, sources=1 + LIARS):
        self.part, self.network, self.content = part, network, content
        self.switch = network.switch()
        self.hosts = [network.host(number) for number in range(1 + sources)]
        for host in self.hosts:
            network.join(host, self.switch)
        for host in self.hosts[1:]:
            limit(host, mbit)
        network.introduce()
        self.fetching, self.honest_host, self.liar_hosts = self.hosts[0], self.hosts[1], self.hosts[2:]
        self.file = content.put(part.folder, "file.bin")
        self.cases = 0
        self.honest = None

    def start_honest(self):
        self.honest = Place(self.part, f"honest-{self.cases}", self.honest_host)
        self.content.put(self.honest.share, "file.bin")
        self.honest.peer("--quiet")
        # Offered only once it has settled.
        looking = Place(self.part, "looking", self.fetching)
        look = looking.command("--peer", self.honest_host.address, "ls", "--json", self.content.sha1)
        wait_until("the honest one's offer", lambda: self.content.sha1 in subprocess.run(
            look, capture_output=True, text=True, check=False).stdout)
        return self.honest

    def liar(self, host, manner, seed=1, *options):
        """A liar on a host; its report is there once it has ended."""
        report = os.path.join(self.part.folder, f"liar-{self.cases}-{host.address}")
        command = [self.part.tool("liar"), "--file", self.file, "--bind", f"{host.address}:{PORT}"]
        command += ["--as", manner, "--seed", str(seed), "--report", report, *options]
        log = f"{report}.log"
        with open(log, "ab") as out:
            process = subprocess.Popen(host.enter(*command), stdout=out, stderr=out)
        self.network.processes.append(process)

        def is_ready():
            if process.poll() is not None:
                raise AssertionError(f"the liar ended: {read(log)}")
            return "ready" in read(log)

        wait_until("a liar", is_ready)
        return process, report

    def fetch(self, sources, seconds=120):
        """Fetches the file, and says how it went."""
        self.cases += 1
        place = Place(self.part, f"fetch-{self.cases}", self.fetching)
        before, began = received(self.fetching), time.monotonic()
        addresses = [host.address for host in sources]
        fetch = place.fetch(self.content, "got.bin", *addresses, options=("-v",))
        try:
            code = fetch.ends(seconds)
            took = time.monotonic() - began
        finally:
            place.end()
        done = code == 0 and place.has(self.content, "got.bin")
        log = fetch.errors()
        empty(place)
        return Outcome(done, took, received(self.fetching) - before, log)


@dataclass
class Outcome:
    done: bool
    seconds: float
    came: int
    log: str

    def warnings_of(self, address):
        """The lines at the usual verbosity that name a host."""
        return [line for line in self.log.splitlines() if "[WARN]" in line and names(line, address)]

    def warnings_but(self, addresses):
        """The lines at the usual verbosity that name nobody of these, but for what has nothing to do with sources."""
        found = [line for line in self.log.splitlines() if "[WARN]" in line and re.search(r"\d+\.\d+\.\d+|::", line)]
        return [line for line in found if not any(names(line, address) for address in addresses)]

    def blames(self, address):
        """How many bad blocks it is said to have given."""
        counts = re.findall(rf"{re.escape(address)}(?::\d+)? bad so far: (\d+)", self.log)
        return max(map(int, counts), default=0)


def names(line, address):
    return re.search(rf"(^|[^\d.]){re.escape(address)}($|[^\d.])", line) is not None


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def empty(place):
    for name in os.listdir(place.share):
        os.unlink(os.path.join(place.share, name))


def limit(host, mbit):
    """What leaves a host is this fast at most; 50 ms of it may wait."""
    rate = ["rate", f"{mbit}mbit", "burst", "64kb", "limit", str(max(mbit * 125_000 // 20, 100_000))]
    host.run("tc", "qdisc", "replace", "dev", "port1", "root", "tbf", *rate)


def received(host):
    told = json.loads(host.run("ip", "-s", "-j", "link", "show", "dev", "port1"))
    return told[0]["stats64"]["rx"]["bytes"]


def end_all(liars):
    """Ends liars; what they report."""
    for process, _ in liars:
        process.terminate()
    for process, _ in liars:
        process.wait(LONG)
    return [json.loads(read(report)) for _, report in liars]


def run(part):
    if part.quick:
        every_lie(part, [lie for lie in LIES if lie.quick], 6 * MiB, 200)
        framed(part, 8 * MiB, 1, 100)
        return
    every_lie(part, LIES, 100 * MiB, 200)
    only_liars_first(part, 100 * MiB, 60, 200)
    changing(part, 100 * MiB, 200)
    second_way(part, 100 * MiB, 200)
    framed(part, 100 * MiB, 3, 200)


def every_lie(part, lies, size, mbit):
    """One honest source of eight."""
    content = Content(part.seed, size)
    with Network(part.folder, part.tool("link_emulator")) as network:
        scene = Scene(part, network, content, mbit)
        scene.start_honest()
        alone = [scene.fetch([scene.honest_host])]
        part.say(f"the honest one alone: {alone[0].seconds:.2f} s, {alone[0].came} bytes")
        part.figure(f"{size // MiB} MiB from the honest one alone", "done" if alone[0].done else alone[0].log[-500:],
                    "done", alone[0].done)
        for lie in lies:
            beside(part, scene, lie, alone[0])
        scene.honest.end()


def beside(part, scene, lie, alone):
    size = scene.content.size
    liars = []
    for number, host in enumerate(scene.liar_hosts):
        liars.append(scene.liar(host, lie.manner, 1 if lie.together else number + 1))
    # Liars first, so that they come first wherever the order decides.
    outcome = scene.fetch([*scene.liar_hosts, scene.honest_host])
    reports = end_all(liars)
    # With headers.
    unasked = sum(report["gave_unasked"] for report in reports) * 105 // 100
    waste = outcome.came - alone.came - unasked
    ratio = outcome.seconds / alone.seconds
    addresses = [host.address for host in scene.liar_hosts]
    lines = [len(outcome.warnings_of(address)) for address in addresses]
    blames = max(outcome.blames(address) for address in addresses)
    said = max(sum(names(line, address) for line in outcome.log.splitlines()) for address in addresses)
    asked, asked_on = (max(report[field] for report in reports) for field in ("asked", "asked_on"))
    # Where the honest one is done before a liar is asked, there is nothing to name.
    caught = zip(addresses, (lie.proof and report["bad_blocks"] > 0 for report in reports), lines)
    troubles = [f"{address} not named" for address, lied, count in caught if lied and not count]
    troubles += [f"the honest one blamed: {line}" for line in outcome.warnings_but(addresses)]
    checks = {
        "not done": outcome.done,
        "too much wasted": waste <= size // 20 + MiB,
        # A short transfer is mostly getting to know each other.
        "too slow": ratio <= 2 or part.quick,
        "too many bad blocks": blames <= 2,
        f"{asked_on} bytes asked for after two": asked_on == 0,
        "named more than once": max(lines) <= 1,
        f"{said} lines of one": said <= LINES_MOST,
    }
    troubles += [trouble for trouble, holds in checks.items() if not holds]
    found = [f"{ratio:.2f} of the time", f"{waste / size:.1%} wasted", f"{blames} bad blocks of one at most"]
    found += [f"{sum(map(bool, lines))} of {LIARS} named"] if any(lines) else []
    found += [f"{asked / size:.1%} asked of one at most", *troubles]
    part.figure(lie.what, ", ".join(found), PROMISED, not troubles)
    if troubles:
        part.say("\n".join(outcome.log.splitlines()[-40:]))


def only_liars_first(part, size, seconds, mbit):
    """Nobody but liars, and then an honest one."""
    content = Content(part.seed, size)
    with Network(part.folder, part.tool("link_emulator")) as network:
        scene = Scene(part, network, content, mbit)
        scene.start_honest()
        alone = scene.fetch([scene.honest_host])
        scene.honest.end()
        for what, manner in (
            ("one bit of each packet", "flips=1"),
            ("a false chain all through", "front=100"),
            ("an invented beginning of 90 %, a true end", "front=90"),
        ):
            liars_for_a_while(part, scene, what, manner, seconds, alone)


def liars_for_a_while(part, scene, what, manner, seconds, alone):
    size = scene.content.size
    liars = [scene.liar(host, manner) for host in scene.liar_hosts]
    scene.cases += 1
    place = Place(part, f"fetch-{scene.cases}", scene.fetching)
    before = received(scene.fetching)
    addresses = [host.address for host in scene.hosts[1:]]
    fetch = place.fetch(scene.content, "got.bin", *addresses, options=("-v",))
    end = time.monotonic() + seconds
    while time.monotonic() < end and fetch.process.poll() is None:
        time.sleep(0.05)
    waste = received(scene.fetching) - before
    ended_early = fetch.process.poll() is not None
    began = time.monotonic()
    scene.start_honest()
    fetch.ends()
    took = time.monotonic() - began
    done = fetch.process.returncode == 0 and place.has(scene.content, "got.bin")
    reports = end_all(liars)
    scene.honest.end()
    honest = Outcome(done, took, 0, fetch.errors()).warnings_of(scene.honest_host.address)
    # It is offered a second after it has been put there, and asked for what it has every three.
    ratio = max(0, took - 4) / alone.seconds
    holds = done and not ended_early and waste <= size // 20 + MiB and ratio <= 1.5 and not honest
    part.figure(
        f"only liars for {seconds} s ({what}), then an honest one",
        f"{waste / size:.1%} wasted before, {sum(report['asked'] for report in reports) / size:.1%} asked of liars, "
        f"done {took:.1f} s after the honest one was started ({alone.seconds:.1f} s alone)",
        "5 % + 1 MiB before, then 1.5 times and 4 s to be found", holds,
    )
    if not holds:
        part.say("\n".join(fetch.errors().splitlines()[-30:]))
    empty(place)


def changing(part, size, mbit):
    """A file changes under an honest host while it is being fetched, beside another that keeps it."""
    content = Content(part.seed, size)
    for what, change in (("is edited in place", edit), ("is replaced", replace), ("is cut", cut)):
        with Network(part.folder, part.tool("link_emulator")) as network:
            scene = Scene(part, network, content, mbit, 2)
            scene.start_honest()
            other = Place(part, f"changing-{scene.cases}", scene.liar_hosts[0])
            path = content.put(other.share, "file.bin")
            other.peer("--quiet")
            time.sleep(1.5)
            place = Place(part, "fetching", scene.fetching)
            began = time.monotonic()
            addresses = [host.address for host in scene.hosts[1:]]
            fetch = place.fetch(content, "got.bin", *addresses, options=("-v",))
            wait_until("a quarter", lambda: held(place) > size // 4 or fetch.process.poll() is not None)
            change(path, content)
            code = fetch.ends(120)
            took = time.monotonic() - began
            outcome = Outcome(code == 0 and place.has(content, "got.bin"), took, 0, fetch.errors())
            wrong = sum(len(outcome.warnings_of(host.address)) for host in scene.hosts[1:])
            found = f"{'done' if outcome.done else 'NOT DONE'} in {took:.1f} s, {wrong} warnings"
            part.figure(f"a file that {what} under one of two honest hosts", found, "done", outcome.done)
            if not outcome.done or wrong:
                part.say("\n".join(outcome.log.splitlines()[-20:]))
            scene.honest.end()
            other.end()
            empty(place)


def held(place):
    return sum(os.path.getsize(os.path.join(place.chunks, name)) for name in place.left() if ":chunk:" in name)


def edit(path, content):
    with open(path, "r+b") as file:
        for offset in range(0, content.size, 65_536):
            file.seek(offset)
            file.write(b"changed")


def replace(path, content):
    os.rename(Content(5, content.size).put(os.path.dirname(path), "other.bin"), path)


def cut(path, content):
    os.truncate(path, content.size // 2)


def second_way(part, size, mbit):
    """A stranger that says to be the honest host, and gives good bytes, so that it looks like a second way to it."""
    content = Content(part.seed, size)
    with Network(part.folder, part.tool("link_emulator")) as network:
        scene = Scene(part, network, content, mbit, 2)
        # The stranger could give more, and so comes first.
        limit(scene.honest_host, mbit // 2)
        scene.start_honest()
        alone = scene.fetch([scene.honest_host])
        instance = instance_of(scene)
        for what, manner in (
            ("0.6 MB/s from the beginning", "pace=600000"),
            ("the first 8 MiB at once, then 0.6 MB/s", f"slows={8 * MiB}/600000"),
            ("the first 8 MiB at once, then 20 kB/s", f"slows={8 * MiB}/20000"),
            ("half of its rate", f"pace={mbit * 125_000 // 4}"),
            ("a packet in 20 ms", "drips=20"),
        ):
            stranger = scene.liar(scene.liar_hosts[0], manner, 1, "--instance", instance)
            outcome = scene.fetch([scene.liar_hosts[0], scene.honest_host])
            report = end_all([stranger])[0]
            ratio = outcome.seconds / alone.seconds
            # What it takes to find out that they are two.
            holds = outcome.done and outcome.seconds <= alone.seconds * 1.1 + 3
            found = f"{ratio:.2f} of the time of the honest one alone, {report['gave'] / size:.1%} given by it"
            part.figure(f"a stranger that says to be the honest host gives {what}", found, "1.1 and 3 s", holds)
            if not holds:
                part.say("\n".join(outcome.log.splitlines()[-30:]))
        scene.honest.end()


def instance_of(scene):
    """Who the honest host says it is."""
    looking = Place(scene.part, "looking", scene.fetching)
    command = looking.command("--peer", scene.honest_host.address, "peers", "--json")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    hosts = [json.loads(line) for line in done.stdout.splitlines()]
    return next(host["instance"] for host in hosts if host["host"] == scene.honest_host.address)


KINDS = ("data", "counts", "offsets", "meta", "replay", "refuse", "tell", "farewell", "news")
FLOOD = 10_000


def framed(part, size, rounds, mbit):
    """Datagrams in the name of the honest host, beside what it sends."""
    content = Content(part.seed, size)
    with Network(part.folder, part.tool("link_emulator")) as network:
        scene = Scene(part, network, content, mbit, 2)
        scene.start_honest()
        replayed = os.path.join(part.folder, "genuine")
        capture(scene, replayed)
        times = {"not": [], "elsewhere": [], "framed": []}
        dropped, warned, done, packets = 0, [], True, 0
        for _ in range(rounds):
            for how in times:
                outcome, framing = fetch_framed(scene, how, replayed)
                times[how].append(outcome.seconds)
                done &= outcome.done
                warned += outcome.warnings_of(scene.honest_host.address)
                if how == "framed":
                    packets += framing["packets"]
                    blames = outcome.blames(scene.honest_host.address)
                    counted = re.findall(r"dropped: (.*)", outcome.log)
        best = {how: min(found) for how, found in times.items()}
        speed, control = best["not"] / best["framed"], best["elsewhere"] / best["framed"]
        found = [
            "done" if done else "NOT DONE", f"{speed:.0%} of the speed without",
            f"{control:.0%} of that with the same flood to another port", f"{packets} packets",
            f"{blames} blames", f"{len(warned)} warnings", f"counted as {counted[-1]}",
        ]
        holds = done and not warned and not blames and (max(speed, control) >= 0.9 or part.quick)
        what = f"{FLOOD} packets a second in the name of the honest host ({', '.join(KINDS)})"
        part.figure(what, ", ".join(found), "90 % of the speed, no blame", holds)
        scene.honest.end()


def capture(scene, path):
    """Genuine packets of an earlier fetch, as they came."""
    script = os.path.abspath(__file__)
    process = subprocess.Popen(
        scene.fetching.enter(sys.executable, script, path, scene.honest_host.address), stdout=subprocess.PIPE
    )
    process.stdout.readline()
    scene.fetch([scene.honest_host])
    if process.wait(LONG) != 0:
        raise AssertionError("no packets were captured")


def fetch_framed(scene, how, replayed):
    """A fetch, with somebody who says things in the name of the honest host: to it, to another port, or to nobody."""
    scene.cases += 1
    place = Place(scene.part, f"fetch-{scene.cases}", scene.fetching)
    began = time.monotonic()
    fetch = place.fetch(scene.content, "got.bin", scene.honest_host.address, options=("-v",))
    framing, report = None, os.path.join(scene.part.folder, "framing")
    try:
        if how != "not":
            wait_until("its port", lambda: port_of(scene.fetching) or fetch.process.poll() is not None)
            port = port_of(scene.fetching) if how == "framed" else 9_999
            command = [scene.part.tool("liar"), "--frame", f"{scene.honest_host.address}:{PORT}"]
            command += ["--to", f"{scene.fetching.address}:{port or 1}", "--with", ",".join(KINDS)]
            command += ["--rate", str(FLOOD), "--replay", replayed, "--report", report]
            framing = scene.network.start(scene.liar_hosts[0], *command, log=f"{report}.log")
        fetch.ends(120)
        took = time.monotonic() - began
    finally:
        place.end()
    told = {}
    if framing:
        framing.terminate()
        framing.wait(LONG)
        if framing.returncode != 0:
            raise AssertionError(read(f"{report}.log"))
        told = json.loads(read(report))
    done = fetch.process.returncode == 0 and place.has(scene.content, "got.bin")
    log = fetch.errors()
    empty(place)
    return Outcome(done, took, 0, log), told


def port_of(host):
    """The UDP port that is open there."""
    lines = host.run("ss", "--udp", "--listening", "--numeric", "--no-header").splitlines()
    ports = [int(line.split()[3].rsplit(":", 1)[1]) for line in lines]
    return ports[0] if ports else None


def main():
    """Within a host's network: writes down the first packets that come from an address, each after its length."""
    path, address = sys.argv[1:]
    ears = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    ears.settimeout(LONG)
    print("ready", flush=True)
    kept = 0
    with open(path, "wb") as file:
        while kept < CAPTURED:
            packet = ears.recv(65_536)
            header = (packet[0] & 15) * 4
            if packet[9] == 17 and socket.inet_ntoa(packet[12:16]) == address:
                # The kernel may have put several together: the first of them.
                payload = packet[header + 8:][:GENUINE_LENGTH]
                file.write(len(payload).to_bytes(2, "big") + payload)
                kept += 1


if __name__ == "__main__":
    main()
