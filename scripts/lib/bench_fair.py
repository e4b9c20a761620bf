"""Several transfers on one bottleneck, and one alone on a clean link: who gets which share, and how long the
queue becomes."""

import os
import subprocess
import time

from bench_links import MiB, Path, alternate, one_link
from bench_network import Network, Trouble
from bench_tools import Curl, File, place

# One bandwidth-delay product.
SHARED = Path(50, 30, 187_500)
# The first seconds are startup, and not counted.
WARMING = 5


def part_queue(bench):
    """Alone on a clean link with a queue of 80 ms: what is queued, and what is on the wire."""
    size = (32 if bench.quick else 64) * MiB
    case = bench.results.case(
        "queue", f"Alone on a clean link: 100 Mbit/s, 10 ms, a queue of 80 ms, {size // MiB} MiB",
        "at most 15 ms of queueing for 95 %; 1.065 on the wire, 0.5 % upstream",
    )
    file = File(os.path.join(bench.folder, "web"), size)
    tools = bench.usable(case, [*bench.sprats, Curl("cubic"), Curl("bbr")])
    path = Path(100, 10, 1_000_000)
    alternate(bench, case, tools, lambda tool, run: one_link(bench, tool, path, file, bench.seed + run))
    bench.forget()


def together(bench, tools, files, seconds, run):
    """Two transfers of files that are too long for the time, each between hosts of its own; gives what each
    carried in the seconds after the first, and the link's report."""
    with Network(bench.folder, bench.emulator) as network:
        left, right = network.switch(), network.switch()
        link = network.link(left, right, SHARED.spec(), seed=bench.seed + run)
        pairs = [(network.host(2 * number), network.host(2 * number + 1)) for number in (0, 1)]
        for (server, client), tool, file in zip(pairs, tools, files):
            network.join(server, left)
            network.join(client, right)
            tool.serve(network, server, file)
        network.introduce()
        started = []
        for (server, client), tool, file in zip(pairs, tools, files):
            into = place(bench.folder, f"pair-{len(started)}")
            command = client.enter(*tool.command(file, into, [server.address]))
            started.append(network.start_alone(command))
        time.sleep(seconds)
        ended = [process.poll() for process in started]
        if any(code is not None for code in ended):
            raise Trouble(f"one of {' and '.join(tool.name for tool in tools)} ended early: {ended}")
        report = link.end()
        shares = []
        for server, client in pairs:
            ways = [
                flow["seconds"] for flow in report["forth"]["flows"]
                if flow["from"] in server.addresses() and flow["to"] in client.addresses()
            ]
            # The link is a little older than the transfers; its last second is not whole.
            shares.append(sum(sum(way[-seconds + WARMING:-1]) for way in ways))
        return shares, report


def part_fair(bench):
    """Beside one CUBIC flow; two of ours; and what TCP does to itself, to compare with."""
    seconds = 20 if bench.quick else 60
    case = bench.results.case(
        "fair", f"Two transfers on one bottleneck: 50 Mbit/s, 30 ms, one BDP of queue, {seconds} s",
        "beside CUBIC between 35 % and 65 %; two of ours: Jain's index at least 0.95",
    )
    # Two contents, or each fetch would use both servers.
    folder = os.path.join(bench.folder, "web")
    files = [File(folder, seconds * 7 * MiB, name) for name in ("one.bin", "other.bin")]
    cubic, bbr = Curl("cubic"), Curl("bbr")
    tools = bench.usable(case, [*bench.sprats, cubic, bbr])
    pairs = [(tool, cubic) for tool in tools] if cubic in tools else []
    pairs += [(tool, tool) for tool in tools if tool is not cubic]

    def measure(pair, run):
        shares, report = together(bench, pair.tools, files, seconds, run)
        total = sum(shares) or 1
        jain = total * total / (2 * sum(share * share for share in shares) or 1)
        return {
            "seconds": seconds, "share": shares[0] / total, "jain": jain,
            "queue_drops": report["forth"]["dropped_at_queue"]["frames"]
            / report["forth"]["offered"]["frames"],
            "queueing_p95": report["forth"]["queueing_delay"]["p95"] / 1000,
        }

    runs, bench.runs = bench.runs, min(bench.runs, 2)
    alternate(bench, case, [Pair(two) for two in pairs if two[0] in bench.sprats], measure)
    bench.runs = 1
    alternate(bench, case, [Pair(two) for two in pairs if two[0] not in bench.sprats], measure)
    bench.runs = runs
    bench.forget()


class Pair:
    """Two tools beside each other, under one name."""

    def __init__(self, tools):
        self.tools = tools
        self.name = f"{tools[0].name} beside {tools[1].name}"


def part_emulator(bench):
    """How right the emulator itself is: a link's delay, loss and rate against what was asked for."""
    case = bench.results.case(
        "emulator", "The emulator: what was asked for, and what UDP packets met", ""
    )
    program = os.path.join(os.path.dirname(__file__), "bench_probe.py")
    for name, spec, count, every in (
        ("delay 0.1 ms", "rate=1gbit,delay=100us", 2_000, 1_000),
        ("delay 20 ms", "rate=100mbit,delay=20ms", 1_000, 1_000),
        ("loss 1 %", "delay=2ms,loss=1%", 20_000, 100),
        ("rate 100 Mbit/s", "rate=100mbit,delay=1ms,queue=20000000", 4_000, 0),
    ):
        if bench.quick:
            count //= 4
        with Network(bench.folder, bench.emulator) as network:
            one, other = network.host(0), network.host(1)
            link = network.link(one, other, spec, back="delay=0us")
            network.introduce()
            asked = ["python3", program, other.address, str(count), str(every)]
            receiver = subprocess.Popen(
                other.enter(*asked, "receive"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            network.processes.append(receiver)
            receiver.stdout.readline()
            done = subprocess.run(one.enter(*asked, "send"), capture_output=True, check=False, text=True)
            out, errors = receiver.communicate(timeout=60)
            if done.returncode != 0 or receiver.returncode != 0:
                raise Trouble(f"the probe failed: {done.stderr} {errors.decode()}")
            lateness = link.end()["forth"]["lateness"]["p95"] / 1000
            got = [float(word) for word in out.split()]
        bench.results.add(case, name, **dict(zip(("p50", "p95", "lost", "megabits"), got)), late=lateness)
        print(
            f"   {name}: one way {got[0]:.3f} ms in the median, {got[1]:.3f} for 95 %; "
            f"{got[2]:.2f} % lost; {got[3]:.1f} Mbit/s on the wire; late by {lateness:.2f} ms for 95 %",
            flush=True,
        )
