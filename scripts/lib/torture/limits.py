"""Little of everything: few descriptors, few addresses; the program works, or refuses with a sentence."""

import os
import resource

from torture._machines import Content, Place, wait_until


def run(part):
    os.system("ip link set lo up")
    content = Content(part.seed, (4 if part.quick else 64) << 20)
    for what, limits in (
        ("32 descriptors", {resource.RLIMIT_NOFILE: 32}),
        ("64 MiB of addresses", {resource.RLIMIT_AS: 64 << 20}),
    ):
        with_limits(part, what, limits, content)


def with_limits(part, what, limits, content):
    """A peer with many files, and a fetch from it, under a limit."""
    slug = what.replace(" ", "-")
    giver = Place(part, f"giver-{slug}", address="127.0.0.1")
    taker = Place(part, f"taker-{slug}", address="127.0.0.2")
    try:
        names = [content.put(giver.share, f"{number:02}/file.bin") for number in range(1)]
        for number in range(100):
            Content(number, 1000 + number).put(giver.share, f"small/{number}.bin")
        peer = giver.peer(limits=limits)
        fetch = taker.fetch(content, "file.bin", giver.address, limits=limits)
        wait_until("an end", lambda: fetch.process.poll() is not None or peer.process.poll() is not None)
        done = fetch.process.poll() == 0 and taker.has(content, "file.bin") and peer.process.poll() is None
        told = [running for running in (peer, fetch) if running.process.poll() not in (None, 0)]
        refused = all(running.process.poll() in (1, 75) and running.errors().strip() for running in told)
        found = "works" if done else f"ends with {[r.process.poll() for r in told]}: {last_line(told)}"
        holds = done or (bool(told) and refused)
        part.figure(f"a peer with {len(names) + 100} files and a fetch, with {what}", found, "works, or a sentence", holds)
    finally:
        giver.end()
        taker.end()


def last_line(told):
    lines = [line for running in told for line in running.errors().splitlines()]
    return lines[-1] if lines else "not a word"
