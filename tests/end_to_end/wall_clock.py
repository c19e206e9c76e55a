"""A wall clock that can be stepped under a running daemon.

Python imports a module `sitecustomize` at its start, before anything of ours. The one written here
replaces `time.time` and `time.time_ns` by clocks that are off by what stands in a file; monotonic
clocks go on as they are, as they do when somebody sets a machine's time.
"""

import os
import struct
import time
from pathlib import Path

import attrs
import pytest

PATCH = """
import mmap, struct, time

def _stepped(true, unit):
    with open({file!r}, "rb") as file:
        shared = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    return lambda: true() + struct.unpack("=q", shared[:8])[0] * unit

time.time, time.time_ns = _stepped(time.time, 1), _stepped(time.time_ns, 1_000_000_000)
"""


@attrs.define
class WallClock:
    """What the daemons started from now on take for the time of day."""

    file: Path

    @classmethod
    def install(cls, folder: Path, monkeypatch: pytest.MonkeyPatch) -> "WallClock":
        """Have processes started from now on use it; for now it is right."""
        folder.mkdir()
        clock = cls(folder / "offset")
        clock.file.write_bytes(bytes(8))
        (folder / "sitecustomize.py").write_text(PATCH.format(file=str(clock.file)))
        paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
        return clock

    def set(self, hours: float) -> None:
        """It is this much ahead of the true time, at once and everywhere."""
        with self.file.open("r+b", buffering=0) as file:
            file.write(struct.pack("=q", self._seconds(hours)))

    def time(self) -> float:
        """What it shows."""
        return time.time() + struct.unpack("=q", self.file.read_bytes())[0]

    @staticmethod
    def _seconds(hours: float) -> int:
        return int(hours * 3600)
