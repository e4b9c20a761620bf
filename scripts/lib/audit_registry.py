"""What the registry says of the packages of Cargo.lock: whether one was withdrawn, and which have brought out nothing
new for years. It reads what cargo has just fetched of the registry's index; `scripts/audit` starts it."""

import glob
import json
import os
import re
import sys
import time

# A hint and no more: some are simply done.
QUIET_YEARS = 3


def locked():
    """Names and versions in Cargo.lock, without the project's own."""
    with open("Cargo.lock", encoding="utf-8") as file:
        found = re.findall(r'name = "([^"]+)"\nversion = "([^"]+)"\nsource = ', file.read())
    return sorted(found)


def index_of(name):
    """Where the sparse index keeps a package."""
    if len(name) <= 2:
        return f"{len(name)}/{name}"
    return f"3/{name[0]}/{name}" if len(name) == 3 else f"{name[:2]}/{name[2:4]}/{name}"


def known(name):
    """All versions of a package that the index tells of."""
    home = os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo"))
    pattern = os.path.join(home, "registry/index/index.crates.io-*/.cache", index_of(name.lower()))
    versions = {}
    for path in glob.glob(pattern):
        with open(path, "rb") as file:
            for part in file.read().split(b"\0"):
                if part.startswith(b"{"):
                    version = json.loads(part)
                    versions[version["vers"]] = version
    return versions


def last_published(versions):
    times = [version["pubtime"] for version in versions.values() if version.get("pubtime")]
    return max(times) if times else None


def main():
    withdrawn, unknown, quiet = [], [], []
    oldest = time.strftime("%Y-%m-%d", time.gmtime(time.time() - QUIET_YEARS * 365.25 * 86400))
    packages = locked()
    for name, number in packages:
        versions = known(name)
        if number not in versions:
            unknown.append(f"{name} {number}")
            continue
        if versions[number]["yanked"]:
            withdrawn.append(f"{name} {number}")
        last = last_published(versions)
        if last and last[:10] < oldest:
            quiet.append(f"{name} (last {last[:10]})")
    print(f"   {len(packages)} packages, {len(packages) - len(unknown)} known to the index, {len(withdrawn)} withdrawn")
    for line in withdrawn:
        print(f"   WITHDRAWN: {line}")
    if unknown:
        print(f"SKIPPED: not in the index as it is here: {', '.join(unknown)}")
    if quiet:
        print(f"   nothing new for {QUIET_YEARS} years: {', '.join(quiet)}")
    return 1 if withdrawn or len(unknown) == len(packages) else 0


if __name__ == "__main__":
    sys.exit(main())
