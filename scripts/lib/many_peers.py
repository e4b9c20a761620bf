"""Plays many peers towards one tracker, on loopback: each has an address of its own, registers with it, answers when it asks
back, and gives its listing when it is granted. When it has all listings, they register again and again for so many seconds,
and then some ask who has a content. Prints what that took, as a line of JSON.

    many_peers.py TRACKER_PID PORT PEERS FILES_EACH SECONDS
"""

import hashlib
import json
import os
import random
import resource
import selectors
import socket
import struct
import sys
import time

HEAD = b"Sp\x01"
ANNOUNCE, FAREWELL, ASK, TELL, GRANT, DATA, META, REFUSE, NEWS, HOSTS, HOLD = range(1, 12)
NONE = bytes(16)


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


# A peer registers this often.
EVERY = 2
# How long all may take to be registered, and how many ask for contents.
PATIENCE, QUESTIONS = 300, 500


def content_of(number, at):
    """The content of one file of a peer: every tenth is one that all peers have."""
    return hashlib.sha1(b"all %d" % at if at % 10 == 0 else b"%d %d" % (number, at)).digest()


def listing(number, files):
    """The listing of a peer: so many files."""
    out, before = bytearray(), b""
    for at in range(files):
        name = b"file%06d" % at
        content = content_of(number, at)
        shared = len(os.path.commonprefix([before, name]))
        out += content + varint(1000 + at) + varint(shared) + varint(len(name) - shared) + name[shared:]
        before = name
    return bytes(out)


class Peer:
    """One peer: a socket, an identity, a listing."""

    def __init__(self, number, files, tracker):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.address = "127.%d.%d.%d" % (1 + number // 62500, number // 250 % 250, 1 + number % 250)
        self.socket.bind((self.address, 27183))
        self.instance, self.own_cookie = random.randbytes(16), random.randbytes(16)
        self.cookie, self.number, self.files, self.tracker = NONE, number, files, tracker
        self.bytes, self.told, self.granted = None, None, 0

    def made(self):
        if self.bytes is None:
            self.bytes = listing(self.number, self.files)
        return self.bytes

    def ask(self):
        flags = 2 if self.cookie != NONE else 0
        message = HEAD + bytes([ASK, 0, flags, 0, 0]) + random.randbytes(8) + bytes(28)
        self.send(message + self.instance + self.cookie + bytes(4))

    def ask_who_has(self, content):
        message = HEAD + bytes([ASK, 1, 2, 0, 0]) + random.randbytes(8) + content + struct.pack(">Q", 1)
        self.send(message + self.instance + self.cookie + bytes(4))

    def send(self, message):
        try:
            self.socket.sendto(message, self.tracker)
        except BlockingIOError:
            pass

    def take(self, message):
        kind = message[3]
        if kind == TELL:
            first, self.cookie = self.cookie == NONE, message[16:32]
            if first:
                self.ask()
        elif kind == ASK:
            made = self.made()
            head = HEAD + bytes([TELL, 0, 1, 0, 0]) + message[8:16] + self.own_cookie + self.instance
            self.send(head + hashlib.sha1(made).digest() + struct.pack(">QI", len(made), self.files))
        elif kind == GRANT:
            self.granted += 1
            made, (payload,) = self.made(), struct.unpack(">H", message[6:8])
            for at in range(52, 52 + 12 * message[5], 12):
                offset, length = struct.unpack(">QI", message[at : at + 12])
                for start in range(offset, offset + length, payload):
                    piece = made[start : min(start + payload, offset + length)]
                    self.send(HEAD + bytes([META]) + message[8:16] + struct.pack(">Q", start) + piece)
        elif kind == HOSTS:
            places = range(16, 16 + 26 * message[4], 26)
            self.told = {socket.inet_ntoa(message[at + 12 : at + 16]) for at in places}


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        peak = next(line for line in file if line.startswith("VmHWM")).split()[1]
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(") ", 1)[1].split()
    return int(peak), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    pid, port, peers, files, seconds = map(int, sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    selector, all_peers = selectors.DefaultSelector(), []
    for number in range(peers):
        peer = Peer(number, files, ("127.0.0.1", port))
        selector.register(peer.socket, selectors.EVENT_READ, peer)
        all_peers.append(peer)
    def go_on(seconds, until=lambda: False, registers=True):
        """All of them register within EVERY seconds, again and again; until something holds, but not for longer."""
        begun, turn, before = time.monotonic(), 0, status(pid)[1]
        while (now := time.monotonic()) < begun + seconds and not until():
            due = int((now - begun) / EVERY * peers) if registers else 0
            while turn < due:
                all_peers[turn % peers].ask()
                turn += 1
            for key, _ in selector.select(0.005):
                try:
                    while True:
                        key.data.take(key.data.socket.recv(2048))
                except BlockingIOError:
                    pass
        return time.monotonic() - begun, status(pid)[1] - before

    filled = go_on(PATIENCE, lambda: all(peer.granted for peer in all_peers))
    went, used = go_on(seconds)
    right, answered = 0, 0
    for _ in range(QUESTIONS):
        asker, owner = random.sample(all_peers, 2)
        at = random.randrange(files)
        asker.told = None
        asker.ask_who_has(content_of(owner.number, at))
        go_on(1, lambda: asker.told is not None, registers=False)
        answered += asker.told is not None
        if at % 10 == 0:
            # So many are told who have it; the rest of a message is for those of whom it is not known.
            right += len(asker.told or ()) >= min(35, peers - 1)
        else:
            right += asker.told == {owner.address}
    peak, _ = status(pid)
    print(json.dumps({
        "listings that it fetched": (sum(peer.granted > 0 for peer in all_peers), f"of {peers:,}", "all"),
        "its memory at its most": (peak / 1024, "MiB", "at most 64"),
        "processor until all were registered": (filled[1], "s", ""),
        "how long that took": (filled[0], "s", ""),
        f"processor while all register every {EVERY} s": (100 * used / went, "% of a core", ""),
        f"answers to {QUESTIONS} questions who has a content": (answered, "", ""),
        "of these right": (right, "", f"{QUESTIONS}"),
    }))


if __name__ == "__main__":
    main()
