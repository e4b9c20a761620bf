"""Where the time of a fetch went: what it was doing when, when nothing came and why.

`timeline` cuts a fetch into pieces without gaps, so that their lengths add up to the whole. Times are
microseconds of the trace.
"""

from trace_events import listed, span
from trace_run import MERGED

# Nothing for longer than this many round trips and that much more is a stall.
STALL_ROUND_TRIPS, STALL_BEYOND = 3, 200_000

OPENING, SEARCHING, COPYING = "opening its files", "looking in share/", "copying from share/"
SEEKING, CHAIN, FIRST = "looking for sources", "waiting for the chain", "waiting for the first bytes"
MOVING, STALLED, PROVING = "transferring", "stalled", "proving and writing the rest"
PUBLISHING, ELSEWHERE = "publishing", "waiting for another fetch of this file"
# Phases that a view tells and that are no transfer.
WAITS = ("waiting for room on the disk", "checking what is on disk")


def fetch_end(run, fetch):
    return fetch.ended if fetch.ended is not None else run.finish


def milestones(run, fetch):
    """[(from, to, what)] without gaps, from the beginning of a fetch to its end."""
    marks, end = fetch.marks, fetch_end(run, fetch)
    bounds = [(fetch.started, OPENING)]

    def then(name, what):
        if name in marks:
            bounds.append((max(min(marks[name], end), bounds[-1][0]), what))

    then("taken", ELSEWHERE)
    then("opened", SEARCHING)
    then("copy", COPYING)
    if "copy" not in marks or "grant" in marks:
        then("searched", SEEKING)
    if "grant" in marks:
        then("grant", CHAIN if "chain" in marks else FIRST)
        then("first data", MOVING)
        if "publish" in marks and "last data" in marks:
            then("last data", PROVING)
    then("publish", PUBLISHING)
    ends = [at for at, _ in bounds[1:]] + [end]
    return [(at, to, what) for (at, what), to in zip(bounds, ends) if to > at]


def timeline(run, fetch, found_stalls=None):
    """As `milestones`, with stalls and waits taken out of the rest."""
    found = stalls(run, fetch) if found_stalls is None else found_stalls
    pieces = milestones(run, fetch)
    for stall in found:
        pieces = overlay(pieces, stall["from"], stall["to"], STALLED, (MOVING, CHAIN, FIRST))
    for start, to, phase in phases(run, fetch):
        if phase in WAITS:
            pieces = overlay(pieces, start, to, phase, (OPENING, SEEKING, MOVING, STALLED, CHAIN, FIRST))
    return pieces


def overlay(pieces, start, to, what, over):
    out = []
    for a, b, label in pieces:
        low, high = max(a, start), min(b, to)
        if label not in over or low >= high:
            out.append((a, b, label))
            continue
        out += [piece for piece in ((a, low, label), (low, high, what), (high, b, label)) if piece[0] < piece[1]]
    return out


def phases(run, fetch):
    """[(from, to, phase)] as the views tell it."""
    out, end = [], fetch_end(run, fetch)
    for t, view in fetch.views:
        phase = view.get("phase", "")
        if out and out[-1][2] == phase:
            continue
        if out:
            out[-1][1] = t
        out.append([t, end, phase])
    return [tuple(piece) for piece in out if piece[1] > piece[0]]


def totals(pieces):
    """[(what, time)], in the order of first appearance; it adds up to the whole."""
    sums = {}
    for start, to, what in pieces:
        sums[what] = sums.get(what, 0) + to - start
    return list(sums.items())


# Stalls.


def round_trip(run):
    """The median of the smoothed round trips of all sources, in microseconds."""
    seen = sorted(trip for source in run.sources.values() for _, trip in source.round_trips())
    return seen[len(seen) // 2] if seen else 0


def stall_limit(run):
    return STALL_ROUND_TRIPS * round_trip(run) + STALL_BEYOND


def stalls(run, fetch):
    """When nothing came that was waited for: [{from, to, reason}], in order."""
    limit, end = stall_limit(run), fetch_end(run, fetch)
    moments = sorted(t for source in run.sources.values() for t in source.heard)
    moments = [t for t in moments if fetch.started <= t <= end]
    begin = fetch.marks.get("grant")
    if begin is None:
        return []
    done = "publish" in fetch.marks
    moments = [begin] + moments + ([] if done else [end])
    gaps = zip(moments, moments[1:])
    return [
        {"from": a, "to": b, "reason": reason(run, fetch, a, b)} for a, b in gaps if b - a > limit
    ]


def reason(run, fetch, start, to):
    """Why nothing came in a time, in words."""
    for phase_start, phase_to, phase in phases(run, fetch):
        if phase in WAITS and min(phase_to, to) - max(phase_start, start) > (to - start) / 2:
            return phase
    slept = max((b - max(a, start) for a, b in run.late if start <= b <= to + MERGED), default=0)
    if slept > (to - start) / 2:
        return f"this program itself stood still for {span(slept)}"
    disk = [(b - a, what) for a, b, what in fetch.disk if a <= start + MERGED and b >= to - MERGED]
    if disk:
        took, what = max(disk)
        return f"the {'disk' if what == 'write' else 'processor'} was busy: one {what} took {span(took)}"
    return blame(run, start, to)


# What a source waited for, as said of several of them.
SAID = {
    "it gave bad bytes, and rests": "{} had given bad bytes and rested",
    "it was silent, and rests": "nothing came from {}",
    "it has not answered our question": "{} did not answer",
    "it has to give us a cookie": "{} had to give us a cookie",
    "nothing comes from it": "nothing came from {}",
    "its window is full": "nothing came from {}",
    "what is in flight": "nothing came from {}",
    "it has nothing for us": "{} had nothing for us",
    "its pace": "{} was not asked for more yet",
    "nothing to ask it for": "{} had nothing more to do",
}


def blame(run, start, to):
    """Which sources kept a fetch waiting, and how."""
    groups = {}
    for source in sorted(run.sources.values(), key=lambda source: source.address):
        middle = source.view_at((start + to) // 2) or source.view_at(to)
        waits = middle.get("waits")
        if waits:
            said = SAID.get(waits, "{}: " + waits)
            groups.setdefault(said, []).append(run.host_text(source.address))
    if not groups:
        return "there was nobody to ask"
    # Who had nothing to do says little where somebody else kept us waiting.
    if len(groups) > 1:
        groups.pop(SAID["nothing to ask it for"], None)
    silent = groups.pop("nothing came from {}", None)
    ordered = ([("nothing came from {}", silent)] if silent else []) + sorted(groups.items())
    return "; ".join(said.format(crowd(hosts)) for said, hosts in ordered[:3])


def crowd(hosts):
    """The first few of many hosts, each once."""
    hosts = sorted({host.split(" (IPv6")[0] for host in hosts})
    return listed(hosts) if len(hosts) <= 4 else listed([*hosts[:3], f"{len(hosts) - 3} others"])


def silences(run, source, limit):
    """[(from, to, whether it is left alone for its bad bytes)] when a source was asked for bytes or would
    have been, and none came, though perhaps from others."""
    ends = [fetch_end(run, fetch) for fetch in run.fetches.values()]
    moments = [*source.heard, max(ends, default=run.finish)]
    out = []
    for a, b in zip(moments, moments[1:]):
        if b - a > limit:
            view = source.view_at(a + min(limit, (b - a) // 2))
            if view.get("in_flight") or view.get("state") in ("stalled", "sidelined"):
                out.append((a, b, "bad" in view.get("waits", "")))
    return out
