"""What is measured: sprat, and Debian's own tools for carrying a file from one machine to another. Each serves
a folder on a host and fetches a file from servers to another host, verified as far as it verifies."""

import os
import select
import shutil
import socket
import subprocess
import sys
import time

from bench_network import Trouble, wait_until

PORT = 8000


class File:
    """A file of random bytes in a folder that all servers share."""

    def __init__(self, folder, size, name="big.bin"):
        self.folder, self.size, self.name = folder, size, name
        os.makedirs(folder, exist_ok=True)
        self.path = os.path.join(folder, name)
        with open(self.path, "wb") as file:
            left = size
            while left > 0:
                file.write(os.urandom(min(left, 1 << 20)))
                left -= 1 << 20
            file.truncate(size)
        self.sha1 = subprocess.check_output(["sha1sum", self.path], text=True).split()[0]


class Tool:
    """The name in tables, the packages it is in, the congestion control that its servers are to have."""

    name = "?"
    program = "?"
    packages = ()
    # Set where the senders' kernel decides.
    control = None

    def missing(self):
        """What is not there, in words; None if all is."""
        return None if shutil.which(self.program) else f"{self.program} is not there"

    def version(self):
        return ""

    def serve(self, network, host, file):
        """Starts serving a file; returns when it would be answered."""
        raise NotImplementedError

    def command(self, file, folder, servers):
        """The command that fetches it into a folder, all of it, verified if that is the tool's way."""
        raise NotImplementedError

    def result(self, file, folder):
        """Where the file is then."""
        return os.path.join(folder, file.name)

    # Whether what it fetches is verified; else `sha1sum` runs beside it, in a pipe.
    verifies = True


PRELOAD = {}


def preload(folder):
    """Compiles what is loaded before the programs that are measured."""
    library = os.path.join(folder, "preload.so")
    source = os.path.join(os.path.dirname(__file__), "bench_preload.c")
    command = ["cc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Trouble(f"cc: {done.stderr.strip()}")
    PRELOAD["LD_PRELOAD"] = library


def controlled(tool):
    """The environment of a server that is to use the tool's congestion control."""
    return {**os.environ, **PRELOAD, "BENCH_CONTROL": tool.control} if tool.control else None


def has_control(name):
    """Whether this kernel lets us use a congestion control."""
    with socket.socket() as one:
        try:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        except OSError:
            return False
    return True


def first_line(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout or done.stderr).splitlines()
    return lines[0].strip() if lines else ""


def listening(host, port, kind="-lnt"):
    """Whether something listens on a port of a host."""
    return f":{port} " in host.run("ss", kind, f"sport = :{port}")


class Sprat(Tool):
    def __init__(self, program, name="sprat", options=(), traces=None):
        self.program, self.name, self.options = program, name, list(options)
        self.traces, self.fetches = traces, 0

    def version(self):
        return first_line(self.program, "--version")

    def root(self, host, network):
        return os.path.join(network.folder, f"peer-{host.address}")

    def serve(self, network, host, file):
        # Kept from run to run with its hash cache; the peer is ready when it has served the file to
        # somebody on its own host, which touches all of the memory as well.
        root = self.root(host, network)
        shared = os.path.join(root, "share", file.name)
        if not os.path.exists(shared):
            # No link: the next one would change the time of the last change of all of them.
            os.makedirs(os.path.dirname(shared), exist_ok=True)
            shutil.copyfile(file.path, shared)
        command = [self.program, "--root", root, "--quiet", *self.options]
        process = network.start(host, *command, "peer", log=os.path.join(root, "log"))
        ready = os.path.join(network.folder, "ready")
        shutil.rmtree(ready, ignore_errors=True)
        os.makedirs(ready)
        asked = self.command(file, ready, ["127.0.0.1"])
        done = subprocess.run(host.enter(*asked), check=False, timeout=120)
        shutil.rmtree(ready)
        if done.returncode != 0 or process.poll() is not None:
            raise Trouble("a peer does not serve; see " + os.path.join(root, "log"))
        return process

    def command(self, file, folder, servers):
        words = [self.program, "--root", folder, "--quiet", "--timeout", "300"]
        if servers == ["127.0.0.1"]:
            # Of this host alone, whoever else there is.
            words += ["--bind", "127.0.0.1"]
        elif self.traces:
            self.fetches += 1
            trace = f"{self.traces}/{self.name}-{self.fetches}.trace".replace(" ", "-")
            if os.path.exists(trace):
                os.remove(trace)
            words += ["--trace", trace]
        words += [*self.options, "fetch"]
        return [*words, file.sha1, file.name, str(file.size), *servers]

    def result(self, file, folder):
        return os.path.join(folder, "share", file.name)


NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error;
events {{ }}
http {{
    access_log off; sendfile on; tcp_nopush on;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;
    fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{ listen {port}; root {share}; }}
}}
"""


class Http(Tool):
    """nginx, and a client."""

    packages = ("nginx-light", "curl")

    def __init__(self, control=None):
        self.control = control

    def missing(self):
        return super().missing() or (None if shutil.which("nginx") else "nginx is not there")

    def serve(self, network, host, file):
        folder = os.path.join(network.folder, f"nginx-{host.address}")
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, "nginx.conf")
        with open(path, "w", encoding="utf-8") as config:
            config.write(NGINX.format(folder=folder, port=PORT, share=file.folder))
        words = ["nginx", "-e", f"{folder}/error", "-p", folder, "-c", path]
        process = network.start(host, *words, log=f"{folder}/log", env=controlled(self))
        wait_until("nginx", lambda: listening(host, PORT))
        return process

    def urls(self, file, servers):
        return [f"http://{server}:{PORT}/{file.name}" for server in servers]


class Curl(Http):
    program = "curl"
    verifies = False

    def __init__(self, control=None, after=False):
        super().__init__(control)
        self.name = f"curl ({control})" if control else "curl"
        # Whether `sha1sum` runs after it instead of beside it.
        self.after = after

    def version(self):
        return " ".join(first_line("curl", "--version").split()[:2])

    def command(self, file, folder, servers):
        # With sha1sum beside it, which is kinder to it than after it.
        (url,) = self.urls(file, servers[:1])
        if self.after:
            line = 'curl -s -o "$1" "$0" && sha1sum "$1" | grep -q "^$2"'
        else:
            line = self.PIPE
        return ["bash", "-c", line, url, os.path.join(folder, file.name), file.sha1]

    PIPE = 'set -o pipefail; curl -s "$0" | tee "$1" | sha1sum | grep -q "^$2"'


class Aria2(Http):
    program = "aria2c"
    packages = ("aria2", "nginx-light")

    def __init__(self, control=None):
        super().__init__(control)
        self.name = f"aria2 ({control})" if control else "aria2"

    def version(self):
        return first_line("aria2c", "--version")

    def command(self, file, folder, servers):
        connections = str(max(4, len(servers)))
        words = ["aria2c", "-q", "--no-conf", "-d", folder, "-s", connections, "-x", "4"]
        words += ["-k", "1M", "--file-allocation=none", f"--checksum=sha-1={file.sha1}"]
        return [*words, *self.urls(file, servers)]


class Rsync(Tool):
    program = "rsync"
    packages = ("rsync",)

    def __init__(self, control=None):
        self.control = control
        self.name = f"rsync ({control})" if control else "rsync"

    def version(self):
        return first_line("rsync", "--version")

    def serve(self, network, host, file):
        folder = os.path.join(network.folder, f"rsync-{host.address}")
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, "rsyncd.conf")
        with open(path, "w", encoding="utf-8") as config:
            config.write(f"use chroot = no\nuid = 0\ngid = 0\nlog file = {folder}/log\n")
            config.write(f"[share]\npath = {file.folder}\nread only = yes\n")
        words = ["rsync", "--daemon", "--no-detach", f"--config={path}", f"--port={PORT}"]
        process = network.start(host, *words, env=controlled(self))
        wait_until("the rsync daemon", lambda: listening(host, PORT))
        return process

    def command(self, file, folder, servers):
        return ["rsync", "-q", f"rsync://{servers[0]}:{PORT}/share/{file.name}", folder + "/"]


def seeding(log):
    with open(log, encoding="utf-8") as file:
        return "seeding" in file.read()


class Torrent(Tool):
    """libtorrent, over TCP or over uTP, without trackers: the fetcher is told of the peers."""

    program = "/usr/bin/python3"
    packages = ("python3-libtorrent",)

    def __init__(self, transport, control=None):
        self.transport, self.control = transport, control
        of = transport if transport == "uTP" or not control else f"TCP, {control}"
        self.name = f"libtorrent ({of})"
        self.script = os.path.join(os.path.dirname(__file__), "bench_torrent.py")

    def missing(self):
        command = [self.program, "-c", "import libtorrent"]
        there = shutil.which(self.program) and subprocess.run(
            command, capture_output=True, check=False
        )
        return None if there and there.returncode == 0 else "python3-libtorrent is not there"

    def version(self):
        asked = "import libtorrent; print('libtorrent', libtorrent.__version__)"
        return first_line(self.program, "-c", asked)

    def serve(self, network, host, file):
        log = os.path.join(network.folder, f"torrent-{host.address}")
        if os.path.exists(log):
            os.remove(log)
        words = [self.program, self.script, "seed", self.transport, file.path]
        process = network.start(host, *words, log=log, env=controlled(self))
        wait_until("libtorrent", lambda: process.poll() is not None or seeding(log), 120)
        if process.poll() is not None:
            raise Trouble(f"libtorrent does not start; see {log}")
        return process

    def command(self, file, folder, servers):
        words = [self.program, self.script, "fetch", self.transport, file.path, folder]
        return [*words, *servers]


class Uftp(Tool):
    """Multicast with acknowledgements, at a rate that it has to be told: here the link's."""

    program = "uftp"
    packages = ("uftp",)
    name = "uftp"

    def __init__(self, kilobits):
        self.kilobits = kilobits

    def version(self):
        return first_line("dpkg-query", "-W", "-f", "uftp ${Version}", "uftp") or "uftp"

    def serve(self, network, host, file):
        # The sender begins; the receiver's command starts it.
        self.sender = host
        self.network = network
        return None

    def command(self, file, folder, servers):
        # The receiver waits in the background; then the sender is started on its own host.
        send = self.sender.enter(
            "uftp", "-q", "-R", str(self.kilobits), "-b", "1440", "-r", "0.1", "-M", "230.4.4.1",
            "-P", "230.5.5.1", "-I", "port1", file.path,
        )
        line = 'uftpd -d -q -I port1 -M 230.4.4.1 -D "$0" & receiver=$!; sleep 0.1; "$@"; code=$?; '
        line += "kill $receiver; wait; exit $code"
        return ["bash", "-c", line, folder, *send]


def place(folder, name):
    """A new, empty folder to fetch into."""
    path = os.path.join(folder, f"into-{name}")
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path


def bytes_below(folder):
    """What has arrived in a folder so far."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(path, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


def processor_time(process):
    """Seconds that a process, with the children it has waited for, has used."""
    with open(f"/proc/{process.pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    waited_for = sum(int(field) for field in fields[13:15]) / os.sysconf("SC_CLK_TCK")
    own = 0
    for task in os.listdir(f"/proc/{process.pid}/task"):
        with open(f"/proc/{process.pid}/task/{task}/schedstat", encoding="utf-8") as file:
            own += int(file.read().split()[0])
    return own / 1e9 + waited_for


class Fetched:
    """How a fetch went."""

    def __init__(self, seconds, done, arrived, processor, memory):
        self.seconds, self.done, self.arrived = seconds, done, arrived
        self.processor, self.memory = processor, memory


def fetch(tool, host, file, servers, folder, patience):
    """Runs a tool's client to its end, or until patience is over."""
    command = host.enter(*tool.command(file, folder, servers))
    began = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=sys.stderr if os.environ.get("SPRAT_BENCH_VERBOSE") else subprocess.DEVNULL,
        start_new_session=True,
    )
    end = began + patience
    # Woken by the child's end, not by a clock.
    descriptor = os.pidfd_open(process.pid)
    try:
        done = bool(select.select([descriptor], [], [], max(0, end - time.monotonic()))[0])
    finally:
        os.close(descriptor)
    seconds = time.monotonic() - began
    if not done:
        arrived = bytes_below(folder)
        os.killpg(process.pid, 9)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if done:
        if process.returncode != 0:
            raise Trouble(f"{tool.name} ended with {process.returncode}")
        path = tool.result(file, folder)
        arrived = os.path.getsize(path)
        if arrived != file.size:
            raise Trouble(f"{tool.name} fetched {arrived} bytes")
    processor = usage.ru_utime + usage.ru_stime
    return Fetched(seconds, done, arrived, processor, usage.ru_maxrss)
