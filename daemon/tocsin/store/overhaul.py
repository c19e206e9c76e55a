"""What has to be done to a whole file before it can be used: said before and after.

It is done in one go while the daemon starts, and takes the longer the larger the file is. Who
waits for the start (systemd) must know how long that may be.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Final

import structlog

from tocsin.store.place import free_bytes

MIB: Final = 1 << 20
AT_LEAST: Final = 120.0
PER_MIB: Final = 1.0
"""Seconds: a disk that manages 10 MB/s is fast enough."""
WORKS: Final = {
    "migrate": "Bringing the store to the format of this release",
    "seal": "Sealing the store by another master key",
    "rewrite": "Writing the store anew after its master key was changed",
}

Announce = Callable[[str, float], None]
"""Called before a work: which, in a sentence, and how many seconds it may take."""

log = structlog.get_logger()


def nobody(_work: str, _seconds: float) -> None:
    """Nobody waits."""


@contextlib.contextmanager
def overhaul(path: str, work: str, announce: Announce) -> Iterator[None]:
    """One of `WORKS` at the file; who waits and the log are told."""
    size = _size(path) // MIB
    announce(f"{WORKS[work]} ({size} MiB)", AT_LEAST + PER_MIB * size)
    log.info("store.overhaul_begun", work=work, mebibytes=size)
    started = time.monotonic()
    yield
    log.info("store.overhaul_ended", work=work, seconds=round(time.monotonic() - started, 3))


def lacking_room(path: str, copies: int) -> str | None:
    """What is missing where so many further copies of the file do not fit beside it."""
    free, wanted = free_bytes(path), copies * _size(path)
    if free is None or free >= wanted:
        return None
    return f"needs {wanted / MIB:,.0f} MiB free beside it, and there are {free / MIB:,.0f} MiB"


def _size(path: str) -> int:
    """0 where it is not on a disk."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
