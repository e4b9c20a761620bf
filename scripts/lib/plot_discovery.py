"""The picture of a network as one host saw it: who was there when, and how much of it was known."""

import datetime

import svg
from trace_events import count, listed, size, span
from trace_time import crowd

WIDTH, LEFT, RIGHT = 1240, 150, 24
INNER = WIDTH - LEFT - RIGHT
PANEL, GAP, LANE = 96, 38, 30
MOST = 40  # hosts with a row of their own

# What is known of a host: colour, class of a text on it, words.
STATES = {
    "heard": ("#c3c9d0", "onlight", "heard of"),
    "proven": ("#e69f00", "onlight", "proven: it receives where it says it is"),
    "listing": ("#56b4e9", "onlight", "its list of files is on its way"),
    "listed": ("#0072b2", "inverse", "its files are known"),
}
MARKS = {
    "tick": ("#d55e00", "announcement heard"),
    "ring": ("", "question asked"),
    "dot": ("", "answer, or a piece of its list"),
    "diamond": ("", "farewell"),
}


def draw(trace):
    """The picture, and what it says in one sentence."""
    begin, end = trace.begin, max(trace.finish, trace.begin + 1)
    hosts = trace.others()
    hosts.sort(key=lambda host: (first_moment(host), host.address))
    picture = svg.Picture(WIDTH)
    said = verdict(trace, hosts)
    y = head(picture, trace, said)
    used_states = {state for host in hosts for _, _, state, _ in host.states}
    entries = [("chip", colour, words) for state, (colour, _, words) in STATES.items() if state in used_states]
    y = picture.legend(LEFT, y + 26, entries, INNER)
    axis = Axis(begin, end)
    top = y
    if hosts:
        known = known_over_time(trace, hosts)
        points = [(t, number) for t, number, _ in known]
        y = steps_panel(picture, axis, y + GAP - 8, "Hosts", "that are known at the time", points)
        if any(files for *_, files in known):
            points = [(t, files) for t, _, files in known]
            y = steps_panel(picture, axis, y + GAP, "Files", "on all of them together", points)
        y = host_lanes(picture, trace, axis, y + GAP, hosts)
    if any(receiver.bytes for receiver in trace.receivers.values()):
        y = served_panel(picture, trace, axis, y + GAP)
    y = own_lane(picture, trace, axis, y + (GAP if y > top else 20))
    svg.time_axis(picture, LEFT, y, INNER, y + 1, begin, end, "since the trace began")
    picture.height = y + 48
    return picture, said


class Axis:
    def __init__(self, begin, end):
        self.begin, self.end = begin, end

    def x(self, t):
        return LEFT + INNER * (t - self.begin) / (self.end - self.begin)

    def grid(self, picture, top, height):
        unit = svg.time_unit(self.end - self.begin)[1]
        for value in svg.ticks(0, (self.end - self.begin) / unit, 10):
            x = self.x(self.begin + value * unit)
            picture.line(x, top, x, top + height)


def first_moment(host):
    moments = [host.states[0][0]] if host.states else []
    return min(moments + host.announced[:1] + host.told[:1] + host.asked[:1], default=0)


def verdict(trace, hosts):
    listed_hosts = [host for host in hosts if any(state[2] == "listed" for state in host.states)]
    said = [f"{trace.from_hosts(hosts)} in {span(trace.length)}"]
    if not hosts:
        asked = "nobody answered" if trace.asked_many else "nobody was heard"
        return f"{asked} in {span(trace.length)}"
    if listed_hosts:
        took = sorted(to_listed(host) for host in listed_hosts)
        said.append(f"{count(known_over_time(trace, hosts)[-1][2], 'file')} known at the end")
        if len(took) > 1:
            median = span(took[len(took) // 2])
            said.append(f"listed {median} after the first word (median), {span(took[-1])} at most")
        else:
            said.append(f"listed {span(took[0])} after the first word")
    never = [trace.host_text(host.address) for host in hosts if host not in listed_hosts]
    if never:
        said.append(f"{crowd(never)} gave no list")
    left = [trace.host_text(host.address) for host in hosts if host.said_goodbye]
    lost = [trace.host_text(host.address) for host in hosts if host.gone_at is not None and not host.said_goodbye]
    away = [trace.host_text(host.address) for host in hosts if host.absences and host.gone_at is None]
    if left:
        said.append(f"{crowd(left)} said goodbye")
    if lost:
        said.append(f"{crowd(lost)} fell silent")
    if away:
        said.append(f"{crowd(away)} came back after silence")
    return "; ".join(said)


def to_listed(host):
    at = next(start for start, _, state, _ in host.states if state == "listed")
    return max(at - first_moment(host), 0)


def head(picture, trace, said):
    y = 36
    for line in svg.wrap(said, WIDTH - 48, 20, 3, bold=True):
        picture.text(24, y, line, "verdict")
        y += 27
    header = trace.header
    when = ""
    if isinstance(header.get("started"), (int, float)):
        moment = datetime.datetime.fromtimestamp(header["started"] / 1000, datetime.timezone.utc)
        when = moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    own = [one["address"] for one in trace.own if not one.get("loopback")] or [one["address"] for one in trace.own]
    version = header.get("program") or header.get("version") or ""
    more = [f"as seen by {listed(own[:3])}" if own else "", f"sprat {version} {header.get('command', '')}", when]
    picture.text(24, y, svg.shorten("  ·  ".join(part for part in more if part), WIDTH - 48), "soft")
    return y


def known_over_time(trace, hosts):
    """[(time, hosts, files)] as they were known. A host with several addresses counts once, and so do its
    files."""
    changes = []
    for host in hosts:
        group = host.instance or host.address
        for index, (start, to, _, files) in enumerate(host.states):
            changes.append((start, 1, group, host.address, files))
            following = host.states[index + 1][0] if index + 1 < len(host.states) else None
            left = to < following if following is not None else host.gone_at is not None
            if left:
                changes.append((to, 0, group, host.address, None))
    known, out = {}, [(trace.begin, 0, 0)]
    for t, _, group, address, files in sorted(changes, key=lambda change: change[:4]):
        addresses = known.setdefault(group, {})
        if files is None:
            addresses.pop(address, None)
        else:
            addresses[address] = files
        there = [max(addresses.values()) for addresses in known.values() if addresses]
        if out[-1][0] == t:
            out.pop()
        out.append((t, len(there), sum(there)))
    return out


def steps_panel(picture, axis, y, title, more, points):
    high = max(value for _, value in points)
    panel = svg.Panel(picture, LEFT, y, INNER, PANEL, axis.begin, axis.end, max(high, 1))
    axis.grid(picture, y, PANEL)
    panel.title(title, more)
    line, before = [], 0
    for t, value in [*points, (axis.end, points[-1][1])]:
        line += [(panel.x(t), panel.y(before)), (panel.x(t), panel.y(value))]
        before = value
    picture.area(line, [(x, panel.y(0)) for x, _ in line], "#0072b2", 0.25)
    picture.curve(line, "#0072b2", width=1.8)
    return y + PANEL


def host_lanes(picture, trace, axis, y, hosts):
    picture.text(LEFT, y - 9, "Each host", "title")
    shown = hosts[:MOST]
    height = LANE * len(shown)
    picture.rect(LEFT, y, INNER, height, "panel")
    axis.grid(picture, y, height)
    used = set()
    for row, host in enumerate(shown):
        top = y + LANE * row
        picture.line(LEFT, top + LANE, LEFT + INNER, top + LANE)
        name = svg.shorten(trace.host_text(host.address), LEFT - 20, 12)
        picture.text(LEFT - 10, top + 19, name, "small", "end")
        bars(picture, axis, host, top)
        marks = {"tick": host.announced, "ring": host.asked, "dot": host.told, "diamond": host.farewells}
        for kind, times in marks.items():
            drawn = -9
            for t in times:
                x = min(max(axis.x(t), LEFT + 4), LEFT + INNER - 4)
                if x - drawn < 4:
                    continue
                drawn = x
                used.add(kind)
                if kind == "tick":
                    picture.line(x, top + 1, x, top + 8, "", MARKS[kind][0], 1.6)
                else:
                    picture.shape(kind, x, top + LANE - 6 if kind != "diamond" else top + 10)
    y += height
    if len(hosts) > MOST:
        picture.text(LEFT, y + 16, f"and {len(hosts) - MOST} more hosts", "small")
        y += 20
    entries = [(kind, colour, words) for kind, (colour, words) in MARKS.items() if kind in used]
    picture.legend(LEFT + 110, y - height - 9, entries, INNER - 110)
    return y


def bars(picture, axis, host, top):
    """What was known of a host, and the number of its files where it changes and there is room for it."""
    states = [list(state) for state in host.states]
    for index, (start, to, state, files) in enumerate(states):
        colour, css, words = STATES.get(state, ("#8a8f98", "inverse", state))
        x, right = axis.x(start), axis.x(to)
        picture.rect(x, top + 9, max(right - x, 1.2), 12, "", colour, f"{words}: {count(files, 'file')}")
        text = count(files, "file")
        if state == "listed" and svg.text_width(text, 12) + 8 < right - x:
            picture.text(x + 4, top + 19, text, css)


def served_panel(picture, trace, axis, y):
    """What others got from us, each upon the others."""
    receivers = sorted(trace.receivers.items(), key=lambda item: (-item[1].bytes, item[0]))
    receivers = [(address, receiver) for address, receiver in receivers if receiver.bytes]
    groups = [(trace.host_text(address), [receiver]) for address, receiver in receivers[: len(svg.SERIES)]]
    if len(receivers) > len(svg.SERIES):
        rest = [receiver for _, receiver in receivers[len(svg.SERIES) :]]
        groups.append((f"{len(rest)} others", rest))
    columns = [axis.begin + (axis.end - axis.begin) * i / 300 for i in range(301)]
    whole = sum(receiver.bytes for _, receiver in receivers)
    unit, per = next((u, p) for u, p in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3), ("B", 1)) if whole >= p)
    panel = svg.Panel(picture, LEFT, y, INNER, PANEL, axis.begin, axis.end, whole, unit, per)
    axis.grid(picture, y, PANEL)
    panel.title("What others got from us")
    stacked, entries = [0] * len(columns), []
    for index, (name, group) in enumerate(groups):
        lower, colour = stacked, svg.SERIES[index] if index < len(svg.SERIES) else svg.OTHERS
        stacked = [low + sum(got_by(receiver, t) for receiver in group) for low, t in zip(lower, columns)]
        upper = [(panel.x(t), panel.y(v)) for t, v in zip(columns, stacked)]
        picture.area(upper, [(panel.x(t), panel.y(v)) for t, v in zip(columns, lower)], colour)
        entries.append(("chip", colour, f"{name}: {size(sum(receiver.bytes for receiver in group))}"))
    picture.legend(LEFT + 220, y - 9, entries, INNER - 220)
    return y + PANEL


def got_by(receiver, t):
    low, high = 0, len(receiver.arrivals)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if receiver.arrivals[middle][0] <= t else (low, middle)
    return receiver.arrivals[low - 1][1] if low else 0


def own_lane(picture, trace, axis, y):
    """When we made ourselves heard."""
    picture.text(LEFT, y - 9, "Ourselves", "title")
    picture.rect(LEFT, y, INNER, LANE, "panel")
    axis.grid(picture, y, LANE)
    picture.text(LEFT - 10, y + 19, "to all", "small", "end")
    entries = []
    if trace.announced:
        entries.append(("tick", MARKS["tick"][0], "announced ourselves"))
    if trace.asked_many:
        entries.append(("ring", "", "asked everybody for a file"))
    for t in trace.announced:
        picture.shape("tick", axis.x(t), y + LANE / 2, MARKS["tick"][0])
    for t in trace.asked_many:
        picture.shape("ring", axis.x(t), y + LANE / 2)
    picture.legend(LEFT + 110, y - 9, entries, INNER - 110)
    return y + LANE
