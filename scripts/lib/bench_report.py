"""What was measured, as a table in a terminal, as JSON, as Markdown and as a picture."""

import json
import statistics


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


class Results:
    """Figures of runs, by case, by tool, by what was measured. What cannot be measured is a note."""

    def __init__(self):
        self.cases = []

    def case(self, name, title, wanted=""):
        self.cases.append({"name": name, "title": title, "wanted": wanted, "tools": {}, "notes": []})
        return self.cases[-1]

    @staticmethod
    def add(case, tool, **figures):
        """One run of a tool."""
        case["tools"].setdefault(tool, []).append(figures)

    @staticmethod
    def note(case, sentence):
        print(f"   {sentence}", flush=True)
        if sentence not in case["notes"]:
            case["notes"].append(sentence)


# Milliseconds that one frame in twenty may be late by.
LATE = 1.0


def summed_up(runs):
    """The median of each figure that any of the runs has; runs in which the emulator was late for want of a
    processor count only where there are no others."""
    runs = [run for run in runs if run.get("late_p95", 0) <= LATE] or runs
    keys = []
    for figures in runs:
        keys += [key for key in figures if key not in keys]
    found = {}
    for key in keys:
        values = [figures.get(key) for figures in runs]
        found[key] = values[-1] if isinstance(values[-1], (bool, str)) else median(values)
    return found


# How a figure is shown: its heading, its format, by what it is multiplied.
COLUMNS = {
    "seconds": ("time", "{:.2f} s", 1),
    "ratio": ("sprat's time / its", "{:.2f}", 1),
    "goodput": ("of the link", "{:.1f} %", 100),
    "processor": ("processor, both", "{:.2f} s", 1),
    "processor_fetching": ("fetching", "{:.2f} s", 1),
    "processor_serving": ("serving", "{:.2f} s", 1),
    "queue_drops": ("dropped at the queue", "{:.2f} %", 100),
    "wire": ("wire / file", "{:.3f}", 1),
    "upstream": ("upstream", "{:.2f} %", 100),
    "queueing_p95": ("queueing, 95th", "{:.1f} ms", 1),
    "share": ("its share", "{:.1f} %", 100),
    "jain": ("Jain's index", "{:.3f}", 1),
    "copies": ("copies sent", "{:.2f}", 1),
    "buffer_drops": ("dropped in the receive buffer", "{:.0f}", 1),
    "memory": ("memory", "{:.1f} MiB", 1),
    "p50": ("one way", "{:.3f} ms", 1),
    "p95": ("95th", "{:.3f} ms", 1),
    "lost": ("lost", "{:.2f} %", 1),
    "megabits": ("rate on the wire", "{:.1f} Mbit/s", 1),
    "late": ("late, 95th", "{:.2f} ms", 1),
    "each": ("each", "{:.2f} ms", 1),
    "user": ("user", "{:.2f} ms", 1),
    "system": ("system", "{:.2f} ms", 1),
    "rate_of_one": ("of one source's rate", "{:.2f}", 1),
    "of_one": ("of the first", "{:.2f}", 1),
}


def rows(case):
    """The heading and the lines of a case's table, as text."""
    tools = {tool: summed_up(runs) for tool, runs in case["tools"].items()}
    keys = [key for key in COLUMNS if any(key in found for found in tools.values())]
    lines = [["", *(COLUMNS[key][0] for key in keys)]]
    for tool, found in tools.items():
        line = [tool]
        for key in keys:
            _, form, factor = COLUMNS[key]
            value = found.get(key)
            line.append("" if value is None else form.format(value * factor))
        if found.get("done") is False:
            line[0] += " *"
        lines.append(line)
    return lines


def as_text(case):
    lines = rows(case)
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    out = [case["title"] + (f"   (wanted: {case['wanted']})" if case["wanted"] else "")]
    for line in lines:
        first, rest = line[0].ljust(widths[0]), zip(line[1:], widths[1:])
        out.append("   " + first + "".join("  " + cell.rjust(width) for cell, width in rest))
    return "\n".join(out)


def own_figures(path):
    """What the parts without links have recorded: lines of key, value, unit, what was wanted, what it is."""
    names = ("key", "value", "unit", "wanted", "what")
    with open(path, encoding="utf-8") as file:
        return [dict(zip(names, line.rstrip("\n").split("\t"))) for line in file]


def as_markdown(results, own, about):
    """The tables, under headings of the third level."""
    versions = "; ".join(version for version in about["versions"].values())
    out = [
        f"Measured on {about['date']} at commit {about['commit']}: {about['machine']}, "
        f"{about['processors']} processors; "
        + (f"medians of {about['runs']} runs" if about["runs"] > 1 else "one run")
        + (", `--quick`" if about["quick"] else "") + f". {versions}.\n",
    ]
    for case in results.cases:
        out.append(f"### {case['title']}\n")
        if case["wanted"]:
            out.append(f"Wanted: {case['wanted']}.\n")
        if case["tools"]:
            for number, line in enumerate(rows(case)):
                out.append("| " + " | ".join(line) + " |")
                if number == 0:
                    out.append("|---|" + "---:|" * (len(line) - 1))
            out.append("")
        if any(not run.get("done", True) for runs in case["tools"].values() for run in runs):
            out.append(f"\\* stopped after {about['patience']:.0f} s; goodput is of what had come.\n")
        out += [f"{note}\n" for note in case["notes"]]
    if own:
        out += ["### The program alone\n", "| what | found | wanted |", "|---|---:|---|"]
        out += [f"| {it['what']} | {it['value']} {it['unit']} | {it['wanted']} |" for it in own]
    return "\n".join(out).rstrip() + "\n"


def as_json(results, own, about):
    """Everything, every run of it."""
    cases = {}
    for case in results.cases:
        tools = {
            tool: {"median": summed_up(runs), "runs": runs} for tool, runs in case["tools"].items()
        }
        cases[case["name"]] = {**{k: case[k] for k in ("title", "wanted", "notes")}, "tools": tools}
    return json.dumps({**about, "cases": cases, "figures": own}, indent=2) + "\n"
