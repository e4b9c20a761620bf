"""The picture of one fetch: panels on one time axis."""

import bisect
import datetime

import svg
import trace_time as tt
from trace_events import share, size, span
from trace_run import Source

WIDTH, LEFT, RIGHT = 1240, 136, 24
INNER = WIDTH - LEFT - RIGHT
PANEL, GAP = 126, 38
LANE = 24
# Sources with a colour of their own; the others share one.
MOST = len(svg.SERIES)

# What the parts of a fetch's time look like: colour, and the class of a text on it.
PARTS = {
    tt.OPENING: ("#9aa2ab", "onlight"), tt.SEARCHING: ("#b9c0c8", "onlight"),
    tt.COPYING: ("#56b4e9", "onlight"), tt.SEEKING: ("#e8c766", "onlight"),
    tt.CHAIN: ("#cc9ac0", "onlight"), tt.FIRST: ("#cc9ac0", "onlight"),
    tt.MOVING: ("#3d8f74", "inverse"), tt.STALLED: ("#d55e00", "inverse"),
    tt.PROVING: ("#6f7fb8", "inverse"), tt.PUBLISHING: ("#34508f", "inverse"),
}
WAITING = ("#8a6d3b", "inverse")
THERE = "#aab2bb"


def draw(trace, fetch):
    """The picture, and what it says in one sentence."""
    stalls = tt.stalls(trace, fetch)
    begin, end = fetch.started, tt.fetch_end(trace, fetch)
    series = series_of(trace)
    picture = svg.Picture(WIDTH)
    said = verdict(trace, fetch, stalls)
    y = head(picture, trace, fetch, said)
    y = strip(picture, tt.timeline(trace, fetch, stalls), begin, end, y)
    y = reasons(picture, stalls, begin, end, y)
    if series:
        entries = [("chip", colour, legend_text(trace, name, sources)) for name, colour, sources in series]
        if fetch.there:
            entries.append(("chip", THERE, f"there before: {size(fetch.there)}"))
        y = picture.legend(LEFT, y + 20, entries, INNER) - 4
    shade = Shade(stalls, begin, end)
    panels = (bytes_panel, speed_panel, window_panel, trip_panel, memory_panel)
    if not any(source.packets for source in trace.sources.values()):
        panels = panels[:1]  # the others would be empty
    for panel in panels:
        y = panel(picture, trace, fetch, series, y + GAP, begin, end, shade)
    y = lanes(picture, trace, fetch, series, y + GAP, begin, end, shade)
    svg.time_axis(picture, LEFT, y, INNER, y + 1, begin, end, f"since the {'trace' if fetch.is_cut else 'fetch'} began")
    picture.height = y + 48
    return picture, said


class Shade:
    """Stalls, drawn behind every panel."""

    def __init__(self, stalls, begin, end):
        self.stalls, self.begin, self.end = stalls, begin, end

    def x(self, t):
        return LEFT + INNER * (t - self.begin) / max(self.end - self.begin, 1)

    def mark_x(self, t):
        """Where a mark stands, which is to be seen whole."""
        return min(max(self.x(t), LEFT + 5), LEFT + INNER - 5)

    def behind(self, picture, top, height):
        unit = svg.time_unit(self.end - self.begin)[1]
        for value in svg.ticks(0, (self.end - self.begin) / unit, 10):
            x = self.x(self.begin + value * unit)
            picture.line(x, top, x, top + height)
        for stall in self.stalls:
            left, right = self.x(stall["from"]), self.x(stall["to"])
            picture.rect(left, top, max(right - left, 1.5), height, "stall")
            if right - left > 6:
                for x in (left, right):
                    picture.line(x, top, x, top + height, "stalledge")


def series_of(trace):
    """[(name, colour, sources)]: those that gave most, and the others together."""
    sources = [source for source in trace.given() if source.packets or source.views]
    series = [
        (trace.host_text(source.address), svg.SERIES[i], [source]) for i, source in enumerate(sources[:MOST])
    ]
    if len(sources) > MOST:
        series.append((f"{len(sources) - MOST} others", svg.OTHERS, sources[MOST:]))
    return series


def legend_text(trace, name, sources):
    came = sum(source.bytes for source in sources)
    whole = sum(source.bytes for source in trace.sources.values())
    return f"{name}: {size(came)}, {share(came, whole)}" if came else f"{name}: nothing"


def verdict(trace, fetch, stalls):
    """What the picture shows, in a sentence."""
    took = tt.fetch_end(trace, fetch) - fetch.started
    gave = [source for source in trace.given() if source.bytes]
    ending = fetch.ending[0] if fetch.ending else ""
    hosts = f" from {trace.from_hosts(gave)}" if gave else ""
    if ending == "done" and "copy" in fetch.marks and not gave:
        said = [f"{size(fetch.size)} in {span(took)}, found in share/"]
    elif ending == "done":
        rest = f"the missing {size(fetch.size - fetch.there)} of " if fetch.there else ""
        said = [f"{rest}{size(fetch.size)} in {span(took)}{hosts}"]
    else:
        word = {"timed_out": "given up", "failed": "failed", "wrong_size": "failed: its size is another"}
        came = fetch.last.get("held", sum(source.bytes for source in gave))
        if fetch.is_cut and not ending:
            more = came - (fetch.there or 0)
            said = [f"{span(took)} of a fetch under way: {size(more)} came{hosts}, {size(came)} of {size(fetch.size)} are there"]
        else:
            said = [f"{word.get(ending, 'not done')} after {span(took)}: {size(came)} of {size(fetch.size)} came{hosts}"]
    if stalls:
        longest = max(stalls, key=lambda stall: stall["to"] - stall["from"])
        stalled = sum(stall["to"] - stall["from"] for stall in stalls)
        said.append(f"{span(stalled)} stalled: {longest['reason']}")
    lost = sum(source.lost for source in trace.sources.values())
    came = sum(source.bytes + source.other_bytes for source in trace.sources.values())
    if lost and lost / (lost + came) > 0.005:
        said.append(f"{share(lost, lost + came)} lost on the way")
    bad = [trace.host_text(source.address) for source in trace.given() if source.last.get("blamed")]
    if bad:
        said.append(f"{tt.crowd(bad)} gave wrong bytes")
    if not gave and ending != "done":
        unanswered = [trace.host_text(s.address) for s in trace.sources.values() if s.asks and not s.tells]
        said.append(f"{tt.crowd(unanswered)} did not answer" if unanswered else "nobody had it")
    return "; ".join(said)


def head(picture, trace, fetch, said):
    y = 36
    for line in svg.wrap(said, WIDTH - 48, 20, 3, bold=True):
        picture.text(24, y, line, "verdict")
        y += 27
    started = trace.header.get("started")
    when = ""
    if isinstance(started, (int, float)):
        moment = datetime.datetime.fromtimestamp(started / 1000, datetime.timezone.utc)
        when = moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    platform = trace.header.get("platform") or {}
    if isinstance(platform, dict):
        platform = " ".join(str(platform[key]) for key in ("os", "arch") if platform.get(key))
    version = trace.header.get("program") or trace.header.get("version") or ""
    more = [fetch.name, f"{fetch.size:,} bytes", f"SHA-1 {fetch.content[:12]}…" if fetch.content else "", f"sprat {version} on {platform}", when]
    picture.text(24, y, svg.shorten("  ·  ".join(part for part in more if part), WIDTH - 48), "soft")
    return y + 14


def strip(picture, pieces, begin, end, y):
    """Where the time went: one bar, and how long each part took."""
    length = max(end - begin, 1)
    y += 14
    for start, to, what in pieces:
        colour, css = PARTS.get(what, WAITING)
        x, width = LEFT + INNER * (start - begin) / length, INNER * (to - start) / length
        picture.rect(x, y, max(width, 0.8), 22, "", colour, f"{what}: {span(to - start)}")
        if svg.text_width(what, 12) + 10 < width:
            picture.text(x + width / 2, y + 15, what, css, "middle")
    entries = [("chip", PARTS.get(what, WAITING)[0], f"{what} {span(took)}") for what, took in tt.totals(pieces)]
    picture.text(LEFT - 8, y + 15, "time", "small", "end")
    return picture.legend(LEFT, y + 41, entries, INNER) - 10


def reasons(picture, stalls, begin, end, y):
    """Why nothing came, in words, each below its part of the bar, in rows that do not run into each other."""
    rows = []  # how far to the right each is used
    length = max(end - begin, 1)
    for stall in sorted(stalls, key=lambda stall: stall["from"] - stall["to"])[:5]:
        text = svg.shorten(f"{span(stall['to'] - stall['from'])}: {stall['reason']}", INNER - 20, 13, bold=True)
        width = svg.text_width(text, 13, bold=True) + 12
        x = LEFT + INNER * (stall["from"] - begin) / length
        x = max(min(x, LEFT + INNER - width), LEFT)
        for row, used in enumerate(rows):
            if all(x > b or x + width < a for a, b in used):
                break
        else:
            row = len(rows)
            rows.append([])
        rows[row].append((x, x + width))
        picture.text(x, y + 20 + 18 * row, text, "stalltext")
    if len(stalls) > 5:
        picture.text(LEFT, y + 20 + 18 * len(rows), f"and {len(stalls) - 5} shorter stalls", "stalltext")
        rows.append([])
    return y + 18 * len(rows) + (6 if rows else 0)


def start(picture, y, begin, end, high, unit, per, shade, title, more=""):
    panel = svg.Panel(picture, LEFT, y, INNER, PANEL, begin, end, high, unit, per)
    shade.behind(picture, y, PANEL)
    panel.title(title, more)
    return panel


def byte_unit(high):
    for unit, per in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if high >= per:
            return unit, per
    return "B", 1


def bytes_panel(picture, trace, fetch, series, y, begin, end, shade):
    """How much has come, each source upon the others."""
    columns = [begin + (end - begin) * i / 400 for i in range(401)]
    there = fetch.there or 0
    stacked = [there] * len(columns)
    layers = [(THERE, [0] * len(columns), stacked)] if there else []
    for _, colour, sources in series:
        lower = stacked
        stacked = [low + sum(came_by(source, t) for source in sources) for low, t in zip(lower, columns)]
        layers.append((colour, lower, stacked))
    high = max([fetch.size, *stacked])
    unit, per = byte_unit(high)
    more = "line: proven and on disk; dotted: the whole file"
    panel = start(picture, y, begin, end, high, unit, per, shade, "What has come", more)
    for colour, lower, upper in layers:
        xs = [panel.x(t) for t in columns]
        picture.area(
            [(x, panel.y(v)) for x, v in zip(xs, upper)], [(x, panel.y(v)) for x, v in zip(xs, lower)], colour
        )
    picture.line(LEFT, panel.y(fetch.size), LEFT + INNER, panel.y(fetch.size), "faint")
    stored = stored_curve(fetch, end)
    picture.curve([(panel.x(t), panel.y(v)) for t, v in thin(stored, panel)], css="strong")
    return y + PANEL


def came_by(source, t):
    at = bisect.bisect_right(source.arrivals, t, key=lambda point: point[0])
    return source.arrivals[at - 1][1] if at else 0


def stored_curve(fetch, end):
    """[(time, bytes proven and on disk)], as steps that a line can follow."""
    points = [(t, view.get("stored", 0)) for t, view in fetch.views]
    points += [(t, view) for t, view in fetch.stored_at] if not points else []
    if fetch.ending and fetch.ending[0] == "done":
        points.append((fetch.ended, fetch.size))
    elif points:
        points.append((end, points[-1][1]))
    return points


HELD = 20_000  # views come every 10 ms, where anything has changed


def held(points):
    """A value that is told again only when it has changed stays what it was until then."""
    before = None
    for t, value in points:
        if before is not None and t - before[0] > HELD:
            yield t - HELD // 2, before[1]
        yield t, value
        before = (t, value)


def thin(points, panel, together=max):
    """At most one point for two pixels: the largest value, or what else stands for several."""
    out, bucket, where = [], [], None
    for t, value in held(points):
        at = int(panel.x(t) / 2)
        if at != where and bucket:
            out.append((bucket[-1][0], together(v for _, v in bucket)))
            bucket = []
        where = at
        bucket.append((t, value))
    if bucket:
        out.append((bucket[-1][0], together(v for _, v in bucket)))
    return out


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def speed_panel(picture, trace, fetch, series, y, begin, end, shade):
    bins = 120 if end - begin > 1_200_000 else max(12, int((end - begin) / 10_000))
    width = (end - begin) / bins
    curves = []
    for _, colour, sources in series:
        came = [0.0] * (bins + 1)
        for source in sources:
            before = 0
            for t, value in source.arrivals:
                if begin <= t <= end:
                    came[min(int((t - begin) / width), bins - 1)] += value - before
                before = value
        curves.append((colour, [value * 1e6 / width for value in came[:bins]]))
    whole = [sum(values) for values in zip(*(curve for _, curve in curves))] if curves else []
    high = max(whole, default=0)
    unit, per = byte_unit(high)
    more = f"in steps of {span(width)}" + ("; black or white: all together" if len(series) > 1 else "")
    panel = start(picture, y, begin, end, high, f"{unit}/s", per, shade, "How fast", more)

    def steps(values):
        return [(panel.x(begin + (i + j) * width), panel.y(v)) for i, v in enumerate(values) for j in (0, 1)]

    for colour, values in curves:
        # A source that gives nothing any more has no speed.
        used = [i for i, value in enumerate(values) if value] or [0]
        picture.curve(steps(values)[max(2 * used[0] - 1, 0) : 2 * used[-1] + 3], colour, width=1.6)
    if len(series) > 1:
        picture.curve(steps(whole), css="strong", width=1)
    return y + PANEL


def view_panel(picture, series, y, begin, end, shade, title, more, unit_of, lines):
    """Curves of what the views of the sources say: `lines` are (field, thin or not, together)."""
    values = [
        view.get(field, 0) if field != "rtt" or view.get("received") else 0
        for *_, sources in series
        for source in sources
        for t, view in source.views
        for field, *_ in lines
        if begin <= t <= end
    ]
    # One wild value must not flatten all others; what is above the top is drawn at the top.
    values.sort()
    high = values[-1] if values else 0
    if values and high > 4 * values[int(len(values) * 0.98)] > 0:
        high = 2 * values[int(len(values) * 0.98)]
        more += "; what reaches the top goes beyond it"
    unit, per = unit_of(high)
    panel = start(picture, y, begin, end, high, unit, per, shade, title, more)
    for _, colour, sources in series:
        for source in sources:
            for field, is_thin, together in lines:
                until = min(end, last_use(source))
                points = [(t, view.get(field, 0)) for t, view in source.views if begin <= t <= until]
                if field == "rtt":
                    points = source.round_trips(begin, until)
                if points and until >= end:
                    points.append((end, points[-1][1]))
                points = [(panel.x(t), panel.y(v)) for t, v in thin(points, panel, together)]
                if is_thin:
                    picture.curve(points, colour, width=1.1, dash="5 3")
                else:
                    picture.curve(points, colour, width=1.7)
    return y + PANEL


def last_use(source):
    """Until when a source had a part in it: later its figures only stand there."""
    last = source.heard[-1] if source.heard else 0
    return float("inf") if source.last.get("in_flight") else last + HELD


def window_panel(picture, trace, fetch, series, y, begin, end, shade):
    shown = [(name, colour, [s for s in sources if s.packets]) for name, colour, sources in series]
    lines = (("window", True, mean), ("in_flight", False, mean))
    more = "line: asked for and not come yet; dashed: the most that may be (the window)"
    return view_panel(picture, shown, y, begin, end, shade, "What is under way", more, byte_unit, lines)


def trip_panel(picture, trace, fetch, series, y, begin, end, shade):
    shown = [(name, colour, [s for s in sources if s.packets]) for name, colour, sources in series]
    unit_of = lambda high: ("ms", 1_000) if high >= 1_000 else ("µs", 1)
    lines = (("rtt", False, max),)
    more = "from asking to the first bytes (smoothed round trip)"
    return view_panel(picture, shown, y, begin, end, shade, "How long an answer takes", more, unit_of, lines)


def memory_panel(picture, trace, fetch, series, y, begin, end, shade):
    waiting = [(t, max(view.get("held", 0) - view.get("stored", 0), 0)) for t, view in fetch.views]
    high = max((v for _, v in waiting), default=0)
    unit, per = byte_unit(high)
    slow = sorted((to - at, what) for at, to, what in fetch.disk)
    more = "bytes that have come and are not proven and written yet"
    if slow:
        took, what = slow[-1]
        more += "" if not took else f"; the slowest {what} of a block took {span(took)}"
    panel = start(picture, y, begin, end, high, unit, per, shade, "Waiting for proof and disk", more)
    points = [(panel.x(t), panel.y(v)) for t, v in thin(waiting, panel)]
    if points:
        # It is held from one view to the next, and nothing is at the end.
        last = points[-1][1] if fetch.ending is None else panel.y(0)
        points.append((panel.x(end), last))
        picture.area(points, [(x, panel.y(0)) for x, _ in points], "#6f7fb8", 0.55)
        picture.curve(points, "#6f7fb8", width=1.4)
    return y + PANEL


def lanes(picture, trace, fetch, series, y, begin, end, shade):
    """What went wrong, a row for each source."""
    picture.text(LEFT, y - 9, "What happened", "title")
    used, limit = set(), tt.stall_limit(trace)
    rows = list(series) or [("", svg.OTHERS, [])]
    if fetch.bad_blocks and not any(source.blames for source in trace.sources.values()):
        rows.append(("several", svg.OTHERS, [Unblamed(fetch.bad_blocks)]))
    height = LANE * len(rows)
    picture.rect(LEFT, y, INNER, height, "panel")
    shade.behind(picture, y, height)
    x_of = shade.x
    for row, (name, colour, sources) in enumerate(rows):
        middle = y + LANE * row + LANE / 2
        picture.line(LEFT, middle + LANE / 2, LEFT + INNER, middle + LANE / 2)
        picture.rect(LEFT - 5, middle - 8, 4, 16, "", colour)
        picture.text(LEFT - 10, middle + 4, svg.shorten(name, LEFT - 14, 12), "small", "end")
        for source in sources:
            for a, b, bad in tt.silences(trace, source, limit):
                used.add("rest" if bad else "bar")
                hint = f"{'left alone' if bad else 'silent'} for {span(b - a)}"
                picture.rect(x_of(a), middle - 4, x_of(b) - x_of(a), 8, "rest" if bad else "silent", hint=hint)
        for kind, times in happenings(sources).items():
            drawn = None
            for t in sorted(times):
                x = shade.mark_x(t)
                if begin <= t <= end and (drawn is None or x - drawn > (1.6 if kind == "tick" else 5)):
                    drawn = x
                    used.add(kind)
                    picture.shape(kind, drawn, middle)
    y += height
    words = {
        "bar": "asked, and silent", "tick": "bytes lost and asked for again", "cross": "bad block",
        "rest": "left alone for that", "diamond": "refused", "ring": "question whether it has the file", "dot": "answer",
    }
    entries = [(kind, "", words[kind]) for kind in words if kind in used]
    picture.legend(LEFT + 140, y - height - 9, entries, INNER - 140)
    return y


class Unblamed(Source):
    """Stands for those of whom one gave bad bytes, where it cannot be told which."""

    def __init__(self, times):
        super().__init__("")
        self.blames = [(t, 1) for t in times]


def happenings(sources):
    out = {"ring": [], "dot": [], "tick": [], "diamond": [], "cross": []}
    for source in sources:
        out["ring"] += source.asks
        out["tick"] += [t for t, _ in source.losses]
        out["diamond"] += [t for t, _ in source.refusals]
        out["cross"] += [t for t, _ in source.blames]
    return out
