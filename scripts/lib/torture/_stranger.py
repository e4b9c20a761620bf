"""A host of the tests' own, as far as it takes to lie: it lists whatever names, gives what they stand for, and asks
others for theirs as no fetch would.
"""

import hashlib
import os
import socket
import struct
import threading
import time

from torture._machines import PORT

HEAD = b"Sp\x01"
ANNOUNCE, FAREWELL, ASK, TELL, GRANT, DATA, META, REFUSE = range(1, 9)
LISTING, CONTENT = 0, 1
FILE, CHAIN, HAVE, LISTED = range(4)
NONE = bytes(16)
COOKIE = bytes(range(16))


def varint(number):
    """A number in its shortest form."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def content_of(name):
    """What the file of this name holds: its own name, more or less, so that no two hold the same."""
    return b"this is " + name


def listing(names):
    """A listing of these names, as bytes: nothing about them is looked at."""
    out, before = bytearray(), b""
    for name in sorted(set(names)):
        content = content_of(name)
        shared = len(os.path.commonprefix([before, name]))
        out += hashlib.sha1(content).digest() + varint(len(content))
        out += varint(shared) + varint(len(name) - shared) + name[shared:]
        before = name
    return bytes(out)


class Stranger:
    """Listens at an address until it is stopped; says that it has every name, and gives it."""

    def __init__(self, address, names, files=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, PORT))
        self.socket.settimeout(0.05)
        self.listing, self.files = listing(names), len(set(names)) if files is None else files
        self.contents = {hashlib.sha1(content_of(name)).digest(): content_of(name) for name in names}
        self.instance, self.stopped = os.urandom(16), threading.Event()
        self.granted = set()
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def stop(self):
        self.stopped.set()
        self.thread.join()
        self.socket.close()

    def listen(self):
        while not self.stopped.is_set():
            try:
                message, sender = self.socket.recvfrom(65536)
            except (TimeoutError, ConnectionError):
                continue
            if message[:3] == HEAD and message[3] == ASK:
                self.tell(message, sender)
            elif message[:3] == HEAD and message[3] == GRANT:
                self.give(message, sender)

    def tell(self, message, sender):
        about, nonce, content = message[4], message[8:16], message[16:36]
        if about == LISTING:
            what = hashlib.sha1(self.listing).digest() + struct.pack(">QI", len(self.listing), self.files)
            flags = 0
        elif content in self.contents:
            # Contents of one block have no chain.
            what = hashlib.sha1(b"").digest() + struct.pack(">QI", len(self.contents[content]), 0xFFFFFFFF)
            flags = 1
        else:
            return
        head = HEAD + bytes([TELL, about, flags, 0, 0]) + nonce + COOKIE + self.instance
        self.socket.sendto(head + what, sender)
        if about == LISTING and message[60:76] == NONE:
            self.ask(sender)

    def ask(self, host):
        """Asks a host about its listing, as a host that it should ask back would."""
        head = HEAD + bytes([ASK, LISTING, 0, 0, 0]) + os.urandom(8) + bytes(28)
        self.socket.sendto(head + self.instance + NONE + bytes(4), host)

    def give(self, message, sender):
        kind, (payload,), nonce, name = message[4], struct.unpack(">H", message[6:8]), message[8:16], message[32:52]
        whole = self.listing if kind == LISTED else self.contents.get(name, b"")
        self.granted.add(name)
        for at in range(52, 52 + 12 * message[5], 12):
            offset, length = struct.unpack(">QI", message[at : at + 12])
            for start in range(offset, min(offset + length, len(whole)), payload):
                piece = whole[start : min(start + payload, offset + length)]
                type_ = META if kind == LISTED else DATA
                self.socket.sendto(HEAD + bytes([type_]) + nonce + struct.pack(">Q", start) + piece, sender)


class Greedy:
    """Asks a host for ranges of contents as fast as it answers, and keeps all that it is given."""

    def __init__(self, address, host):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((address, 0))
        self.socket.settimeout(0.02)
        self.host, self.instance, self.cookie = (host, PORT), os.urandom(16), None
        self.bytes, self.refused, self.came = bytearray(), 0, 0

    def close(self):
        self.socket.close()

    def hear(self, seconds):
        """Takes in what comes within a time; DATA is kept."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                message = self.socket.recv(65536)
            except TimeoutError:
                return
            if message[3] in (DATA, META):
                self.bytes += message[20:]
                self.came += 1
            elif message[3] == REFUSE:
                self.refused += 1
            elif message[3] == TELL:
                self.cookie = message[16:32]

    def ask(self, content, size):
        """Asks who has a content, and so gets a cookie."""
        head = HEAD + bytes([ASK, CONTENT, 0, 0, 0]) + os.urandom(8) + content + struct.pack(">Q", size)
        self.socket.sendto(head + NONE + (self.cookie or NONE) + bytes(4), self.host)

    def grant(self, content, offset, length, kind=FILE, payload=32768):
        head = HEAD + bytes([GRANT, kind, 1]) + struct.pack(">H", payload) + os.urandom(8) + (self.cookie or NONE)
        self.socket.sendto(head + content + struct.pack(">QI", offset, length), self.host)
