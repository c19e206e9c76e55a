"""What the kernel knows about a daemon under test."""

import os
from pathlib import Path

from tests.end_to_end.daemon import Daemon


def pid_of(daemon: Daemon) -> int:
    """The id of its process."""
    own = str(daemon.config).encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_child = f"\nPPid:\t{os.getpid()}\n" in (entry / "status").read_text()
            if is_child and own in (entry / "cmdline").read_bytes().split(b"\0"):
                return int(entry.name)
        except OSError:
            continue
    raise LookupError("it does not run")


def resident_bytes(daemon: Daemon) -> int:
    """Memory it holds."""
    return _kib(daemon, "VmRSS") * 1024


def _kib(daemon: Daemon, field: str) -> int:
    lines = Path(f"/proc/{pid_of(daemon)}/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"{field}:")]
    return int(line.split()[1])
