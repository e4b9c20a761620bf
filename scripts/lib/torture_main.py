"""Runs the parts of `scripts/torture`, and gathers their figures.

A part is a module in `torture/`: its first line of documentation says what it is, and `run(part)` does it. What it is
handed is a `Part`: whether to be quick, its chance, the program, a folder that vanishes, and `figure` to say what was
found. A part that cannot be done here raises `Skipped`; what raises anything else has failed.
"""

import argparse
import importlib
import json
import os
import pkgutil
import random
import shutil
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import torture  # noqa: E402  (it stands beside this file)


class Skipped(Exception):
    """Why something cannot be done on this machine."""


class Part:
    """What a part works with, and what it found."""

    def __init__(self, name, options, folder):
        self.name, self.quick, self.seed = name, options.quick, options.seed
        self.sprat, self.tools, self.folder = options.sprat, options.tools, folder
        self.random = random.Random(f"{options.seed} {name}")
        self.figures, self.skipped, self.lines = [], [], []

    def tool(self, name):
        """An example of the project, as a program."""
        return os.path.join(self.tools, name)

    def new_folder(self, name):
        """A folder of that name, which vanishes with the part."""
        path = os.path.join(self.folder, name)
        os.makedirs(path, exist_ok=True)
        return path

    def figure(self, what, found, wanted="", holds=True):
        """One line of the table: what was looked at, what was found, what was promised, and whether it holds."""
        self.figures.append({"what": what, "found": str(found), "wanted": str(wanted), "holds": bool(holds)})
        note = "" if holds else "   <-- NOT AS PROMISED"
        print(f"   {what}: {found}{f' (wanted: {wanted})' if wanted else ''}{note}", flush=True)

    def say(self, line):
        """Something to read that is no figure."""
        print(f"   {line}", flush=True)

    def skip(self, what, why):
        """One case that cannot be done here; in a machine that has to be able to, that is a failure."""
        if os.environ.get("SPRAT_REQUIRE_LAB"):
            raise AssertionError(f"{what}: {why}")
        self.skipped.append(f"{what}: {why}")
        print(f"SKIPPED: torture {self.name}: {what}: {why}", flush=True)

    def failed(self):
        return [figure for figure in self.figures if not figure["holds"]]


def all_parts():
    """The names of the parts, with what each is."""
    names = sorted(found.name for found in pkgutil.iter_modules(torture.__path__))
    modules = {name: importlib.import_module(f"torture.{name}") for name in names if not name.startswith("_")}
    return {name: module for name, module in modules.items() if hasattr(module, "run")}


def arguments():
    parser = argparse.ArgumentParser(prog="torture", allow_abbrev=False)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--sprat")
    parser.add_argument("--tools")
    parser.add_argument("--markdown")
    parser.add_argument("--json")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("parts", nargs="*")
    return parser.parse_args()


def run_part(name, module, options):
    """Runs one part to its end, whatever that is."""
    folder = tempfile.mkdtemp(prefix=f"sprat-torture-{name}-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    part = Part(name, options, folder)
    print(f"== {name}: {module.__doc__.splitlines()[0]}", flush=True)
    begun = time.monotonic()
    try:
        module.run(part)
    except Skipped as why:
        part.skip("all of it", str(why))
    except Exception as error:  # whatever it is, the other parts go on
        traceback.print_exc()
        part.figure("it came to its end", f"{type(error).__name__}: {error}", "no error", False)
    part.seconds = time.monotonic() - begun
    if part.failed() and options.keep:
        print(f"   left for looking at: {folder}", flush=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return part


def table(part, options):
    """The figures of a part as a table, in markdown."""
    how = "quickly" if options.quick else "in full"
    rows = ["| case | found | promised |", "|---|---|---|"]
    for figure in part.figures:
        found = figure["found"] if figure["holds"] else f"**{figure['found']}**"
        rows.append(f"| {figure['what']} | {found} | {figure['wanted']} |")
    day = time.strftime("%Y-%m-%d", time.gmtime())
    rows += ["", f"Run {how} on {day} in {part.seconds:.0f} s, `--seed {part.seed}`."]
    rows += [f"Skipped: {sentence}." for sentence in part.skipped]
    return "\n".join(rows)


def write_markdown(path, parts, options):
    """Puts each part's table between its marks; a part without marks gets them at the end."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for part in parts:
        first, last = f"<!-- torture {part.name} -->", f"<!-- end of torture {part.name} -->"
        piece = f"{first}\n{table(part, options)}\n{last}"
        if first in text and last in text:
            before, rest = text.split(first, 1)
            text = before + piece + rest.split(last, 1)[1]
        else:
            text = f"{text.rstrip()}\n\n## {part.name}\n\n{piece}\n"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def main():
    options = arguments()
    known = all_parts()
    if options.list:
        for name, module in known.items():
            print(f"{name:<12}{module.__doc__.splitlines()[0]}")
        return 0
    for name in options.parts:
        if name not in known:
            print(f"torture: no such part: {name}; there are {', '.join(known)}", file=sys.stderr)
            return 2
    print(f"seed {options.seed}", flush=True)
    parts = [run_part(name, known[name], options) for name in options.parts or known]
    if options.markdown:
        write_markdown(options.markdown, parts, options)
    if options.json:
        told = {part.name: {"figures": part.figures, "skipped": part.skipped} for part in parts}
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(told, file, indent=1)
    failed = sum(len(part.failed()) for part in parts)
    held = sum(len(part.figures) for part in parts) - failed
    print(f"== {held} figures as promised, {failed} not", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
