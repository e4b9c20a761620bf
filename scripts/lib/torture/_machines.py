"""What the parts share: contents, peers and fetches as processes, and looking at what they leave.

Networks of several hosts are made by `bench_network` (namespaces, switches, emulated links).
"""

import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import time

PORT = 27183
# How long anything may take that has to come about; nothing is promised by it.
LONG = 60


def wait_until(what, condition, seconds=LONG):
    """Polls a condition until it holds, and gives back what it gave."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.005)
    return value


PIECE = 64 << 20


class Content:
    """Bytes with their SHA-1: always the same ones for a seed and a size."""

    def __init__(self, seed, size):
        # A piece of 256 MiB and more has too many bits for it.
        source, pieces = random.Random(seed), [PIECE] * (size // PIECE) + [size % PIECE]
        self.bytes = b"".join(source.randbytes(piece) for piece in pieces)
        self.size, self.sha1 = size, hashlib.sha1(self.bytes).hexdigest()

    def put(self, folder, name):
        """Writes it to `folder/name`, whole from the first moment: written beside it and renamed."""
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        hidden = os.path.join(folder, f".{self.sha1}.tmp")
        with open(hidden, "wb") as file:
            file.write(self.bytes)
        os.rename(hidden, path)
        return path

    def is_at(self, path):
        """Whether a file holds it, and nothing else."""
        try:
            with open(path, "rb") as file:
                return hashlib.sha1(file.read()).hexdigest() == self.sha1
        except OSError:
            return False


class Running:
    """A process of the program, with what it says in files beside its folder."""

    def __init__(self, command, log, limits=None, **options):
        self.out, self.err = f"{log}.out", f"{log}.err"

        def before():
            for which, value in (limits or {}).items():
                resource.setrlimit(which, (value, value))

        with open(self.out, "ab") as out, open(self.err, "ab") as err:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, preexec_fn=before, **options
            )
        self.pid = self.process.pid

    def errors(self):
        """All that it said on standard error."""
        with open(self.err, encoding="utf-8", errors="replace") as file:
            return file.read()

    def output(self):
        with open(self.out, encoding="utf-8", errors="replace") as file:
            return file.read()

    def ends(self, seconds=LONG):
        """Waits for its end; its exit code, or minus the signal."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {seconds} s: {self.errors()[-2000:]}") from None

    def stop(self, how=signal.SIGTERM, seconds=LONG):
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.ends(seconds)

    def processor(self):
        """Seconds of processor time so far."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """The most that it ever had resident, in MiB."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


class Place:
    """A folder of the program (`--root`), on a host of `bench_network`, or where this process is. Whoever starts
    something here ends it with `end`."""

    def __init__(self, part, name, host=None, address=None, root=None):
        self.part, self.name, self.host, self.address = part, name, host, address or (host and host.address)
        self.root = root or part.new_folder(name)
        self.share, self.chunks = os.path.join(self.root, "share"), os.path.join(self.root, "chunks")
        os.makedirs(self.share, exist_ok=True)
        self.running, self.started = [], 0

    def command(self, *words):
        own = [] if self.host or not self.address else ["--bind", self.address]
        command = [self.part.sprat, "--root", self.root, *own, *words]
        return self.host.enter(*command) if self.host else command

    def start(self, *words, before=(), **options):
        self.started += 1
        log = os.path.join(self.part.folder, f"{self.name}-{self.started}")
        self.running.append(Running([*before, *self.command(*words)], log, **options))
        return self.running[-1]

    def peer(self, *options, **more):
        """A peer, as soon as its `d.json` stands there."""
        path = os.path.join(self.root, "d.json")
        if os.path.exists(path):
            os.unlink(path)
        started = self.start(*options, "peer", **more)
        wait_until("d.json", lambda: os.path.exists(path) or started.process.poll() is not None)
        return started

    def fetch(self, content, name, *sources, options=(), **more):
        return self.start(*options, "fetch", content.sha1, name, str(content.size), *sources, **more)

    def directory(self):
        """What `d.json` says, as it is."""
        with open(os.path.join(self.root, "d.json"), encoding="utf-8") as file:
            return json.load(file)

    def listed(self):
        """The names that `d.json` shows."""
        files = self.directory()["discovered_files"]
        return {where["filename"] for entry in files for where in entry["locations"]}

    def has(self, content, name):
        return content.is_at(os.path.join(self.share, name))

    def left(self):
        """What lies in `chunks/`."""
        return sorted(os.listdir(self.chunks)) if os.path.isdir(self.chunks) else []

    def end(self):
        for running in self.running:
            if running.process.poll() is None:
                running.process.kill()
                running.process.wait()
