"""File systems in files, whose power can be cut: what their kernel had not written down by then is gone."""

import fcntl
import os
import shutil
import struct
import subprocess
import time

# Shuts a file system down at once. Without flushing its log is as a power cut: nothing more gets to the device.
SHUTDOWN, WITHOUT_FLUSHING = 0x8004587D, 2


def is_root():
    """Whether this is root of the machine, and not of a user namespace."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return os.getuid() == 0 and file.read().split()[-1] == str(2**32 - 1)


class Disk:
    """A file system of some kind on a mount point."""

    # How it is made, and how large; the least that each takes.
    MAKE = {
        "ext4": (48, ["mkfs.ext4", "-q", "-F"]),
        "xfs": (304, ["mkfs.xfs", "-q", "-f"]),
        "btrfs": (128, ["mkfs.btrfs", "-q", "-f", "-m", "single"]),
    }

    def __init__(self, folder, at, kind, options="", mebibytes=None):
        self.image, self.at, self.kind, self.options = f"{folder}.{kind}", at, kind, options
        size, make = self.MAKE[kind]
        with open(self.image, "wb") as file:
            file.truncate((mebibytes or size) << 20)
        subprocess.run([*make, self.image], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.makedirs(at, exist_ok=True)
        self.mount()

    @classmethod
    def why_not(cls, kind):
        """Why there can be no disk of this kind here."""
        if not shutil.which(cls.MAKE[kind][1][0]):
            return f"{cls.MAKE[kind][1][0]} is not installed"
        with open("/proc/filesystems", encoding="ascii") as file:
            return None if kind in file.read().split() else f"the kernel knows no {kind}"

    def mount(self):
        options = ",".join(["loop", *filter(None, [self.options])])
        subprocess.run(["mount", "-t", self.kind, "-o", options, self.image, self.at], check=True)

    def sync(self):
        subprocess.run(["sync", "-f", self.at], check=True)

    def unrelated_sync(self):
        """Somebody else syncs a file of theirs, which commits the journal."""
        folder = os.path.join(self.at, ".unrelated")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "file"), "wb") as file:
            file.write(b"unrelated" * 100)
            file.flush()
            os.fsync(file.fileno())

    def cut(self):
        """The power goes. What runs on it gets errors from here on."""
        if self.kind == "btrfs":
            # It has no such call. What its device holds by now is copied, and that is what is mounted next.
            copy = f"{self.image}.cut"
            subprocess.run(["cp", "--sparse=always", self.image, copy], check=True)
            return
        handle = os.open(self.at, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, SHUTDOWN, struct.pack("I", WITHOUT_FLUSHING))
        finally:
            os.close(handle)

    def back(self):
        """The power is back, and the file system is mounted again, after it was unmounted."""
        if self.kind == "btrfs" and os.path.exists(f"{self.image}.cut"):
            os.rename(f"{self.image}.cut", self.image)
        self.mount()

    def unmount(self):
        # What was killed may be on its way out still.
        for _ in range(500):
            if subprocess.run(["umount", self.at], check=False, stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.01)
        raise AssertionError(f"{self.at} cannot be unmounted")
