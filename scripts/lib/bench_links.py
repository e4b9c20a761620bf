"""Fetches over emulated links: sprat and others, the same file, the same link, in turn."""

import os
import shutil

from bench_network import Network, Trouble
from bench_report import Results
from bench_tools import (
    Aria2, Curl, File, Rsync, Torrent, Uftp, fetch, place, processor_time,
)

MiB = 1 << 20


class Path:
    """A kind of link. `delay` is there and back, in milliseconds; both directions are alike."""

    def __init__(self, megabits, delay, queue, more="", size=64):
        self.megabits, self.delay, self.queue, self.more, self.size = megabits, delay, queue, more, size

    def spec(self):
        more = f",{self.more}" if self.more else ""
        return f"rate={self.megabits}mbit,delay={self.delay * 500:.0f}us,queue={self.queue}{more}"


# Queues: one bandwidth-delay product, but at least 20 ms at 100 Mbit/s and what a cheap switch has.
PATHS = {
    "lan": Path(1000, 0.2, 512_000, size=256),
    "wan": Path(100, 40, 500_000, "loss=0.5%"),
    "wifi": Path(100, 5, 250_000, "loss=1%,jitter=4ms/10ms,reorder=1%/1ms"),
    "lossy": Path(50, 20, 250_000, "loss=5%", size=32),
}
TITLES = {
    "lan": ("LAN: 1 Gbit/s, 0.2 ms", "at least 93 %"),
    "wan": ("WAN: 100 Mbit/s, 40 ms, 0.5 % loss", "at least 91 %; under 1 % dropped at the queue"),
    "wifi": (
        "WIFI: 100 Mbit/s, 5 ms and up to 4 ms of jitter each way, 1 % loss, 1 % reordered",
        "at least 91 %; under 1 % dropped at the queue",
    ),
    "lossy": ("LOSSY: 50 Mbit/s, 20 ms, 5 % loss", "at least 87 %"),
}


def figures(link, fetched, file, rate, serving):
    """What a run came to; `link` is the emulator's report."""
    forth, back = link["forth"], link["back"]
    sent = forth["carried"]["bytes"] + forth["lost"]["bytes"]
    offered = max(1, forth["offered"]["frames"])
    return {
        "done": fetched.done,
        "seconds": fetched.seconds,
        "goodput": fetched.arrived * 8 / fetched.seconds / rate,
        "processor": fetched.processor + serving,
        "queue_drops": forth["dropped_at_queue"]["frames"] / offered,
        "wire": sent / max(1, fetched.arrived),
        "upstream": (back["carried"]["bytes"] + back["lost"]["bytes"]) / max(1, fetched.arrived),
        "queueing_p95": forth["queueing_delay"]["p95"] / 1000,
        "late_p95": max(forth["lateness"]["p95"], back["lateness"]["p95"]) / 1000,
        "refused": link["refused"],
    }


def one_link(bench, tool, path, file, seed):
    """One fetch of one file over one link."""
    with Network(bench.folder, bench.emulator) as network:
        server, client = network.host(0), network.host(1)
        link = network.link(server, client, path.spec(), seed=seed)
        network.introduce()
        process = tool.serve(network, server, file)
        into = place(bench.folder, "one")
        before = processor_time(process) if process else 0
        fetched = fetch(tool, client, file, [server.address], into, bench.patience)
        serving = processor_time(process) - before if process else 0
        shutil.rmtree(into)
        return figures(link.end(), fetched, file, path.megabits * 1e6, serving)


def part_try(bench):
    """One small fetch: whether measuring works here."""
    case = bench.results.case("try", "A fetch of 1 MiB: 100 Mbit/s, 10 ms, 1 % loss")
    file = File(os.path.join(bench.folder, "web"), MiB)
    path = Path(100, 10, 250_000, "loss=1%")
    alternate(
        bench, case, bench.usable(case, bench.sprats),
        lambda tool, run: one_link(bench, tool, path, file, bench.seed + run),
    )


def part_path(bench, name):
    path = PATHS[name]
    size = (path.size // 4 if bench.quick else path.size) * MiB
    title, wanted = TITLES[name]
    case = bench.results.case(name, f"{title}, {size // MiB} MiB", wanted)
    file = File(os.path.join(bench.folder, "web"), size)
    tools = bench.usable(case, [
        *bench.sprats, Curl("cubic"), Curl("bbr"), Rsync("cubic"), Torrent("TCP", "cubic"),
        Torrent("uTP"), Uftp(path.megabits * 940),
    ])
    alternate(
        bench, case, tools, lambda tool, run: one_link(bench, tool, path, file, bench.seed + run)
    )
    bench.forget()


def alternate(bench, case, tools, measure):
    """Runs of all tools in turn, so that what happens to the machine happens to all of them."""
    ours = bench.sprats[0].name
    for run in range(1, bench.runs + 1):
        took = {}
        for tool in list(tools):
            try:
                found = measure(tool, run)
            except Trouble as trouble:
                Results.note(case, f"SKIPPED: {tool.name}: {trouble}")
                tools.remove(tool)
                continue
            took[tool.name] = found["seconds"]
            if ours in took and tool.name != ours:
                found["ratio"] = took[ours] / found["seconds"]
            Results.add(case, tool.name, **found)
            bench.tell(tool.name, run, found)
            if not found.get("done", True) or (
                found.get("ratio", 1) < 0.2 and found["seconds"] > 10
            ):
                # It would be stopped again, or takes so long that one run says enough.
                tools.remove(tool)


def part_multi(bench):
    """Four sources, each behind a link of its own."""
    size = (32 if bench.quick else 128) * MiB
    case = bench.results.case(
        "multi", f"MULTI: four sources of 50 Mbit/s, 10 ms, {size // MiB} MiB", "at least 91 %"
    )
    file = File(os.path.join(bench.folder, "web"), size)
    tools = bench.usable(case, [
        *bench.sprats, Aria2("cubic"), Aria2("bbr"), Torrent("TCP", "cubic"), Torrent("uTP"),
    ])
    path = Path(50, 10, 250_000)

    def measure(tool, run):
        with Network(bench.folder, bench.emulator) as network:
            client, switch = network.host(0), network.switch()
            network.join(client, switch)
            servers = [network.host(number) for number in range(1, 5)]
            links = []
            serving = []
            for number, server in enumerate(servers):
                links.append(network.link(server, switch, path.spec(), seed=(bench.seed + run) * 16 + number))
                serving.append(tool.serve(network, server, file))
            network.introduce()
            into = place(bench.folder, "one")
            fetched = fetch(tool, client, file, [server.address for server in servers], into, bench.patience)
            shutil.rmtree(into)
            reports = [link.end() for link in links]
            found = figures(reports[0], fetched, file, 200e6, 0)
            for key in ("processor",):
                del found[key]
            sent = sum(it["forth"]["carried"]["bytes"] for it in reports)
            found["wire"] = sent / fetched.arrived
            found["upstream"] = sum(it["back"]["carried"]["bytes"] for it in reports) / fetched.arrived
            drops = sum(it["forth"]["dropped_at_queue"]["frames"] for it in reports)
            found["queue_drops"] = drops / sum(it["forth"]["offered"]["frames"] for it in reports)
            found["queueing_p95"] = max(it["forth"]["queueing_delay"]["p95"] for it in reports) / 1000
            return found

    alternate(bench, case, tools, measure)
    bench.forget()
