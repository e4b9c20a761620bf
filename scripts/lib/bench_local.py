"""Without a network between: one large file on loopback, many small ones, and what a process start costs."""

import os
import shutil
import subprocess
import time

from bench_links import MiB, alternate
from bench_network import Network, Trouble
from bench_tools import Aria2, Curl, File, Rsync, Torrent, Uftp, fetch, place, processor_time

HERE = "127.0.0.1"


class Loopback:
    """Server and client on one host; those that are multicast, on two that are joined."""

    def __init__(self, bench, file):
        self.bench, self.file = bench, file

    def measure(self, tool, _):
        with Network(self.bench.folder, self.bench.emulator) as network:
            host = client = network.host(0)
            if isinstance(tool, Uftp):
                client = network.host(1)
                network.join(host, client)
            process = tool.serve(network, host, self.file)
            into = place(self.bench.folder, "one")
            before = processor_time(process) if process else 0
            fetched = fetch(tool, client, self.file, [HERE], into, self.bench.patience)
            serving = processor_time(process) - before if process else 0
            shutil.rmtree(into)
            found = {"done": fetched.done, "seconds": fetched.seconds * self.file.size / fetched.arrived}
            if process:
                found["processor_fetching"], found["processor_serving"] = fetched.processor, serving
            found["processor"] = fetched.processor + serving
            return found


def part_loopback(bench):
    size = (256 if bench.quick else 1024) * MiB
    case = bench.results.case(
        "loopback", f"Loopback: {size // MiB} MiB, verified, from memory to memory",
        "at most 0.9 of rsync, 0.6 of curl and sha1sum; 1.0 s of processor",
    )
    file = File(os.path.join(bench.folder, "web"), size)
    # The first touch of memory is slow on virtual machines: as much as the runs will need.
    for name in ("one", "two"):
        shutil.copyfile(file.path, os.path.join(bench.folder, name))
    for name in ("one", "two"):
        os.remove(os.path.join(bench.folder, name))
    tools = bench.usable(case, [
        *bench.sprats, Rsync(), Curl(after=True), Aria2(), Torrent("TCP"), Torrent("uTP"),
        Uftp(3_000_000),
    ])
    alternate(bench, case, tools, Loopback(bench, file).measure)
    bench.forget()


COUNT = 2000


class Small:
    """A way to fetch many small files, as a line of bash."""

    control = None

    def __init__(self, name, tool, line):
        self.name, self.tool, self.line = name, tool, line

    def missing(self):
        return self.tool.missing()

    def version(self):
        return self.tool.version()


def part_small(bench):
    """Files of 4 KiB, a process for each as a front end does it, and where the time goes."""
    count = 200 if bench.quick else COUNT
    case = bench.results.case(
        "small", f"{count} files of 4 KiB on loopback, one after the other", "reported"
    )
    folder = os.path.join(bench.folder, "web")
    files = [File(folder, 4096, f"{number:04}.bin") for number in range(count)]
    listing = os.path.join(bench.folder, "listing")
    with open(listing, "w", encoding="utf-8") as out:
        out.write("".join(f"{file.sha1} {file.name}\n" for file in files))
    ways = []
    for sprat in bench.sprats:
        program = sprat.program
        fetching = f'"{program}" --root into --bind {HERE} -q --timeout 60 fetch'
        ways += [
            Small(sprat.name + ", a process each", sprat,
                  f"while read -r sha1 name; do {fetching} $sha1 $name 4096 {HERE}; done <listing"),
            Small(sprat.name + ", 8 processes at a time", sprat,
                  f"xargs -P 8 -L 1 bash -c 'exec {fetching} $0 $1 4096 {HERE}' <listing"),
            Small(sprat.name + ", only the start (--version)", sprat,
                  f'while read -r sha1 name; do "{program}" --version; done <listing >/dev/null'),
        ]
    curl, rsync = Curl(), Rsync()
    url = f"http://{HERE}:8000"
    ways += [
        Small("curl, a process each", curl,
              f"while read -r sha1 name; do curl -s -o into/$name {url}/$name; done <listing"),
        Small("curl, one connection", curl,
              f"sed 's,.* \\(.*\\),url={url}/\\1\\noutput=into/\\1,' listing | curl -s -K -"),
        Small("rsync, all of the folder", rsync, f"rsync -qr rsync://{HERE}:8000/share/ into/"),
    ]

    def measure(way, _):
        with Network(bench.folder, bench.emulator) as network:
            host = network.host(0)
            serve_all(way.tool, network, host, files)
            into = place(bench.folder, "one")
            work = os.path.join(into, "into")
            os.makedirs(work)
            os.link(listing, os.path.join(into, "listing"))
            began = time.monotonic()
            process = subprocess.Popen(
                host.enter("bash", "-c", "set -e\n" + way.line), cwd=into,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - began
            process.returncode = os.waitstatus_to_exitcode(status)
            there = sum(len(names) for _, _, names in os.walk(work))
            if process.returncode != 0 or (there < count and "only" not in way.name):
                raise Trouble(f"ended with {process.returncode}, {there} files")
            shutil.rmtree(into)
            return {
                "done": True, "seconds": seconds, "each": seconds / count * 1000,
                "user": usage.ru_utime / count * 1000, "system": usage.ru_stime / count * 1000,
            }

    alternate(bench, case, bench.usable(case, ways), measure)
    for sprat in bench.sprats:
        bench.results.note(case, calls_of_one(bench, sprat, files))
    bench.forget()


def serve_all(tool, network, host, files):
    """Serves a whole folder; a peer is ready when it has served the last of its files."""
    root = os.path.join(network.folder, f"peer-{host.address}", "share")
    if hasattr(tool, "root") and not os.path.exists(root):
        shutil.copytree(files[0].folder, root)
    return tool.serve(network, host, files[-1])


def calls_of_one(bench, sprat, files):
    """The system calls of one fetch of a small file."""
    if not shutil.which("strace"):
        return "SKIPPED: the system calls of a fetch: strace is not there"
    with Network(bench.folder, bench.emulator) as network:
        host = network.host(0)
        serve_all(sprat, network, host, files)
        into = place(bench.folder, "one")
        words = sprat.command(files[-1], into, [HERE])
        done = subprocess.run(
            host.enter("strace", "-f", "-c", "-o", f"{into}/calls", *words),
            capture_output=True, text=True, check=False,
        )
        if done.returncode != 0:
            return f"SKIPPED: the system calls of a fetch: {done.stderr.strip()[-100:]}"
        with open(f"{into}/calls", encoding="utf-8") as calls:
            lines = [line.split() for line in calls]
    counts = {line[-1]: int(line[3]) for line in lines if len(line) >= 5 and line[3].isdigit()}
    total = counts.pop("total", sum(counts.values()))
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:8]
    return f"{sprat.name}: {total} system calls for one: " + ", ".join(f"{n} {c}" for c, n in most) + "."
