"""A relay between a fetch and a peer that flips a bit in each long packet: a source that lies.

    lying_relay.py OWN_ADDRESS PEER_ADDRESS PORT
"""

import select
import socket
import sys

own, peer, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
front.bind((own, port))
back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
back.bind((own, 0))
back.connect((peer, port))
client = None
print("ready", flush=True)
while True:
    ready, _, _ = select.select([front, back], [], [])
    if front in ready:
        datagram, client = front.recvfrom(65536)
        back.send(datagram)
    if back in ready and client:
        datagram = bytearray(back.recv(65536))
        if len(datagram) > 500:
            datagram[-100] ^= 4
        front.sendto(datagram, client)
