"""The parts of `scripts/bench` that need emulated links or other tools, and the report of all of them.
`scripts/bench` starts it in a network of its own and says where things are."""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from bench_fair import part_emulator, part_fair, part_queue
from bench_links import part_multi, part_path, part_try
from bench_local import part_loopback, part_small
from bench_many import part_failing, part_incast, part_shoal
from bench_network import Trouble
from bench_picture import picture
from bench_report import Results, as_json, as_markdown, as_text, own_figures
from bench_tools import Sprat, first_line, has_control, preload

PARTS = {
    "loopback": part_loopback,
    "small": part_small,
    "lan": lambda bench: part_path(bench, "lan"),
    "wan": lambda bench: part_path(bench, "wan"),
    "wifi": lambda bench: part_path(bench, "wifi"),
    "lossy": lambda bench: part_path(bench, "lossy"),
    "multi": part_multi,
    "queue": part_queue,
    "fair": part_fair,
    "failing": part_failing,
    "shoal": part_shoal,
    "incast": part_incast,
    "emulator": part_emulator,
    "try": part_try,
}


class Bench:
    """What all parts share."""

    def __init__(self, given):
        self.folder, self.emulator = given.folder, given.emulator
        self.runs, self.quick, self.only, self.seed = given.runs, given.quick, given.only, given.seed
        self.patience = min(20, given.patience) if given.quick else given.patience
        self.results = Results()
        names = ["sprat"] + [f"sprat {number}" for number in range(2, len(given.sprat) + 1)]
        self.sprats = [
            Sprat(program, name, traces=given.traces) for program, name in zip(given.sprat, names)
        ]
        self.versions, self.commit = {}, commit()

    def usable(self, case, tools):
        """Those of the tools that are here and wanted."""
        print(f"{time.strftime('%H:%M')} {case['title']}", flush=True)
        found = []
        for tool in tools:
            if self.only and not any(tool.name.startswith(name) for name in self.only):
                continue
            missing = tool.missing()
            if tool.control and not has_control(tool.control):
                missing = f"this kernel does not let us use {tool.control}"
            if missing:
                self.results.note(case, f"SKIPPED: {tool.name}: {missing}")
                continue
            self.versions.setdefault(tool.name.split(" (")[0].split(",")[0], tool.version())
            found.append(tool)
        return found

    @staticmethod
    def tell(name, run, found):
        said = f"   run {run}: {name}: {found['seconds']:.2f} s"
        if "goodput" in found:
            said += f", {found['goodput'] * 100:.1f} % of the link"
        if not found.get("done", True):
            said += " (stopped)"
        if "share" in found:
            said += f", its share {found['share'] * 100:.1f} %"
        if "queue_drops" in found:
            said += f", {found['queue_drops'] * 100:.2f} % dropped at the queue"
        if found.get("late_p95", 0) > 1:
            said += f"; the emulator was {found['late_p95']:.1f} ms late, the machine is busy"
        if found.get("refused"):
            said += f"; {found['refused']} frames not taken by a device"
        print(said, flush=True)

    def forget(self):
        """Removes the files of a part."""
        for name in os.listdir(self.folder):
            path = os.path.join(self.folder, name)
            if os.path.isdir(path):
                shutil.rmtree(path, ignore_errors=True)


def arguments():
    asked = argparse.ArgumentParser()
    for name in ("folder", "emulator", "json", "figures"):
        asked.add_argument(f"--{name}", required=True)
    for name in ("traces", "markdown", "svg"):
        asked.add_argument(f"--{name}")
    asked.add_argument("--sprat", action="append", required=True)
    asked.add_argument("--runs", type=int, default=3)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--patience", type=float, default=40)
    asked.add_argument("--quick", action="store_true")
    asked.add_argument("--only", action="append", default=[])
    asked.add_argument("parts", nargs="*", choices=[[], *PARTS])
    return asked.parse_args()


def commit():
    """Of which state of the repository this is."""
    here = os.path.dirname(os.path.abspath(__file__))
    command = ["git", "-C", here, "describe", "--always", "--dirty", "--abbrev=10"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def about(bench):
    """Where and with what it was measured."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    control = "/proc/sys/net/ipv4/tcp_congestion_control"
    with open(control, encoding="ascii") as file:
        default = file.read().strip()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": bench.commit,
        "machine": f"Linux {platform.release()} {platform.machine()}, {(models or ['?'])[0]}",
        "processors": os.cpu_count(),
        "kernel_congestion_control": default,
        "program": [first_line(sprat.program, "--version") for sprat in bench.sprats],
        "versions": {name: version for name, version in bench.versions.items() if version},
        "runs": bench.runs,
        "quick": bench.quick,
        "patience": bench.patience,
        "seed": bench.seed,
    }


MARK = "<!-- scripts/bench writes what follows -->\n"


def write_below(path, text):
    """Writes a file anew, but for what stands above a mark in it."""
    above = ""
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            above, mark, _ = file.read().partition(MARK)
            above = above + mark + "\n" if mark else ""
    with open(path, "w", encoding="utf-8") as file:
        file.write(above + text)


def write(given, bench):
    """Writes what there is so far: a run that is ended early leaves that."""
    own, known = own_figures(given.figures), about(bench)
    with open(given.json, "w", encoding="utf-8") as file:
        file.write(as_json(bench.results, own, known))
    if given.markdown:
        write_below(given.markdown, as_markdown(bench.results, own, known))
    if given.svg:
        with open(given.svg, "w", encoding="utf-8") as file:
            file.write(picture(bench.results, known))
    return own


def main():
    given = arguments()
    bench = Bench(given)
    if given.parts:
        preload(given.folder)
    for part in given.parts:
        try:
            PARTS[part](bench)
        except Trouble as trouble:
            print(f"SKIPPED: {part}: {trouble}", file=sys.stderr)
        bench.forget()
        write(given, bench)
    print()
    for case in bench.results.cases:
        if case["tools"]:
            print(as_text(case) + "\n")
    for figure in write(given, bench):
        print(f"{figure['what']:<72} {figure['value']} {figure['unit']:<14} {figure['wanted']}")


if __name__ == "__main__":
    main()
