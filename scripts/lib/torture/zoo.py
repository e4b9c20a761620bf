"""Everything a folder can hold, in `share/`: pipes, devices, links, sparse ones, 100,000 files, churn, swaps while it is served."""

import ctypes
import hashlib
import os
import re
import subprocess
import threading
import time

from torture._animals import Zoo
from torture._machines import Content, Place, wait_until
from torture._stranger import Greedy

HERE, OTHER, ATTACKER = "127.0.0.1", "127.0.0.2", "127.0.0.13"
# In each block of 16 bytes of what must not get out.
MARK = b"SECRET-SECRET-!!"
TURN_MAX, TURN_MOST = 20.0, 5.0
RENAME_EXCHANGE, AT_FDCWD = 2, -100
LIBC = ctypes.CDLL(None, use_errno=True)


def run(part):
    os.system("ip link set lo up")
    for case in (animals, own_state, many, churn, swapped):
        begun = time.monotonic()
        case(part)
        part.say(f"{case.__name__}: {time.monotonic() - begun:.1f} s")


def as_another(part):
    """The words that start a program as nobody, where this process may; else none."""
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    folder = part.folder
    os.chmod(folder, 0o755)
    try:
        ran = subprocess.run([*words, part.sprat, "--version"], capture_output=True, check=False)
    except OSError:
        return []
    return words if ran.returncode == 0 else []


def give(path, user=65534):
    """Gives all below a folder to another user."""
    for at, folders, files in os.walk(path):
        for name in [at, *[os.path.join(at, name) for name in folders + files]]:
            os.chown(name, user, user, follow_symlinks=False)


def turns(part, what, peer):
    """What a peer said of its turns at its end."""
    peer.stop()
    said = re.findall(
        r"(\d+) turns, the longest ([0-9.]+) ms \(([^)]*)\), by processor time ([0-9.]+) ms \(([^)]*)\); 99.9 % within ([0-9.]+) ms, ([0-9.]+) ms",
        peer.errors(),
    )
    if not said:
        part.figure(f"{what}: turns of the loop", peer.errors()[-300:], "told at the end", False)
        return
    count, longest, step, busiest, busy_step, most, busy_most = said[-1]
    # Of some hundred turns the longest is the one that 99.9 % are within, and a machine that others use as well has
    # one that is long now and then: quickly nothing is made of it.
    part.figure(
        f"{what}: longest turn of {count}",
        f"{busiest} ms of processor ({busy_step}); {longest} ms by the clock ({step})",
        f"at most {TURN_MAX:.0f} ms of processor",
        part.quick or float(busiest) <= TURN_MAX,
    )
    part.figure(
        f"{what}: 99.9 % of the turns within",
        f"{busy_most} ms of processor, {most} ms by the clock",
        f"at most {TURN_MOST:.0f} ms of processor",
        part.quick or float(busy_most) <= TURN_MOST,
    )


def offers(part, what, onlooker, contents, seconds, patience=120):
    """Waits until another host's `d.json` shows all of these, and says whether it shows anything else."""
    # Quickly means among the other tests, and they may all want the processor.
    begun, seconds = time.monotonic(), 60 if part.quick else seconds
    wanted = {(name, content) for name, content in contents.items()}

    def shown():
        return {
            (where["filename"], entry["sha1"])
            for entry in onlooker.directory()["discovered_files"]
            for where in entry["locations"]
        }

    try:
        wait_until(what, lambda: len(shown()) >= len(wanted), patience)
    except AssertionError:
        pass
    took, found = time.monotonic() - begun, shown()
    missing, more = sorted(wanted - found), sorted(found - wanted)
    part.figure(
        f"{what}: files that are listed elsewhere",
        f"{len(found & wanted)} after {took:.1f} s{f'; not {missing[:3]}' if missing else ''}",
        f"{len(wanted)} within {seconds} s",
        not missing and took <= seconds,
    )
    part.figure(f"{what}: listed, and not to be", f"{len(more)}{f': {more[:3]}' if more else ''}", "0", not more)


def animals(part):
    """One of everything."""
    outside = part.new_folder("outside")
    with open(os.path.join(outside, "secret.bin"), "wb") as file:
        file.write(MARK * 1000)
    place, onlooker = Place(part, "keeper", address=HERE), Place(part, "visitor", address=OTHER)
    another = as_another(part)
    zoo = Zoo(part, place.share, outside, bool(another))
    try:
        if another:
            give(place.root)
        zoo.freeze()
        if another and zoo.mounted:
            give(zoo.mounted[0])
        before = kept(outside)
        looker = onlooker.peer("--peer", HERE)
        peer = place.peer("-v", before=another)
        offers(part, "one of everything in share/", onlooker, zoo.offered, 15)
        part.figure("the peer runs as", "another user" if another else "this user", "", True)
        # Files change while they are read: hundreds of MiB, so that some of it is being hashed at any moment.
        changing(part, place.share, another)
        wait_until("all to be listed again", lambda: len(onlooker.listed()) >= len(zoo.offered), 60)
        grown = 60 if part.quick else 10
        late = Content(91, 5000)
        late.put(place.share, "late.bin")
        if another:
            os.chown(os.path.join(place.share, "late.bin"), 65534, 65534)
        begun = time.monotonic()
        wait_until("the late one", lambda: "late.bin" in onlooker.listed())
        took = time.monotonic() - begun
        part.figure(
            "a new file while terabytes of nothing are hashed: listed elsewhere after",
            f"{took:.1f} s",
            f"at most {grown} s",
            took <= grown,
        )
        part.figure(
            "memory of that peer at its most", f"{peer.memory():.0f} MiB", "at most 32 MiB", peer.memory() <= 32
        )
        looker.stop()
        turns(part, "one of everything in share/", peer)
        part.figure(
            "what lies outside",
            "as it was" if kept(outside) == before else "changed",
            "as it was",
            kept(outside) == before,
        )
    finally:
        zoo.thaw()
        place.end()
        onlooker.end()


def kept(folder):
    return {
        os.path.join(at, name): os.lstat(os.path.join(at, name))[:7]
        for at, folders, files in os.walk(folder)
        for name in folders + files
    }


def changing(part, share, another):
    """A file grows, shrinks, and is written over while it is read; then it goes."""
    path = os.path.join(share, "changing.bin")
    with open(path, "wb") as file:
        file.truncate((64 if part.quick else 512) << 20)
    if another:
        os.chown(path, 65534, 65534)
    end = time.monotonic() + (1 if part.quick else 10)
    number = 0
    while time.monotonic() < end:
        number += 1
        with open(path, "r+b") as file:
            if number % 3 == 0:
                file.truncate((64 if part.quick else 512) << (20 if number % 2 else 18))
            file.seek(number * 4096)
            file.write(b"x" * 4096)
        time.sleep(0.05 if number % 8 else 1.0 if not part.quick else 0.05)
    os.unlink(path)


def own_state(part):
    """Where the program keeps its own state stand pipes, folders and links."""
    content = Content(95, 200_000)
    odd = (
        ("a pipe at .sprat/hashes", lambda root: os.mkfifo(made(root, ".sprat", "hashes"))),
        ("a pipe at .sprat/hashes.new", lambda root: os.mkfifo(made(root, ".sprat", "hashes.new"))),
        ("a pipe at .sprat/chains", lambda root: os.mkfifo(made(root, ".sprat", "chains"))),
        ("a file at .sprat", lambda root: open(os.path.join(root, ".sprat"), "w", encoding="ascii").close()),
        ("a link at .sprat/hashes", lambda root: os.symlink("/dev/zero", made(root, ".sprat", "hashes"))),
        ("a pipe at d.json", lambda root: os.mkfifo(os.path.join(root, "d.json"))),
        ("a pipe at .d.json.new", lambda root: os.mkfifo(os.path.join(root, ".d.json.new"))),
        ("a link at d.json", lambda root: os.symlink("/dev/zero", os.path.join(root, "d.json"))),
    )
    for name, spoil in odd[::5] if part.quick else odd:
        slug = re.sub(r"\W+", "-", name)
        place, other = Place(part, f"odd-{slug}", address=HERE), Place(part, f"beside-{slug}", address=OTHER)
        content.put(place.share, "file.bin")
        spoil(place.root)
        try:
            peer = place.start("peer")
            fetch = other.fetch(content, "file.bin", HERE)
            whole = fetch.ends() == 0 and other.has(content, "file.bin")
            asked = subprocess.run(place.command("--timeout", "3", "ls"), capture_output=True, timeout=60, check=False)
            code = peer.stop(seconds=20)
            found = (
                "works"
                if whole and code == -15 and asked.returncode in (0, 1)
                else f"fetched {whole}, ls {asked.returncode}, ended with {code}"
            )
        except (AssertionError, subprocess.TimeoutExpired) as error:
            found = f"stands still: {error}"[:200]
        finally:
            place.end()
            other.end()
        part.figure(name, found, "works", found == "works")


def made(root, *names):
    os.makedirs(os.path.join(root, *names[:-1]), exist_ok=True)
    return os.path.join(root, *names)


def many(part):
    """So many files that looking at them takes its time."""
    count = 500 if part.quick else 100_000
    place, onlooker = Place(part, "many", address=HERE), Place(part, "many-seen", address=OTHER)
    contents = {}
    for number in range(count):
        name, text = f"{number % 100:02}/{number:06}.txt", b"%d" % number
        path = os.path.join(place.share, name)
        if number < 100:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text)
        contents[name] = hashlib.sha1(text).hexdigest()
    try:
        onlooker.peer("--peer", HERE)
        peer = place.peer("-v")
        offers(part, f"{count:,} files", onlooker, contents, 60, 300)
        # Half of the folders get other names, and all of it is looked at again.
        for number in range(50):
            os.rename(os.path.join(place.share, f"{number:02}"), os.path.join(place.share, f"moved-{number:02}"))
        moved = {f"moved-{name}" if int(name[:2]) < 50 else name: sha1 for name, sha1 in contents.items()}
        wait_until("the first of them", lambda: any(name.startswith("moved-") for name in onlooker.listed()))
        offers(part, f"{count:,} files, half of them in folders that were renamed", onlooker, moved, 60, 300)
        turns(part, f"{count:,} files", peer)
    finally:
        place.end()
        onlooker.end()


def churn(part):
    """A hundred changes a second: files come, change, are renamed, and go."""
    place, onlooker = Place(part, "churn", address=HERE), Place(part, "churn-seen", address=OTHER)
    stays = {f"stays/{number}.bin": Content(number, 3000) for number in range(50)}
    for name, content in stays.items():
        content.put(place.share, name)
    seconds = 2 if part.quick else 20
    try:
        onlooker.peer("--peer", HERE)
        peer = place.peer("-v")
        begun, number = time.monotonic(), 0
        while (went := time.monotonic() - begun) < seconds:
            while number < went * 100:
                one = os.path.join(place.share, f"{number % 200}.bin")
                kind = part.random.randrange(5)
                if kind == 0 and os.path.exists(one):
                    os.unlink(one)
                elif kind == 1 and os.path.exists(one):
                    os.rename(one, os.path.join(place.share, f"{part.random.randrange(200)}.bin"))
                elif kind == 2:
                    Content(number, 2000).put(place.share, f"{number % 200}.bin")
                else:
                    with open(one, "ab") as file:
                        file.write(b"more")
                number += 1
            time.sleep(0.005)
        contents = {name: content.sha1 for name, content in stays.items()}
        for at, _, files in os.walk(place.share):
            for name in files:
                path = os.path.join(at, name)
                with open(path, "rb") as file:
                    contents[os.path.relpath(path, place.share)] = hashlib.sha1(file.read()).hexdigest()
        part.say(f"{number} changes in {seconds} s")
        offers(part, "after 100 changes a second", onlooker, contents, 15)
        turns(part, "100 changes a second", peer)
    finally:
        place.end()
        onlooker.end()


def exchange(one, two):
    """Two names change places, in one step."""
    if LIBC.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(two), RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), "renameat2")


class Swap:
    """Files, and folders of files, that change places with links to secrets while they are served."""

    FILES = 96

    def __init__(self, part):
        self.part = part
        self.place = Place(part, "swapped", address=HERE)
        self.outside, self.aside = part.new_folder("secrets"), part.new_folder("aside")
        self.honest = {}
        for number in range(self.FILES):
            # The secret has the name, the size and the times of what it stands in for.
            content = Content(1000 + number, 4096 * (1 + number % 8))
            for kind in ("folder", "single"):
                path = content.put(self.place.share, f"{kind}/{number}.bin")
                secret = os.path.join(self.outside, kind, f"{number}.bin")
                os.makedirs(os.path.dirname(secret), exist_ok=True)
                with open(secret, "wb") as file:
                    file.write((MARK * (content.size // len(MARK) + 1))[: content.size - 1] + bytes([number]))
                times = os.stat(path)
                os.utime(secret, ns=(times.st_atime_ns, times.st_mtime_ns))
            self.honest[bytes.fromhex(content.sha1)] = content
        os.symlink(os.path.join(self.outside, "folder"), os.path.join(self.aside, "folder"))
        for number in range(self.FILES):
            os.symlink(os.path.join(self.outside, "single", f"{number}.bin"), os.path.join(self.aside, f"{number}"))
        self.secrets = [
            hashlib.sha1(open(os.path.join(at, name), "rb").read()).digest()
            for at, _, files in os.walk(self.outside)
            for name in files
        ]
        self.count, self.wanted = 0, 400 if part.quick else 20_000
        self.over = False

    def folder(self):
        """The whole folder and a link to the other one change places; mostly it is the folder that stands there."""
        exchange(os.path.join(self.place.share, "folder"), os.path.join(self.aside, "folder"))

    def single(self, number):
        exchange(os.path.join(self.place.share, "single", f"{number}.bin"), os.path.join(self.aside, str(number)))

    def swap_on(self):
        """Bursts as fast as it goes, and rests in which all is offered again, so that there is something to race with."""
        chance = self.part.random
        while self.count < self.wanted:
            for _ in range(chance.randrange(1, 100)):
                self.folder()
                if chance.random() < 0.5:
                    time.sleep(chance.random() * 0.002)
                self.folder()
                self.count += 2
            # Single files are offered anew a while after they have changed.
            for number in chance.sample(range(self.FILES), 4):
                self.single(number)
                time.sleep(chance.random() * 0.001)
                self.single(number)
                self.count += 2
            time.sleep(chance.random() * 0.1)
        self.over = True


def swapped(part):
    """A served file, and the folder above it, are swapped for links to secrets, again and again."""
    swap = Swap(part)
    onlooker = Place(part, "swap-seen", address=OTHER)
    greedy = Greedy(ATTACKER, HERE)
    try:
        peer = swap.place.peer("-v")
        onlooker.peer("--peer", HERE)
        wait_until("all to be listed", lambda: len(onlooker.listed()) >= 2 * swap.FILES)
        swapper = threading.Thread(target=swap.swap_on, daemon=True)
        swapper.start()
        honest, asked, listed, leaks = list(swap.honest), 0, 0, []
        last = time.monotonic()
        while not swap.over:
            for content in part.random.sample(honest, 16) + part.random.sample(swap.secrets, 2):
                if greedy.cookie is None or asked % 500 == 0:
                    greedy.ask(content, 4096)
                greedy.grant(content, 0, 4096, payload=1024)
                asked += 1
            greedy.hear(0.002)
            if MARK[:8] in greedy.bytes:
                leaks.append("a secret's bytes were sent")
                break
            if len(greedy.bytes) > 1 << 26:
                del greedy.bytes[: -(1 << 16)]
            if time.monotonic() - last > 0.5:
                last = time.monotonic()
                known = {bytes.fromhex(entry["sha1"]) for entry in onlooker.directory()["discovered_files"]}
                listed += 1
                leaks += [f"{sha1.hex()} is listed" for sha1 in known & set(swap.secrets)]
        swapper.join()
        greedy.hear(0.3)
        leaks += ["a secret's bytes were sent"] if MARK[:8] in greedy.bytes else []
        part.figure(
            "swaps for links to secrets", f"{swap.count:,}", f"at least {swap.wanted:,}", swap.count >= swap.wanted
        )
        served, least = greedy.came, 100 if part.quick else 10_000
        part.figure(
            "meanwhile, of honest files",
            f"{served:,} packets served of {asked:,} grants, {greedy.refused:,} refused",
            f"at least {least:,} packets, and some refused",
            served >= least and greedy.refused > 0,
        )
        part.figure(
            "packets, or lists, in which a secret was",
            f"{len(leaks)}{f': {leaks[:2]}' if leaks else ''}",
            "0",
            not leaks,
        )
        contents = {
            f"{kind}/{number}.bin": Content(1000 + number, 4096 * (1 + number % 8)).sha1
            for kind in ("folder", "single")
            for number in range(swap.FILES)
        }
        offers(part, "after the swaps", onlooker, contents, 15)
        turns(part, "swaps", peer)
    finally:
        swap.count = swap.wanted
        greedy.close()
        swap.place.end()
        onlooker.end()
