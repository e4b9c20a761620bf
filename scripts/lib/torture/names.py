"""Hostile names by every way: listings, arguments, `chunks/`, `share/`, publishing; nothing leaves, nothing drives a terminal."""

import concurrent.futures
import json
import os
import subprocess
import time

from torture import _hostile_names as hostile
from torture._machines import Place, wait_until
from torture._seen import (
    Names,
    Seen,
    counts,
    found_below,
    is_offered,
    make_files,
    open_and_compare,
    read,
    sha1,
    unchanged,
    write,
)
from torture._stranger import Stranger, content_of

HERE, OTHER = "127.0.0.1", "127.0.0.9"
# The folders of the program; two of them with names that drive a terminal.
GOES_ON, OFFERS = "goes-on\x1b[2J\u202e", "offers\x1b]0;x\x07\u2028"
PLACES = (
    "looks-on",
    "looks-in-vain",
    "asks",
    "fetches",
    "adds",
    "adds-all",
    "removes",
    GOES_ON,
    OFFERS,
    "hears",
    "syncs",
)
# How long a look takes that has to find a host that is there.
LOOK = "5"


def run(part):
    os.system("ip link set lo up")
    seen = Seen(part)
    taken, refused, unoffered = hostile.TAKEN, hostile.REFUSED, hostile.UNOFFERED
    part.figure("names", len(hostile.EVERY), "at least 200", len(hostile.EVERY) >= 200)
    for name in PLACES:
        seen.place(name)
    for case in (listed, asked, fetched, put_in, taken_out, in_chunks, on_disk, synced):
        begun = time.monotonic()
        case(part, seen, Names(taken, refused, unoffered, part.quick))
        part.say(f"{case.__name__}: {time.monotonic() - begun:.1f} s")
    seen.tell()


# By announcement: into d.json, and out of a peer.


def listed(part, seen, names):
    """A host lists all of it at once."""
    place = seen.place("looks-on")
    before = seen.snapshot()
    stranger = Stranger(OTHER, names.all)
    try:
        peer = place.peer("-v", "--peer", OTHER)
        wait_until("the names", lambda: len(place.listed()) >= len(names.all_taken))
        wanted = {name.decode() for name in names.all_taken}
        shown = place.listed()
        counts(part, "listed by a host: good names in d.json", len(shown & wanted), len(wanted), sorted(wanted - shown))
        counts(part, "listed by a host: other names in d.json", len(shown - wanted), 0, sorted(shown - wanted))
        with open(os.path.join(place.root, "d.json"), "rb") as file:
            raw = file.read()
        seen.look("d.json", raw)
        inlined = [char for char in "<>&'\u2028\u2029" if char.encode() in raw]
        part.figure("d.json: characters that HTML would take for its own", inlined or "none", "none", not inlined)
        peer.stop()
        for path in (peer.out, peer.err):
            with open(path, "rb") as file:
                seen.look("peer", file.read())
        lines = [line for line in peer.output().splitlines() if line.startswith("+ ")]
        counts(part, "a peer's standard output: lines for files that came", len(lines), len(wanted))
    finally:
        stranger.stop()
        place.end()
    no_listing(part, seen)
    unchanged(part, seen, "listed", before)


def no_listing(part, seen):
    """A host lists names that are longer than any on the wire: nothing of that listing is believed."""
    place = seen.place("looks-in-vain")
    stranger = Stranger(OTHER, hostile.TOO_LONG_FOR_A_LISTING + [b"beside"])
    try:
        peer = place.peer("-v", "--peer", OTHER)
        wait_until("the listing to be asked for", lambda: stranger.granted)
        stamp = place.directory()["discovered_timestamp"]
        wait_until("a sweep", lambda: place.directory()["discovered_timestamp"] > stamp)
        counts(part, "a listing with names of more than 1,024 bytes: names in d.json", len(place.listed()), 0)
        peer.stop()
        for path in (peer.out, peer.err):
            seen.look("peer", read(path))
    finally:
        stranger.stop()
        place.end()


# By those that ask.


def asked(part, seen, names):
    """`ls`, `info`, `loc` and `get` look that host over."""
    place = seen.place("asks")
    elsewhere = part.new_folder("outside/elsewhere")
    part.new_folder("outside/private")
    before = seen.snapshot()
    stranger = Stranger(OTHER, names.all)
    look = ("--timeout", LOOK, "--peer", OTHER)
    try:
        told = seen.run(place, *look, "ls", "--json")
        found = {json.loads(line)["name"] for line in told.stdout.splitlines()}
        wanted = {name.decode() for name in names.all_taken}
        counts(part, "ls --json: names", len(found), len(wanted), sorted(found ^ wanted))
        told = seen.run(place, *look, "ls")
        counts(part, "ls: lines", len(told.stdout.splitlines()), len(wanted))
        ask_each(part, seen, names)
        # What fits a pattern has its own name alone there; later ones replace those of the same.
        told = seen.run(place, *look, "get", "--force", "-o", elsewhere + "/got/", "?**")
        got, ends = found_below(os.path.join(elsewhere, "got")), {os.path.basename(name) for name in names.all_taken}
        counts(part, "get -o FOLDER of all there is: files there", len(got), len(ends), sorted(ends ^ got))
        part.figure("get of all there is: exit", told.returncode, "0", told.returncode == 0)
        # A folder that a stranger names is a link there, to somewhere else.
        private = part.new_folder("outside/private")
        os.makedirs(os.path.join(elsewhere, "linked"))
        os.symlink(private, os.path.join(elsewhere, "linked", "share"))
        told = seen.run(place, *look, "get", "--force", "-o", elsewhere + "/linked/", "share/")
        part.figure("get -o FOLDER through a link in it: exit", told.returncode, "1", told.returncode == 1)
        counts(part, "get -o FOLDER through a link in it: files beyond", len(os.listdir(private)), 0)
        right = {name for name in found_below(place.share) if open_and_compare(place.share, name)}
        counts(part, "get: files in share/, whole and under their names", len(right), len(wanted))
    finally:
        stranger.stop()
        place.end()
    subprocess.run(["rm", "-rf", *[os.path.join(elsewhere, name) for name in ("got", "linked")]], check=True)
    unchanged(part, seen, "asked and got", before)


def ask_each(part, seen, names):
    """`info`, `loc` and `ls` of single names, many at a time: a look is mostly waiting. Some of the names, when quick."""
    step = 20 if part.quick else 1
    some = [name for name in (hostile.TAKEN + hostile.REFUSED)[::step] if name and b"\0" not in name]
    # Forty digits are a SHA-1 to all that ask.
    some = [name for name in some if len(name) != 40]

    def ask(numbered):
        number, name = numbered
        place = Place(part, "asks", address=f"127.0.1.{1 + number % 250}", root=os.path.join(seen.inner, "asks"))
        verb, json_too = ("info", "loc", "ls")[number % 3], ["--json"] if number % 2 else []
        told = seen.run(place, "--timeout", LOOK, "--peer", OTHER, verb, *json_too, "--", name)
        good = name in hostile.TAKEN
        # A pattern may fit others. What is no name fits none, but for patterns of brackets.
        fits = told.returncode == 0 or (good and verb == "loc" and told.returncode in (0, 1))
        return [] if fits == good else [f"{verb} {name!a}: {told.returncode} {told.stderr[-100:]!a}"]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        wrong = [line for lines in pool.map(ask, enumerate(some)) for line in lines]
    counts(
        part,
        "info, loc and ls of single names: exit codes that are not 0 for good ones and another for bad ones",
        len(wrong),
        0,
        wrong,
    )
    part.say(f"info, loc and ls of {len(some)} names")


# By arguments.


def fetched(part, seen, names):
    """As NAME of `fetch`, with a host that has what it stands for."""
    place = seen.place("fetches")
    stranger = Stranger(OTHER, names.all)
    before = seen.snapshot()
    wrong, came, strays = [], 0, []
    try:
        for name in names.refused + names.unoffered + names.taken:
            # No argument holds a NUL.
            if b"\0" in name:
                continue
            good = name not in hostile.REFUSED
            content = content_of(name)
            told = seen.run(place, "--timeout", "20", "fetch", sha1(content), name, str(len(content)), OTHER)
            if told.returncode != (0 if good else 2):
                wrong.append((name, told.returncode, told.stderr[-200:]))
            if place.left():
                strays.append((name, place.left()))
            came += good
        counts(part, "fetch: exit codes that are not 2 for bad names and 0 for good ones", len(wrong), 0, wrong)
        counts(part, "fetch: names that left something in chunks/", len(strays), 0, strays)
        there = {name for name in found_below(place.share)}
        right = {name for name in there if open_and_compare(place.share, name)}
        counts(part, "fetch: files in share/, whole and under their names", len(right), came, sorted(there - right))
    finally:
        stranger.stop()
        place.end()
    unchanged(part, seen, "fetch", before)


def put_in(part, seen, names):
    """`add` of files that have such names."""
    place = seen.place("adds")
    elsewhere = part.new_folder("outside/to-add")
    here = make_files(elsewhere, names.taken + names.refused + names.unoffered)
    before = seen.snapshot()
    told = seen.run(place, "add", *[os.path.join(os.fsencode(elsewhere), name) for name in here])
    # What is named itself gets its own name alone.
    wanted = {os.path.basename(name) for name in here if is_offered(os.path.basename(name))}
    there = found_below(place.share)
    counts(part, "add FILE ...: files in share/", len(there), len(wanted), sorted(there ^ wanted))
    part.figure("add of bad names among good ones: exit", told.returncode, "1", told.returncode == 1)
    whole = seen.place("adds-all")
    seen.run(whole, "add", elsewhere)
    wanted = {b"to-add/" + name for name in here if is_offered(b"to-add/" + name)}
    there = found_below(whole.share)
    counts(part, "add FOLDER: files in share/", len(there), len(wanted), sorted(there ^ wanted))
    unchanged(part, seen, "add", before)


def taken_out(part, seen, names):
    """`rm` of names that are none, and of good ones that are not there."""
    place = seen.place("removes")
    for name in ("kept", "kept.txt"):
        with open(os.path.join(place.share, name), "wb") as file:
            file.write(b"kept")
    before = seen.snapshot()
    wrong = []
    for name in names.refused:
        if b"\0" in name:
            continue
        told = seen.run(place, "--timeout", "1", "rm", "--force", "--", name)
        if told.returncode != 2:
            wrong.append((name, told.returncode))
    counts(part, "rm: bad names that do not end with exit 2", len(wrong), 0, wrong)
    wrong = []
    for name in names.taken:
        told = seen.run(place, "--timeout", "1", "rm", "--force", "--", name)
        if told.returncode != 1:
            wrong.append((name, told.returncode))
    counts(part, "rm: good names that are not there, and do not end with exit 1", len(wrong), 0, wrong)
    counts(part, "rm: files that stayed in share/", len(found_below(place.share)), 2)
    unchanged(part, seen, "rm", before)


# By what somebody left on the disk.


def in_chunks(part, seen, names):
    """`chunks/` is full of what no fetch has left there; a peer looks at it, and a fetch goes on from it."""
    place = seen.place(GOES_ON)
    content = b"goes on" * 9_000
    sha1_, victim = sha1(content), os.path.join(seen.outside, "x")
    os.makedirs(place.chunks, exist_ok=True)
    spoil_chunks(place.chunks, sha1_, len(content), victim, names)
    before = seen.snapshot()
    stranger = Stranger(OTHER, [b"goes-on.bin"])
    stranger.contents[bytes.fromhex(sha1(content))] = content
    try:
        peer = place.peer("-vv", "--peer", OTHER)
        stamp = place.directory()["discovered_timestamp"]
        wait_until("two sweeps", lambda: place.directory()["discovered_timestamp"] > stamp + 2500)
        for attrs in hostile_attrs(names):
            write(os.path.join(place.chunks, f"{sha1_}:attrs"), attrs)
            # Only a few kinds of it matter for how a fetch goes on; all are read by the peer beside it.
        told = seen.run(place, "-v", "--timeout", "30", "fetch", sha1_, "goes-on.bin", str(len(content)), OTHER)
        whole = told.returncode == 0 and read(os.path.join(place.share, "goes-on.bin")) == content
        part.figure(
            "fetch with hostile attrs, links, pipes and folders in chunks/",
            "whole" if whole else told.stderr,
            "whole",
            whole,
        )
        ending = peer.process.poll()
        part.figure("the peer beside it", "runs" if ending is None else ending, "runs", ending is None)
        peer.stop()
        for path in (peer.out, peer.err):
            seen.look("peer", read(path))
    finally:
        stranger.stop()
        place.end()
    unchanged(part, seen, "hostile chunks/", before)


def spoil_chunks(chunks, sha1_, size, victim, names):
    """Puts everything there that is not a chunk and looks like one."""
    at = lambda name: os.path.join(os.fsencode(chunks), name if isinstance(name, bytes) else name.encode())  # noqa: E731
    os.symlink(victim, at(f"{sha1_}:chunk:0"))
    os.mkfifo(at(f"{sha1_}:chunk:100"))
    os.mkdir(at(f"{sha1_}:chunk:200"))
    for offset in (2**63, 2**64 - 1, 2**64, 10**30, size, size - 1, -1):
        write(at(f"{sha1_}:chunk:{offset}"), b"x" * 10)
    for odd in ("00", "+1", "0x10", "1e3", "", " 1", "1 ", "../x", "\x1b[2J", "\u202e1"):
        if "/" not in odd:
            write(at(f"{sha1_}:chunk:{odd}"), b"x" * 10)
    os.symlink("/dev/zero", at(f"{sha1_}:chunk:300"))
    os.symlink(f"{sha1_}:chunk:400", at(f"{sha1_}:chunk:400"))
    write(at(f"{sha1_.upper()}:chunk:0"), b"x")
    with open(at(f"{sha1_}:chunk:500"), "wb") as file:
        file.truncate(1 << 40)
    os.symlink(victim, at(f"{sha1_}:attrs"))
    # Attrs of other contents, of which a peer hears; each another kind of file, or hostile inside.
    for number, attrs in enumerate(hostile_attrs(names)):
        other = sha1(b"%d" % number)
        write(at(f"{other}:attrs"), attrs)
        write(at(f"{other}:chunk:0"), b"y" * 100)
    for number, make in enumerate((os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path))):
        make(at(f"{sha1(b'kind %d' % number)}:attrs"))
    make_files(chunks, names.refused + names.taken)


def hostile_attrs(names):
    """What attrs could hold that no fetch has written."""
    yield b""
    yield b"{"
    yield b"null"
    yield b"[" * 100_000
    yield b'{ "name": "x", "size": -1 }'
    yield b'{ "name": "x", "size": 1e400 }'
    yield b'{ "name": "x", "size": 18446744073709551616 }'
    yield b'{ "name": "x", "size": 9007199254740993 }'
    yield b'{ "name": "x", "size": "43" }'
    yield b'{ "name": "\x1b[2J", "size": 43 }'
    yield b'\xff\xfe{ "name": "x", "size": 43 }'
    yield b'{ "name": "x", "size": 43 }' + b" " * (1 << 20)
    for name in names.refused[:40] + names.taken[:20]:
        text = name.decode("utf-8", "surrogateescape")
        yield f'{{ "name": {json.dumps(text)}, "size": 4300000 }}'.encode("utf-8", "surrogateescape")


def on_disk(part, seen, names):
    """`share/` holds files of such names: the good ones are offered, and nothing is said raw about the others."""
    place, other = seen.place(OFFERS), seen.place("hears", "127.0.0.2")
    made = make_files(place.share, names.all)
    before = seen.snapshot()
    try:
        peer = place.peer("-vvv")
        onlooker = other.peer("-v", "--peer", HERE)
        wanted = {name.decode() for name in made if is_offered(name)}
        wait_until("all of them", lambda: len(other.listed()) >= len(wanted))
        shown = other.listed()
        counts(
            part, "files of such names in share/: offered to others", len(shown), len(wanted), sorted(shown ^ wanted)
        )
        peer.stop()
        onlooker.stop()
        for running in (peer, onlooker):
            for path in (running.out, running.err):
                seen.look("peer", read(path))
    finally:
        place.end()
        other.end()
    unchanged(part, seen, "in share/", before)


# By being fetched unasked.


def synced(part, seen, names):
    """`peer --sync` fetches all that the host lists."""
    place = seen.place("syncs")
    before = seen.snapshot()
    stranger = Stranger(OTHER, names.all)
    wanted = names.all_taken[:30] if part.quick else names.all_taken
    try:
        peer = place.peer("-v", "--sync", "--peer", OTHER)
        wait_until("files to come", lambda: len(found_below(place.share)) >= len(wanted), 180)
        if not part.quick:
            wait_until("chunks/ to empty", lambda: not place.left())
        peer.stop()
        there = found_below(place.share)
        bad = sorted(name for name in there if name not in names.all_taken or not open_and_compare(place.share, name))
        counts(part, "peer --sync: files that are not listed under good names", len(bad), 0, bad)
        part.figure("peer --sync: files that came", len(there), f"at least {len(wanted)}", len(there) >= len(wanted))
        for path in (peer.out, peer.err):
            seen.look("peer --sync", read(path))
    finally:
        stranger.stop()
        place.end()
    unchanged(part, seen, "peer --sync", before)
