"""UDP packets of 1,472 bytes from one host to another, with the time at which they were sent; the receiver says
how long they took in the median and for 95 % of them in milliseconds, how many percent were lost, and at
which rate they came, in Mbit/s on the wire.

    bench_probe.py ADDRESS COUNT MICROSECONDS send|receive
"""

import socket
import statistics
import struct
import sys
import time

PORT = 9000
ON_THE_WIRE = 1538


def send(address, count, every):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect((address, PORT))
        start = time.monotonic_ns()
        for number in range(count):
            while time.monotonic_ns() < start + number * every * 1000:
                pass
            packet = struct.pack("!QQ", number, time.monotonic_ns())
            out.send(packet.ljust(1472, b"\0"))
        time.sleep(0.3)
        try:
            for _ in range(50):
                out.send(struct.pack("!QQ", count, 0).ljust(1472, b"\0"))
                time.sleep(0.02)
        except ConnectionRefusedError:
            # The receiver has heard it.
            pass


def receive(count):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as into:
        into.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        into.bind(("", PORT))
        into.settimeout(30)
        print("ready", flush=True)
        took, first, last = [], None, None
        while True:
            number, sent = struct.unpack("!QQ", into.recv(2048)[:16])
            now = time.monotonic_ns()
            if number == count:
                break
            first, last = first or now, now
            took.append((now - sent) / 1e6)
    rate = (len(took) - 1) * ON_THE_WIRE * 8 / ((last - first) / 1000)
    took.sort()
    lost = 100 - 100 * len(took) / count
    print(statistics.median(took), took[len(took) * 95 // 100], lost, rate)


if __name__ == "__main__":
    if sys.argv[4] == "send":
        send(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    else:
        receive(int(sys.argv[2]))
