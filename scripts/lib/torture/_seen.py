"""What the part `names` watches: all that is said, all that changes; and files of hostile names."""

import hashlib
import os
import stat
import subprocess

from torture import _hostile_names as hostile
from torture._machines import Place
from torture._rude import rude_in
from torture._stranger import content_of

HERE = "127.0.0.1"


class Names:
    """The names of a run: all of them, or some of each kind. In listings they are all."""

    def __init__(self, taken, refused, unoffered, quick):
        self.all_taken, self.all = taken, taken + refused + unoffered
        step = 9 if quick else 1
        self.taken, self.refused, self.unoffered = taken[::step], refused[::step], unoffered[::step]


class Seen:
    """What was said by all commands, and what lies beside the folders that may change."""

    def __init__(self, part):
        self.part, self.rude, self.said = part, [], 0
        self.outside = part.new_folder("outside")
        for name in ("x", "passwd", "escape"):
            with open(os.path.join(self.outside, name), "w", encoding="ascii") as file:
                file.write("a person's")
        # The folders of the program lie two folders deep in it, so that `..` leads to something.
        self.inner = part.new_folder("outside/a/b")
        self.before, self.panics = None, 0

    def place(self, name, address=HERE):
        place = Place(self.part, name, address=address, root=os.path.join(self.inner, name))
        os.makedirs(place.root, exist_ok=True)
        return place

    def look(self, what, raw):
        self.said += len(raw)
        self.panics += raw.count(b"panicked")
        self.rude += [f"{what!a}: {found}" for found in rude_in(raw)]

    def run(self, place, *words, environment=None, raw=False):
        """Runs a command to its end; what it says is looked at."""
        command = [os.fsencode(word) if isinstance(word, str) else word for word in place.command()] + [
            os.fsencode(word) if isinstance(word, str) else word for word in words
        ]
        ran = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False, env=environment
        )
        if not raw:
            self.look(words, ran.stdout)
        self.look(words, ran.stderr)
        return ran

    def snapshot(self):
        """Everything there is, but for what the program may change."""
        found = {}
        for folder, folders, files in os.walk(os.fsencode(self.outside)):
            if os.path.dirname(folder) == os.fsencode(self.inner):
                folders[:] = [name for name in folders if name not in (b"share", b"chunks", b".sprat")]
                files = [name for name in files if name != b"d.json"]
            for name in folders + files:
                path = os.path.join(folder, name)
                there = os.lstat(path)
                # A folder's own time is that of its names.
                times = () if stat.S_ISDIR(there.st_mode) else (there.st_mtime_ns, there.st_size)
                found[path] = (there.st_mode, there.st_ino, *times)
        return found

    def tell(self):
        part = self.part
        shown = f"; {self.rude[0]}" if self.rude else ""
        part.figure(
            "raw control, direction or line characters in all that was said, and in d.json",
            f"{len(self.rude)} in {self.said:,} bytes{shown}",
            "0",
            not self.rude and self.said > 0,
        )
        part.figure("panics", self.panics, "0", self.panics == 0)


def unchanged(part, seen, what, before):
    """Says whether anything changed beside the folders of the program."""
    after = seen.snapshot()
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    strays = [path for path in ("/tmp/sprat-torture-escape", "/escaped") if os.path.lexists(path)]
    found = f"{len(changed)}: {changed[:3]}" if changed else "0"
    part.figure(f"{what}: changes outside share/, chunks/, .sprat/ and d.json", found, "0", not changed and not strays)


def counts(part, what, found, wanted, details=()):
    shown = f"{found}" + (f"; not {details[0]!a}" if details else "")
    part.figure(what, shown, str(wanted), found == wanted and not details)


def found_below(folder):
    """The files below a folder, as bytes."""
    top = os.fsencode(folder)
    return {os.path.relpath(os.path.join(at, name), top) for at, _, names in os.walk(top) for name in names}


def open_and_compare(share, name):
    with open(os.path.join(os.fsencode(share), name), "rb") as file:
        return file.read() == content_of(name)


def sha1(content):
    return hashlib.sha1(content).hexdigest()


def is_offered(name):
    """As the lists say it of the parts of a name: of those that can stand on a disk."""
    bad = {piece for entry in hostile.REFUSED if b"/" not in entry for piece in [entry]}
    unfinished = (b".part", b".crdownload", b".tmp", b".lefting", b"~")
    parts = name.split(b"/")
    return (
        not any(piece in bad or piece.startswith(b".") for piece in parts)
        and not any(stands_in(piece, hostile.REFUSED) for piece in parts)
        and not parts[-1].lower().endswith(unfinished)
        and len(parts) <= 32
        and len(name) <= 1024
    )


def stands_in(piece, refused):
    """Whether a part of a name is one for which whole names are refused."""
    try:
        decoded = piece.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return bool(rude_in(piece)) or "\n" in decoded or "\\" in decoded or any(char in INVISIBLE for char in decoded)


INVISIBLE = {char for name in hostile.INVISIBLE for char in name.decode() if not char.isascii()}


def make_files(folder, names):
    """Makes those of the names that a disk takes; which these are."""
    made = []
    for name in names:
        pieces = name.split(b"/")
        if b"\0" in name or not all(pieces) or {b".", b".."} & set(pieces) or len(name) > 2000:
            continue
        path = os.path.join(os.fsencode(folder), name)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "xb") as file:
                file.write(content_of(name))
        except OSError:
            continue
        made.append(name)
    return made


def write(path, content):
    try:
        if os.path.islink(path):
            os.unlink(path)
        with open(path, "wb") as file:
            file.write(content)
    except OSError:
        pass


def read(path):
    with open(path, "rb") as file:
        return file.read()
