"""Disks that can be filled and freed under a running daemon.

A tmpfs where we may mount one: the daemon meets ENOSPC. Elsewhere, and besides, a limit on the
size of any file the daemon writes, set from outside while it runs: it meets EFBIG.
"""

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import attrs
import pytest
from tests.end_to_end.daemon import Daemon
from tests.end_to_end.process import pid_of

DISK_BYTES = 4 << 20
BLOCK = 4096


class Quota(Protocol):
    """Space for the daemon's state."""

    def fill(self, daemon: Daemon) -> None:
        """No file of the daemon can grow from now on."""

    def free(self, daemon: Daemon) -> None:
        """There is space again."""


@attrs.frozen
class SmallDisk:
    """A tmpfs, and a file in it that takes what is left."""

    folder: Path

    def fill(self, daemon: Daemon) -> None:
        """See Quota."""
        with (self.folder / "ballast").open("wb", buffering=0) as ballast:
            try:
                while ballast.write(bytes(BLOCK)):
                    pass
            except OSError:
                return

    def free(self, daemon: Daemon) -> None:
        """See Quota."""
        (self.folder / "ballast").unlink()


@attrs.frozen
class FileLimit:
    """RLIMIT_FSIZE of the daemon as it runs now."""

    folder: Path

    def fill(self, daemon: Daemon) -> None:
        """See Quota."""
        self.shrink(daemon, max(file.stat().st_size for file in self.folder.glob("tocsin.db*")))

    def free(self, daemon: Daemon) -> None:
        """See Quota."""
        self.shrink(daemon, resource.RLIM_INFINITY)

    def shrink(self, daemon: Daemon, size: int) -> None:
        """Nothing beyond the first `size` bytes of any file can be written."""
        limits = (size, resource.RLIM_INFINITY)
        resource.prlimit(pid_of(daemon), resource.RLIMIT_FSIZE, limits)


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """A tmpfs mounted on this folder; the test is skipped where that is not for us to do."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a tmpfs")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def file_limit(folder: Path) -> Iterator[FileLimit]:
    """A folder like any other."""
    folder.mkdir(exist_ok=True)
    yield FileLimit(folder)
