"""Networks for measurements: hosts and switches as network namespaces, joined by veth pairs, which are as
fast as the kernel, or by links of the emulator (`examples/link_emulator/`), which are as bad as wanted.

It wants to run in a network namespace of its own, as root of it: `scripts/bench` sees to that.
"""

import fcntl
import json
import os
import signal
import struct
import subprocess
import time

# linux/if_tun.h
TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
# Frames that a TAP device keeps while the emulator does something else; 12 ms of 1 Gbit/s are 1,000.
TAP_QUEUE = 20_000


class Trouble(Exception):
    """What went wrong, in words for who started the measurement."""


def run(*command):
    """Runs a command that has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Trouble(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def wait_until(what, condition, seconds=20):
    """Polls a condition until it holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Trouble(f"waited {seconds} s in vain for {what}")
        time.sleep(0.01)


def differs(pid):
    """Whether a process has come into its own network."""
    return os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")


class Host:
    """A network namespace. With `address` it is a machine, without one a switch: everything joined to it
    is one network."""

    def __init__(self, address=None):
        self.address = address
        self.devices = 0
        self.holder = subprocess.Popen(["unshare", "--net", "--", "sleep", "infinity"])
        wait_until("a network namespace", lambda: differs(self.holder.pid))
        self.run("ip", "link", "set", "lo", "up")
        if address is None:
            self.run("ip", "link", "add", "switch", "type", "bridge", "mcast_snooping", "0")
            self.run("ip", "link", "set", "switch", "up")

    def enter(self, *command):
        """The command that runs a command there, under the same process number."""
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--", *command]

    def run(self, *command):
        return run(*self.enter(*command))

    def setting(self, name, value):
        """Sets something below /proc/sys; false where it cannot be set here."""
        command = self.enter("sysctl", "-q", "-w", f"{name}={value}")
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def addresses(self):
        """All addresses of a machine on its network, of both families."""
        words = [line.split() for line in self.run("ip", "-o", "address", "show", "port1").splitlines()]
        return {line[3].split("/")[0] for line in words}

    def next_device(self):
        self.devices += 1
        return f"port{self.devices}"

    def take(self, device):
        """Brings up a device that has been moved here, as its own or as a port of the switch."""
        if self.address is None:
            self.run("ip", "link", "set", device, "master", "switch")
        else:
            self.run("ip", "address", "add", f"{self.address}/16", "brd", "+", "dev", device)
        self.run("ip", "link", "set", device, "up")


class Link:
    """An emulated link; what it counted is there once it has ended."""

    def __init__(self, process, report):
        self.process, self.report = process, report

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate()
        if self.process.returncode != 0:
            raise Trouble(f"the link emulator failed: {errors.decode().strip()}")
        with open(self.report, encoding="utf-8") as file:
            return json.load(file)


class Network:
    """Hosts and what joins them; nothing of it outlives the `with` block."""

    def __init__(self, folder, emulator):
        self.folder, self.emulator = folder, emulator
        self.hosts, self.links, self.processes, self.groups = [], [], [], []
        self.joints = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.groups:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        for process in self.processes + [link.process for link in self.links]:
            if process.poll() is None:
                process.terminate()
        for process in self.processes + [link.process for link in self.links]:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for host in self.hosts:
            host.holder.kill()
            host.holder.wait()

    def host(self, number):
        """A machine, with an address made of its number."""
        self.hosts.append(Host(f"10.77.{number // 250}.{number % 250 + 1}"))
        return self.hosts[-1]

    def switch(self):
        self.hosts.append(Host())
        return self.hosts[-1]

    def join(self, one, other):
        """A cable as fast as the kernel."""
        names = [one.next_device(), other.next_device()]
        self.joints += 1
        ends = [f"v{self.joints}a", f"v{self.joints}b"]
        run("ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for host, end, name in zip((one, other), ends, names):
            run("ip", "link", "set", end, "netns", str(host.holder.pid), "name", name)
            host.take(name)

    def link(self, one, other, forth, back=None, seed=1, rebind=None):
        """An emulated link; `forth` is from one to the other, which may be behind a router that forgets."""
        self.joints += 1
        descriptors = []
        for host, letter in ((one, "a"), (other, "b")):
            end, name = f"t{self.joints}{letter}", host.next_device()
            descriptors.append(tap(end))
            run("ip", "link", "set", end, "txqueuelen", str(TAP_QUEUE))
            run("ip", "link", "set", end, "netns", str(host.holder.pid), "name", name)
            host.take(name)
        report = os.path.join(self.folder, f"link-{self.joints}.json")
        command = [self.emulator, "--forth", forth, "--back", back or forth]
        command += ["--seed", str(seed), "--report", report]
        command += ["--rebind", rebind] if rebind else []
        process = subprocess.Popen(
            urgently(command), stdin=descriptors[0], stdout=descriptors[1], stderr=subprocess.PIPE
        )
        for descriptor in descriptors:
            os.close(descriptor)
        self.links.append(Link(process, report))
        return self.links[-1]

    def introduce(self):
        """Tells all hosts each other's hardware addresses: across a long link nobody asks for those, there
        is a router."""
        found = {}
        for host in self.hosts:
            if host.address:
                words = host.run("ip", "-o", "link", "show", "port1").split()
                found[host.address] = words[words.index("link/ether") + 1]
        for host in self.hosts:
            lines = [
                f"neigh replace {address} lladdr {hardware} dev port1 nud permanent\n"
                for address, hardware in found.items() if host.address not in (None, address)
            ]
            subprocess.run(host.enter("ip", "-batch", "-"), input="".join(lines), text=True, check=True)

    def start(self, host, *command, log=None, **options):
        """A process on a host, for as long as the network is there."""
        with open(log or os.devnull, "ab") as out:
            process = subprocess.Popen(host.enter(*command), stdout=out, stderr=out, **options)
        self.processes.append(process)
        return process

    def start_alone(self, command):
        """A client that runs until the network goes, with all that it starts."""
        nothing = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, start_new_session=True, **nothing)
        self.groups.append(process)
        return process


def tap(name):
    """A new TAP device: frames with their Ethernet headers, and nothing before them."""
    try:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    except OSError as error:
        raise Trouble(f"no TAP devices here: {error}") from error
    return descriptor


def urgently(command):
    """The command under a scheduler that lets it run at once, where that is allowed."""
    allowed = subprocess.run(["chrt", "-f", "1", "true"], capture_output=True, check=False)
    return ["chrt", "-f", "1", *command] if allowed.returncode == 0 else command
