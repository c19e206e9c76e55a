"""A copy of the store's file, made while a daemon serves from it."""

import os
from pathlib import Path
from typing import Final

import apsw

from tocsin.model.errors import StartupError
from tocsin.store.schema import check_file
from tocsin.store.statements.messaging.epoch import forget_epoch
from tocsin.store.statements.positions import pass_over

PATIENCE_MS: Final = 60_000
WITH_POSITIONS: Final = 2
"""The first format in which clients had positions."""
PASSED_OVER: Final = 1 << 32
"""More than a channel is given, or jumps at crashes, before its backup may come back."""


def back_up(store: Path, copy: Path) -> None:
    """Make `copy` of the store, as it is at one moment; the daemon that has it open goes on.

    The copy is there whole, on the disk, or not at all, and only its owner can read it. It begins
    another life of the Logs, so that a client that has seen more than the copy learns that from a
    daemon that is started with it (messaging.md, MS-60), and numbers notifications on behind all
    that may be given until then: a client's position means what it meant (channels.md, CH-58).
    `StartupError` with one line if the store is none, `copy` is there already or cannot be written.
    """
    if not store.is_file() or not store.stat().st_size:
        raise StartupError(f"store {store}: there is none")
    if copy.exists():
        raise StartupError(f"{copy}: is there already")
    check_file(store)
    part = copy.with_name(f"{copy.name}.part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError as error:
        raise StartupError(f"{part}: is there already; remove it if nothing writes it") from error
    except OSError as error:
        raise StartupError(f"{part}: {error.strerror}") from error
    try:
        _copy(store, part)
        part.rename(copy)
        _sync(copy.parent)
    except (apsw.Error, OSError) as error:
        raise StartupError(f"{copy}: cannot be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def _copy(store: Path, part: Path) -> None:
    source = apsw.Connection(str(store), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        source.set_busy_timeout(PATIENCE_MS)
        source.execute("VACUUM INTO ?", (str(part),))
    finally:
        source.close()
    taken = apsw.Connection(str(part), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        if taken.table_exists("main", "memo"):
            forget_epoch(taken)
        if taken.pragma("user_version") >= WITH_POSITIONS:
            pass_over(taken, PASSED_OVER)
    finally:
        taken.close()
    _sync(part)


def _sync(path: Path) -> None:
    """Nothing of it is lost with the power any more."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
