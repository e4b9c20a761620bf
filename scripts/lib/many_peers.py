"""Plays many peers towards one tracker, on loopback: each has an address of its own, registers with it, answers when it asks
back, and gives its listing when it is granted. Prints how long it takes until the tracker tells of them, and what it
takes for that.

    many_peers.py TRACKER_PID PORT PEERS FILES_EACH SECONDS
"""

import hashlib
import os
import random
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


def listing(number, files):
    """The listing of a peer: so many files, every tenth of which all peers have."""
    out, before = bytearray(), b""
    for at in range(files):
        name = b"file%06d" % at
        content = hashlib.sha1(b"all %d" % at if at % 10 == 0 else b"%d %d" % (number, at)).digest()
        shared = len(os.path.commonprefix([before, name]))
        out += content + varint(1000 + at) + varint(shared) + varint(len(name) - shared) + name[shared:]
        before = name
    return bytes(out)


class Peer:
    """One peer: a socket, an identity, a listing."""

    def __init__(self, number, files, tracker):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(("127.%d.%d.%d" % (1 + number // 62500, number // 250 % 250, 1 + number % 250), 27183))
        self.instance, self.own_cookie = random.randbytes(16), random.randbytes(16)
        self.cookie, self.number, self.files, self.tracker = NONE, number, files, tracker
        self.bytes, self.told, self.granted = None, 0, 0

    def made(self):
        if self.bytes is None:
            self.bytes = listing(self.number, self.files)
        return self.bytes

    def ask(self):
        flags = 2 if self.cookie != NONE else 0
        message = HEAD + bytes([ASK, 0, flags, 0, 0]) + random.randbytes(8) + bytes(28)
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
            self.told += message[4]


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        peak = next(line for line in file if line.startswith("VmHWM")).split()[1]
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(") ", 1)[1].split()
    return int(peak), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    pid, port, peers, files, seconds = map(int, sys.argv[1:])
    selector, all_peers = selectors.DefaultSelector(), []
    for number in range(peers):
        peer = Peer(number, files, ("127.0.0.1", port))
        selector.register(peer.socket, selectors.EVENT_READ, peer)
        all_peers.append(peer)
    begun, turn = time.monotonic(), 0
    while (now := time.monotonic()) < begun + seconds:
        # All of them within six seconds, again and again.
        due = int((now - begun) / 6 * peers)
        while turn < due:
            all_peers[turn % peers].ask()
            turn += 1
        for key, _ in selector.select(0.005):
            try:
                while True:
                    key.data.take(key.data.socket.recv(2048))
            except BlockingIOError:
                pass
    peak, processor = status(pid)
    registered = sum(peer.granted > 0 for peer in all_peers)
    print(f"{peers} peers with {files} files each, {seconds} s: {registered} listings fetched, "
          f"{sum(peer.told for peer in all_peers)} hosts told, peak memory {peak} KiB, "
          f"{processor / seconds * 100:.1f} % of a core")


main()
