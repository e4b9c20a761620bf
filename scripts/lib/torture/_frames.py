"""What passes one network device: run in the namespace of a host, it counts datagrams until its standard input ends, and
prints what it saw as JSON; or it sends frames that no socket would send.

    _frames.py watch DEVICE        udp payload bytes by source and destination, each second apart
    _frames.py last DEVICE PORT    what left for a grant, and what left after the last one
    _frames.py forge DEVICE HEX    for each line of input, ADDRESS PORT, a datagram with that source to all
"""

import json
import select
import socket
import struct
import sys
import time

IPV4, UDP, OUTGOING = 0x0800, 17, 4
GRANT, DATA, META = 5, 6, 7
HEADER = 20


def listen(device):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
    sock.bind((device, 0))
    return sock


def datagrams(sock):
    """Datagrams until standard input ends: time, whether it goes out, both ends, payload."""
    sock.setblocking(False)
    while True:
        ready, _, _ = select.select([sock, sys.stdin], [], [])
        try:
            while True:
                frame, about = sock.recvfrom(1 << 17)
                if len(frame) < 42 or frame[12:14] != b"\x08\x00" or frame[23] != UDP:
                    continue
                at = 14 + 4 * (frame[14] & 15)
                ports = struct.unpack(">HH", frame[at : at + 4])
                source, to = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
                yield time.monotonic(), about[2] == OUTGOING, (source, ports[0]), (to, ports[1]), frame[at + 8 :]
        except BlockingIOError:
            pass
        if sys.stdin in ready:
            return


def watch(device):
    """Bytes of all, and the most in a second, from each source to each destination; and how many of each type of ours."""
    sock, begun = listen(device), time.monotonic()
    print("ready", flush=True)
    by_pair, kinds = {}, {}
    for now, out, source, to, payload in datagrams(sock):
        pair = by_pair.setdefault(f"{source[0]} {to[0]}", {"bytes": 0, "datagrams": 0, "seconds": {}})
        second = str(int(now - begun))
        pair["bytes"] += len(payload)
        pair["datagrams"] += 1
        pair["seconds"][second] = pair["seconds"].get(second, 0) + len(payload)
        if payload[:3] == b"Sp\x01" and len(payload) > 3:
            kind = f"{'out' if out else 'in'} {payload[3]}"
            kinds[kind] = kinds.get(kind, 0) + 1
    print(json.dumps({"pairs": by_pair, "kinds": kinds}))


def last(device, port):
    """Bytes of file that left for one port after the last GRANT from there, and for how long."""
    sock = listen(device)
    print("ready", flush=True)
    granted, sent, after, last_grant, last_data = 0, 0, 0, 0.0, 0.0
    for now, out, source, to, payload in datagrams(sock):
        if len(payload) < HEADER or payload[:3] != b"Sp\x01":
            continue
        if not out and payload[3] == GRANT:
            ranges = range(52, 52 + 12 * payload[5], 12)
            granted += sum(struct.unpack(">I", payload[at + 8 : at + 12])[0] for at in ranges)
            after, last_grant = 0, now
        elif out and payload[3] in (DATA, META) and to[1] != port:
            # Many packets in one frame, before they are cut: each has a header of its own.
            sent += len(payload)
            after += len(payload)
            last_data = now
    seconds = max(0.0, last_data - last_grant)
    print(json.dumps({"granted": granted, "sent": sent, "after": after, "seconds": seconds}))


def checksum(header):
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def forge(device, payload, port=27183):
    """Frames to all, on the link and by IP, from whatever source each line of input names."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.bind((device, 0))
    own = sock.getsockname()[4]
    for line in sys.stdin:
        address, from_port = line.split()
        udp = struct.pack(">HHHH", int(from_port), port, 8 + len(payload), 0) + payload
        source, to = socket.inet_aton(address), socket.inet_aton("10.77.255.255")
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 1, UDP, 0) + source + to
        head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
        sock.send(b"\xff" * 6 + own + struct.pack(">H", IPV4) + head + udp)
    print(json.dumps({}))


if __name__ == "__main__":
    what, arguments = sys.argv[1], sys.argv[2:]
    if what == "watch":
        watch(*arguments)
    elif what == "last":
        last(arguments[0], int(arguments[1]))
    else:
        forge(arguments[0], bytes.fromhex(arguments[1]))
