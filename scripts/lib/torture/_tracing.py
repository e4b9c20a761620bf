"""A process under strace: which system calls it makes, and one of them met by a signal or an error.

strace counts the calls of each name by itself, so "the third pwrite64" is a point, and the points of all names are all
the points there are.
"""

import collections
import os
import re
import shutil

from torture_main import Skipped

# What changes a file system, or waits for it. Opening is among them, because it can make files.
CHANGING = (
    "open openat openat2 creat mkdir mkdirat mknod mknodat write pwrite64 writev pwritev pwritev2 copy_file_range "
    "sendfile ftruncate truncate fallocate fsync fdatasync syncfs sync_file_range rename renameat renameat2 link linkat "
    "symlink symlinkat unlink unlinkat rmdir flock fchmod fchmodat ioctl utimensat"
).split()
# What only looks.
LOOKING = (
    "read pread64 readv preadv preadv2 lseek fstat newfstatat stat lstat statx fstatfs getdents64 inotify_init1 "
    "inotify_add_watch fcntl dup close"
).split()
NETWORK = (
    "socket socketpair bind connect getsockname getsockopt setsockopt sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg "
    "epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 poll ppoll"
).split()

CALL = re.compile(r"^(?:\d+ +)?([a-z0-9_]+)\(")


def need_strace():
    if not shutil.which("strace"):
        raise Skipped("strace is not installed")


def strace(log, calls, inject=None):
    """The words before a command, to have it watched, and perhaps disturbed. `inject` is as strace takes it."""
    # Not with --seccomp-bpf, which leaves what is to be injected out.
    words = ["strace", "-f", "-y", "-qq", "-o", log]
    words += ["-e", "trace=" + ",".join(f"?{call}" for call in calls), "-e", "signal=none"]
    return [*words, "-e", f"inject={inject}"] if inject else words


def lines_of(log):
    with open(log, encoding="utf-8", errors="replace") as file:
        return file.read().splitlines()


def counts(log, root):
    """How often each call was made, and how often before the program's own folder was first spoken of: what the loader
    and the runtime do before `main` is not ours to survive."""
    all_of_them, before = collections.Counter(), None
    # Not a file beside it whose name begins as its name does: standard error may be one, and the runtime looks at that.
    spoken_of = re.compile(re.escape(root) + r'[/">]')
    for line in lines_of(log):
        found = CALL.match(line)
        if not found:
            continue
        if before is None and spoken_of.search(line):
            before = all_of_them.copy()
        all_of_them[found[1]] += 1
    return {name: ((before or {}).get(name, 0), count) for name, count in all_of_them.items()}


def points(log, root, calls):
    """All points of a run that was watched: (call, which of them)."""
    found = counts(log, root)
    return [(call, which) for call in calls if call in found for which in range(found[call][0] + 1, found[call][1] + 1)]


def tracee(running):
    """The process that strace watches: signals for it are not for strace."""
    with open(f"/proc/{running.pid}/task/{running.pid}/children", encoding="ascii") as file:
        children = file.read().split()
    return int(children[0]) if children else None


def forget(log):
    if os.path.exists(log):
        os.unlink(log)
