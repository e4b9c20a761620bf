"""Strangers on the network: floods, forged sources, endless listings, downloaders without measure."""

import hashlib
import json
import os
import random
import re
import signal
import statistics
import struct
import subprocess
import sys
import time

from bench_network import Network
from bench_network import run as command
from many_peers import ASK, HEAD
from torture._machines import PORT, Content, Place, wait_until

FRAMES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_frames.py")
# The stranger's own address, and those in whose name it speaks: to the hosts they are neighbours, and what goes to them
# goes to the stranger.
STRANGER, SPOOFED = 251 * 250, "10.77.128.0/17"
# Sources that never get an answer (research A.1).
REFLECTORS = (7, 9, 13, 17, 19, 53, 69, 123, 161, 389, 1900, 3702, 5353, 11211)
PAGE = os.sysconf("SC_PAGE_SIZE") / 2**20


def run(part):
    before_the_cookie(part)
    spoofed_storm(part)
    vanished_receiver(part)
    hostile_listings(part)
    garbage(part)
    greedy_downloader(part)


class Tool:
    """A process of ours on a host, which ends when it is told to and prints JSON."""

    def __init__(self, host, *command):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(host.enter(*command), **pipes)

    def ready(self):
        assert self.process.stdout.readline().strip() == "ready"
        return self

    def say(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def found(self, seconds=900):
        out, _ = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, f"{self.process.args}: {self.process.returncode}"
        return json.loads(out.strip().splitlines()[-1])


class Bridge(Network):
    """Hosts on one switch, and the stranger."""

    def __init__(self, part, count):
        super().__init__(part.folder, part.tool("link_emulator"))
        self.part, self.places = part, []
        self.bridge = self.switch()
        self.machines = [self.host(number) for number in range(count)]
        self.stranger = self.host(STRANGER)
        for machine in (*self.machines, self.stranger):
            self.join(machine, self.bridge)
        for machine in self.machines:
            machine.run("ip", "route", "add", SPOOFED, "via", self.stranger.address)
        # It has all of them, and its own answers go out by the one device.
        self.stranger.run("ip", "route", "add", "local", SPOOFED, "dev", "lo")
        self.stranger.run("ip", "route", "add", "224.0.0.0/4", "dev", "port1")
        for name in ("all", "default", "port1"):
            self.stranger.setting(f"net.ipv4.conf.{name}.rp_filter", 0)

    def place(self, name, number):
        self.places.append(Place(self.part, name, self.machines[number]))
        return self.places[-1]

    def tool(self, what, host=None, **values):
        words = [f"{name}={value}" for name, value in values.items()]
        seed = self.part.random.randrange(1 << 32)
        return Tool(host or self.stranger, self.part.tool("stranger"), what, *words, f"seed={seed}")

    def __exit__(self, *about):
        for place in self.places:
            place.end()
        super().__exit__(*about)


def resident(running):
    """MiB resident now."""
    with open(f"/proc/{running.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * PAGE


def bound_port(running, host):
    """The port of a fetch."""
    def look():
        for name in ("udp6", "udp"):
            text = host.run("cat", f"/proc/net/{name}")
            for line in text.splitlines()[1:]:
                return int(line.split()[1].rsplit(":", 1)[1], 16)
        assert running.process.poll() is None, running.errors()
        return None
    return wait_until("a bound port", look)


def question(flags=0):
    """An ASK about the listing."""
    return HEAD + bytes([ASK, 0, flags, 0, 0]) + random.randbytes(8) + bytes(64)


# D-11


def before_the_cookie(part):
    count, rate = (3_000, 4_000) if part.quick else (1_000_000, 20_000)
    content = Content(part.seed, 300_000)
    with Bridge(part, 4) as network:
        peer, fetch, tracker, sync = (network.place(f"unproven-{n}", n) for n in range(4))
        content.put(peer.share, "file.bin")
        content.put(sync.share, "file.bin")
        for number in range(100):
            Content(number, 1_000).put(peer.share, f"small/{number}")
        absent = hashlib.sha1(b"nobody has it").hexdigest()
        runs = {
            "peer": (peer.peer("-v"), peer, PORT),
            "tracker": (tracker.start("-v", "tracker"), tracker, PORT),
            "peer --sync": (sync.peer("-v", "--sync"), sync, PORT),
        }
        waiting = fetch.start("-v", "fetch", absent, "none.bin", "1000000", sync.host.address)
        runs["fetch"] = (waiting, fetch, bound_port(waiting, fetch.host))
        wait_until("the lists", lambda: "small/99" in sync.listed())
        ran = {}
        for at, (name, (running, place, port)) in enumerate(runs.items()):
            values = {"sources": SPOOFED, "port": 40_000 + at, "content": content.sha1, "size": content.size}
            values.update(to=f"{place.host.address}:{port}", count=count, rate=rate, linger=500 if part.quick else 3_000)
            # To begin with, the tables of hosts fill.
            fill = {"count": 500, "rate": 10_000} if part.quick else {"count": 100_000, "rate": rate}
            network.tool("unproven", **{**values, **fill, "linger": 100}).found()
            before = resident(running)
            ran[name] = (before, network.tool("unproven", **values))
        for name, (before, tool) in ran.items():
            found, running = tool.found(), runs[name][0]
            assert running.process.poll() is None, running.errors()
            out, come = found["got_bytes"], found["sent_bytes"]
            share = out / come
            what = f"before the cookie, {name}: {found['forms']} messages, {count:,} of garbage"
            text = f"{share:.3f} in all, {found['too_much']} of {found['sources']:,} addresses more than 1"
            answered = found["got"] > 0 or name == "fetch"
            part.figure(what + ": out for in", text, "at most 1 of each", not found["too_much"] and share <= 1 and answered)
            grown = resident(running) - before
            part.figure(f"before the cookie, {name}: memory", f"{grown:+.1f} MiB", "flat: at most 1 MiB", grown <= 1)


# D-12


def spoofed_storm(part):
    count, seconds, rate = (4, 1, 1_000) if part.quick else (16, 20, 1_000)
    with Bridge(part, count + 1) as network:
        router, victim = network.host(240), network.host(241)
        network.join(router, network.bridge)
        behind_a_router(network, router, victim)
        on_link = network.machines[count]
        content = Content(part.seed, 10_000)
        places = [network.place(f"storm-{n}", n) for n in range(count)]
        for n, place in enumerate(places):
            content.put(place.share, f"file-{n}.bin")
            place.host.run("ip", "route", "add", "default", "via", router.address)
        peers = [place.peer("-v") for place in places]
        wait_until("the lists", lambda: all(len(place.listed()) == count - 1 for place in places))
        to = "10.77.255.255:27183,255.255.255.255:27183,239.192.27.183:27183"
        worst = {}
        kinds = {"ask": "questions", "call": "calls", "announce": "announcements"}
        if part.quick:
            del kinds["call"]
        for kind in kinds:
            for name, at in (("off-link", victim), ("on-link", on_link)):
                watched = Tool(at, sys.executable, FRAMES, "watch", "port1").ready()
                source = f"{VICTIM if name == 'off-link' else at.address}/32"
                sent = network.tool("flood", to=to, sources=source, port=5_555, rate=rate, seconds=seconds, kind=kind)
                sent = sent.found()["sent"]
                watched.process.stdin.close()
                watched.process.stdin = None
                pairs = watched.found()["pairs"]
                ends = {place.host.address for place in places}
                own = VICTIM if name == "off-link" else at.address
                came = {pair.split()[0]: it for pair, it in pairs.items() if pair.split()[1] == own and pair.split()[0] in ends}
                worst[name, kind] = (sent, came)
        for kind, what in kinds.items():
            sent, came = worst["off-link", kind]
            total = sum(it["bytes"] for it in came.values())
            part.figure(f"{sent:,} spoofed {what} by broadcast to {count} peers: to an off-link victim", f"{total} bytes", "0 bytes", total == 0)
            sent, came = worst["on-link", kind]
            most = max((it["datagrams"] for it in came.values()), default=0) / sent
            per_second = max((max(it["seconds"].values()) for it in came.values()), default=0)
            text = f"{most:.3f} a peer and question, {per_second:,} bytes in a second"
            part.figure(f"{sent:,} spoofed {what}: to an on-link victim", text, "1; 4,096", most <= 1 and per_second <= 4_096)
        forbidden_sources(part, network, places)
        assert all(peer.process.poll() is None for peer in peers)


VICTIM = "10.88.0.2"


def behind_a_router(network, router, victim):
    """A network of its own behind a router, with somebody on it who has nothing to do with it all."""
    command("ip", "link", "add", "vra", "type", "veth", "peer", "name", "vrb")
    for host, end, name, address in ((router, "vra", "port2", "10.88.0.1"), (victim, "vrb", "port1", VICTIM)):
        command("ip", "link", "set", end, "netns", str(host.holder.pid), "name", name)
        host.run("ip", "address", "add", f"{address}/24", "dev", name)
        host.run("ip", "link", "set", name, "up")
    victim.run("ip", "route", "add", "default", "via", "10.88.0.1")
    router.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    # Whatever the kernel thinks of the sources: the peers are to decide.
    network.stranger.run("ip", "route", "add", "default", "via", router.address)
    for machine in network.machines:
        for name in ("all", "default", "port1"):
            machine.setting(f"net.ipv4.conf.{name}.rp_filter", 0)


def forbidden_sources(part, network, places):
    target = places[0]
    sources = [(address, 5_555) for address in ("255.255.255.255", "10.77.255.255", "239.192.27.183", "224.0.0.1", "0.0.0.0", "127.0.0.1", "240.0.0.1")]
    sources += [(network.stranger.address, port) for port in (0, *REFLECTORS)]
    sources += [(target.host.address, PORT), (target.host.address, 5_555)]
    watched = Tool(target.host, sys.executable, FRAMES, "watch", "port1").ready()
    forger = Tool(network.stranger, sys.executable, FRAMES, "forge", "port1", question().hex())
    forger.say("".join(f"{address} {port}\n" for address, port in sources for _ in range(20)))
    forger.process.stdin.close()
    forger.process.stdin = None
    forger.found()
    # One that is answered, so that all before it have come.
    forger = Tool(network.stranger, sys.executable, FRAMES, "forge", "port1", question().hex())
    forger.say(f"{network.stranger.address} 6666\n")
    forger.process.stdin.close()
    forger.process.stdin = None
    forger.found()
    time.sleep(0.5)
    watched.process.stdin.close()
    watched.process.stdin = None
    pairs = watched.found()
    answers = pairs["kinds"].get("out 4", 0)
    part.figure(f"questions from {len(sources)} forbidden sources, 20 each: answers", answers - 1, "0", answers == 1)


# D-13


def vanished_receiver(part):
    trials, size = (1, 64 << 20) if part.quick else (10, 256 << 20)
    content = Content(part.seed, size)
    afters, times, fast = [], [], []
    with Bridge(part, 2) as network:
        giver, taker = network.place("vanish-giver", 0), network.place("vanish-taker", 1)
        content.put(giver.share, "file.bin")
        giver.peer()
        # A gigabit, at the port of the switch that leads to the receiver.
        network.bridge.run("tc", "qdisc", "add", "dev", "port2", "root", "tbf", "rate", "1gbit", "burst", "64kb", "limit", "1mb")
        wait_until("the offer", lambda: offers(giver, taker, content))
        for _ in range(trials):
            watched = Tool(giver.host, sys.executable, FRAMES, "last", "port1", str(PORT)).ready()
            fetch = taker.fetch(content, "file.bin", giver.host.address)
            wait_until("a beginning", lambda: got(taker) > 0)
            begun, had = time.monotonic(), got(taker)
            wait_until("half of it", lambda: got(taker) > size / 3)
            os.kill(fetch.pid, signal.SIGSTOP)
            speed = (got(taker) - had) / (time.monotonic() - begun)
            assert fetch.process.poll() is None, "it was done before it vanished"
            time.sleep(0.5)
            watched.process.stdin.close()
            watched.process.stdin = None
            found = watched.found()
            afters.append(found["after"])
            times.append(found["seconds"])
            fast.append(speed * 8 / 1e6)
            os.kill(fetch.pid, signal.SIGKILL)
            fetch.process.wait()
            for name in taker.left():
                os.unlink(os.path.join(taker.chunks, name))
    speed = statistics.median(fast)
    text = f"{max(afters) / 1024:.1f} KiB, {1000 * max(times):.1f} ms (at {speed:.0f} Mbit/s)"
    what = f"a receiver vanishes at 1 Gbit/s, {trials} times: sent after its last grant, at most"
    # On a machine with much else to do the sender is behind with what was granted before; that is looked at in the full run.
    holds = part.quick or (max(afters) <= 64 * 1024 * 1.03 and max(times) <= 0.015)
    part.figure(what, text, "64 KiB; a round trip and 10 ms", holds)


def got(place):
    """Bytes that a download has on disk."""
    total = 0
    for name in place.left():
        if ":chunk:" in name:
            try:
                total += os.stat(os.path.join(place.chunks, name)).st_size
            except OSError:
                pass
    return total


def offers(giver, asker, content):
    """Whether the giver offers it by now."""
    command = asker.command("--timeout", "1", "ls", "--json", "--peer", giver.host.address)
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return content.sha1 in told


# D-14


def hostile_listings(part):
    # What is built for tests looks at all that it knows after each datagram: there a flood is a shower.
    if part.quick:
        liars, files, announcements, rate = 12, 10_000, 1_500, 1_000
    else:
        liars, files, announcements, rate = 100, 100_000, 1_000_000, 20_000
    with Bridge(part, 2) as network:
        honest, place = network.place("honest", 0), network.place("target", 1)
        # Sixteen bits of neighbours, liars and spoofed ones alike.
        network.stranger.run("ip", "route", "add", "local", "10.77.64.0/18", "dev", "lo")
        network.machines[1].run("ip", "route", "add", "10.77.64.0/18", "via", network.stranger.address)
        peer = place.peer("-v")
        target = f"{place.host.address}:{PORT}"
        playing = network.tool(
            "liars", to="10.77.255.255:27183", first="10.77.64.1", hosts=liars, files=files, length=45, seconds=15 if part.quick else 150
        ).ready()
        seconds = announcements / rate
        flood = network.tool("flood", to=target, sources=SPOOFED, port=PORT + 1, rate=rate, seconds=int(seconds), kind="announce")
        for number in range(100):
            Content(number, 1_000).put(honest.share, f"honest/{number:03}")
        begun = time.monotonic()
        honest.peer()
        watch = Documents(place, begun)
        reads = 300 if part.quick else 1_000
        while watch.reads < reads or flood.process.poll() is None or playing.process.poll() is None:
            watch.read()
            time.sleep(0.005 if part.quick else 0.02)
            if part.quick and watch.reads >= reads and watch.honest_at:
                break
        assert peer.process.poll() is None, peer.errors()
        for tool in (flood, playing):
            if tool.process.poll() is None:
                tool.process.kill()
            tool.process.wait()
        name = f"{announcements:,} announcements and {liars} liars with {files:,} names each"
        memory = peer.memory()
        part.figure(f"{name}: memory of peer", f"{memory:.1f} MiB", "32 MiB", memory <= 32)
        text = f"{watch.valid} of {watch.reads}, {watch.longest / 2**20:.1f} MiB at most"
        part.figure("... d.json, valid when it is read; its length", text, "all; 16 MiB", watch.valid == watch.reads and watch.longest <= 16 << 20)
        part.figure("... d.json with another list", f"{watch.changes_per_second():.2f} a second", "1", part.quick or watch.changes_per_second() <= 1.05)
        at = watch.honest_at
        part.figure("... the 100 honest files are listed after", f"{at:.1f} s" if at else "never", "10 s", bool(at) and (part.quick or at <= 10))
        part.figure("... spoofed addresses listed", len(watch.spoofed), "0", not watch.spoofed)
        part.figure("... listed in the end", f"{watch.hosts} hosts, {watch.files:,} files", "")


class Documents:
    """`d.json`, read again and again."""

    def __init__(self, place, begun):
        self.place, self.begun = place, begun
        self.reads, self.valid, self.longest, self.honest_at = 0, 0, 0, None
        self.spoofed, self.lists, self.last = set(), 0, None
        self.hosts, self.files, self.looked_at = 0, 0, 0.0

    def read(self):
        self.reads += 1
        path = os.path.join(self.place.root, "d.json")
        with open(path, "rb") as file:
            text = file.read()
        self.longest = max(self.longest, len(text))
        rest = text[text.find(b"discovered_files") :]
        if rest == self.last:
            self.valid += 1
            return
        self.last, self.lists = rest, self.lists + 1
        try:
            files = json.loads(text)["discovered_files"]
        except (ValueError, KeyError):
            return
        self.valid += 1
        where = [(it["ip"], it["filename"]) for entry in files for it in entry["locations"]]
        hosts = {ip for ip, _ in where}
        self.hosts, self.files = len(hosts), len(where)
        self.spoofed |= {ip for ip in hosts if ip.startswith("10.77.") and int(ip.split(".")[2]) >= 128}
        if not self.honest_at and sum(name.startswith("honest/") for _, name in where) == 100:
            self.honest_at = time.monotonic() - self.begun

    def changes_per_second(self):
        return (self.lists - 1) / max(1.0, time.monotonic() - self.begun)


# D-15


def garbage(part):
    seconds, rate = (2, 20_000) if part.quick else (60, 50_000)
    before, bits = (1, 100) if part.quick else (5, 50)
    size = int(bits * 1e6 / 8 * (seconds + before + (3 if part.quick else 8)) * (1 if part.quick else 2.1))
    content = Content(part.seed, size)
    with Bridge(part, 2) as network:
        giver, taker = network.place("garbage-giver", 0), network.place("garbage-taker", 1)
        content.put(giver.share, "file.bin")
        peer = giver.peer()
        giver.host.run("tc", "qdisc", "add", "dev", "port1", "root", "tbf", "rate", f"{bits}mbit", "burst", "32kb", "latency", "5ms")
        wait_until("the offer", lambda: offers(giver, taker, content))
        fetch = taker.fetch(content, "file.bin", giver.host.address)
        port = bound_port(fetch, taker.host)
        wait_until("a beginning", lambda: got(taker) > size / 20)
        usual = speed_of(taker, before)
        held = resident(fetch)
        target = {"sources": SPOOFED, "port": PORT, "rate": rate, "seconds": seconds, "kind": "garbage"}
        address = taker.host.address
        under = {}
        for name, to in (("control", f"{address}:9999"), ("flood", f"{address}:{port}")):
            if name == "control" and part.quick:
                continue
            flood = network.tool("flood", to=to, **target)
            time.sleep(0.3)
            under[name] = speed_of(taker, seconds - 0.5) / usual
            sent = flood.found()
        grown = resident(fetch) - held
        time.sleep(1.0 if part.quick else 2.0)
        after = speed_of(taker, 1 if part.quick else 5) / usual
        ended = fetch.ends()
        whole = taker.has(content, "file.bin")
        what = f"garbage at {sent['sent'] / sent['seconds']:,.0f} a second for {seconds} s during a fetch"
        part.figure(f"{what}: the fetch", f"ends with {ended}, {'whole' if whole else 'not whole'}", "0, whole", ended == 0 and whole)
        assert peer.process.poll() is None
        control = f" (to a closed port {100 * under['control']:.0f} %)" if "control" in under else ""
        part.figure("... its speed meanwhile", f"{100 * under['flood']:.0f} %{control}", "50 %", part.quick or under["flood"] >= 0.5)
        part.figure("... its speed 2 s later", f"{100 * after:.0f} %", "95 %", part.quick or after >= 0.95)
        most = 4 if part.quick else 1
        part.figure("... its memory", f"{grown:+.1f} MiB", f"{most} MiB", grown <= most)


def speed_of(place, seconds):
    """Bytes a second on disk."""
    begun, had = time.monotonic(), got(place)
    time.sleep(seconds)
    return (got(place) - had) / (time.monotonic() - begun)


# A.0: the malicious downloader


def greedy_downloader(part):
    hosts, seconds, rate = (50, 2, 2_000) if part.quick else (1_000, 30, 5_000)
    size = (8 << 20) if part.quick else (200 << 20)
    content = Content(part.seed, size)
    with Bridge(part, 2) as network:
        giver, taker = network.place("greedy-giver", 0), network.place("greedy-taker", 1)
        content.put(giver.share, "file.bin")
        baits = []
        for number in range(4 if part.quick else 24):
            path = os.path.join(giver.share, f"huge-{number}.bin")
            with open(path, "wb") as file:
                file.truncate(((4 if part.quick else 64) << 20) + number)
            baits.append(path)
        for number in range(1_000):
            Content(number, 100).put(giver.share, f"small/{number}")
        peer = giver.peer("-v")
        wait_until("the offer", lambda: offers(giver, taker, content))
        contents = [f"{content.sha1}:{content.size}"]
        for path in baits:
            size_of = os.stat(path).st_size
            digest = hashlib.sha1()
            with open(path, "rb") as file:
                while piece := file.read(1 << 20):
                    digest.update(piece)
            contents.append(f"{digest.hexdigest()}:{size_of}")
        giver.host.run("tc", "qdisc", "add", "dev", "port1", "root", "tbf", "rate", "100mbit", "burst", "32kb", "latency", "20ms")
        begun = time.monotonic()
        fetch = taker.fetch(content, "file.bin", giver.host.address)
        assert fetch.ends() == 0
        alone = time.monotonic() - begun
        os.unlink(os.path.join(taker.share, "file.bin"))
        greedy = network.tool(
            "greedy", to=f"{giver.host.address}:{PORT}", first="10.77.128.1", hosts=hosts,
            contents=",".join(contents), port=PORT, rate=rate, seconds=seconds,
        )
        time.sleep(0.5)
        begun = time.monotonic()
        fetch = taker.fetch(content, "file.bin", giver.host.address)
        found = greedy.found()
        moved = content.size if fetch.process.poll() is not None else got(taker)
        meanwhile = time.monotonic() - begun
        assert fetch.ends() == 0 and taker.has(content, "file.bin")
        took = time.monotonic() - begun
        memory = peer.memory()
        peer.stop()
        each = found["got_bytes"] / max(1, found["proven"]) * meanwhile / found["seconds"]
        part.figure(
            f"{found['proven']} greedy addresses, {found['grants']:,} grants: an honest fetch beside them gets",
            f"{moved / 1e6:.2f} MB in {meanwhile:.1f} s, each of them {each / 1e6:.2f} MB; whole in {took:.1f} s, alone in {alone:.1f} s",
            # A quick run is three or four round trips through the queue that they make: it shows that all is whole afterwards.
            "as much as each of them", (part.quick or moved >= 0.8 * each) and found["proven"] > hosts / 2,
        )
        part.figure("... memory of peer", f"{memory:.1f} MiB", "32 MiB", memory <= 32)
        turn = re.search(r"the longest .*by processor time ([0-9.]+) ms", peer.errors())
        turn = float(turn.group(1)) if turn else 1e9
        part.figure("... its longest turn, by processor time", f"{turn:.1f} ms", "20 ms", part.quick or turn <= 20)

