"""The network scenarios of the QUIC interop runner: long ways, loss, corruption, outages, routers that forget.

Their network: 15 ms one way, 10 Mbit/s, 25 packets of queue (quic-interop-runner, 1d6f6554). One emulated link between a peer
and a fetch; where a router forgets ports or addresses, the fetch is behind it.
"""

import time

from bench_network import Network
from torture._machines import Content, Place, wait_until

MB = 1_000_000
RATE = 10e6
# 25 full packets, as they are counted on the wire.
BASE = "rate=10mbit,delay=15ms,queue=38450"
# Peers offer a file 0.8 s after it has settled; a fetch that comes sooner waits for that.
SETTLED = 30


class Scenario:
    """A way, how much goes over it how often, and what is promised of it."""

    def __init__(self, title, way, size, fetches=1, rebind=None, goodput=None, seconds=None):
        self.title, self.way, self.size, self.fetches = title, way, size, fetches
        self.rebind, self.goodput, self.seconds = rebind, goodput, seconds

    def wanted(self):
        if self.goodput:
            return f"all whole; {self.goodput} Mbit/s in the mean"
        if self.seconds:
            return f"all whole; {'each' if self.fetches == 1 else 'all of them'} within {self.seconds} s"
        return "all whole"


SCENARIOS = {
    "longrtt": Scenario("750 ms one way, 1 MB", "rate=10mbit,delay=750ms,queue=38450", MB, seconds=12),
    "transferloss": Scenario("2 % lost each way, 2 MB", f"{BASE},loss=2%", 2 * MB, goodput=8.0),
    "handshakeloss": Scenario(
        "30 % lost each way, 50 fetches of 1 KB", f"{BASE},loss=30%,burst=1.5", 1_000, fetches=50, seconds=300
    ),
    "transfercorruption": Scenario("2 % corrupted each way, 2 MB", f"{BASE},corrupt=2%", 2 * MB),
    "handshakecorruption": Scenario(
        "30 % corrupted each way, 50 fetches of 1 KB", f"{BASE},corrupt=30%", 1_000, fetches=50, seconds=300
    ),
    "blackhole": Scenario("5 s of everything, 2 s of nothing, 10 MB", f"{BASE},outage=5s/2s", 10 * MB, seconds=14),
    "rebind-port": Scenario("the port is another one every 2 s, 10 MB", BASE, 10 * MB, rebind="port/2s", goodput=7.5),
    "rebind-addr": Scenario("the address is another one every 2 s, 10 MB", BASE, 10 * MB, rebind="address/2s", goodput=7.5),
    "goodput": Scenario("10 MB", BASE, 10 * MB, goodput=9.0),
}
# What is done of each in the tests: as much as takes a second or two.
QUICK = {
    "transferloss": (MB // 2, 1), "handshakeloss": (1_000, 3), "transfercorruption": (MB // 8, 1),
    "handshakecorruption": (1_000, 3), "rebind-port": (3 * MB, 1), "blackhole": None, "goodput": None,
    "longrtt": None, "rebind-addr": None,
}


def run(part):
    for name, scenario in SCENARIOS.items():
        size, fetches, runs = scenario.size, scenario.fetches, 10
        if part.quick:
            if QUICK[name] is None:
                continue
            (size, fetches), runs = QUICK[name], 1
        done, times = 0, []
        for number in range(runs):
            found = one_run(part, name, scenario, size, fetches, number)
            times += found
            done += len(found)
        tell(part, name, scenario, size, fetches * runs, done, times)


def tell(part, name, scenario, size, all_of_them, done, times):
    """A line of the table; rates and times are promised of the full sizes alone."""
    mean = sum(size * 8 / seconds for seconds in times) / max(1, len(times)) / 1e6
    found = f"{done} of {all_of_them} whole"
    found += f"; {mean:.2f} Mbit/s in the mean" if size >= MB // 2 else f"; {sum(times):.1f} s together"
    found += f"; the longest {max(times, default=0):.2f} s"
    holds = done == all_of_them
    if holds and not part.quick and scenario.goodput:
        holds = mean >= scenario.goodput
    if holds and not part.quick and scenario.seconds:
        holds = (sum(times) / 10 if scenario.fetches > 1 else max(times)) <= scenario.seconds
    part.figure(f"{name}: {scenario.title}", found, scenario.wanted(), holds)


def one_run(part, name, scenario, size, fetches, number):
    """Fetches one after the other over a new link; how long each took."""
    contents = [Content(f"{part.seed} {name} {number} {at}", size) for at in range(fetches)]
    times = []
    with Network(part.folder, part.tool("link_emulator")) as network:
        server, client = network.host(0), network.host(1)
        for host in (server, client):
            # The other family would be a second way, around the router.
            host.setting("net.ipv6.conf.all.disable_ipv6", 1)
        network.link(
            server, client, scenario.way, seed=part.seed + number, rebind=scenario.rebind
        )
        network.introduce()
        if scenario.rebind:
            introduce_router(server, client)
        giver = Place(part, f"{name}-{number}-giver", host=server)
        taker = Place(part, f"{name}-{number}-taker", host=client)
        try:
            for at, content in enumerate(contents):
                content.put(giver.share, f"{at}.bin")
            giver.peer()
            settle(part, giver, server, contents[-1])
            for at, content in enumerate(contents):
                begun = time.monotonic()
                fetch = taker.fetch(content, f"{at}.bin", server.address)
                code = fetch.ends(300)
                if code == 0 and taker.has(content, f"{at}.bin") and not taker.left():
                    times.append(time.monotonic() - begun)
                else:
                    part.say(f"{name}: ended with {code}: {fetch.errors()[-300:]}")
        finally:
            giver.end()
            taker.end()
    return times


def settle(part, giver, server, content):
    """Waits until the peer offers its files: a fetch on its own host has got the last of them."""
    near = Place(part, f"{giver.name}-near", host=server)
    assert near.fetch(content, "near.bin", server.address).ends(SETTLED) == 0
    near.end()


def introduce_router(server, client):
    """The addresses that stand for those behind the router are all at its one place."""
    words = client.run("ip", "-o", "link", "show", "port1").split()
    hardware = words[words.index("link/ether") + 1]
    base, last = client.address.rsplit(".", 1)
    for at in range(100):
        address = f"{base}.{100 + int(last) + at}"
        server.run("ip", "neigh", "replace", address, "lladdr", hardware, "dev", "port1", "nud", "permanent")
