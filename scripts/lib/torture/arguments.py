"""Hostile command lines and environments: what is wrong ends with exit 2 at once, and nothing on the disk has changed."""

import os
import stat
import subprocess
import threading
import time

from torture._hostile_lines import FOX, fetch, wrong_lines
from torture._machines import wait_until
from torture._rude import rude_in

# Of the processor; the clock depends on who else uses the machine.
REFUSED_WITHIN = 0.050
# All that ask the network end soon, or are refused.
SOON = ("--timeout", "1", "--bind", "127.0.0.1")


def run(part):
    os.system("ip link set lo up")
    checks = Checks(part)
    lines = list(dict.fromkeys(wrong_lines()))
    tried = lines[:: 7 if part.quick else 1]
    part.figure("hostile command lines", len(tried), "at least 100", len(tried) >= 100)
    checks.refused(tried, "command lines")
    checks.environment()
    checks.accepted()
    checks.odd_roots()
    checks.tell()


class Checks:
    """Runs command lines in a folder that must not change."""

    def __init__(self, part):
        self.part, self.folder = part, part.new_folder("cwd")
        self.root = part.new_folder("cwd/root")
        with open(os.path.join(self.folder, "fox.txt"), "w", encoding="ascii") as file:
            file.write("a person's")
        self.rude, self.panics, self.slow, self.longest, self.wall = [], [], [], 0, 0

    def run(self, words, root=True, environment=None, before=()):
        """Runs one to its end: its exit code, what it said, and the processor time that it took."""
        command = [*before, self.part.sprat, *(("--root", self.root) if root else ()), *words]
        begun = time.monotonic()
        process = subprocess.Popen(
            [os.fsencode(word) if isinstance(word, str) else word for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env={**os.environ, **(environment or {})},
        )
        try:
            out, err, code, used = collected(process)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
        self.wall = max(self.wall, time.monotonic() - begun)
        self.rude += [f"{short(words)}: {found}" for found in rude_in(out) + rude_in(err)]
        if b"panicked" in err or code in (101, -6, -11):
            self.panics.append(short(words))
        return code, out, err, used

    def refused(self, lines, what):
        """All of these end with exit 2, a sentence, and a disk as it was."""
        before, self.wall, self.longest = tree(self.folder), 0, 0
        wrong, dumb, changed = [], [], []
        for words in lines:
            environment = words[0] if words and isinstance(words[0], dict) else None
            words = words[1:] if environment else words
            code, _, err, used = self.run(words, environment=environment)
            said = f"{environment or ''} {short(words)}".strip()
            if code != 2:
                wrong.append(f"{said}: {code} {err[-100:]!a}")
            elif err.strip().count(b"\n") or not err.strip():
                dumb.append(f"{said}: {err!a}"[:200])
            if used > REFUSED_WITHIN:
                self.slow.append(f"{said}: {used:.3f} s")
            self.longest = max(self.longest, used)
            if (after := tree(self.folder)) != before:
                changed.append(f"{said}: {sorted(set(after) ^ set(before))[:3]}")
                before = after
        tell(self.part, f"{what}: other exit codes than 2", wrong)
        tell(self.part, f"{what}: no sentence, or several lines", dumb)
        tell(self.part, f"{what}: changes on the disk", changed)
        tell(self.part, f"{what}: refused in more than 50 ms of processor", self.slow)
        self.slow = []
        self.part.figure(
            f"{what}: the slowest, by processor time",
            f"{1000 * self.longest:.0f} ms",
            "at most 50 ms",
            self.longest <= REFUSED_WITHIN,
        )
        self.part.say(f"{what}: {len(lines)} tried; the slowest by the clock {1000 * self.wall:.0f} ms")

    def environment(self):
        """Nonsense in variables: refused where the command would use it, never a panic."""
        lines = [
            ({"SPRAT_PORT": "x"}, "peer"),
            ({"SPRAT_PORT": "0"}, "peer"),
            ({"SPRAT_PORT": "-1"}, "ls"),
            ({"SPRAT_BIND": "nowhere"}, "peer"),
            ({"SPRAT_BIND": "\x1b[2J"}, "peer"),
            ({"SPRAT_PEER": "a, b/c"}, "ls"),
            ({"SPRAT_PEER": "0.0.0.0"}, "peers"),
            ({"SPRAT_TRACKER": ":"}, "peer"),
            ({"SPRAT_TIMEOUT": "x"}, *fetch()),
            ({"SPRAT_TIMEOUT": "-1"}, "ls"),
            ({"SPRAT_LIMIT": "x"}, "peer"),
            ({"SPRAT_LIMIT": "0"}, *fetch()),
            ({"SPRAT_TRACE_RING": "x"}, "peer"),
            ({"SPRAT_JOBS": "x"}, "get", "x"),
            ({"SPRAT_MAX_SIZE": "x", "SPRAT_SYNC": "1"}, "peer"),
            ({"SPRAT_PORT": "٨٠"}, "peer"),
            ({"SPRAT_PORT": "1" * 100_000}, "peer"),
            ({b"SPRAT_PORT".decode(): "\udcff"}, "peer"),
        ]
        self.refused(lines, "variables")

    def accepted(self):
        """Odd, and right: these must not be refused."""
        wrong = []
        for words in (
            fetch(FOX.upper()),
            (FOX.upper(), "fox.txt", "43"),
            fetch(size="3518438047744"),
            fetch(size="00043"),
            fetch(FOX, "--help"),
            fetch(FOX, "-rf"),
            fetch(FOX, "--"),
            fetch(FOX, "peer"),
            (FOX, "--root", "43"),
            fetch(FOX, "a" * 255),
            fetch(FOX, "fox.txt", "43", "127.0.0.1"),
            fetch(FOX, "fox.txt", "43", "127.0.0.1", "127.0.0.1", "127.0.0.1:27183"),
            fetch(FOX, "fox.txt", "43", "[::1]:27183"),
            fetch(FOX, "fox.txt", "43", "127.0.0.9:1"),
            fetch(FOX, "fox.txt", "43", "127.0.0.9", "--quiet"),
            fetch(FOX, "fox.txt", "43", "::ffff:127.0.0.9"),
            # What nobody answers at costs time, no more.
            fetch(FOX, "fox.txt", "43", "fe80::1"),
            fetch(FOX, "fox.txt", "43", "fe80::1%99999"),
            fetch(FOX, "fox.txt", "43", "240.0.0.1", "0.0.0.1"),
            fetch(FOX, "fox.txt", "43", "127.0.0.1:7", "127.0.0.1:53"),
            fetch(FOX, "fox.txt", "43", *[f"127.{n // 250}.{n % 250}.1" for n in range(1, 1001)]),
        ):
            code, _, err, _ = self.run((*SOON, *words))
            if code != 75:
                wrong.append(f"{short(words)}: {code} {err[-100:]!a}")
            for left in os.listdir(os.path.join(self.root, "chunks")):
                os.unlink(os.path.join(self.root, "chunks", left))
            if self.part.quick and len(wrong) == 0 and words[0] == "fetch" and words[2] == "peer":
                break
        tell(self.part, "odd and right lines that do not wait for sources (exit 75)", wrong)
        wrong = []
        for words, variables, wanted in (
            (("--help",), {}, 0),
            (("-V",), {}, 0),
            (("peer", "--help"), {"SPRAT_PORT": "x"}, 0),
            (("doctor", "--help"), {"SPRAT_JSON": "\x1b"}, 0),
            (("ls", "--json"), {"SPRAT_VERBOSE": "nonsense", "SPRAT_QUIET": "\x1b[2J"}, None),
            (("ls", "\x1b[2J"), {}, None),
            (("info", "\u202e"), {}, None),
            (("rm", "x"), {}, 1),
            (("add", "/no/such/file"), {}, 1),
            (("add", "/dev/null"), {}, 1),
            (("add", "\x1b[2J"), {}, 1),
            (("add", b"\xff"), {}, 1),
            (("replay", "/dev/null"), {}, 2),
            (("replay", "/no/such\x1b[2J"), {}, 2),
            (("get", "\x1b]0;x\x07"), {}, None),
            (("ls", "[" * 10_000), {}, None),
            (("ls", "*a" * 5_000), {}, None),
            (("get", "-o", "/dev/null/x", "x"), {}, None),
            (("loc", FOX), {}, None),
        ):
            # A trace has nothing to do with any folder.
            rooted = words[0] != "replay"
            code, _, err, _ = self.run(
                (*(SOON if words[0] in ("ls", "info", "get", "loc", "rm") else ()), *words), rooted, variables
            )
            if code not in ((0, 1, 2, 75) if wanted is None else (wanted,)):
                wrong.append(f"{short(words)} {variables}: {code} {err[-100:]!a}")
            if self.part.quick and len(words) > 1 and words[0] == "replay":
                break
        tell(self.part, "all other verbs with odd words and variables: unforeseen exit codes", wrong)

    def odd_roots(self):
        """A root folder that is none, or is no use."""
        at = self.part.new_folder("roots")
        made = {
            name: os.path.join(at, name)
            for name in ("file", "pipe", "link-to-file", "dangling", "loop", "link-to-folder", "locked")
        }
        with open(made["file"], "w", encoding="ascii") as file:
            file.write("x")
        os.mkfifo(made["pipe"])
        os.symlink("file", made["link-to-file"])
        os.symlink("nothing", made["dangling"])
        os.symlink("loop", made["loop"])
        folder = self.part.new_folder("roots/folder")
        os.symlink("folder", made["link-to-folder"])
        os.mkdir(made["locked"], 0)
        before = tree(at)
        others = [] if os.geteuid() else ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        # Another user has to reach the program and the folders above.
        open_way(self.part.folder)
        wrong = []
        roots = [
            *[made[name] for name in ("file", "pipe", "link-to-file", "loop", "dangling")],
            "/dev/null",
            "/dev/zero",
            os.path.join(made["file"], "x"),
            "/proc/self",
            "/sys",
        ]
        for root in roots[:: 3 if self.part.quick else 1]:
            for words in (
                ("peer",),
                (*SOON, *fetch()),
                (*SOON, "ls"),
                ("add", os.path.join(self.folder, "fox.txt")),
                ("rm", "x"),
            ):
                code, _, err, _ = self.run(("--root", root, *words), root=False)
                fine = {"ls": (0, 1), "peer": (1, 2)}.get(words[0] if words[0] == "peer" else words[-1], (1, 2, 75))
                if code not in fine or (code and not err.strip()):
                    wrong.append(f"{short(('--root', root, *words))}: {code} {err[-200:]!a}")
        if can_be_another(others, self.part.sprat):
            for words in (("peer",), (*SOON, *fetch()), ("rm", "x")):
                code, _, err, _ = self.run(("--root", made["locked"], *words), root=False, before=others)
                if code not in (1, 2, 75) or not err.strip():
                    wrong.append(f"a folder without rights, {short(words)}: {code} {err[-200:]!a}")
        else:
            self.part.say("a folder without rights: root has all of them here, and nobody else can be had")
        tell(self.part, "--root that is a file, a pipe, a device, a loop, without rights: not told and ended", wrong)
        # A dangling link may lead to a folder that is made; nothing else may be there.
        strays = sorted(path for path in set(tree(at)) ^ set(before) if "nothing" not in path)
        tell(self.part, "--root that is no use: changes on the disk", strays)
        code, _, err, _ = self.run(("--root", made["link-to-folder"], *SOON, *fetch()), root=False)
        works = code == 75 and os.path.isdir(os.path.join(folder, "chunks"))
        self.part.figure("--root that is a link to a folder", "works" if works else f"{code} {err!a}", "works", works)

    def tell(self):
        tell(self.part, "raw control or direction characters in what all of these said", self.rude)
        tell(self.part, "panics", self.panics)


def open_way(folder):
    """Lets everybody through to a folder, as far as it is ours."""
    while os.path.dirname(folder) not in ("/", "/dev", "/dev/shm", "/tmp") and folder != "/":
        folder = os.path.dirname(folder)
    os.chmod(folder, os.stat(folder).st_mode | stat.S_IXOTH | stat.S_IROTH)


def can_be_another(command, program):
    """Whether this process can start the program as another user."""
    if os.geteuid() == 0 and not command:
        return False
    try:
        return subprocess.run([*command, program, "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def collected(process):
    """What a process says until its end, and the processor time that it took."""
    pieces = {}

    def drain(name, stream):
        pieces[name] = stream.read()

    readers = [threading.Thread(target=drain, args=(name, getattr(process, name))) for name in ("stdout", "stderr")]
    for reader in readers:
        reader.start()
    ended = {}

    def has_ended():
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            ended["code"], ended["used"] = os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
        return bool(pid)

    try:
        wait_until("an end", has_ended, 5)
    except AssertionError:
        process.kill()
        wait_until("an end", has_ended)
    process.returncode = ended["code"]
    for reader in readers:
        reader.join()
    process.stdout.close()
    process.stderr.close()
    return pieces["stdout"], pieces["stderr"], ended["code"], ended["used"]


def short(words):
    said = " ".join(f"{word!a}" if isinstance(word, bytes) else ascii(word) for word in words)
    return said if len(said) < 160 else said[:150] + "..."


def tell(part, what, found):
    part.figure(what, f"{len(found)}: {found[:20]}" if found else "0", "0", not found)


def tree(folder):
    """Everything below a folder, with what it is and when it changed."""
    found = {}
    for at, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(at, name)
            there = os.lstat(path)
            found[path] = (there.st_mode, there.st_ino, there.st_size, there.st_mtime_ns)
    return found
