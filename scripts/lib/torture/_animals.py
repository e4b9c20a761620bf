"""A `share/` with one of everything that a folder can hold."""

import fcntl
import hashlib
import os
import socket
import stat
import subprocess

from torture._machines import Content

IMMUTABLE, APPEND = 0x10, 0x20


class Zoo:
    """A `share/` with one of everything, and what of it is to be offered."""

    def __init__(self, part, share, outside, other_user):
        self.part, self.share, self.outside = part, share, outside
        self.offered, self.locked, self.frozen, self.mounted = {}, [], [], []
        self.other_user = other_user
        for number in range(20 if part.quick else 200):
            self.put(f"good/{number % 7}/{number}.bin", number)
        self.special()
        self.links()
        self.unreadable()
        self.sizes()
        self.names()

    def path(self, name):
        path = os.path.join(os.fsencode(self.share), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def put(self, name, seed, offered=True):
        content = Content(seed, 1000 + seed)
        with open(self.path(name), "wb") as file:
            file.write(content.bytes)
        if offered:
            self.offered[os.fsdecode(name)] = content.sha1
        return self.path(name)

    def special(self):
        """Pipes, sockets, devices: opened, some of them would wait for ever, and some begin to do things."""
        os.mkfifo(self.path("special/pipe"))
        os.mkfifo(self.path("special/pipe.txt"))
        listener = socket.socket(socket.AF_UNIX)
        before = os.getcwd()
        os.chdir(os.path.dirname(self.path("special/x")))
        listener.bind("socket")
        os.chdir(before)
        listener.close()
        try:
            for name, kind, number in (
                ("null", stat.S_IFCHR, (1, 3)),
                ("zero", stat.S_IFCHR, (1, 5)),
                ("disk", stat.S_IFBLK, (7, 0)),
                ("tty", stat.S_IFCHR, (5, 0)),
            ):
                os.mknod(self.path(f"special/{name}"), kind | 0o666, os.makedev(*number))
        except OSError as error:
            self.part.skip("devices in share/", f"they cannot be made here ({error})")

    def links(self):
        """Links out, to folders, in circles, to nothing, and within: none is followed. A second name of a file is one."""
        secret = os.path.join(self.outside, "secret.bin")
        for name, target in (
            ("out", secret),
            ("out-relative", os.path.relpath(secret, self.share)),
            ("folder-out", self.outside),
            ("root", "/"),
            ("proc", "/proc/self/root"),
            ("loop", "loop"),
            ("loop-a", "loop-b"),
            ("loop-b", "loop-a"),
            ("up", ".."),
            ("here", "."),
            ("dangling", "nothing"),
            ("passwd", "/etc/passwd"),
            ("inner", "../good/0/0.bin"),
            ("inner-folder", "../good"),
            ("zero", "/dev/zero"),
            ("empty-fd", "/proc/self/fd/0"),
            ("x" * 250, "y" * 255),
        ):
            os.symlink(target, self.path(f"links/{name}"))
        os.link(self.path("good/1/1.bin"), self.path("second-name.bin"))
        self.offered["second-name.bin"] = self.offered["good/1/1.bin"]

    def unreadable(self):
        """What the peer's user may not read; for root there is no such thing."""
        if not self.other_user:
            self.part.say("unreadable files: this user reads all")
            return
        for name in ("locked/file.bin", "locked-folder/inside.bin", "closed-folder/inside.bin"):
            self.put(name, 7, offered=False)
        self.locked = [
            (self.path("locked/file.bin"), 0),
            (os.path.dirname(self.path("locked-folder/x")), 0),
            (os.path.dirname(self.path("closed-folder/x")), 0o400),
        ]

    def sizes(self):
        """Files that are long and hold nothing."""
        for name, size in (
            ("sparse/1TiB", 1 << 40),
            ("sparse/8EiB", (1 << 63) - 1),
            ("sparse/8EiB-again", (1 << 63) - 4096),
            ("sparse/1PiB", 1 << 50),
        ):
            with open(self.path(name), "wb") as file:
                try:
                    file.truncate(size)
                except OSError as error:
                    self.part.say(f"{name}: {error}")
        open(self.path("empty"), "wb").close()
        self.offered["empty"] = hashlib.sha1(b"").hexdigest()
        with open(self.path("sparse/1MiB"), "wb") as file:
            file.truncate(1 << 20)
        self.offered["sparse/1MiB"] = hashlib.sha1(bytes(1 << 20)).hexdigest()

    def names(self):
        """Names of all kinds."""
        for name in (
            b"bytes/\xff\xfe",
            b"bytes/a\xe9b",
            b"bytes/\xc0\xaf",
            b"bytes/line\nbreak",
            b"bytes/\x1b[2J",
            b"bytes/back\\slash",
            "bytes/turned\u202etxt".encode(),
        ):
            self.put(name, 3, offered=False)
        self.put(b"bytes/\xff-folder/inside", 3, offered=False)
        self.put("n" * 255, 11)
        self.put("é" * 127, 12)
        self.put("/".join(["deep"] * 31 + ["file"]), 13)
        self.put("/".join(["deep"] * 31 + ["below", "file"]), 14, offered=False)
        self.put("/".join(["d" * 200] * 5 + ["file"]), 15)
        self.put("/".join(["d" * 200] * 5 + ["e" * 20]), 16, offered=False)
        for name in (".hidden", ".hidden-folder/x", "x.part", "x.tmp", "x~"):
            self.put(name, 17, offered=False)

    def freeze(self):
        """Rights go, flags come, and file systems are put into it: the last things that are done to it."""
        for path, mode in self.locked:
            os.chown(path, 0, 0)
            os.chmod(path, mode)
        for number, flag in ((21, IMMUTABLE), (22, APPEND)):
            path = self.put(f"flags/{number}.bin", number)
            if not set_flag(path, flag):
                self.part.say("immutable and append-only files: this file system has none")
            else:
                self.frozen.append(path)
        folder = os.fsdecode(os.path.dirname(self.path("mounted/x")))
        if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=False, capture_output=True).returncode == 0:
            self.mounted.append(folder)
            self.put("mounted/inside.bin", 31)
            again = os.fsdecode(os.path.dirname(self.path("bound/x")))
            if (
                subprocess.run(
                    ["mount", "--bind", os.path.dirname(os.fsdecode(self.path("good/0/x"))), again],
                    check=False,
                    capture_output=True,
                ).returncode
                == 0
            ):
                self.mounted.append(again)
                for name, sha1 in list(self.offered.items()):
                    if name.startswith("good/0/"):
                        self.offered["bound/" + name[len("good/0/") :]] = sha1
        else:
            self.part.skip("mount points in share/", "nothing can be mounted here")

    def thaw(self):
        for path in self.frozen:
            set_flag(path, 0)
        for folder in reversed(self.mounted):
            subprocess.run(["umount", folder], check=False)
        for path, _ in self.locked:
            os.chmod(path, 0o755)


def set_flag(path, flag):
    """Makes a file immutable or append-only, or takes that back."""
    get, put = 0x80086601, 0x40086602
    try:
        with open(path, "rb") as file:
            word = bytearray(8)
            fcntl.ioctl(file, get, word)
            now = int.from_bytes(word, "little") & ~(IMMUTABLE | APPEND)
            fcntl.ioctl(file, put, (now | flag).to_bytes(8, "little"))
    except OSError:
        return False
    return True
