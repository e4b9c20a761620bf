"""A run as the trace tells it: what was fetched, from whom, how it went, who was on the network.

`read_run` goes through all events once and keeps what summaries and pictures need; what follows from it is in
trace_time.py. Times are microseconds of the trace.
"""

import bisect
import ipaddress
from collections import Counter

from trace_events import Trouble, host_text, read_events, variant

HEADER_LENGTH = 20  # of DATA and META
LATE = 200_000  # who wakes that much after the deadline did not run
# Arrivals within this are one point of a curve.
MERGED = 1_000


class Source:
    """One address from which a fetch gets bytes."""

    def __init__(self, address):
        self.address = address
        self.instance = None
        self.arrivals = []  # [time, bytes of files that came until then]
        self.heard = []  # times at which anything of a file or chain came, merged
        self.bytes = 0  # of files
        self.other_bytes = 0  # of chains and the like
        self.useless = 0  # of files, not kept: came twice, too late or unasked
        self.packets = 0
        self.views = []  # (time, SourceView)
        self.asks, self.tells, self.grants = [], [], 0
        self.refusals = []  # (time, reason)
        self.lost_before = 0
        self.losses = []  # (time, bytes given up since the last view)
        self.blames = []  # (time, bad blocks since the last view)

    @property
    def last(self):
        return self.views[-1][1] if self.views else {}

    def view_at(self, t):
        """The last view not after a moment."""
        at = bisect.bisect_right(self.views, t, key=lambda view: view[0])
        return self.views[at - 1][1] if at else {}

    def round_trips(self, begin=0, end=float("inf")):
        """[(time, microseconds)] of the smoothed round trip, from when it has been measured on."""
        return [
            (t, view["rtt"])
            for t, view in self.views
            if begin <= t <= end and view.get("rtt") and view.get("received")
        ]

    def came(self, t, length, is_file):
        self.packets += 1
        if is_file:
            self.bytes += length
            if self.arrivals and t - self.arrivals[-1][0] < MERGED:
                self.arrivals[-1][1] = self.bytes
            else:
                self.arrivals.append([t, self.bytes])
        else:
            self.other_bytes += length
        if not self.heard or t - self.heard[-1] >= MERGED:
            self.heard.append(t)

    @property
    def lost(self):
        """Bytes that were asked of it and given up, in this trace."""
        return self.last.get("lost", 0) - self.lost_before

    def saw(self, t, view):
        before = self.last
        if not before and view.get("received", 0) > self.bytes + self.other_bytes:
            before, self.lost_before = view, view.get("lost", 0)  # it gave before the trace began
        lost = view.get("lost", 0) - before.get("lost", 0)
        if lost > 0:
            self.losses.append((t, lost))
        blamed = view.get("blamed", 0) - before.get("blamed", 0)
        if blamed > 0:
            self.blames.append((t, blamed))
        self.views.append((t, view))


class Fetch:
    """One file that was fetched."""

    def __init__(self, number, request, t):
        self.number = number
        self.content = request.get("content", "")
        self.size = request.get("size", 0)
        self.name = request.get("name", "a file")
        self.named_sources = request.get("sources") or []
        self.started, self.ended, self.ending = t, None, None
        self.is_cut = False  # it had begun before the trace did
        self.there = None  # bytes that were there before anything came in this trace
        self.views = []  # (time, FetchView)
        self.marks = {}  # what happened first (or last) when: see Reader
        self.steps = []  # of publishing: [name, from, to]
        self.bad_blocks = []  # times
        self.disk = []  # (from, to, what) of proofs, writes and checks
        self.stored_at = []  # [time, bytes] proven and on disk, where no view says it

    @property
    def last(self):
        return self.views[-1][1] if self.views else {}


class Receiver:
    """One address to which a peer gives bytes."""

    def __init__(self):
        self.bytes = self.other_bytes = self.jobs = self.failed = 0
        self.first = self.last = None
        self.arrivals = []
        self.refused = Counter()


class Host:
    """One other host of the network."""

    def __init__(self, address):
        self.address, self.instance = address, None
        self.states = []  # [from, to, state, files]
        self.announced, self.asked, self.told, self.farewells = [], [], [], []
        self.rtt = 0
        self.gone_at = None
        self.absences = []  # (from, to), where it came back

    def saw(self, t, view):
        state, files = view.get("state", "heard"), view.get("files", 0)
        if state == "gone":
            self.leaves(t)
            return
        self.instance = view.get("instance") or self.instance
        self.rtt = view.get("rtt", 0) or self.rtt
        last = self.states[-1] if self.states else None
        if self.gone_at is not None:
            self.absences.append((self.gone_at, t))
            self.gone_at = None
        elif last:
            last[1] = t
            if last[2:] == [state, files]:
                return
        self.states.append([t, t, state, files])

    @property
    def said_goodbye(self):
        return self.gone_at is not None and any(t >= self.gone_at - 1_500_000 for t in self.farewells)  # d.json rests for a second

    def leaves(self, t):
        if self.states and self.gone_at is None:
            self.gone_at = self.states[-1][1] = t


class Run:
    """All of it."""

    def __init__(self):
        self.header, self.end = {}, None
        self.begin, self.finish = None, 0
        self.own = []  # interface addresses
        self.fetches, self.sources = {}, {}
        self.hosts, self.receivers = {}, {}
        self.offered, self.gone_files = {}, 0  # name -> (size, content)
        self.shown = []  # (time, hosts, files): what d.json showed
        self.refused = Counter()  # refusals that we sent, by reason
        self.undecodable = Counter()
        self.sent, self.received = Counter(), Counter()  # datagrams by message
        self.announced = []  # times at which we did
        self.asked_many = []
        self.hash_jobs = []  # [from, to, size]
        self.inputs = 0
        self.late = []  # (from, to): woken only long after the deadline

    @property
    def length(self):
        return self.finish - (self.begin or 0)

    @property
    def config(self):
        return self.header.get("config") or {}

    @property
    def serves(self):
        return bool(self.config.get("serves"))

    def host_text(self, address):
        """What an address is called: an IPv6 address of a host that has an IPv4 one goes by that."""
        port = self.config.get("default_port", 27183)
        source = self.sources.get(address) or self.hosts.get(address)
        if address.startswith("[") and source and source.instance:
            known = list(self.sources.values()) + list(self.hosts.values())
            same = {other.address for other in known if other.instance == source.instance}
            four = min((other for other in same if not other.startswith("[")), default=None)
            six = sorted(other for other in same if other.startswith("["))
            if four:
                number = f" {six.index(address) + 1}" if len(six) > 1 else ""
                return f"{host_text(four, port)} (IPv6{number})"
        return host_text(address, port)

    def hosts_behind(self, sources):
        """How many hosts these are; one that is reached at several addresses counts once."""
        return len({source.instance or source.address for source in sources})

    def from_hosts(self, sources):
        """`2 hosts`, and at how many addresses, where that is more."""
        hosts = self.hosts_behind(sources)
        more = f" ({len(sources)} addresses)" if hosts != len(sources) else ""
        return f"{hosts:,} host{'' if hosts == 1 else 's'}{more}"

    def others(self):
        """The other hosts: what we hear of ourselves is none."""
        own = {own["address"] for own in self.own}
        return [
            host
            for host in self.hosts.values()
            if host.states or host.announced or host.told
            if host.states or address_part(host.address) not in own
        ]

    def given(self):
        """The sources that gave anything or were asked, those that gave most first."""
        return sorted(self.sources.values(), key=lambda source: (-source.bytes, source.address))


def read_run(path):
    reader = Reader()
    for event in read_events(path):
        reader.take(event)
    if reader.run.begin is None:
        raise Trouble(f"{path} holds no input: nothing had happened yet")
    return reader.finish()


class Reader:
    """Goes through the events. What is here by name is what the core's inputs and outputs are called."""

    def __init__(self):
        self.run = Run()
        self.in_hand = None  # the datagram: (input, source, length)
        self.jobs = {}  # of serving: (receiver, output)
        self.buffers = {}  # (fetch, buffer) -> [length, asked at, what]
        self.hashing = {}  # name -> (time, size)
        self.deadline_at, self.woken = None, 0  # when the core wants to be woken; when it last was

    def take(self, event):
        run = self.run
        if event.subject == "header":
            run.header = event.fields
            return
        if event.subject == "end":
            run.end = event.fields
            return
        if run.begin is None:
            run.begin = event.t
        run.finish = max(run.finish, event.t)
        handler = getattr(self, f"{event.subject}_{event.kind}" if event.kind else event.subject, None)
        if event.subject == "input":
            self.woke(event.t)
        if handler:
            handler(event.t, event.fields)

    def woke(self, t):
        run = self.run
        run.inputs += 1
        self.in_hand = None
        if self.deadline_at is not None:
            since = max(self.deadline_at, self.woken)
            if t > since + LATE:
                run.late.append((since, t))
        self.woken = t

    def finish(self):
        run = self.run
        for fetch in run.fetches.values():
            if fetch.steps and fetch.steps[-1][2] is None:
                fetch.steps[-1][2] = fetch.ended or run.finish
        for host in run.hosts.values():
            if host.gone_at is None and host.states:
                host.states[-1][1] = run.finish
        return run

    # Pictures of the state.

    def deadline(self, _t, fields):
        self.deadline_at = fields.get("at")

    def source(self, t, view):
        self.source_at(view.get("address", "?")).saw(t, view)

    def fetch(self, t, view):
        number = view.get("fetch")
        if number not in self.run.fetches:
            self.run.fetches[number] = self.in_the_middle(number, view)
        fetch = self.run.fetches[number]
        fetch.views.append((t, view))
        if fetch.there is None and fetch.is_cut:
            came = sum(source.bytes for source in self.run.sources.values())
            fetch.there = max(view.get("held", 0) - came, 0)

    def in_the_middle(self, number, view):
        """A fetch that had begun before the trace did, as in a flight recorder's."""
        fetch = Fetch(number, {"size": view.get("size", 0)}, self.run.begin)
        fetch.is_cut = True
        known = ["opened", "searched"]
        if view.get("held") or view.get("phase") == "fetching":
            known += ["source", "grant", "first data"]
        fetch.marks = dict.fromkeys(known, self.run.begin)
        fetch.marks["last data"] = self.run.finish
        return fetch

    def host(self, t, view):
        self.host_at(view.get("host", "?")).saw(t, view)

    def source_at(self, address):
        if address not in self.run.sources:
            self.run.sources[address] = Source(address)
        return self.run.sources[address]

    def host_at(self, address):
        if address not in self.run.hosts:
            self.run.hosts[address] = Host(address)
        return self.run.hosts[address]

    def mark(self, number, name, t, last=False):
        fetch = self.run.fetches.get(number)
        if fetch and (last or name not in fetch.marks):
            fetch.marks[name] = t

    def mark_all(self, name, t, last=False):
        for number, fetch in self.run.fetches.items():
            if fetch.ended is None:
                self.mark(number, name, t, last)

    # What came.

    def input_datagram(self, t, fields):
        message, address = fields.get("message", ""), fields.get("from", "?")
        message = message if isinstance(message, str) else variant(message)[0]
        self.run.received[message] += 1
        handler = getattr(self, f"got_{message}", None)
        if handler:
            handler(t, address, fields)

    def got_undecodable(self, _t, _address, fields):
        self.run.undecodable[str(fields.get("reason"))] += 1

    def got_data(self, t, address, fields):
        length = max(0, fields.get("length", HEADER_LENGTH) - HEADER_LENGTH)
        source = self.source_at(address)
        source.came(t, length, True)
        source.useless += length
        self.in_hand = (source, length)
        self.mark_all("first data", t)
        self.mark_all("last data", t, last=True)

    def got_meta(self, t, address, fields):
        length = max(0, fields.get("length", HEADER_LENGTH) - HEADER_LENGTH)
        if self.fetching() and (address in self.run.sources or not self.run.serves):
            self.source_at(address).came(t, length, False)
            self.mark_all("chain", t)
        else:
            self.host_at(address).told.append(t)

    def got_tell(self, t, address, fields):
        about, answer = variant(fields.get("answer"))
        if about == "content" and self.fetching():
            source = self.source_at(address)
            source.tells.append(t)
            source.instance = instance_of(fields)
            if variant((answer or {}).get("holding"))[0] != "nothing":
                self.mark_all("source", t)
        elif about == "listing":
            self.host_at(address).told.append(t)

    def got_refuse(self, t, address, fields):
        reason = variant(fields.get("reason"))[0].replace("_", " ")
        self.source_at(address).refusals.append((t, reason))

    def got_announce(self, t, address, fields):
        host = self.host_at(address)
        host.announced.append(t)
        host.instance = instance_of(fields) or host.instance

    def got_farewell(self, t, address, _fields):
        host = self.host_at(address)
        host.farewells.append(t)

    def fetching(self):
        return any(fetch.ended is None for fetch in self.run.fetches.values())

    # What the machine and the disk said.

    def input_interfaces(self, _t, fields):
        self.run.own = fields.get("addresses") or []

    def input_command(self, t, fields):
        request = fields.get("Fetch") or fields.get("fetch")
        if not isinstance(request, dict):
            command = fields.get("command") or fields.get("value")
            request = variant(command)[1] if isinstance(command, dict) else None
        if isinstance(request, dict) and "content" in request:
            number = request.get("fetch", 0)
            self.run.fetches[number] = Fetch(number, request, t)

    def input_store_opened(self, t, fields):
        outcome, inner = variant(fields.get("outcome"))
        self.mark(fields.get("fetch"), "opened" if outcome == "ours" else outcome, t)
        fetch = self.run.fetches.get(fields.get("fetch"))
        if fetch and fetch.there is None and outcome == "ours":
            fetch.there = sum(extent.get("length", 0) for extent in inner.get("extents") or [])

    def input_share_searched(self, t, fields):
        self.mark(fields.get("fetch"), "searched", t)

    def input_verified(self, t, fields):
        self.answered(t, fields, "proof")
        fetch = self.run.fetches.get(fields.get("fetch"))
        if fetch and fields.get("genuine") is False:
            fetch.bad_blocks.append(t)

    def input_stored(self, t, fields):
        length = self.answered(t, fields, "write")
        fetch = self.run.fetches.get(fields.get("fetch"))
        if fetch and variant(fields.get("outcome"))[0] in ("ok", ""):
            before = fetch.stored_at[-1][1] if fetch.stored_at else 0
            fetch.stored_at.append([t, before + length])

    def input_publish_stepped(self, t, fields):
        fetch = self.run.fetches.get(fields.get("fetch"))
        if fetch and fetch.steps and fetch.steps[-1][2] is None:
            fetch.steps[-1][2] = t

    def input_hashed(self, t, fields):
        name = fields.get("name", "?")
        asked = self.hashing.pop(name, None)
        if asked:
            self.run.hash_jobs.append([asked[0], t, asked[1]])
        outcome, inner = variant(fields.get("outcome"))
        if outcome == "whole":
            length = (fields.get("signature") or {}).get("size", 0)
            self.run.offered[name] = (length, (inner or {}).get("content"))

    def input_file_gone(self, _t, fields):
        if self.run.offered.pop(fields.get("name", "?"), None):
            self.run.gone_files += 1

    def input_served(self, t, fields):
        job = self.jobs.pop(fields.get("job"), None)
        if job is None:
            return
        receiver, length, is_file = job
        outcome, inner = variant(fields.get("outcome"))
        if outcome == "blocked":
            length = (inner or {}).get("sent", 0)
        elif outcome != "sent":
            length, receiver.failed = 0, receiver.failed + 1
        if is_file:
            receiver.bytes += length
        else:
            receiver.other_bytes += length
        receiver.first = t if receiver.first is None else receiver.first
        receiver.last = t
        receiver.arrivals.append([t, receiver.bytes])

    # What the core asked for.

    def output_transmit(self, t, fields):
        message, address = fields.get("message", ""), fields.get("to", "?")
        message = message if isinstance(message, str) else variant(message)[0]
        self.run.sent[message] += 1
        handler = getattr(self, f"sent_{message}", None)
        if handler:
            handler(t, address, fields)

    def sent_announce(self, t, _address, _fields):
        if not self.run.announced or t - self.run.announced[-1] >= MERGED:
            self.run.announced.append(t)

    def sent_ask(self, t, address, fields):
        about = variant(fields.get("about"))[0]
        if fields.get("to_many"):
            self.run.asked_many.append(t)
        elif about == "content":
            self.source_at(address).asks.append(t)
        else:
            self.host_at(address).asked.append(t)

    def sent_grant(self, t, address, fields):
        kind, content = variant(fields.get("object"))
        if kind in ("file", "chain", "have"):
            self.source_at(address).grants += 1
            self.mark_all("grant", t)
            for fetch in self.run.fetches.values():
                fetch.content = fetch.content or str(content)

    def sent_refuse(self, _t, address, fields):
        reason = variant(fields.get("reason"))[0].replace("_", " ")
        self.run.refused[reason] += 1
        self.receiver_at(address).refused[reason] += 1

    def receiver_at(self, address):
        if address not in self.run.receivers:
            self.run.receivers[address] = Receiver()
        return self.run.receivers[address]

    def output_serve(self, _t, fields):
        receiver = self.receiver_at(fields.get("to", "?"))
        receiver.jobs += 1
        self.jobs[fields.get("job")] = (receiver, fields.get("length", 0), serves_file(fields))

    def output_reserve(self, _t, fields):
        self.buffers[fields.get("buffer")] = [fields.get("length", 0), {}]

    def output_keep(self, _t, _fields):
        if self.in_hand:
            source, length = self.in_hand
            source.useless -= length
            self.in_hand = None

    def output_release(self, _t, fields):
        self.buffers.pop(fields.get("buffer"), None)

    def output_verify(self, t, fields):
        self.asked(t, fields, "proof")

    def output_store(self, t, fields):
        self.asked(t, fields, "write")

    def asked(self, t, fields, what):
        self.buffers.setdefault(fields.get("buffer"), [0, {}])[1][what] = t

    def answered(self, t, fields, what):
        length, asked = self.buffers.get(fields.get("buffer"), (0, {}))
        fetch = self.run.fetches.get(fields.get("fetch"))
        if fetch and what in asked:
            fetch.disk.append((asked.pop(what), t, what))
        return length

    def output_publish(self, t, fields):
        self.publishing(t, fields, "publish")

    def output_publish_copy(self, t, fields):
        self.mark(fields.get("fetch"), "copy", t)

    def publishing(self, t, fields, name):
        fetch = self.run.fetches.get(fields.get("fetch"))
        if fetch:
            fetch.marks.setdefault("publish", t)
            step = variant(fields.get("step"))[0] if fields.get("step") is not None else name
            fetch.steps.append([step, t, None])

    def output_hash(self, t, fields):
        length = (fields.get("signature") or {}).get("size", 0)
        self.hashing[fields.get("name", "?")] = (t, length)

    def output_directory(self, t, fields):
        hosts = fields.get("hosts") or []
        self.run.shown.append((t, len(hosts), sum(host.get("files", 0) for host in hosts)))

    def output_fetch_ended(self, t, fields):
        fetch = self.run.fetches.get(fields.get("fetch"))
        if fetch:
            fetch.ended, fetch.ending = t, variant(fields.get("ending"))
            if fetch.is_cut and fetch.ending[0] == "done":
                fetch.name = str(fetch.ending[1])


def instance_of(fields):
    """Who a host says it is; nothing where it offers nothing."""
    instance = fields.get("instance")
    return instance if instance and instance.strip("0") else None


def serves_file(fields):
    """Whether bytes of a file are served, and not of a chain, a bitmap or a listing."""
    word = fields.get("object") or fields.get("data_kind")
    if isinstance(word, str):
        return word.lower() == "data"
    return variant(fields.get("source"))[0] in ("file", "partial", "")


def address_part(written):
    """`[fe80::1%2]:27183` without port and interface."""
    return written.rpartition(":")[0].strip("[]").split("%")[0]


def own_address(run, other):
    """Which of our addresses the other one speaks to, as far as interfaces tell; None if they do not."""
    try:
        far = ipaddress.ip_address(other)
    except ValueError:
        return None
    alike = []
    for own in run.own:
        address = ipaddress.ip_address(own["address"])
        if address.version == far.version:
            length = own.get("prefix_length", address.max_prefixlen)
            network = ipaddress.ip_network(f"{address}/{length}", strict=False)
            rank = 0 if far in network else 1 if not own.get("loopback") else 2
            alike.append((rank, -length, str(address)))
    return min(alike)[2] if alike else None
