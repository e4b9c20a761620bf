"""Watches a folder `share/` without a gap: every name that ever appears there is whole from its first moment on.

The kernel tells (inotify) of each name that appears and of each write to what has one, and loses none without saying
so. What appears is read at once; what was right then, and was never written to, was right all the time.
"""

import ctypes
import hashlib
import os
import select
import struct
import threading

MODIFY, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x2, 0x40, 0x80, 0x100, 0x200
OVERFLOW, IS_FOLDER = 0x4000, 0x40000000
HEAD = struct.Struct("iIII")
# Folders in `share/` with which the program has nothing to do.
NOT_OURS = {"lost+found", ".unrelated"}
libc = ctypes.CDLL(None, use_errno=True)


def sha1_of(path):
    """The SHA-1 of a file, or none where there is none (any more)."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha1(file.read()).hexdigest()
    except OSError:
        return None


class Watch:
    """Watches until `end`, which gives back what was wrong. `whole` are the SHA-1 of what may appear."""

    def __init__(self, folder, whole):
        self.whole = set(whole)
        self.wrong, self.appeared, self.folders = [], 0, {}
        self.seen = set()
        self.handle = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self.handle >= 0, os.strerror(ctypes.get_errno())
        self.enter(folder)
        self.reader, self.writer = os.pipe()
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def enter(self, folder):
        """Watches a folder, and looks at what is in it by now."""
        if os.path.basename(folder) in NOT_OURS:
            return
        mask = MODIFY | MOVED_FROM | MOVED_TO | CREATE | DELETE
        number = libc.inotify_add_watch(self.handle, os.fsencode(folder), mask)
        if number < 0:
            return
        self.folders[number] = folder
        for item in os.scandir(folder):
            self.enter(item.path) if item.is_dir(follow_symlinks=False) else self.look(item.path)

    def look(self, path):
        self.seen.add(path)
        found = sha1_of(path)
        if found is None:
            return
        self.appeared += 1
        if found not in self.whole:
            self.wrong.append(f"{path} appeared with {os.path.getsize(path) if os.path.exists(path) else '?'} bytes")

    def follow(self):
        while True:
            ready, _, _ = select.select([self.handle, self.reader], [], [])
            if self.handle in ready:
                self.take()
            elif self.reader in ready:
                return

    def take(self):
        data, at = os.read(self.handle, 1 << 16), 0
        while at < len(data):
            number, mask, _, length = HEAD.unpack_from(data, at)
            at += HEAD.size
            name = os.fsdecode(data[at : at + length].rstrip(b"\0"))
            at += length
            if mask & OVERFLOW:
                self.wrong.append("the kernel told of more than could be read: nobody knows what was there")
            elif number in self.folders and name:
                self.event(mask, os.path.join(self.folders[number], name))

    def event(self, mask, path):
        if mask & (CREATE | MOVED_TO):
            self.enter(path) if mask & IS_FOLDER else self.look(path)
        elif mask & MODIFY and path in self.seen:
            # What is written to before it has a name is called otherwise here.
            self.wrong.append(f"{path} was written to while it had that name")
        elif mask & (MOVED_FROM | DELETE):
            self.seen.discard(path)

    def end(self):
        os.write(self.writer, b".")
        self.thread.join()
        for handle in (self.handle, self.reader, self.writer):
            os.close(handle)
        return self.wrong
