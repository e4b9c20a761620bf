"""Many hosts: sources that fail beside good ones, eight fetchers of one seeder, sixteen sources at once."""

import os
import shutil
import signal
import subprocess
import time

from bench_links import MiB, Path, alternate
from bench_network import Network, Trouble
from bench_tools import PRELOAD, File, bytes_below, fetch, place

GOOD = Path(50, 10, 250_000)
SLOW = Path(0.5, 10, 50_000)


def part_failing(bench):
    """Two good sources, and beside them one of a hundredth of their rate, one that is stopped when 99 % has
    come, one that is killed when half has."""
    size = (16 if bench.quick else 64) * MiB
    case = bench.results.case(
        "failing", f"Two sources of 50 Mbit/s, and others beside them, 10 ms, {size // MiB} MiB",
        "at most 1.1 times the good ones alone",
    )
    file = File(os.path.join(bench.folder, "web"), size)
    kinds = ("alone", "slow", "stalling", "dying", "all three")
    alone = {}

    def measure(kind, run):
        found = failing(bench, kind, file, run)
        alone.setdefault((kind.sprat.name, run), found["seconds"])
        found["of_one"] = found["seconds"] / alone[kind.sprat.name, run]
        return found

    tools = [Kind(sprat, kind) for sprat in bench.usable(case, bench.sprats) for kind in kinds]
    alternate(bench, case, tools, measure)
    bench.forget()


class Kind:
    """A program under test, and what stands beside the two good sources."""

    def __init__(self, sprat, kind):
        self.sprat, self.kind = sprat, kind
        self.name = f"{sprat.name}: " + ("two good ones" if kind == "alone" else f"beside {kind}")


def failing(bench, kind, file, run):
    bad = ("slow", "stalling", "dying") if kind.kind == "all three" else (kind.kind,)
    bad = [what for what in bad if what != "alone"]
    with Network(bench.folder, bench.emulator) as network:
        client, switch = network.host(0), network.switch()
        network.join(client, switch)
        processes = {}
        for number, what in enumerate(["good", "good", *bad]):
            server = network.host(1 + number)
            path = SLOW if what == "slow" else GOOD
            network.link(server, switch, path.spec(), seed=(bench.seed + run) * 16 + number)
            processes[what] = kind.sprat.serve(network, server, file)
        servers = [host.address for host in network.hosts if host.address][1:]
        network.introduce()
        into = place(bench.folder, "one")
        began = time.monotonic()
        process = network.start_alone(client.enter(*kind.sprat.command(file, into, servers)))
        chunks = os.path.join(into, "chunks")
        events = {"dying": (0.5, signal.SIGKILL), "stalling": (0.99, signal.SIGSTOP)}
        waiting = sorted((events[what], what) for what in bad if what in events)
        try:
            while process.poll() is None:
                if time.monotonic() > began + 120:
                    raise Trouble("not done after 120 s")
                if waiting and bytes_below(chunks) >= waiting[0][0][0] * file.size:
                    (_, number), what = waiting.pop(0)
                    processes[what].send_signal(number)
                time.sleep(0.005)
            seconds = time.monotonic() - began
        finally:
            for process_of_one in processes.values():
                if process_of_one.poll() is None:
                    process_of_one.send_signal(signal.SIGCONT)
        if process.returncode != 0:
            raise Trouble(f"the fetch ended with {process.returncode}")
        shutil.rmtree(into)
        return {"done": True, "seconds": seconds}


FETCHERS = 8


def part_shoal(bench):
    """Fetchers that start together, each with a peer beside it, and one seeder behind a link of 100 Mbit/s."""
    size = (16 if bench.quick else 64) * MiB
    case = bench.results.case(
        "shoal", f"{FETCHERS} fetchers at once, one seeder with 100 Mbit/s, {size // MiB} MiB",
        "the seeder sends at most 1.5 copies; all done within 1.5 times the time of one",
    )
    file = File(os.path.join(bench.folder, "web"), size)
    one = {}

    def measure(kind, run):
        found = shoal(bench, kind.sprat, kind.kind, file, run)
        one.setdefault((kind.sprat.name, run), found["seconds"])
        found["of_one"] = found["seconds"] / one[kind.sprat.name, run]
        return found

    sprats = bench.usable(case, bench.sprats)
    alternate(bench, case, [Shoal(sprat, many) for sprat in sprats for many in (1, FETCHERS)], measure)
    bench.forget()


class Shoal:
    def __init__(self, sprat, many):
        self.sprat, self.kind = sprat, many
        self.name = f"{sprat.name}: {many} fetcher{'s' if many > 1 else ''}"


def shoal(bench, sprat, many, file, run):
    with Network(bench.folder, bench.emulator) as network:
        seeder, switch = network.host(0), network.switch()
        link = network.link(seeder, switch, Path(100, 1, 250_000).spec(), seed=bench.seed + run)
        sprat.serve(network, seeder, file)
        hosts = [network.host(1 + number) for number in range(many)]
        for host in hosts:
            network.join(host, switch)
        folders = [place(bench.folder, f"fetcher-{number}") for number in range(many)]
        for host, folder in zip(hosts, folders):
            words = [sprat.program, "--root", folder, "--quiet", *sprat.options, "peer"]
            network.start(host, *words, log=os.path.join(bench.folder, "peers"))
        network.introduce()
        # Long enough that they know each other.
        time.sleep(3)
        began = time.monotonic()
        fetches = []
        for host, folder in zip(hosts, folders):
            words = sprat.command(file, folder, [seeder.address])
            fetches.append(network.start_alone(host.enter(*words)))
        for process in fetches:
            left = max(0.0, began + 180 - time.monotonic())
            try:
                process.wait(left)
            except subprocess.TimeoutExpired as late:
                raise Trouble("not done after 180 s") from late
            if process.returncode != 0:
                raise Trouble(f"a fetch ended with {process.returncode}")
        seconds = time.monotonic() - began
        report = link.end()
        sent = sum(report["forth"][fate]["bytes"] for fate in ("carried", "lost"))
        for folder in folders:
            # Its peer may be writing d.json yet.
            shutil.rmtree(folder, ignore_errors=True)
        return {"done": True, "seconds": seconds, "copies": sent / file.size}


def part_incast(bench):
    """Sixteen sources, one link of 1 Gbit/s to the receiver, whose buffer is as a plain system has it."""
    size = (64 if bench.quick else 256) * MiB
    case = bench.results.case(
        "incast", f"16 sources, 1 Gbit/s, receive buffer of 212,992 bytes, {size // MiB} MiB",
        "nothing dropped in the receive buffer; at least 0.85 of one source's rate",
    )
    file = File(os.path.join(bench.folder, "web"), size)
    one = {}

    def measure(kind, run):
        found = incast(bench, kind.sprat, kind.kind, file, run)
        one.setdefault((kind.sprat.name, run), found["seconds"])
        found["rate_of_one"] = one[kind.sprat.name, run] / found["seconds"]
        return found

    sprats = bench.usable(case, bench.sprats)
    alternate(bench, case, [Incast(sprat, many) for sprat in sprats for many in (1, 16)], measure)
    bench.forget()


class Incast:
    def __init__(self, sprat, many):
        self.sprat, self.kind = sprat, many
        self.name = f"{sprat.name}: {many} source{'s' if many > 1 else ''}"


def dropped_in_buffers(host):
    """Datagrams that found no room in a socket's receive buffer."""
    lines = [line.split() for line in host.run("cat", "/proc/net/snmp").splitlines()]
    heads, counts = [line for line in lines if line[0] == "Udp:"]
    return int(counts[heads.index("RcvbufErrors")])


def incast(bench, sprat, many, file, run):
    with Network(bench.folder, bench.emulator) as network:
        client, switch = network.host(0), network.switch()
        link = network.link(switch, client, Path(1000, 0.2, 512_000).spec(), seed=bench.seed + run)
        servers = [network.host(1 + number) for number in range(many)]
        for server in servers:
            network.join(server, switch)
            sprat.serve(network, server, file)
        network.introduce()
        into = place(bench.folder, "one")
        before = {name: os.environ.get(name) for name in ("LD_PRELOAD", "BENCH_BUFFER")}
        os.environ.update(PRELOAD, BENCH_BUFFER=str(212_992 // 2))
        try:
            addresses = [server.address for server in servers]
            fetched = fetch(sprat, client, file, addresses, into, bench.patience)
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        drops = dropped_in_buffers(client)
        shutil.rmtree(into)
        forth = link.end()["forth"]
        return {
            "done": fetched.done, "seconds": fetched.seconds,
            "goodput": fetched.arrived * 8 / fetched.seconds / 1e9, "buffer_drops": drops,
            "queue_drops": forth["dropped_at_queue"]["frames"] / max(1, forth["offered"]["frames"]),
            "late_p95": forth["lateness"]["p95"] / 1000,
        }

