"""Plays many hosts with long listings on one network, each with an address of its own (10.77.100.1 and so on): they announce
themselves, answer questions, and give their listings when they are granted. Ends with who started it.

    many_hosts.py HOSTS FILES_EACH
"""

import hashlib
import os
import random
import selectors
import socket
import struct
import sys
import time

from many_peers import ASK, GRANT, HEAD, META, TELL, listing

ANNOUNCE = 1
PORT = 27183
BROADCAST = ("10.77.255.255", PORT)
EVERY = 6.2


class Host:
    """One host: a socket, an identity, a listing."""

    def __init__(self, number, files):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.socket.bind((f"10.77.100.{number}", PORT))
        self.instance, self.cookie = random.randbytes(16), random.randbytes(16)
        self.listing, self.files = listing(number, files), files
        self.digest = hashlib.sha1(self.listing).digest()

    def summary(self):
        return self.digest + struct.pack(">QI", len(self.listing), self.files)

    def send(self, message, to):
        try:
            self.socket.sendto(message, to)
        except BlockingIOError:
            pass

    def announce(self):
        tenths = int(EVERY * 10) + 3
        self.send(HEAD + bytes([ANNOUNCE, 0, tenths, 0, 0]) + self.instance + self.summary() + bytes(24), BROADCAST)

    def take(self, message, asker):
        if message[3] == ASK and message[4] == 0:
            head = HEAD + bytes([TELL, 0, 1, 0, 0]) + message[8:16] + self.cookie + self.instance
            self.send(head + self.summary(), asker)
        elif message[3] == GRANT:
            (payload,) = struct.unpack(">H", message[6:8])
            for at in range(52, 52 + 12 * message[5], 12):
                offset, length = struct.unpack(">QI", message[at : at + 12])
                for start in range(offset, offset + length, payload):
                    piece = self.listing[start : min(start + payload, offset + length)]
                    self.send(HEAD + bytes([META]) + message[8:16] + struct.pack(">Q", start) + piece, asker)


def main():
    count, files = map(int, sys.argv[1:])
    parent = os.getppid()
    selector, hosts = selectors.DefaultSelector(), []
    for number in range(1, count + 1):
        host = Host(number, files)
        selector.register(host.socket, selectors.EVENT_READ, host)
        hosts.append(host)
    begun, turn = time.monotonic(), 0
    while os.getppid() == parent:
        # All of them once within that time, again and again.
        due = int((time.monotonic() - begun) / EVERY * count)
        while turn < due:
            hosts[turn % count].announce()
            turn += 1
        for key, _ in selector.select(0.02):
            try:
                while True:
                    key.data.take(*key.data.socket.recvfrom(2048))
            except BlockingIOError:
                pass


main()
