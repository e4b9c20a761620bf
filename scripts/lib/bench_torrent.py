"""A seed or a fetch of one file with libtorrent, without trackers, DHT or local discovery:

    bench_torrent.py seed TCP|uTP FILE
    bench_torrent.py fetch TCP|uTP FILE FOLDER ADDRESS...

The torrent is made of FILE in both; the one that fetches knows nothing else of it.
"""

import os
import sys
import time

import libtorrent as lt

PORT = 6881


def torrent_of(path):
    """The torrent of a file; kept beside it, for hashing is no part of a transfer."""
    kept = path + ".torrent"
    if not os.path.exists(kept):
        storage = lt.file_storage()
        lt.add_files(storage, path)
        made = lt.create_torrent(storage, 1 << 18, lt.create_torrent.v1_only)
        lt.set_piece_hashes(made, os.path.dirname(path))
        with open(kept + ".new", "wb") as file:
            file.write(lt.bencode(made.generate()))
        os.rename(kept + ".new", kept)
    return lt.torrent_info(kept)


def session(transport, port):
    tcp = transport == "TCP"
    return lt.session({
        "listen_interfaces": f"0.0.0.0:{port}", "enable_dht": False, "enable_lsd": False,
        "enable_upnp": False, "enable_natpmp": False, "alert_mask": 0,
        "enable_incoming_tcp": tcp, "enable_outgoing_tcp": tcp,
        "enable_incoming_utp": not tcp, "enable_outgoing_utp": not tcp,
        "allow_multiple_connections_per_ip": True, "mixed_mode_algorithm": 0,
    })


def add(into, torrent, folder, seeding):
    wanted = lt.add_torrent_params()
    wanted.ti, wanted.save_path = torrent, folder
    if seeding:
        wanted.flags |= lt.torrent_flags.seed_mode
    return into.add_torrent(wanted)


def main():
    what, transport, path, *rest = sys.argv[1:]
    torrent = torrent_of(path)
    # A fetch may be on the same host.
    into = session(transport, PORT if what == "seed" else 0)
    if what == "seed":
        add(into, torrent, os.path.dirname(path), True)
        print("seeding", flush=True)
        while True:
            time.sleep(3600)
    handle = add(into, torrent, rest[0], False)
    for address in rest[1:]:
        handle.connect_peer((address, PORT))
    while not handle.status().is_seeding:
        time.sleep(0.005)


main()
